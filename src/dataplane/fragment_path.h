// What a worker does with fragments. All fragments of a packet meet at one worker (fragment_hash()), whoever owns the
// packet's flow: there the first one tells where they go. Those of a flow are noted down with what only the first one says
// (ports, protocol), and go to the flow's owner; an echo request is answered fragment by fragment; a packet for a proxy is
// put together first.
// Threading: one per worker.
// Ownership: takes the mbufs that it does not let go on.
#pragma once

#include "answers.h"
#include "classify.h"
#include "fragments.h"
#include "guard.h"
#include "sluice/base/random.h"
#include "sluice/dataplane/handoff.h"
#include "sluice/telemetry/counters.h"

namespace sluice::dataplane {

class FragmentPath {
 public:
  struct Parts {
    RoleId id;
    std::size_t workers;
    std::uint64_t seed;
    FragmentLimits limits;
    std::uint64_t note_flag;  // of an mbuf's ol_flags: the private area holds a FragmentNote
    const Classifier& classifier;
    Egress& egress;
    Answers& answers;
    Guard& guard;
    Handoff& handoff;
    telemetry::WorkerCounters& counters;
  };
  explicit FragmentPath(const Parts& parts)
      : parts_(parts), table_(parts.limits, parts.counters), packets_(Random(parts.seed).next()) {}

  // What is to be done with a fragment to an address of ours now. A packet of a flow of this worker: `parsed` has the ports,
  // as if every fragment had them, and the identifier that they get where their source changes (RFC 6864 section 5.2).
  // Action::kNone: it was taken.
  [[nodiscard]] Classified receive(const lb::Snapshot& snapshot, rte_mbuf* mbuf, net::Parsed& parsed,
                                   Instant now) noexcept;

  // Once a turn. True: something was forgotten.
  bool expire(Instant now) noexcept { return table_.expire(now); }
  [[nodiscard]] Instant next_deadline() const noexcept { return table_.next_deadline(); }

 private:
  Classified pass(const lb::Snapshot& snapshot, Fragments::Packet& packet, rte_mbuf* mbuf, net::Parsed& parsed,
                  Instant now) noexcept;
  void release(Fragments::Packet& packet, Instant now) noexcept;
  void answer(Fragments::Packet& packet, rte_mbuf* mbuf, const net::Parsed& parsed, Instant now) noexcept;
  void collect(Fragments::Packet& packet, rte_mbuf* mbuf, const net::Parsed& parsed, Instant now) noexcept;
  // One that no other worker gives: all of them share the addresses that packets leave with.
  [[nodiscard]] std::uint32_t fresh_id() noexcept {
    return static_cast<std::uint32_t>(++packets_ * parts_.workers + parts_.id);
  }
  void give_noted(const Fragments::Packet& packet, rte_mbuf* mbuf) noexcept;
  void give(RoleId to, rte_mbuf* mbuf) noexcept;

  Parts parts_;
  Fragments table_;
  std::uint64_t packets_;  // whose first fragment came; counted from somewhere
};

}  // namespace sluice::dataplane
