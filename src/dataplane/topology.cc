#include "sluice/dataplane/topology.h"

#include <algorithm>

#include "sluice/net/neighbor.h"

namespace sluice::dataplane {
namespace {

void add_once(std::vector<net::IpAddress>& to, const net::IpAddress& address) {
  if (std::ranges::find(to, address) == to.end()) to.push_back(address);
}

bool is_on_link(const InterfaceInfo& interface, const net::IpAddress& address) noexcept {
  return std::ranges::any_of(interface.addresses, [&](const net::Prefix& own) { return own.contains(address); });
}

bool holds(const std::vector<net::IpAddress>& list, const net::IpAddress& address) noexcept {
  return std::ranges::find(list, address) != list.end();
}

}  // namespace

Topology::Topology(const config::Config& config, std::span<const net::MacAddress> macs) {
  const auto id_of = [&](const std::string& name) {
    const auto at = std::ranges::find(config.interfaces, name, &config::Interface::name);
    return static_cast<InterfaceId>(at - config.interfaces.begin());
  };
  for (std::size_t i = 0; i < config.interfaces.size(); ++i) {
    const config::Interface& from = config.interfaces[i];
    InterfaceInfo& to = interfaces_.emplace_back();
    const auto id = static_cast<InterfaceId>(i);
    to = {.name = from.name,
          .mac = macs[i],
          .mtu = from.mtu,
          .parent = {},
          .tags = {},
          .addresses = from.addresses,
          .link_local = {},
          .announce = from.announce,
          .announced = {},
          .answered = {}};
    if (from.is_vlan()) {
      to.parent = id_of(from.parent);
      to.mac = macs[*to.parent];
      to.tags = {.ids = {from.vlan, from.inner_vlan},
                 .outer_type = from.outer_tag == config::OuterTag::k8021ad ? net::EtherType::kVlanService
                                                                           : net::EtherType::kVlan};
      vlans_.push_back({*to.parent, to.tags.ids, id});
    }
    to.link_local = net::link_local_address(to.mac);
    for (const net::Prefix& own : from.addresses) {
      add_once(own_, own.address);
      add_once(to.announced, own.address);
      routes_.add({.prefix = own, .interface = id, .mtu = from.mtu, .gateway = {}});
    }
    add_once(own_, to.link_local);
    add_once(to.announced, to.link_local);
    const auto add_default = [&](const char* prefix, const std::optional<net::IpAddress>& gateway) {
      if (!gateway) return;
      routes_.add({.prefix = *net::Prefix::parse(prefix), .interface = id, .mtu = from.mtu, .gateway = *gateway});
    };
    add_default("0.0.0.0/0", from.gateway4);
    add_default("::/0", from.gateway6);
  }
  for (const config::StaticRoute& route : config.routes) {
    const InterfaceId id = id_of(route.interface);
    routes_.add({.prefix = route.prefix, .interface = id, .mtu = interfaces_[id].mtu, .gateway = route.via});
  }
  for (const config::Neighbor& neighbor : config.neighbors) {
    static_neighbors_.push_back({id_of(neighbor.interface), neighbor.address, neighbor.mac});
  }

  for (const Route& route : routes_.all()) {
    if (!route.gateway.is_unspecified()) needed_.push_back(route.gateway);
  }
  for (const config::Pool& pool : config.pools) {
    for (const config::Backend& backend : pool.backends) needed_.push_back(backend.endpoint.address);
  }
  std::ranges::sort(needed_);

  std::vector<net::IpAddress> sources = config.upstream.source;
  for (const config::Service& service : config.services) {
    if (service.forward) {
      sources.insert(sources.end(), service.forward->source.begin(), service.forward->source.end());
      for (const net::Prefix& outer : service.forward->outer.source) {
        if (outer.is_one()) sources.push_back(outer.address);
      }
    }
    for (const config::Listen& listen : service.listen) {
      const net::IpAddress& address = listen.endpoint.address;
      if (listen.prefix) {
        add_prefix(listen.range(), service);
        continue;
      }
      add_once(services_, address);
      for (InterfaceInfo& interface : interfaces_) {
        if (is_on_link(interface, address)) add_once(interface.announced, address);
      }
      for (const std::string& name : service.announce) add_once(interfaces_[id_of(name)].announced, address);
    }
  }
  for (const net::IpAddress& source : sources) {
    add_once(own_, source);
    for (InterfaceInfo& interface : interfaces_) {
      if (is_on_link(interface, source)) add_once(interface.announced, source);
    }
  }
}

std::optional<InterfaceId> Topology::vlan_interface(InterfaceId parent, net::VlanIds ids) const noexcept {
  for (const Vlan& vlan : vlans_) {
    if (vlan.ids == ids && vlan.parent == parent) return vlan.interface;
  }
  return std::nullopt;
}

void Topology::add_prefix(const net::Prefix& prefix, const config::Service& service) {
  for (InterfaceInfo& interface : interfaces_) {
    const bool on_link = std::ranges::any_of(interface.addresses, [&](const net::Prefix& own) {
      return own.length <= prefix.length && own.contains(prefix.address);
    });
    const bool named = std::ranges::find(service.announce, interface.name) != service.announce.end();
    if (on_link || named) interface.answered.push_back(prefix);
  }
}

bool Topology::is_own(const net::IpAddress& address) const noexcept { return holds(own_, address); }

bool Topology::is_service(const net::IpAddress& address) const noexcept { return holds(services_, address); }

bool Topology::is_needed(const net::IpAddress& neighbor) const noexcept {
  return std::ranges::binary_search(needed_, neighbor);
}

bool Topology::answers_for(InterfaceId interface, const net::IpAddress& address) const noexcept {
  const InterfaceInfo& info = interfaces_[interface];
  return holds(info.announced, address) ||
         std::ranges::any_of(info.answered, [&](const net::Prefix& prefix) { return prefix.contains(address); });
}

std::optional<net::IpAddress> Topology::source_for(const net::IpAddress& destination, bool ipv4) const noexcept {
  const Route* route = routes_.find(destination);
  if (route == nullptr) return std::nullopt;
  const InterfaceInfo& interface = interfaces_[route->interface];
  const net::IpAddress& next = route->gateway.is_unspecified() ? destination : route->gateway;
  // The address whose prefix holds the next hop; else any of the family (RFC 1122 section 3.3.4.3, RFC 6724 rule 5).
  const net::Prefix* any = nullptr;
  for (const net::Prefix& own : interface.addresses) {
    if (own.address.is_v4() != ipv4) continue;
    if (own.contains(next)) return own.address;
    if (any == nullptr) any = &own;
  }
  if (any != nullptr) return any->address;
  return std::nullopt;
}

}  // namespace sluice::dataplane
