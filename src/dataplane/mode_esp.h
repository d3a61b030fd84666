// Forwarding mode `esp`: the packet goes to the backend as it came, but for its TTL, encrypted in ESP tunnel mode. Packets are
// put aside as they come and sealed a burst at a time. And the way back, where a backend answers through its tunnel: what
// comes in by an association of ours is opened, and goes on to the client.
// Threading: one per worker.
// Ownership: takes the mbufs it is given. Borrows associations for the length of a burst: the snapshot holds them.
// Spec:      RFC 4303, RFC 4106; RFC 4301 section 5.2 (what an association may carry); RFC 6040 (DSCP and ECN).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "packet.h"
#include "sluice/dataplane/egress.h"
#include "sluice/esp/transform.h"
#include "sluice/lb/flow_table.h"
#include "sluice/lb/snapshot.h"
#include "sluice/net/encapsulate.h"
#include "sluice/telemetry/counters.h"

namespace sluice::dataplane {

// What the tunnel takes of an MTU: outer IP header, and ESP with as much padding as the largest packet that fits needs.
[[nodiscard]] constexpr std::size_t esp_overhead(std::size_t mtu, std::size_t outer_header) noexcept {
  return mtu - (mtu < outer_header ? 0 : net::esp_inner_limit(mtu - outer_header));
}
// Whether the buffer has room on both sides of the packet, which ends the frame.
[[nodiscard]] inline bool has_esp_room(const rte_mbuf* mbuf, const net::Parsed& packet) noexcept {
  return rte_pktmbuf_headroom(mbuf) + packet.l3_offset >= net::EncapsulationHeader::kRoom + sizeof(net::EspHeader) &&
         rte_pktmbuf_tailroom(mbuf) >= net::kMaxEspTailBytes;
}

class EspMode {
 public:
  // `engine`: none where the configuration has no peers at the start: then it never has associations.
  EspMode(std::size_t worker, Egress& egress, telemetry::WorkerCounters& counters,
          std::optional<esp::GcmEngine> engine);

  // nullptr: the backend is no peer, or is one no more.
  [[nodiscard]] static const esp::OutboundSa* association_to(const lb::Snapshot& snapshot,
                                                             const lb::Flow& flow) noexcept;
  // The frame ends with its packet, and has_esp_room(); `spread` is the flow's spread_hash(). It is sealed and sent by the next flush() at the latest.
  void add(rte_mbuf* mbuf, const net::Parsed& packet, const esp::OutboundSa& sa, const net::EncapsulationHeader& header,
           const lb::Flow& flow, std::uint32_t spread) noexcept;
  // One for which the route is too small in its tunnel: behind all that were added, in fragments with the identifier `id`.
  void send_large(rte_mbuf* mbuf, const net::Parsed& packet, const esp::OutboundSa& sa,
                  const net::EncapsulationHeader& header, const lb::Flow& flow, std::uint32_t spread,
                  const Route& route, std::uint32_t id) noexcept;
  void flush() noexcept {
    if (count_ != 0) [[unlikely]]
      seal_all();
  }

  // An ESP packet to an address of ours; at most esp::kMaxBurst until open_all().
  void add_incoming(rte_mbuf* mbuf, const net::Parsed& packet) noexcept {
    incoming_[incoming_count_++] = {mbuf, &packet};
  }
  void open_all(const lb::Snapshot& snapshot) noexcept {
    if (incoming_count_ != 0) [[unlikely]]
      open_burst(snapshot);
  }

 private:
  struct Sealed {  // where it goes
    rte_mbuf* mbuf;
    std::uint16_t backend;
    net::IpAddress address;
  };
  struct Received {
    rte_mbuf* mbuf;
    const net::Parsed* packet;
  };
  void seal_all() noexcept;
  void open_burst(const lb::Snapshot& snapshot) noexcept;
  // The opened packet goes on to the client, or is dropped with a reason.
  void pass_on(const lb::Snapshot& snapshot, const Received& received, const esp::Incoming& opened,
               const net::IpAddress& peer) noexcept;
  // The backend among those of the listener's pool; kNoBackend: none of them has that address.
  [[nodiscard]] static lb::BackendIndex backend_at(const lb::Snapshot& snapshot, const lb::Listener& listener,
                                                   const net::IpAddress& address) noexcept;

  std::size_t worker_;
  Egress& egress_;
  telemetry::WorkerCounters& counters_;
  std::optional<esp::GcmEngine> engine_;
  std::size_t count_ = 0;
  std::array<esp::Outgoing, esp::kMaxBurst> outgoing_;
  std::array<Sealed, esp::kMaxBurst> sealed_;
  std::size_t incoming_count_ = 0;
  std::array<Received, esp::kMaxBurst> incoming_;
};

}  // namespace sluice::dataplane
