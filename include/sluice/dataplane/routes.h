// Where a packet leaves: the longest prefix that holds its destination names an interface and, unless the prefix is
// on-link, the gateway to send it to.
// Threading: built at start-up, then constant: read by every role.
// Ownership: values.
// Limits:    a few tens of routes: the search is a scan of prefixes from long to short.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "sluice/net/address.h"

namespace sluice::dataplane {

using InterfaceId = std::uint16_t;

struct Route {
  net::Prefix prefix;
  InterfaceId interface = 0;
  std::uint16_t mtu = 1500;  // of the interface
  net::IpAddress gateway;    // unspecified: the destination itself is the neighbour
  std::uint16_t number = 0;  // its place in Routes::all(); add() sets it
};

class Routes {
 public:
  void add(const Route& route);
  // nullptr: no route.
  [[nodiscard]] const Route* find(const net::IpAddress& destination) const noexcept {
    if (!destination.is_v4()) return find6(destination);
    const std::uint32_t raw = destination.v4().raw();
    for (const Masked4& at : masked4_) {
      if ((raw & at.mask) == at.value) return &routes_[at.route];
    }
    return nullptr;
  }
  [[nodiscard]] const std::vector<Route>& all() const noexcept { return routes_; }

 private:
  // Prefixes as words and their masks, longest first, each family by itself: a test is an and and a compare.
  struct Masked4 {
    std::uint32_t value, mask, route;
  };
  struct Masked6 {
    std::array<std::uint64_t, 2> value, mask;
    std::uint32_t route;
  };
  [[nodiscard]] const Route* find6(const net::IpAddress& destination) const noexcept;

  std::vector<Masked4> masked4_;
  std::vector<Masked6> masked6_;
  std::vector<Route> routes_;  // longest first; among equals the first added
};

}  // namespace sluice::dataplane
