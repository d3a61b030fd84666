// ARP and neighbour discovery: answers for our addresses, finds out neighbours' MACs, keeps the few packets that wait for
// one, and lets what is not used age out.
// Threading: worker 0 alone: the one writer of the Neighbors table. Other roles give it ARP and ND frames by hand-over and
//            packets without a known neighbour through the resolve ring.
// Ownership: takes the mbufs it is given.
// Limits:    half of the table for each of several interfaces; kMaxPending packets per neighbour and kMaxWaiting in all;
//            kRetransmit and kMaxProbes bound what is sent.
// Spec:      RFC 826, RFC 5227 section 3 (announcements), RFC 4861 sections 7.2 and 7.3 with its constants (section 10).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "sluice/dataplane/egress.h"
#include "sluice/dataplane/neighbors.h"
#include "sluice/dpdk/mempool.h"
#include "sluice/net/build.h"
#include "sluice/net/neighbor.h"
#include "sluice/telemetry/counters.h"

namespace sluice::dataplane {

class NeighborService {
 public:
  static constexpr std::size_t kMaxPending = 64;
  static constexpr std::size_t kMaxWaiting = 1024;  // for all neighbours: silent ones do not empty the pool of mbufs
  static constexpr std::uint8_t kMaxProbes = 3;     // MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT
  static constexpr Duration kRetransmit = std::chrono::seconds(1);        // RETRANS_TIMER
  static constexpr Duration kReachable = std::chrono::seconds(30);        // REACHABLE_TIME
  static constexpr Duration kFailedHold = std::chrono::seconds(3);        // then a packet may ask anew
  static constexpr Duration kAnnounceInterval = std::chrono::seconds(2);  // RFC 5227 ANNOUNCE_INTERVAL
  static constexpr std::uint8_t kAnnouncements = 2;                       // RFC 5227 ANNOUNCE_NUM
  // Thousands of addresses are not announced at once: the transmit queue and its backlog hold far fewer.
  static constexpr std::size_t kAnnounceBurst = 32;
  static constexpr Duration kAnnouncePause = std::chrono::milliseconds(1);

  NeighborService(const Topology& topology, Neighbors& neighbors, Tx& tx, const dpdk::Mempool& pool,
                  dpdk::MbufRing& resolve, telemetry::WorkerCounters& counters, bool announce);
  ~NeighborService();
  NeighborService(const NeighborService&) = delete;
  NeighborService& operator=(const NeighborService&) = delete;

  void receive_arp(rte_mbuf* mbuf, const net::Parsed& parsed, InterfaceId interface, Instant now) noexcept;
  void receive_nd(rte_mbuf* mbuf, const net::Parsed& parsed, InterfaceId interface, Instant now) noexcept;
  // Takes waiting packets off the ring and runs what is due. True: did something.
  bool poll(Instant now) noexcept;
  [[nodiscard]] std::optional<Instant> next_deadline() const noexcept;

 private:
  struct Entry {  // beside each slot of the table
    Instant deadline{};
    std::uint32_t position = 0;  // in active_
    std::uint8_t probes = 0;     // sent without an answer
    std::uint8_t pending = 0;
    rte_mbuf* first = nullptr;  // of those that wait, linked by PendingNextHop::next
    rte_mbuf* last = nullptr;
  };

  void resolve(rte_mbuf* mbuf, Instant now) noexcept;
  void learn(InterfaceId interface, const net::IpAddress& address, const net::MacAddress& mac, bool add,
             Instant now) noexcept;
  std::size_t add(InterfaceId interface, const net::IpAddress& address) noexcept;
  void remove(std::size_t slot) noexcept;
  // Calls take(mbuf) for all that wait, in their order; then none does.
  template <typename Take>
  void take_pending(Entry& entry, Take&& take) noexcept;
  void send_pending(std::size_t slot) noexcept;
  void drop_pending(std::size_t slot, telemetry::Drop reason) noexcept;
  void advance(std::size_t slot, Instant now) noexcept;
  void solicit(std::size_t slot, bool unicast) noexcept;
  void announce(Instant now) noexcept;
  void announce(InterfaceId interface, const net::IpAddress& address) noexcept;
  void drop(rte_mbuf* mbuf, telemetry::Drop reason) noexcept;
  void set_deadline(Entry& entry, Instant at) noexcept;
  template <typename Build>
  bool send_built(InterfaceId interface, Build&& build) noexcept;

  const Topology& topology_;
  Neighbors& neighbors_;
  Tx& tx_;
  const dpdk::Mempool& pool_;
  dpdk::MbufRing& resolve_;
  telemetry::WorkerCounters& counters_;
  std::vector<Entry> entries_;  // by slot
  const std::size_t share_;     // entries that one interface may have, but for those that are needed
  std::array<std::size_t, kMaxInterfaces> learnt_{};  // entries with a deadline, by interface
  std::size_t waiting_ = 0;                           // packets, over all entries
  std::vector<std::uint32_t> active_;  // slots with a deadline; capacity for all, so that it never allocates
  Instant next_check_ = Instant::max();
  std::uint8_t announcements_left_;           // rounds, with the one that goes on
  std::optional<Instant> next_announcement_;  // of the next burst; nothing: at once
  Instant round_began_{};
  InterfaceId announce_interface_ = 0;  // where the round goes on
  std::size_t announce_address_ = 0;
};

}  // namespace sluice::dataplane
