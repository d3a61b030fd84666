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
  net::IpAddress gateway;  // unspecified: the destination itself is the neighbour
};

class Routes {
 public:
  void add(const Route& route);
  [[nodiscard]] const Route* find(const net::IpAddress& destination) const noexcept;  // nullptr: no route
  [[nodiscard]] const std::vector<Route>& all() const noexcept { return routes_; }

 private:
  struct Masked {  // the prefix as two words and their masks, so that a test is two ands and two compares
    std::array<std::uint64_t, 2> value, mask;
  };
  std::vector<Masked> masked_;  // same order as routes_
  std::vector<Route> routes_;   // longest first; among equals the first added
};

}  // namespace sluice::dataplane
