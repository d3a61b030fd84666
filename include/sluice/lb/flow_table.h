// Flow table: remembers which backend a flow was sent to, so that it stays there as backends change. One entry serves both
// directions: found by the client's key, and by the reply's key when the source is translated.
//
// Layout: chunks of 14 flows (64 B each, one cache line) with 16 B of tags: 14 tags, and a 16-bit count of the flows that
// wanted this chunk and were put further on. A lookup compares 14 tags at once and goes on to the next chunk only while
// that count is not 0, so it touches one line of tags and one flow. Removing lowers the counts that inserting raised:
// there are no tombstones, and nothing gets worse with age. Replies: reply_index.h.
// Capacity is fixed; at capacity 7/10 of the places are used (kLoad), a flow takes 110 bytes over all, and flows lie 0.03
// chunks from home on average in a table filled afresh, 0.1 after any amount of churn.
// Threading: one table per worker; every call comes from that worker. No locks, no atomics but the counters.
// Ownership: the table owns its flows, and gives their NAT ports back when they end. Flows never move: a Flow* points to
//            its flow until that is removed, by find() (it was idle), insert() (another took its NAT port), remove() or
//            expire(). A removed flow's key matches no packet: a burst may hold pointers across such calls if it
//            compares the key again before use (holds()).
// Units:     Ms is milliseconds since start, read once per burst by the caller.
// Limits:    full: insert() gives nullptr; no flow is ever evicted for another's sake.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/base/huge_pages.h"
#include "sluice/base/time.h"
#include "sluice/lb/flow_limits.h"
#include "sluice/lb/ids.h"
#include "sluice/lb/nat_ports.h"
#include "sluice/lb/reply_index.h"
#include "sluice/lb/reply_key.h"
#include "sluice/net/address.h"
#include "sluice/telemetry/counters.h"

namespace sluice::lb {

struct FlowKey {  // compared and hashed as 24 bytes
  net::IpAddress client;
  ListenerId listener;
  std::uint16_t client_port = 0;
  net::IpProto proto{};
  std::uint8_t zero = 0;

  // In whole words: what is written in pieces and read back in words, as hashing does, stalls.
  [[nodiscard]] static FlowKey of(const net::IpAddress& client, std::uint16_t client_port, ListenerId listener,
                                  net::IpProto proto) noexcept {
    const auto address = client.words();
    return std::bit_cast<FlowKey>(std::array<std::uint64_t, 3>{
        address[0], address[1],
        listener.index | (std::uint64_t{listener.generation} << 16) | (std::uint64_t{client_port} << 32) |
            (static_cast<std::uint64_t>(proto) << 48)});
  }
  [[nodiscard]] net::Endpoint client_endpoint() const noexcept { return {client, client_port}; }
  bool operator==(const FlowKey&) const noexcept = default;
};
static_assert(sizeof(FlowKey) == 24);

struct alignas(64) Flow {     // one cache line: a hit touches nothing else
  FlowKey key;                // 24 B
  ReplyKey reply;             // 24 B: the backend's endpoint, and the NAT port
  BackendId backend;          // 4 B: which of the snapshot's backends that is (it may be gone since)
  Ms last_seen{};             // 4 B, written by every packet
  std::uint32_t idle_ms = 0;  // the limit in the present state
  ServiceIndex service = kNoIndex;
  FlowState state{};
  bool port_rests = false;  // closed: the NAT port was given back already, and the flow ends when another takes it
};
static_assert(sizeof(Flow) == 64 && offsetof(Flow, last_seen) == 52);

struct NewFlow {
  FlowKey key;
  ReplyKey reply;  // local_port 0: not translated, found by `key` alone
  BackendId backend;
  ServiceIndex service = kNoIndex;
  FlowState state{};
};

// Whether the flow that a burst's lookup gave is still there (see Ownership).
[[nodiscard]] inline bool holds(const Flow& flow, const FlowKey& key) noexcept { return flow.key == key; }
[[nodiscard]] inline bool holds(const Flow& flow, const ReplyKey& key) noexcept { return flow.reply == key; }

class FlowTable {
 public:
  using Secret = std::array<std::uint64_t, 4>;  // random: keeps an enemy from choosing tuples that collide
  static constexpr std::size_t kMaxBurst = 64;
  static constexpr double kLoad = 0.70;

  // The only allocations; may throw bad_alloc. All memory is touched here, so that no packet pays for it. `counters`:
  // flows, tcp_flows_open, flow_capacity, flows_*, nat_ports_used, and `flows` and `active` of services and backends are kept here.
  FlowTable(std::size_t capacity, const Secret& secret, NatPorts& ports, telemetry::WorkerCounters& counters);

