#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "validate.h"

namespace sluice::config {
namespace {

constexpr std::uint16_t kMinMtuV6 = 1280;  // RFC 8200 section 5

std::string path_of(const Interface& interface, std::string_view key) {
  return fmt::format("interfaces.{}.{}", interface.name, key);
}

// The first and the last address of an IPv4 prefix are its network and its broadcast address (RFC 1122
// section 3.2.1.3), but not in a /31 (RFC 3021) or a /32.
bool is_host_of(const net::Prefix& prefix) noexcept {
  if (!prefix.address.is_v4() || prefix.length >= 31) return true;
  const std::uint32_t host_mask = 0xffffffffu >> prefix.length;
  const std::uint32_t host = prefix.address.v4().host() & host_mask;
  return host != 0 && host != host_mask;
}

void check_addresses(const Interface& interface, std::map<net::IpAddress, std::string>& taken, Reader& reader) {
  for (std::size_t i = 0; i < interface.addresses.size(); ++i) {
    const std::string path = fmt::format("interfaces.{}.addresses[{}]", interface.name, i);
    if (!reader.sound(path)) continue;
    const net::Prefix& own = interface.addresses[i];
    if (!is_unicast(own.address) || own.length == 0 || !is_host_of(own)) {
      reader.error_at(path, fmt::format("{} is not the address of a host in its prefix", own.text()));
      continue;
    }
    const auto [other, fresh] = taken.try_emplace(own.address, interface.name);
    if (!fresh)
      reader.error_at(path,
                      fmt::format("{} is given twice; first on interface '{}'", own.address.text(), other->second));
  }
  const bool any_v6 =
      std::ranges::any_of(interface.addresses, [](const net::Prefix& own) { return !own.address.is_v4(); });
  if (any_v6 && interface.mtu < kMinMtuV6 && reader.sound(path_of(interface, "addresses"))) {
    reader.error_at(path_of(interface, "mtu"),
                    fmt::format("{} is below {}, which IPv6 needs", interface.mtu, kMinMtuV6));
  }
}

// What is wrong with a next hop on this interface.
std::optional<std::string> next_hop_problem(const Interface& interface, const net::IpAddress& hop) {
  if (!is_unicast(hop)) return fmt::format("{} is not the address of a host", hop.text());
  bool on_link = !hop.is_v4() && hop.is_link_local();
  for (const net::Prefix& own : interface.addresses) {
    if (own.address == hop) return fmt::format("{} is an own address of interface '{}'", hop.text(), interface.name);
    on_link |= own.contains(hop);
    if (own.contains(hop) && !is_host_of({hop, own.length}))
      return fmt::format("{} is not the address of a host in {}", hop.text(), own.text());
  }
  if (on_link) return std::nullopt;
  return fmt::format("{} is in no prefix of interface '{}'", hop.text(), interface.name);
}

void check_gateways(const Interface& interface, std::map<bool, std::string>& taken, Reader& reader) {
  if (!reader.sound(path_of(interface, "addresses"))) return;
  for (const auto& gateway : {interface.gateway4, interface.gateway6}) {
    if (!gateway) continue;
    const std::string path = path_of(interface, "gateway");
    if (const auto problem = next_hop_problem(interface, *gateway)) {
      reader.error_at(path, *problem);
      continue;
    }
    const auto [other, fresh] = taken.try_emplace(gateway->is_v4(), interface.name);
    if (fresh) continue;
    reader.error_at(path, fmt::format("a second {} gateway; interface '{}' has one", family(*gateway), other->second));
  }
}

// VLANs take the MTU of their parent where the file says none.
void check_vlans(Config& config, Reader& reader) {
  std::map<std::tuple<std::string, std::uint16_t, std::uint16_t>, std::string> taken;
  for (Interface& interface : config.interfaces) {
    if (!interface.is_vlan() || !reader.sound(path_of(interface, "parent"))) continue;
    const Interface* parent = get_interface(config, interface.parent, path_of(interface, "parent"), reader);
    if (parent == nullptr) continue;
    if (parent->is_vlan()) {
      reader.error_at(path_of(interface, "parent"),
                      fmt::format("'{}' is a VLAN itself; two tags are written as vlan: [outer, inner]", parent->name));
      continue;
    }
    const std::string mtu = path_of(interface, "mtu");
    if (!reader.has(mtu)) {
      interface.mtu = parent->mtu;
    } else if (interface.mtu > parent->mtu && reader.sound(mtu)) {
      reader.error_at(
          mtu, fmt::format("{} is more than the {} of its parent '{}'", interface.mtu, parent->mtu, parent->name));
    }
    const auto [other, fresh] =
        taken.try_emplace({interface.parent, interface.vlan, interface.inner_vlan}, interface.name);
    if (!fresh) reader.error_at(path_of(interface, "vlan"), fmt::format("is interface '{}' already", other->second));
  }
}

void check_interfaces(Config& config, Reader& reader) {
  if (config.interfaces.empty()) {
    if (reader.has("interfaces") && reader.sound("interfaces"))
      reader.error_at("interfaces", "at least one interface is needed");
    return;
  }
  if (config.interfaces.size() > kMaxInterfaces) {
    reader.error_at("interfaces", fmt::format("{} interfaces; at most {}", config.interfaces.size(), kMaxInterfaces));
  }
  check_vlans(config, reader);
  std::map<net::IpAddress, std::string> addresses;
  std::map<bool, std::string> gateways;
  std::map<std::string, std::string> devices;
  for (const Interface& interface : config.interfaces) {
    check_addresses(interface, addresses, reader);
    check_gateways(interface, gateways, reader);
    const std::string path = path_of(interface, "device");
    if (!reader.sound(path) || interface.device.empty()) continue;
    const std::string device = interface.device.substr(0, interface.device.find(','));
    const auto [other, fresh] = devices.try_emplace(device, interface.name);
    if (!fresh)
      reader.error_at(path, fmt::format("device '{}' is used by interface '{}' already", device, other->second));
  }
}

// Two interfaces on one network: which of them a packet leaves by is then decided by the order of the file.
void warn_overlaps(const Config& config, Reader& reader) {
  for (std::size_t a = 0; a < config.interfaces.size(); ++a) {
    for (std::size_t b = a + 1; b < config.interfaces.size(); ++b) {
      const Interface& second = config.interfaces[b];
      for (std::size_t i = 0; i < second.addresses.size(); ++i) {
        const net::Prefix& own = second.addresses[i];
        if (own.length == 0 || own.address.is_link_local()) continue;
        const bool meets = std::ranges::any_of(config.interfaces[a].addresses, [&](const net::Prefix& other) {
          return other.contains(own.address) || own.contains(other.address);
        });
        if (!meets) continue;
        reader.warning_at(fmt::format("interfaces.{}.addresses[{}]", second.name, i),
                          fmt::format("{} overlaps a prefix of interface '{}', which is used first", own.text(),
                                      config.interfaces[a].name));
      }
    }
  }
}

void check_neighbors(const Config& config, Reader& reader) {
  std::set<std::pair<std::string, net::IpAddress>> taken;
  for (std::size_t i = 0; i < config.neighbors.size(); ++i) {
    const Neighbor& neighbor = config.neighbors[i];
    const std::string path = fmt::format("neighbors[{}]", i);
    if (!reader.sound(path)) continue;
    const Interface* interface = get_interface(config, neighbor.interface, path + ".interface", reader);
    if (interface == nullptr || !reader.sound("interfaces." + interface->name)) continue;
    if (const auto problem = next_hop_problem(*interface, neighbor.address))
      reader.error_at(path + ".address", *problem);
    if (neighbor.mac.is_multicast() || neighbor.mac == net::MacAddress{}) {
      reader.error_at(path + ".mac", fmt::format("{} is not the address of a station", neighbor.mac.text()));
    }
    if (!taken.emplace(neighbor.interface, neighbor.address).second) {
      reader.error_at(path + ".address", fmt::format("{} is given twice", neighbor.address.text()));
    }
  }
}

void check_route_via(const Config& config, StaticRoute& route, const std::string& path, Reader& reader) {
  if (!route.interface.empty()) {
    const Interface* interface = get_interface(config, route.interface, path + ".interface", reader);
    if (interface == nullptr || !reader.sound("interfaces." + interface->name)) return;
    if (const auto problem = next_hop_problem(*interface, route.via)) reader.error_at(path + ".via", *problem);
    return;
  }
  if (!route.via.is_v4() && route.via.is_link_local()) {
    return reader.error_at(path, "required key 'interface' is missing: a link-local address says not which one");
  }
  const Interface* interface = find_on_link(config, route.via);
  if (interface == nullptr) {
    if (reader.sound("interfaces"))
      reader.error_at(path + ".via", fmt::format("{} is in no prefix of any interface", route.via.text()));
    return;
  }
  if (const auto problem = next_hop_problem(*interface, route.via)) return reader.error_at(path + ".via", *problem);
  route.interface = interface->name;
}

void check_routes(Config& config, Reader& reader) {
  std::set<net::Prefix> taken;
  for (std::size_t i = 0; i < config.routes.size(); ++i) {
    StaticRoute& route = config.routes[i];
    const std::string path = fmt::format("routes[{}]", i);
    if (!reader.sound(path)) continue;
    const std::string prefix_path = path + ".prefix";
    if (route.prefix.length == 0) {
      reader.error_at(prefix_path, "a default route is written as the 'gateway' of an interface");
      continue;
    }
    if (network_of(route.prefix) != route.prefix.address) {
      const net::Prefix network{network_of(route.prefix), route.prefix.length};
      reader.error_at(prefix_path,
                      fmt::format("{} has bits behind its length; write {}", route.prefix.text(), network.text()));
    }
    if (!taken.insert(route.prefix).second)
      reader.error_at(prefix_path, fmt::format("{} is given twice", route.prefix.text()));
    if (route.prefix.address.is_v4() != route.via.is_v4()) {
      reader.error_at(path + ".via", fmt::format("{} is {}, the prefix is {}", route.via.text(), family(route.via),
                                                 family(route.prefix.address)));
      continue;
    }
    check_route_via(config, route, path, reader);
  }
}

}  // namespace

net::IpAddress network_of(const net::Prefix& prefix) noexcept {
  std::array<std::uint8_t, 16> bytes = prefix.address.bytes();
  const std::size_t bits = prefix.address.is_v4() ? 96u + prefix.length : prefix.length;
  for (std::size_t i = 0; i < 16; ++i) {
    if (bits >= 8 * (i + 1)) continue;
    const std::size_t kept = bits > 8 * i ? bits - 8 * i : 0;
    bytes[i] = static_cast<std::uint8_t>(bytes[i] & (0xff00u >> kept));
  }
  return net::IpAddress::v6(bytes);
}

bool is_unicast(const net::IpAddress& address) noexcept {
  if (address.is_unspecified() || address.is_multicast()) return false;
  if (!address.is_v4()) {
    std::array<std::uint8_t, 16> loopback{};
    loopback[15] = 1;
    return address != net::IpAddress::v6(loopback);
  }
  const std::uint32_t host = address.v4().host();
  return host >> 24 != 0 && host >> 24 != 127 && host >> 28 != 0xf;  // RFC 1122 section 3.2.1.3; 240/4 is reserved
}

std::string_view family(const net::IpAddress& address) noexcept { return address.is_v4() ? "IPv4" : "IPv6"; }

const Interface* find_on_link(const Config& config, const net::IpAddress& address) noexcept {
  for (const Interface& interface : config.interfaces) {
    for (const net::Prefix& own : interface.addresses) {
      if (own.length > 0 && own.contains(address)) return &interface;
    }
  }
  return nullptr;
}

std::optional<std::string> no_host_on_link(const Config& config, const net::IpAddress& address) {
  for (const Interface& interface : config.interfaces) {
    for (const net::Prefix& own : interface.addresses) {
      if (own.length == 0 || !own.contains(address)) continue;
      const net::Prefix there{address, own.length};
      if (is_host_of(there)) continue;
      const net::IpAddress network = network_of(there);
      return fmt::format("{} is the {} address of {}/{}, the network of interface '{}'", address.text(),
                         address == network ? "network" : "broadcast", network.text(), own.length, interface.name);
    }
  }
  return std::nullopt;
}

bool is_reachable(const Config& config, const net::IpAddress& address) noexcept {
  if (find_on_link(config, address) != nullptr) return true;
  const bool routed =
      std::ranges::any_of(config.routes, [&](const StaticRoute& route) { return route.prefix.contains(address); });
  if (routed) return true;
  return std::ranges::any_of(config.interfaces, [&](const Interface& interface) {
    return address.is_v4() ? interface.gateway4.has_value() : interface.gateway6.has_value();
  });
}

bool has_own_address(const Config& config, bool v4) noexcept {
  for (const Interface& interface : config.interfaces) {
    for (const net::Prefix& own : interface.addresses) {
      if (own.address.is_v4() == v4 && (v4 || !own.address.is_link_local())) return true;
    }
  }
  return false;
}

const Interface* get_interface(const Config& config, const std::string& name, const std::string& path, Reader& reader) {
  const Interface* found = find_interface(config, name);
  if (found != nullptr) return found;
  std::vector<std::string_view> known;
  for (const Interface& interface : config.interfaces) known.push_back(interface.name);
  report_unknown_name("interface", name, known, path, reader);
  return nullptr;
}

void report_unknown_name(std::string_view kind, const std::string& name, const std::vector<std::string_view>& known,
                         const std::string& path, Reader& reader) {
  if (!reader.sound(path) || reader.broken(fmt::format("{}s", kind))) return;  // what is wrong was said already
  const std::string_view near = reader.suggest(name, known);
  std::string hint =
      near.empty() ? fmt::format("known: {}", fmt::join(known, ", ")) : fmt::format("did you mean '{}'?", near);
  if (known.empty()) hint = "there are none";
  reader.error_at(path, fmt::format("no {} is called {}; {}", kind, quote(name), hint));
}

void validate_network(Config& config, Reader& reader) {
  check_interfaces(config, reader);
  warn_overlaps(config, reader);
  check_neighbors(config, reader);
  check_routes(config, reader);
}

}  // namespace sluice::config
