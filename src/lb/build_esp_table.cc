#include <map>
#include <utility>

#include <fmt/format.h>

#include "sluice/lb/esp_table.h"
#include "sluice/lb/snapshot.h"

namespace sluice::lb {
namespace {

bool same(const config::EspSa& a, const config::EspSa& b) {
  return a.spi == b.spi && a.extended == b.extended && a.key == b.key;
}

// The associations of before: the same SPI with the same key is the same association.
class Known {
 public:
  explicit Known(const Snapshot* previous) {
    if (previous == nullptr) return;
    const auto& peers = previous->config->esp.peers;
    for (std::size_t i = 0; i < previous->esp.peers.size(); ++i) {
      const EspPeer& peer = previous->esp.peers[i];
      outbound_.emplace(peers[i].out.key, std::pair{&peers[i].out, peer.out});
      for (std::size_t j = 0; j < peer.in.size(); ++j) {
        inbound_.emplace(peers[i].in[j].spi, std::pair{&peers[i].in[j], peer.in[j]});
      }
    }
  }
  [[nodiscard]] std::shared_ptr<const esp::OutboundSa> outbound(const config::EspSa& sa) const {
    const auto at = outbound_.find(sa.key);
    return at != outbound_.end() && same(*at->second.first, sa) ? at->second.second : nullptr;
  }
  [[nodiscard]] std::shared_ptr<esp::InboundSa> inbound(const config::EspSa& sa) const {
    const auto at = inbound_.find(sa.spi);
    return at != inbound_.end() && same(*at->second.first, sa) ? at->second.second : nullptr;
  }

 private:
  std::map<std::vector<std::uint8_t>, std::pair<const config::EspSa*, std::shared_ptr<const esp::OutboundSa>>>
      outbound_;
  std::map<std::uint32_t, std::pair<const config::EspSa*, std::shared_ptr<esp::InboundSa>>> inbound_;
};

Result<std::shared_ptr<const esp::OutboundSa>> make_outbound(const config::EspSa& from, esp::KeyLedger& keys) {
  auto key = esp::GcmKey::expand(from.key);
  if (!key) return std::unexpected(key.error());
  auto use = keys.use_of(from.key);
  if (!use) return std::unexpected(use.error());
  return std::make_shared<const esp::OutboundSa>(
      esp::OutboundSa{.spi = from.spi, .extended = from.extended, .key = std::move(*key), .use = std::move(*use)});
}

Result<std::shared_ptr<esp::InboundSa>> make_inbound(const config::EspSa& from) {
  auto key = esp::GcmKey::expand(from.key);
  if (!key) return std::unexpected(key.error());
  return std::make_shared<esp::InboundSa>(from.spi, from.extended, std::move(*key));
}

// Before anything is made, so that the ledger hears of no key of a configuration that is refused for its directions.
Result<void> check_inbound(const config::Config& config, const Known& known, const esp::KeyLedger& keys) {
  for (std::size_t i = 0; i < config.esp.peers.size(); ++i) {
    const std::vector<config::EspSa>& in = config.esp.peers[i].in;
    for (std::size_t j = 0; j < in.size(); ++j) {
      if (known.inbound(in[j]) != nullptr) continue;
      const auto sealed = keys.has_sealed(in[j].key);
      if (!sealed) return std::unexpected(sealed.error());
      if (!*sealed) continue;
      return fail(
          fmt::format("esp.peers[{}].in[{}]: has a key under which sluice has sealed before; IVs would come "
                      "twice under it",
                      i, j));
    }
  }
  return {};
}

Result<EspPeer> make_peer(const config::EspPeer& from, const Known& known, esp::KeyLedger& keys) {
  EspPeer peer;
  peer.out = known.outbound(from.out);
  if (peer.out == nullptr) {
    auto made = make_outbound(from.out, keys);
    if (!made) return std::unexpected(made.error());
    peer.out = std::move(*made);
  }
  for (const config::EspSa& sa : from.in) {
    auto in = known.inbound(sa);
    if (in == nullptr) {
      auto made = make_inbound(sa);
      if (!made) return std::unexpected(made.error());
      in = std::move(*made);
    }
    peer.in.push_back(std::move(in));
  }
  return peer;
}

}  // namespace

Result<EspTable> build_esp_table(const config::Config& config, const Snapshot* previous,
                                 std::shared_ptr<esp::KeyLedger> keys) {
  EspTable table;
  table.keys = std::move(keys);
  if (table.keys == nullptr && previous != nullptr) table.keys = previous->esp.keys;
  if (config.esp.peers.empty()) return table;
  if (table.keys == nullptr) table.keys = std::make_shared<esp::KeyLedger>(config.runtime.workers.size());
  const Known known(previous);
  if (auto good = check_inbound(config, known, *table.keys); !good) return std::unexpected(good.error());
  bool any_fresh = false;
  for (std::size_t i = 0; i < config.esp.peers.size(); ++i) {
    const config::EspPeer& from = config.esp.peers[i];
    auto peer = make_peer(from, known, *table.keys);
    if (!peer) return fail(fmt::format("esp.peers[{}]: {}", i, peer.error().message));
    any_fresh |= peer->out != known.outbound(from.out);
    for (std::size_t j = 0; j < peer->in.size(); ++j) {
      table.inbound.push_back({.spi = from.in[j].spi, .sa = peer->in[j].get(), .peer = from.address});
    }
    table.peers.push_back(std::move(*peer));
  }
  std::ranges::sort(table.inbound, {}, &EspInbound::spi);
  // What goes on has its numbers, and somebody who reserves more in time: where that fails, the table is good all the same.
  if (!any_fresh) return table;
  if (auto reserved = table.keys->reserve(); !reserved) return std::unexpected(reserved.error());
  return table;
}

}  // namespace sluice::lb
