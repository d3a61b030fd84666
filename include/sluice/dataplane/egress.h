// The last step of every packet that we send: route, neighbour, Ethernet header, transmit queue.
// Threading: one per role, used on its thread.
// Ownership: takes the mbuf in every case: queued for transmission, handed to worker 0 until the neighbour is known, or
//            freed and counted with a reason.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include <rte_mbuf.h>

#include "sluice/base/lazy_array.h"
#include "sluice/base/own_lines.h"
#include "sluice/dataplane/neighbors.h"
#include "sluice/dataplane/topology.h"
#include "sluice/dataplane/tx.h"
#include "sluice/dpdk/ring.h"
#include "sluice/lb/ids.h"

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
  // `cut`: counts packets that left in fragments that we made.
  Egress(const Topology& topology, const Neighbors& neighbors, Tx& tx, dpdk::MbufRing& resolve, DropCounters& drops,
         telemetry::Traffic& sent, telemetry::Counter& cut)
      : topology_(topology),
        neighbors_(neighbors),
        tx_(tx),
        resolve_(resolve),
        drops_(drops),
        sent_(sent),
        cut_(cut),
        gateway_hops_(topology.routes().all().size()) {}

  // `mbuf` begins with room for the Ethernet header (kLinkRoom), then the IP packet.
  void send_ip(rte_mbuf* mbuf, const net::IpAddress& destination) noexcept;
  // The same where the route is known already.
  void send_ip(rte_mbuf* mbuf, const net::IpAddress& destination, const Route& route) noexcept;
  // One that we have made, around another or of it, and that is larger than the route takes: in fragments, whose
  // identifier `id` is.
  void send_in_fragments(rte_mbuf* mbuf, const net::IpAddress& destination, const Route& route,
                         std::uint32_t id) noexcept;
  // The way to a destination that was asked for lately, as long as its neighbour stays as it is: a packet costs neither a
  // search nor a copy of two addresses.
  struct alignas(64) Hop {
    net::IpAddress destination;
    Neighbors::Kept neighbor;
    InterfaceId interface = 0;
    std::uint16_t mtu = 0;
    std::array<std::uint8_t, kLinkRoom> link_header{};
  };
  // To a backend, and to any other destination. nullptr: there is no route, or the neighbour is not known (send_ip() says
  // what becomes of the packet). Valid until the next call.
  [[nodiscard, gnu::always_inline]] const Hop* hop_to_backend(std::size_t index,
                                                              const net::IpAddress& address) noexcept {
    Hop& hop = backend_hops_[index];
    if (hop.destination == address && Neighbors::is_current(hop.neighbor)) [[likely]]
      return &hop;
    const Route* route = route_to(address);
    return route == nullptr ? nullptr : find_hop(hop, address, *route);
  }
  [[nodiscard, gnu::always_inline]] const Hop* hop_to(const net::IpAddress& destination) noexcept {
    const Route* route = route_to(destination);
    if (route == nullptr) [[unlikely]]
      return nullptr;
    return hop_to(destination, *route);
  }
  [[nodiscard, gnu::always_inline]] const Hop* hop_to(const net::IpAddress& destination, const Route& route) noexcept {
    const bool on_link = route.gateway.is_unspecified();
    if (!on_link) [[likely]] {  // the way that nearly all clients have: known by the route alone
      Hop& hop = gateway_hops_[route.number];
      if (Neighbors::is_current(hop.neighbor)) [[likely]]
        return &hop;
      return find_hop(hop, route.gateway, route);
    }
    const auto words = destination.words();
    Hop& hop = hops_[((words[0] ^ words[1]) * 0x9e3779b97f4a7c15u >> 56) % kHops];
    if (hop.destination == destination && hop.interface == route.interface && Neighbors::is_current(hop.neighbor))
        [[likely]]
      return &hop;
    return find_hop(hop, destination, route);
  }
  // A packet of one segment that fits; `frame` is where it begins, with the room for its link header.
  [[gnu::always_inline]] void send_by(const Hop& hop, rte_mbuf* mbuf, std::uint8_t* frame) noexcept {
    std::memcpy(frame, hop.link_header.data(), kLinkRoom);
    sent_.add(1, mbuf->data_len);
    tx_.queue_one(hop.interface, mbuf);
  }
  // A finished frame.
  void send_frame(rte_mbuf* mbuf, InterfaceId interface) noexcept {
    sent_.add(1, rte_pktmbuf_pkt_len(mbuf));
    tx_.queue(interface, mbuf);
  }
  void drop(rte_mbuf* mbuf, telemetry::Drop reason) noexcept;

  [[nodiscard]] const Route* route_to(const net::IpAddress& destination) const noexcept {
    return topology_.routes().find(destination);
  }
  [[nodiscard]] const Topology& topology() const noexcept { return topology_; }

 private:
  static constexpr std::size_t kHops = 256;

  // Makes `hop` the way to `destination`; nullptr: its neighbour is not known.
  [[nodiscard]] const Hop* find_hop(Hop& hop, const net::IpAddress& destination, const Route& route) noexcept;
  // Of a packet that is larger than the way out takes: in fragments where that is allowed, else it is dropped.
  void send_cut(rte_mbuf* mbuf, const net::IpAddress& destination, const Route& route) noexcept;
  // Of a packet whose neighbour is not known: it waits for it, or is dropped.
  void wait(rte_mbuf* mbuf, const net::IpAddress& next_hop, InterfaceId interface) noexcept;

  const Topology& topology_;
  const Neighbors& neighbors_;
  Tx& tx_;
  dpdk::MbufRing& resolve_;
  DropCounters& drops_;
  telemetry::Traffic& sent_;
  telemetry::Counter& cut_;
  OwnVector<Hop> gateway_hops_;                    // by Route::number
  std::array<Hop, kHops> hops_;                    // on-link destinations, by hash
  LazyArray<Hop> backend_hops_{lb::kMaxBackends};  // by the backend's number
};

}  // namespace sluice::dataplane
