// What the data plane knows of the network around it: interfaces, own addresses, routes, static neighbours.
// Threading: built at start-up, then constant: read by every role.
// Ownership: values.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sluice/config/config.h"
#include "sluice/dataplane/routes.h"
#include "sluice/net/address.h"
#include "sluice/net/vlan.h"

namespace sluice::dataplane {

using config::kMaxInterfaces;

struct InterfaceInfo {
  std::string name;
  net::MacAddress mac;
  std::uint16_t mtu = 1500;
  std::optional<InterfaceId> parent;   // of a VLAN: the interface that has the device
  net::VlanTags tags;                  // of a VLAN
  std::vector<net::Prefix> addresses;  // own, with the length of the on-link prefix
  net::IpAddress link_local;           // fe80::/64 from the MAC (RFC 4291 appendix A)
  bool announce = true;
  std::vector<net::IpAddress> announced;  // own and service addresses that this interface answers ARP and ND for
  std::vector<net::Prefix> answered;      // and service prefixes, which it does not announce by itself
};

struct StaticNeighbor {
  InterfaceId interface;
  net::IpAddress address;
  net::MacAddress mac;
};

class Topology {
 public:
  // `macs`: of each interface, in the order of config.interfaces. A VLAN has its parent's, whatever it says.
  Topology(const config::Config& config, std::span<const net::MacAddress> macs);

  [[nodiscard]] const std::vector<InterfaceInfo>& interfaces() const noexcept { return interfaces_; }
  [[nodiscard]] const Routes& routes() const noexcept { return routes_; }
  [[nodiscard]] const std::vector<StaticNeighbor>& static_neighbors() const noexcept { return static_neighbors_; }

  // The VLAN of these tags on `parent`; nothing: none is configured.
  [[nodiscard]] std::optional<InterfaceId> vlan_interface(InterfaceId parent, net::VlanIds ids) const noexcept;
  [[nodiscard]] bool has_vlans() const noexcept { return !vlans_.empty(); }

  // An address that packets from outside may be sent to us at, beside the services': interfaces' own, NAT and upstream
  // sources. Link-local ones count on every interface.
  [[nodiscard]] bool is_own(const net::IpAddress& address) const noexcept;
  // An address of some service.
  [[nodiscard]] bool is_service(const net::IpAddress& address) const noexcept;
  // Whether this interface answers ARP or ND about the address.
  [[nodiscard]] bool answers_for(InterfaceId interface, const net::IpAddress& address) const noexcept;
  // Whether what sluice is for needs this neighbour: a gateway, of a static route too, or a backend.
  [[nodiscard]] bool is_needed(const net::IpAddress& neighbor) const noexcept;
  // The own address to send from towards this destination; nothing: no route, or no address of that family there.
  [[nodiscard]] std::optional<net::IpAddress> source_for(const net::IpAddress& destination) const noexcept {
    return source_for(destination, destination.is_v4());
  }
  // The same in a family that may be another: for what goes towards the destination in a tunnel.
  [[nodiscard]] std::optional<net::IpAddress> source_for(const net::IpAddress& destination, bool ipv4) const noexcept;

 private:
  struct Vlan {
    InterfaceId parent;
    net::VlanIds ids;
    InterfaceId interface;
  };

  void add_prefix(const net::Prefix& prefix, const config::Service& service);

  std::vector<InterfaceInfo> interfaces_;
  std::vector<Vlan> vlans_;
  Routes routes_;
  std::vector<StaticNeighbor> static_neighbors_;
  std::vector<net::IpAddress> own_;
  std::vector<net::IpAddress> services_;
  std::vector<net::IpAddress> needed_;  // sorted
};

}  // namespace sluice::dataplane
