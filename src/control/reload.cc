#include "sluice/control/reload.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace sluice::control {
namespace {

bool has_lists(const config::Config& config) {
  return !config.defence.access.empty() ||
         std::ranges::any_of(config.services, [](const config::Service& service) { return !service.access.empty(); });
}

void take_lists(config::Config& into, const config::Config& fresh) {
  into.defence.access = fresh.defence.access;
  for (config::Service& service : into.services) {
    const auto same = std::ranges::find(fresh.services, service.name, &config::Service::name);
    if (same != fresh.services.end()) service.access = same->access;
  }
}

// What stays needs the new peers: backends, workers, and that no key seals here with which a peer has sealed, or the other
// way round: their IVs would meet.
class PeerCheck {
 public:
  PeerCheck(const config::Config& running, const config::Config& fresh) : running_(running), fresh_(fresh) {}

  [[nodiscard]] Result<void> check() {
    for (const config::Service& service : running_.services) {
      if (!service.forward || service.forward->mode != config::ForwardMode::kEsp) continue;
      if (auto good = check_backends(*config::find_pool(running_, service.forward->pool)); !good) return good;
    }
    for (const config::EspPeer& peer : running_.esp.peers) {
      was_out_.emplace(peer.out.key, &peer);
      for (const config::EspSa& in : peer.in) was_in_.emplace(in.key, &peer);
    }
    for (std::size_t i = 0; i < fresh_.esp.peers.size(); ++i) {
      if (auto good = check_peer(fresh_.esp.peers[i], fmt::format("esp.peers[{}]", i)); !good) return good;
    }
    return {};
  }

 private:
  using Keys = std::map<std::vector<std::uint8_t>, const config::EspPeer*>;

  [[nodiscard]] Result<void> check_backends(const config::Pool& pool) const {
    for (const config::Backend& backend : pool.backends) {
      const net::IpAddress& address = backend.endpoint.address;
      if (config::find_esp_peer(fresh_, address) != nullptr) continue;
      return fail(fmt::format("{}: esp.peers: none has {}, and backend {} of pool {} has it until a restart",
                              fresh_.file, address.text(), backend.name, pool.name));
    }
    return {};
  }

  [[nodiscard]] Result<void> check_peer(const config::EspPeer& peer, const std::string& path) const {
    const std::size_t workers = running_.runtime.workers.size();
    if (peer.out.spi + (workers - 1) > 0xffffffff) {
      return fail(fmt::format("{}: {}.out.spi: {:#x} leaves no SPI for each of the {} workers behind it", fresh_.file,
                              path, peer.out.spi, workers));
    }
    if (auto good = check_key(peer.out, path + ".out", was_in_, "in"); !good) return good;
    for (std::size_t j = 0; j < peer.in.size(); ++j) {
      if (auto good = check_key(peer.in[j], fmt::format("{}.in[{}]", path, j), was_out_, "out"); !good) return good;
    }
    return {};
  }

  [[nodiscard]] Result<void> check_key(const config::EspSa& sa, const std::string& path, const Keys& others,
                                       std::string_view direction) const {
    const auto at = others.find(sa.key);
    if (at == others.end()) return {};
    return fail(fmt::format("{}: {}: has the key that '{}' of peer {} has had so far; IVs would come twice under it",
                            fresh_.file, path, direction, at->second->address.text()));
  }

  const config::Config& running_;
  const config::Config& fresh_;
  Keys was_out_, was_in_;
};

}  // namespace

Result<TakenOver> take_over(const config::Config& running, const config::Config& fresh) {
  config::Config next = running;
  if (has_lists(running)) take_lists(next, fresh);
  if (!running.esp.peers.empty()) {
    if (auto good = PeerCheck(running, fresh).check(); !good) return std::unexpected(good.error());
    next.esp.peers = fresh.esp.peers;
  }
  std::vector<std::string_view> left = config::differing_sections(next, fresh);
  return TakenOver{.config = std::make_shared<const config::Config>(std::move(next)), .left = std::move(left)};
}

}  // namespace sluice::control
