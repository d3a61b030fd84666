// The NAT source ports of one worker. A port is taken for one backend at one source address and protocol; towards other
// backends the same port is free, so each backend has the whole block of the worker.
//
// Order of reuse: ports that have rested for kQuarantineMs since they were given back, longest first; then ports never
// used, from a random start; then those that rest, longest first. So a port rests as long as it can. A backend that
// closed first keeps the tuple in TIME-WAIT for 60 s (Linux): a new SYN mostly, but not always, succeeds there at once.
// So a port that has rested less is taken all the same rather than the flow refused, and counted (early_reuses: a sign
// to add source addresses). What has rested less than kMinimumRestMs is never taken: segments of the old connection may
// still be on the way. Then, or with all ports in use, take() gives 0.
//
// Where it is known to which worker a NIC gives the backend's replies (RssPorts), ports whose replies come to this one are
// taken as long as there are such that have rested or were never used, then the others, whose replies other workers hand
// over. The two are kept apart, as if they were ports towards two backends.
// Threading: one per worker; every call comes from that worker, the statistics too.
// Ownership: memory is reserved at construction and touched as ports come into use; take() and give_back() do not
//            allocate.
// Spec:      RFC 6056 section 3.3.3 (random start per destination), RFC 9293 section 3.6.1 (TIME-WAIT).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/base/lazy_array.h"
#include "sluice/base/own_lines.h"
#include "sluice/base/random.h"
#include "sluice/base/time.h"
#include "sluice/lb/ids.h"
#include "sluice/lb/port_plan.h"
#include "sluice/lb/reply_index.h"
#include "sluice/lb/reply_key.h"
#include "sluice/lb/rss_map.h"
#include "sluice/net/address.h"

namespace sluice::lb {

class NatPorts {
 public:
  static constexpr std::uint32_t kQuarantineMs = 60'000;
  static constexpr std::uint32_t kMinimumRestMs = 1'000;
  static constexpr std::size_t kDefaultSets = 1024;

  // `sets`: how many combinations of source address, protocol and backend may be in use at a time; where RssPorts are given,
  // each may count twice. May throw bad_alloc.
  NatPorts(PortBlock block, Random random, std::size_t sets = kDefaultSets);

  // A port for one more flow; 0: none left. `listened`: ports of the source address on which services listen, sorted:
  // none of them is given (Snapshot::listened_ports()). `rss`: always the same for the same combination, of the backend's
  // replies to the source address.
  [[nodiscard]] std::uint16_t take(SourceIndex source, net::IpProto proto, const net::Endpoint& backend, Ms now,
                                   std::span<const std::uint16_t> listened = {}, const RssPorts& rss = {}) noexcept;
  // What take() gave; the flow is over.
  void give_back(SourceIndex source, net::IpProto proto, const net::Endpoint& backend, std::uint16_t port,
                 Ms now) noexcept;

  struct Stats {
    std::uint64_t taken = 0;         // in use now, over all sets
    std::uint64_t exhausted = 0;     // take() that gave 0
    std::uint64_t early_reuses = 0;  // ports that had rested less than kQuarantineMs
  };
  [[nodiscard]] const Stats& stats() const noexcept { return stats_; }
  [[nodiscard]] PortBlock block() const noexcept { return block_; }
  // In use at one source address, over all backends; looks at all sets (for status, not per packet).
  [[nodiscard]] std::size_t taken_at(SourceIndex source) const noexcept;

 private:
  struct Rest {  // a port that was given back
    std::uint16_t port;
    Ms since;
  };
  // Which of the ports towards a backend a set has. It stands in its key, as local_port.
  enum class Part : std::uint8_t { kHome, kAstray };  // kHome: where nothing is known, all of them
  // The ports towards one backend from one source address: a ring of those that rest, and how many were ever used.
  struct Set {
    ReplyKey key;
    RssPorts rss;
    std::uint32_t start = 0;  // into the block, random
    std::uint32_t used = 0;   // places from `start` on whose ports were taken, or are of the other part
    std::uint32_t taken = 0;
    std::uint32_t oldest = 0;  // in the ring
    std::uint32_t resting = 0;

    [[nodiscard]] bool has(std::uint16_t port) const noexcept {
      return !rss.known() || rss.leads_home(port) == (key.local_port == static_cast<std::uint16_t>(Part::kHome));
    }
  };

  [[nodiscard]] Set* find(const ReplyKey& key) noexcept;
  [[nodiscard]] Set* find_or_add(const ReplyKey& key, const RssPorts& rss, Ms now) noexcept;
  [[nodiscard]] Set* reclaim(Ms now) noexcept;
  [[nodiscard]] std::uint32_t hash(const ReplyKey& key) const noexcept;
  [[nodiscard]] Rest& rest(const Set& set, std::uint32_t n) noexcept;  // the n-th oldest
  // `early`: a port that has rested less than kQuarantineMs is better than none.
  [[nodiscard]] std::uint16_t take_from(Set* set, Ms now, std::span<const std::uint16_t> listened, bool early) noexcept;
  void put_to_rest(Set& set, std::uint16_t port, Ms now) noexcept;

  PortBlock block_;
  Random random_;
  OwnVector<Set> sets_;
  ReplyIndex index_;        // from a key's hash to its place in sets_
  LazyArray<Rest> rests_;   // block_.count for each set
  std::size_t unused_ = 0;  // sets from here on were never used
  std::size_t sweep_ = 0;   // where reclaim() goes on
  Stats stats_;
};

}  // namespace sluice::lb
