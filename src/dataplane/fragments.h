// What this worker knows of packets that come in fragments: of each, where its fragments go (which the first one tells),
// what of it has been seen, and the fragments that wait. Those that come before the first wait for it; those of a packet
// that somebody here must read as a whole (a proxy) wait for each other.
// Threading: one per worker.
// Ownership: owns the mbufs that wait.
// Limits:    `packets` at once: a new one takes the place of the oldest. `waiting` fragments over all packets. A packet is
//            forgotten `timeout` after its first fragment came, or when it is complete. kMaxRanges pieces of a packet with
//            gaps between them.
// Spec:      RFC 791 section 3.2 and RFC 8200 section 4.5 (what belongs together), RFC 5722 (a packet whose fragments
//            overlap is dropped), RFC 4963 (why the time is short).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <rte_mbuf.h>

#include "classify.h"
#include "sluice/base/own_lines.h"
#include "sluice/base/time.h"
#include "sluice/dataplane/worker.h"
#include "sluice/net/parse.h"

namespace sluice::dataplane {

// What the first fragment says, and the later ones do not.
struct FragmentNote {
  std::uint16_t src_port = 0;
  std::uint16_t dst_port = 0;
  net::IpProto proto{};  // behind all extension headers
  std::uint32_t id = 0;  // that the fragments get where they have a new source
};

// Whose fragments these are: a number that every worker computes alike. Its upper half picks the worker.
[[nodiscard]] std::uint64_t fragment_hash(const SipKey& secret, const net::Parsed& fragment) noexcept;

class Fragments {
 public:
  static constexpr std::size_t kMaxRanges = 8;

  // A packet of which some fragment came. It stays where it is until forget(), or a new one takes its place.
  struct Packet {
    // The way of all fragments, once `known`.
    bool known = false;
    Action action = Action::kDrop;
    telemetry::Drop drop = telemetry::Drop::kNone;
    std::uint16_t owner = 0;
    lb::ServiceIndex service = lb::kNoIndex;  // that a client sends it to
    FragmentNote note;

    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_; }
    // All of it was seen.
    [[nodiscard]] bool complete() const noexcept {
      return total_ != 0 && ranges_[0].from == 0 && ranges_[0].to == total_;
    }

   private:
    friend class Fragments;
    struct Range {
      std::uint16_t from = 0, to = 0;  // bytes of the packet's payload
    };
    net::IpAddress src_, dst_;
    std::uint32_t id_ = 0;
    std::uint8_t proto_ = 0;                            // IPv6: 0
    telemetry::Drop refused_ = telemetry::Drop::kNone;  // none of its fragments goes on, for this reason
    std::uint8_t range_count_ = 0;
    std::uint16_t total_ = 0;  // 0: the last fragment has not come
    std::uint16_t waiting_ = 0;
    std::array<Range, kMaxRanges> ranges_{};  // from low to high, with gaps between them
    rte_mbuf* first_ = nullptr;               // of those that wait, from low to high
    std::uint64_t hash_ = 0;
    Instant until_{};
    std::uint32_t next_in_bucket_ = 0;
    std::uint32_t older_ = 0, newer_ = 0;
  };

  Fragments(const FragmentLimits& limits, telemetry::WorkerCounters& counters);  // allocates; may throw std::bad_alloc
  ~Fragments();
  Fragments(const Fragments&) = delete;
  Fragments& operator=(const Fragments&) = delete;

  // The packet of a fragment, made if need be. `hash` is fragment_hash().
  [[nodiscard]] Packet& packet_of(const net::Parsed& fragment, std::uint64_t hash, Instant now) noexcept;
  // Notes what of the packet is seen now. What is returned says why this fragment must not go on; after an overlap none
  // of its packet does, and those that waited are dropped.
  [[nodiscard]] telemetry::Drop admit(Packet& packet, const net::Parsed& fragment) noexcept;
  // Lets a fragment wait. If too many do, it is dropped, and with it all of its packet, which is worth nothing then.
  void wait(Packet& packet, rte_mbuf* mbuf, const net::Parsed& fragment) noexcept;
  // Takes the fragment with the lowest offset of those that wait; nullptr: none does.
  [[nodiscard]] rte_mbuf* take(Packet& packet) noexcept;
  // Those that wait, which are the complete packet, as one chain of mbufs that begins with its IP header; none waits then.
  // nullptr: longer than an IP packet can be; they were dropped.
  [[nodiscard]] rte_mbuf* reassemble(Packet& packet) noexcept;
  // What waits is dropped for this reason.
  void forget(Packet& packet, telemetry::Drop reason) noexcept;

  // Forgets what is too old. True: something was.
  bool expire(Instant now) noexcept {
    if (now < next_) [[likely]]
      return false;
    expire_due(now);
    return true;
  }
  [[nodiscard]] Instant next_deadline() const noexcept { return next_; }  // Instant::max(): none

 private:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  [[nodiscard]] std::uint32_t index_of(const Packet& packet) const noexcept {
    return static_cast<std::uint32_t>(&packet - packets_.data());
  }
  [[nodiscard]] std::uint32_t& bucket_of(std::uint64_t hash) noexcept { return buckets_[hash & (buckets_.size() - 1)]; }
  void expire_due(Instant now) noexcept;
  void drop_waiting(Packet& packet, telemetry::Drop reason) noexcept;
  telemetry::Drop refuse(Packet& packet, telemetry::Drop reason) noexcept {
    packet.refused_ = reason;
    drop_waiting(packet, reason);
    return reason;
  }
  [[nodiscard]] bool add_range(Packet& packet, std::uint16_t from, std::uint16_t to) noexcept;

  FragmentLimits limits_;
  telemetry::WorkerCounters& counters_;
  OwnVector<Packet> packets_;
  OwnVector<std::uint32_t> buckets_;  // heads of lists by next_in_bucket_
  std::uint32_t free_ = kNone;        // list by next_in_bucket_
  std::uint32_t oldest_ = kNone, newest_ = kNone;
  std::size_t waiting_ = 0;
  Instant next_ = Instant::max();
};

}  // namespace sluice::dataplane
