#include <map>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "validate.h"

namespace sluice::config {
namespace {

using Key = std::vector<std::uint8_t>;

// SPIs lead to an association by themselves at the peer (for `out`) and here (for `in`), and no IV may be used twice under
// a key: so neither is given twice.
class Checker {
 public:
  Checker(const Config& config, Reader& reader) : config_(config), reader_(reader) {}

  void check() {
    for (const Service& service : config_.services) {
      if (service.forward && service.forward->mode == ForwardMode::kEsp) check_backends(service);
    }
    for (std::size_t i = 0; i < config_.esp.peers.size(); ++i) {
      const std::string base = fmt::format("esp.peers[{}]", i);
      if (!reader_.sound(base)) continue;
      const EspPeer& peer = config_.esp.peers[i];
      check_address(peer.address, base + ".address");
      check_range(peer.out, base + ".out");
      check_key(peer.out, base + ".out");
      for (std::size_t j = 0; j < peer.in.size(); ++j) {
        const std::string path = fmt::format("{}.in[{}]", base, j);
        const auto [other, fresh] = inbound_.try_emplace(peer.in[j].spi, path);
        if (!fresh) {
          reader_.error_at(path + ".spi", fmt::format("{:#x} is taken by {}", peer.in[j].spi, shown(other->second)));
        }
        check_key(peer.in[j], path);
      }
    }
  }

 private:
  std::string shown(const std::string& path) const { return reader_.shown(path); }

  void check_backends(const Service& service) {
    const Pool* pool = find_pool(config_, service.forward->pool);
    if (pool == nullptr || !reader_.sound("esp")) return;
    for (std::size_t i = 0; i < pool->backends.size(); ++i) {
      const net::IpAddress& address = pool->backends[i].endpoint.address;
      const std::string path = fmt::format("pools.{}.backends[{}]", pool->name, i);
      if (!reader_.sound(path) || find_esp_peer(config_, address) != nullptr) continue;
      reader_.error_at(path + ".address", fmt::format("no peer of 'esp' has {}, which mode esp of service '{}' needs",
                                                      address.text(), service.name));
    }
  }

  void check_address(const net::IpAddress& address, const std::string& path) {
    if (!is_unicast(address) || address.is_link_local()) {
      reader_.error_at(path, fmt::format("{} is not the address of a backend", address.text()));
    } else if (!addresses_.insert(address).second) {
      reader_.error_at(path, fmt::format("{} is given twice", address.text()));
    }
  }

  // One SPI for each worker.
  void check_range(const EspSa& sa, const std::string& path) {
    const std::size_t workers = config_.runtime.workers.size();
    if (sa.spi + (workers - 1) <= 0xffffffff) return;
    reader_.error_at(path + ".spi",
                     fmt::format("{:#x} leaves no SPI for each of the {} workers behind it", sa.spi, workers));
  }

  void check_key(const EspSa& sa, const std::string& path) {
    if (sa.key.empty()) return;  // of a file: read_esp_keys()
    const auto [other, fresh] = keys_.try_emplace(sa.key, path);
    if (fresh) return;
    reader_.error_at(path + ".key",
                     fmt::format("is the key of {}; each association needs one of its own", shown(other->second)));
  }

  const Config& config_;
  Reader& reader_;
  std::set<net::IpAddress> addresses_;
  std::map<std::uint32_t, std::string> inbound_;
  std::map<Key, std::string> keys_;
};

}  // namespace

void validate_esp(const Config& config, Reader& reader) {
  if (reader.sound("runtime")) Checker(config, reader).check();
}

}  // namespace sluice::config