  // nullptr: unknown, or idle too long (then it is removed).
  [[nodiscard]] Flow* find(const FlowKey& key, Ms now) noexcept;
  [[nodiscard]] Flow* find_reply(const ReplyKey& key, Ms now) noexcept;
  // The same for a burst of up to kMaxBurst, its cache misses overlapping; `out` is as long as `keys`. Removes nothing.
  // Where it gives nullptr, ask find() before insert(): an earlier packet of the burst may have begun the flow, and an
  // idle flow has to go first.
  void find(std::span<const FlowKey> keys, std::span<Flow*> out, Ms now) noexcept;
  void find_replies(std::span<const ReplyKey> keys, std::span<Flow*> out, Ms now) noexcept;

  // find() gave nullptr for the key just now. nullptr: full, or the reply's key is in use (the caller gives the NAT port
  // back and counts it). A closed flow whose NAT port was given back and taken again ends here.
  [[nodiscard]] Flow* insert(const NewFlow& flow, const FlowLimits& limits, Ms now) noexcept;
  void remove(Flow& flow, Ms now) noexcept;

  // A packet of the flow has passed. `limits` are looked at only when the state changes. TCP: flags of the segment.
  void touch(Flow& flow, Direction direction, std::uint8_t tcp_flags, const FlowLimits& limits, Ms now) noexcept {
    if (flow.state == FlowState::kEstablished && !changes_state(tcp_flags)) [[likely]] {
      flow.last_seen = now;
      return;
    }
    const FlowState next = next_state(flow.state, tcp_flags, direction);
    if (next != flow.state) [[unlikely]] {
      change_state(flow, next, limits, now);
    } else if (flow.state < FlowState::kClosed) {  // the end of a flow is not put off by what still comes
      flow.last_seen = now;
    }
  }

  // Removes what has been idle too long among the next `budget` places; gives the number removed. Once per turn.
  std::size_t expire(Ms now, std::size_t budget) noexcept;

  // Calls visit(const Flow&) for the flows at places from..from+budget; gives where to go on, places() at the end. Flows
  // that come or go between two calls may be missed; one that stays is seen exactly once.
  template <typename Visit>
  std::size_t scan(std::size_t from, std::size_t budget, Visit&& visit) const {
    std::size_t place = from;
    for (; place < places() && budget > 0; ++place, --budget) {
      if (occupied(place)) visit(flows_[place]);
    }
    return place;
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] bool full() const noexcept { return size_ >= capacity_; }
  [[nodiscard]] std::size_t places() const noexcept { return flows_.size(); }
  // Sum of all overflow counts: 0 in an empty table, whatever happened before (for tests and the curious).
  [[nodiscard]] std::size_t displaced() const noexcept;

 private:
  static constexpr std::size_t kChunkFlows = 14;
  static constexpr std::size_t kNoPlace = static_cast<std::size_t>(-1);
  struct alignas(16) Chunk {
    std::uint8_t tags[kChunkFlows];  // 0: free
    std::uint16_t overflow;          // flows that tried this chunk, found it full, and lie behind it
  };
  static_assert(sizeof(Chunk) == 16);
  struct Probe;

  [[nodiscard]] bool occupied(std::size_t place) const noexcept {
    return chunks_[place / kChunkFlows].tags[place % kChunkFlows] != 0;
  }
  [[nodiscard]] std::size_t next_chunk(std::size_t chunk) const noexcept {
    return chunk + 1 == chunks_.size() ? 0 : chunk + 1;
  }
  [[nodiscard]] std::uint64_t hash(const void* key) const noexcept;  // of 24 bytes
  [[nodiscard]] std::uint32_t reply_hash(const ReplyKey& key) const noexcept;
  [[nodiscard]] Probe probe(const FlowKey& key) const noexcept;
  [[nodiscard]] Flow* find_in(const Probe& probe, const FlowKey& key) noexcept;
  [[nodiscard]] Flow* find_idle_or_not(const ReplyKey& key) noexcept;
  [[nodiscard]] std::size_t take_place(const Probe& probe) noexcept;
  [[nodiscard]] bool idle(const Flow& flow, Ms now) const noexcept {
    return elapsed(now, flow.last_seen) > flow.idle_ms;
  }
  void change_state(Flow& flow, FlowState next, const FlowLimits& limits, Ms now) noexcept;
  void end_idle(Flow& flow, Ms now) noexcept;
  void give_port_back(const Flow& flow, Ms now) noexcept;
  void count(const Flow& flow, int change) noexcept;

  std::size_t capacity_;
  Secret secret_;
  NatPorts& ports_;
  telemetry::WorkerCounters& counters_;
  HugeArray<Chunk> chunks_;
  HugeArray<Flow> flows_;
  ReplyIndex replies_;
  std::size_t size_ = 0;
  std::size_t cursor_ = 0;  // of expire()
};

}  // namespace sluice::lb
