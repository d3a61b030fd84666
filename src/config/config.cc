#include "sluice/config/config.h"

#include <algorithm>

namespace sluice::config {

std::string Listen::text() const {
  const net::IpAddress& address = endpoint.address;
  const std::string host = prefix ? range().text() : address.text();
  const std::string port = endpoint.port == 0 ? "*" : std::to_string(endpoint.port);
  const char* word = quic                           ? "/quic"
                     : proto == net::IpProto::kUdp  ? "/udp"
                     : proto == net::IpProto::kSctp ? "/sctp"
                                                    : "/tcp";
  return (address.is_v4() ? host : "[" + host + "]") + ":" + port + word;
}

std::string Backend::text() const { return endpoint.port != 0 ? endpoint.text() : endpoint.address.text(); }

const Pool* find_pool(const Config& config, std::string_view name) noexcept {
  const auto found = std::ranges::find(config.pools, name, &Pool::name);
  return found == config.pools.end() ? nullptr : &*found;
}

const EspPeer* find_esp_peer(const Config& config, const net::IpAddress& address) noexcept {
  const auto found = std::ranges::find(config.esp.peers, address, &EspPeer::address);
  return found == config.esp.peers.end() ? nullptr : &*found;
}

const Interface* find_interface(const Config& config, std::string_view name) noexcept {
  const auto found = std::ranges::find(config.interfaces, name, &Interface::name);
  return found == config.interfaces.end() ? nullptr : &*found;
}

}  // namespace sluice::config
