// The tunnels of a worker: for each service and backend the header that goes in front of the packets, made when a packet
// first needs it and anew with each snapshot.
// Threading: one per worker.
// Ownership: values. A Tunnel* is valid until the next call of find().
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/base/lazy_array.h"
#include "sluice/dataplane/topology.h"
#include "sluice/lb/flow_table.h"
#include "sluice/lb/snapshot.h"
#include "sluice/net/encapsulate.h"

namespace sluice::dataplane {

struct alignas(64) Tunnel {  // two cache lines
  net::EncapsulationHeader header;
  std::uint64_t kept_for = 0;  // snapshot, service and family; 0: nothing yet
  lb::BackendId backend;
  bool has_source = false;  // else the interface towards the backend has no address of its family
};
static_assert(sizeof(Tunnel) == 128);

// The packet of a client inside of one that we sent in a tunnel, and that an ICMP error quotes: `quoted` is the result of
// parse_quoted(frame, error). Not ok(): it is no packet of a tunnel, or the quote ends too early.
[[nodiscard]] net::Parsed parse_tunnelled(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame,
                                          const net::Parsed& error, const net::Parsed& quoted) noexcept;

class Tunnels {
 public:
  explicit Tunnels(const Topology& topology) : topology_(topology), kept_(kPlaces) {}

  // From `listener`, whose mode has a tunnel, to the flow's backend. nullptr: there is no address to send from.
  [[nodiscard, gnu::always_inline]] const Tunnel* find(const lb::Snapshot& snapshot, const lb::Listener& listener,
                                                       net::Family inner, const lb::Flow& flow) noexcept {
    // Backends are numbered densely: those of one service never meet, as long as there are not more than half the places.
    const std::size_t place =
        (flow.backend.index + listener.service * 389u) * 2u + (inner == net::Family::kIp6 ? 1 : 0);
    Tunnel& tunnel = kept_[place % kPlaces];
    const std::uint64_t kept_for = static_cast<std::uint32_t>(snapshot.generation) |
                                   std::uint64_t{listener.service} << 32 | static_cast<std::uint64_t>(inner) << 48;
    if (tunnel.kept_for != kept_for || tunnel.backend != flow.backend) [[unlikely]] {
      tunnel = make(topology_, snapshot, listener, inner, flow.reply.backend);
      tunnel.kept_for = kept_for;
      tunnel.backend = flow.backend;
    }
    return tunnel.has_source ? &tunnel : nullptr;
  }

  // One that is not kept.
  [[nodiscard]] static Tunnel make(const Topology& topology, const lb::Snapshot& snapshot, const lb::Listener& listener,
                                   net::Family inner, const net::IpAddress& backend) noexcept;

 private:
  static constexpr std::size_t kPlaces = 8192;

  const Topology& topology_;
  LazyArray<Tunnel> kept_;  // zeros: made for nothing yet
};

}  // namespace sluice::dataplane
