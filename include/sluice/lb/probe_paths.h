// Connections of a proxy that go the way of a service's packets: health checks of backends that answer for the service's
// address themselves (dsr, tunnels). A check's packets are addressed to the service, and which backend they are for
// is known by its local port.
// Threading: one per proxy, used on its thread.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "sluice/lb/ids.h"
#include "sluice/net/address.h"

namespace sluice::lb {

struct ProbePath {
  ListenerId listener;  // whose mode it is
  BackendId backend;
};

class ProbePaths {
 public:
  void set(std::uint16_t local_port, const net::Endpoint& service, const ProbePath& path) {
    paths_[{local_port, service}] = path;
    ports_.set(local_port);
  }
  void clear(std::uint16_t local_port, const net::Endpoint& service) noexcept {
    paths_.erase({local_port, service});
    const auto next = paths_.lower_bound({local_port, net::Endpoint{}});
    if (next == paths_.end() || next->first.first != local_port) ports_.reset(local_port);
  }
  // nullptr, as for nearly every connection: it goes to its destination.
  [[nodiscard]] const ProbePath* find(std::uint16_t local_port, const net::Endpoint& remote) const noexcept {
    if (!ports_.test(local_port)) [[likely]]
      return nullptr;
    const auto at = paths_.find({local_port, remote});
    return at == paths_.end() ? nullptr : &at->second;
  }

 private:
  std::map<std::pair<std::uint16_t, net::Endpoint>, ProbePath> paths_;
  std::bitset<65536> ports_;  // that some path has
};

}  // namespace sluice::lb
