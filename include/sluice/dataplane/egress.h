// The last step of every packet that we send: route, neighbour, Ethernet header, transmit queue.
// Threading: one per role, used on its thread.
// Ownership: takes the mbuf in every case: queued for transmission, handed to worker 0 until the neighbour is known, or
//            freed and counted with a reason.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include <rte_mbuf.h>

#include "sluice/dataplane/neighbors.h"
#include "sluice/dataplane/topology.h"
#include "sluice/dataplane/tx.h"
#include "sluice/dpdk/ring.h"

namespace sluice::dataplane {

// What a packet that waits for its neighbour asks of worker 0: kept in the mbuf's private area.
struct PendingNextHop {
  net::IpAddress address;
  InterfaceId interface = 0;
  rte_mbuf* next = nullptr;  // worker 0: the packet that waits behind this one
};
[[nodiscard]] inline PendingNextHop& pending_of(rte_mbuf* mbuf) noexcept {
  return *static_cast<PendingNextHop*>(rte_mbuf_to_priv(mbuf));
}

// The Ethernet header of a packet whose IP header stands behind the room for it.
void write_link_header(rte_mbuf* mbuf, const net::MacAddress& from, const net::MacAddress& to) noexcept;

class Egress {
 public:
  static constexpr std::size_t kLinkRoom = 14;

  // `resolve`: worker 0's ring of packets without a known neighbour.
  Egress(const Topology& topology, const Neighbors& neighbors, Tx& tx, dpdk::MbufRing& resolve, DropCounters& drops,
         telemetry::Traffic& sent) noexcept
      : topology_(topology), neighbors_(neighbors), tx_(tx), resolve_(resolve), drops_(drops), sent_(sent) {}

  // `mbuf` begins with room for the Ethernet header (kLinkRoom), then the IP packet.
  void send_ip(rte_mbuf* mbuf, const net::IpAddress& destination) noexcept;
  // The same where the route is known already.
  void send_ip(rte_mbuf* mbuf, const net::IpAddress& destination, const Route& route) noexcept;
  // A finished frame.
  void send_frame(rte_mbuf* mbuf, InterfaceId interface) noexcept;
  void drop(rte_mbuf* mbuf, telemetry::Drop reason) noexcept;

  [[nodiscard]] const Route* route_to(const net::IpAddress& destination) const noexcept {
    return topology_.routes().find(destination);
  }
  [[nodiscard]] const Topology& topology() const noexcept { return topology_; }

 private:
  // The link header towards a next hop that was used lately, so that a packet costs neither a search nor two copies.
  struct alignas(64) Kept {
    net::IpAddress next_hop;
    InterfaceId interface = 0;
    std::array<std::uint8_t, 12> macs{};  // destination, source
    Neighbors::Kept neighbor;
  };
  static constexpr std::size_t kKept = 256;

  // False: the neighbour is not known; the mbuf was taken.
  [[nodiscard]] bool find_neighbor(rte_mbuf* mbuf, const net::IpAddress& next_hop, InterfaceId interface,
                                   Kept& kept) noexcept;

  const Topology& topology_;
  const Neighbors& neighbors_;
  Tx& tx_;
  dpdk::MbufRing& resolve_;
  DropCounters& drops_;
  telemetry::Traffic& sent_;
  std::array<Kept, kKept> kept_;  // by the hash of the next hop
};

}  // namespace sluice::dataplane
