#include "sluice/config/config.h"

#include <algorithm>

namespace sluice::config {

std::string Listen::text() const {
  const char* word = proto == net::IpProto::kUdp ? "/udp" : proto == net::IpProto::kSctp ? "/sctp" : "/tcp";
  return endpoint.text() + word;
}

std::string Backend::text() const { return endpoint.port != 0 ? endpoint.text() : endpoint.address.text(); }

const Pool* find_pool(const Config& config, std::string_view name) noexcept {
  const auto found = std::ranges::find(config.pools, name, &Pool::name);
  return found == config.pools.end() ? nullptr : &*found;
}

const Interface* find_interface(const Config& config, std::string_view name) noexcept {
  const auto found = std::ranges::find(config.interfaces, name, &Interface::name);
  return found == config.interfaces.end() ? nullptr : &*found;
}

}  // namespace sluice::config
