// Flow table: remembers which backend a flow was sent to, so that it stays there as backends change. One entry serves both
// directions: found by the client's key, and by the reply's key when the source is translated.
//
// Layout: chunks of 14 flows (64 B each, one cache line) with 16 B of tags: 14 tags, and a 16-bit count of the flows that
// wanted this chunk and were put further on. A lookup compares 14 tags at once and goes on to the next chunk only while
// that count is not 0, so it touches one line of tags and one flow. Removing lowers the counts that inserting raised:
// there are no tombstones, and nothing gets worse with age. Replies: reply_index.h.
// Capacity is fixed; at capacity 3/4 of the places are used (kLoad), a flow takes 103 bytes over all (87 without a NAT
// port), and flows lie 0.04 chunks from home on average in a table filled afresh, 0.17 after any amount of churn.
// Threading: one table per worker; every call comes from that worker. No locks, no atomics but the counters.
// Ownership: the table owns its flows, and gives their NAT ports back when they end. Flows never move: a Flow* points to
//            its flow until that is removed, by find() (it was idle), insert() (another took its NAT port), remove() or
//            expire(). A removed flow's key matches no packet: a burst may hold what guess() gave across such
//            calls, since finish() compares.
// Units:     Ms is milliseconds since start, read once per burst by the caller.
// Limits:    full: insert() gives nullptr; no flow is ever evicted for another's sake.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <immintrin.h>

#include "sluice/base/huge_pages.h"
#include "sluice/base/mix.h"
#include "sluice/base/time.h"
#include "sluice/lb/destinations.h"
#include "sluice/lb/flow_limits.h"
#include "sluice/lb/ids.h"
#include "sluice/lb/nat_ports.h"
#include "sluice/lb/reply_index.h"
#include "sluice/lb/reply_key.h"
#include "sluice/net/address.h"
#include "sluice/telemetry/counters.h"

namespace sluice::lb {

struct FlowKey {  // hashed as 24 bytes
  net::IpAddress client;
  ListenerId listener;  // or, for services on all ports or on a prefix, the number of the destination
  std::uint16_t client_port = 0;
  net::IpProto proto{};
  std::uint8_t mark = 0;  // 0 in a key that is looked for; a Flow has its state here. Not compared

  // All behind the address, as it lies in memory.
  [[nodiscard]] static constexpr std::uint64_t tail(std::uint16_t client_port, ListenerId listener,
                                                    net::IpProto proto) noexcept {
    return listener.index | (std::uint64_t{listener.generation} << 16) | (std::uint64_t{client_port} << 32) |
           (static_cast<std::uint64_t>(proto) << 48);
  }
  [[nodiscard]] std::array<std::uint64_t, 3> words() const noexcept {
    return std::bit_cast<std::array<std::uint64_t, 3>>(*this);
  }
  [[nodiscard]] net::Endpoint client_endpoint() const noexcept { return {client, client_port}; }
  bool operator==(const FlowKey& other) const noexcept {
    const auto a = words(), b = other.words();
    return ((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) << 8) == 0;
  }
};
static_assert(sizeof(FlowKey) == 24);

struct ReplyTuple {  // a ReplyKey without its protocol, which stands in FlowKey too
  net::IpAddress backend;
  std::uint16_t backend_port = 0;
  std::uint16_t local_port = 0;
  SourceIndex source = kNoIndex;

  [[nodiscard]] net::Endpoint endpoint() const noexcept { return {backend, backend_port}; }
};
static_assert(sizeof(ReplyTuple) == 22);

struct alignas(64) Flow {           // one cache line: a hit touches nothing else
  FlowKey key;                      // 24 B
  ReplyTuple reply;                 // 22 B: the backend's endpoint, and the NAT port
  ServiceIndex service = kNoIndex;  // 2 B
  BackendId backend;                // 4 B: which of the snapshot's backends that is (it may be gone since)
  Ms last_seen{};                   // 4 B, written by every packet
  // TCP: the sequence number that the client will send next, as far as we saw. SCTP: the verification tag of its packets, so
  // the backend's own. 0: not known yet.
  std::uint32_t client_next = 0;
  // TCP: what it has acknowledged last, so what the backend's next one is for it. SCTP: the tag of the backend's packets.
  std::uint32_t client_ack = 0;

  static constexpr std::uint8_t kStateBits = 0x0f;
  static constexpr std::uint8_t kOneWay = 0x10;  // only the client's packets come by here (tunnels, dsr)
  static constexpr std::uint8_t kSctp = 0x20;    // its limits are an association's
  static constexpr std::uint8_t kPortRests =
      0x40;  // closed: the NAT port was given back already, and the flow ends when another takes it
  static constexpr std::uint8_t kSynProxied = 0x80;  // its ends count differently: see dataplane/syn_proxy.h

  [[nodiscard]] FlowState state() const noexcept { return static_cast<FlowState>(key.mark & kStateBits); }
  void set_state(FlowState state) noexcept {
    key.mark = static_cast<std::uint8_t>((key.mark & ~kStateBits) | static_cast<std::uint8_t>(state));
  }
  [[nodiscard]] bool is(std::uint8_t flag) const noexcept { return (key.mark & flag) != 0; }
  void set(std::uint8_t flag) noexcept { key.mark |= flag; }
  // Whether these are the words of its FlowKey, and of its ReplyKey.
  [[nodiscard, gnu::always_inline]] bool has_key(const std::array<std::uint64_t, 3>& words) const noexcept {
    std::array<std::uint64_t, 3> own;
    std::memcpy(own.data(), &key, sizeof(own));
    return ((own[0] ^ words[0]) | (own[1] ^ words[1]) | ((own[2] ^ words[2]) << 8)) == 0;
  }
  [[nodiscard, gnu::always_inline]] bool has_reply_key(const std::array<std::uint64_t, 3>& words) const noexcept {
    std::array<std::uint64_t, 3> own;  // the reply's words, with the service where a ReplyKey has its protocol
    std::memcpy(own.data(), reinterpret_cast<const std::uint8_t*>(this) + 24, sizeof(own));
    return ((own[0] ^ words[0]) | (own[1] ^ words[1]) | ((own[2] ^ words[2]) << 16) |
            (static_cast<std::uint64_t>(key.proto) ^ (words[2] >> 48))) == 0;
  }
  [[nodiscard]] ReplyKey reply_key() const noexcept {
    return {.backend = reply.backend,
            .backend_port = reply.backend_port,
            .local_port = reply.local_port,
            .source = reply.source,
            .proto = key.proto,
            .zero = 0};
  }
};
static_assert(sizeof(Flow) == 64 && offsetof(Flow, reply) == 24 && offsetof(Flow, last_seen) == 52);

// Of which backend endpoint the flow's NAT port is one (NatPorts): where ports of the backend, or identifiers of echoes,
// differ from flow to flow, all of them share the ports of the backend's address, which has port 0.
[[nodiscard]] inline net::Endpoint port_set_of(const FlowKey& key, const net::Endpoint& backend) noexcept {
  const bool shared = Destinations::is_number(key.listener) || !net::has_ports(key.proto);
  return {backend.address, shared ? std::uint16_t{0} : backend.port};
}

struct NewFlow {
  FlowKey key;
  ReplyKey reply;  // local_port 0: not translated, found by `key` alone
  BackendId backend;
  ServiceIndex service = kNoIndex;
  FlowState state{};
  bool one_way = false;  // only the client's packets come by here
};

// What a flow is told of a packet that passes; of UDP all is 0.
struct Segment {
  std::uint8_t flags = 0;      // of SCTP as net/sctp.h has them
  std::uint32_t sequence = 0;  // of SCTP the verification tag
  std::uint32_t data_len = 0;
  std::uint32_t acknowledgment = 0;  // of SCTP the tag that INIT or INIT ACK says its sender wants to be sent; else 0

  [[nodiscard]] std::uint32_t end() const noexcept { return sequence + data_len; }
};

class FlowTable {
 public:
  using Secret = std::array<std::uint64_t, 4>;  // random: keeps an enemy from choosing tuples that collide
  static constexpr double kLoad = 0.75;

  // The only allocations; may throw bad_alloc. All memory is touched here, so that no packet pays for it. `counters`:
  // flows, tcp_flows_open, flow_capacity, flows_*, nat_ports_used, and `flows` and `active` of services and backends are kept here.
  FlowTable(std::size_t capacity, const Secret& secret, NatPorts& ports, telemetry::WorkerCounters& counters);

  // nullptr: unknown, or idle too long (then it is removed).
  [[nodiscard]] Flow* find(const FlowKey& key, Ms now) noexcept;
  [[nodiscard]] Flow* find_reply(const ReplyKey& key, Ms now) noexcept;

  // The lookups of a burst go in three steps, each for all packets before the next, so that their cache misses overlap:
  // begin() asks for the line of tags (of the reply index), guess() for the flow that this points to, finish() compares.
  // finish() removes nothing. Where it gives nullptr, ask find() before insert(): an earlier packet of the burst may have
  // begun the flow, and an idle flow has to go first. A Flow* that guess() gave may be of any flow, or none, by then.
  struct Lookup {
    std::array<std::uint64_t, 3> key;  // words of a FlowKey or ReplyKey
    std::uint64_t hash;
  };
  [[nodiscard, gnu::always_inline]] Lookup begin(const std::array<std::uint64_t, 2>& address, std::uint64_t tail,
                                                 bool is_reply) const noexcept {
    const Lookup out{{address[0], address[1], tail}, hash({address[0], address[1], tail})};
    const std::span<const std::byte> index = indexes_[is_reply];  // not a branch: it could not be predicted
    __builtin_prefetch(index.data() + ((out.hash >> 32) * index.size() >> 32));
    return out;
  }
  [[nodiscard, gnu::always_inline]] Flow* guess(const Lookup& lookup) noexcept {
    const std::size_t chunk = chunk_of(lookup.hash);
    const std::uint32_t hits = match(chunks_[chunk], tag_of(lookup.hash));
    // Without a hit a flow that has no key: the line of some other would be fetched for nothing, by every SYN of a flood.
    Flow* flow = hits == 0 ? &nobody_ : &flows_[chunk * kChunkFlows + static_cast<std::size_t>(std::countr_zero(hits))];
    __builtin_prefetch(flow, 1);
    return flow;
  }
  [[nodiscard, gnu::always_inline]] Flow* guess_reply(const Lookup& lookup) noexcept {
    const std::size_t place = replies_.first_guess(reply_hash(lookup.hash));
    Flow* flow = place == ReplyIndex::kNone ? nullptr : &flows_[place];
    __builtin_prefetch(flow, 1);
    return flow;
  }
  [[nodiscard, gnu::always_inline]] Flow* finish(const Lookup& lookup, Flow* flow, Ms now) noexcept {
    if (!flow->has_key(lookup.key)) [[unlikely]]
      flow = find_in(lookup);
    return flow != nullptr && !idle(*flow, now) ? flow : nullptr;
  }
  [[nodiscard, gnu::always_inline]] Flow* finish_reply(const Lookup& lookup, Flow* flow, Ms now) noexcept {
    // No entry with the hash: there is no such flow. Another's entry with the same 32 bits: the single lookup goes on.
    if (flow != nullptr && !flow->has_reply_key(lookup.key)) [[unlikely]]
      flow = find_reply_in(lookup);
    return flow != nullptr && !idle(*flow, now) ? flow : nullptr;
  }

  // The flow of this lookup is about to be inserted: asks for the line where it will most likely lie.
  void expect_insert(const Lookup& lookup) noexcept {
    const std::uint32_t free = match(chunks_[chunk_of(lookup.hash)], 0);
    const auto slot = static_cast<std::size_t>(std::countr_zero(free | 1u << (kChunkFlows - 1)));
    __builtin_prefetch(&flows_[chunk_of(lookup.hash) * kChunkFlows + slot], 1);
  }

  // How long flows of a service may be idle; of a service that nothing was said of, FlowLimits{}. They hold for flows that are
  // there already too.
  void set_limits(ServiceIndex service, const FlowLimits& limits) noexcept;

  // find() gave nullptr for the key just now. nullptr: full. The NAT port was taken from the ports that the table gives back to,
  // so no flow has it but one that has closed and given it back: that one ends, here or in settle(). (Where flows share ports,
  // port_set_of(), whoever opens one asks find_reply() first.)
  [[nodiscard]] Flow* insert(const NewFlow& flow, Ms now) noexcept;
  // To be called before the next guess_reply() when flows were inserted: they can be found by their reply's key from then
  // on. (The line that an insertion needs of the reply index is asked for first and used later, so that the misses of
  // several new flows overlap.)
  void settle(Ms now) noexcept {
    if (unsettled_count_ != 0) settle_all(now);
  }
  void remove(Flow& flow, Ms now) noexcept;

  // Whoever opens a flow of a service on all ports or on a prefix holds its destination, and the flow releases it at its
  // end; if insert() gave nullptr, the caller does.
  [[nodiscard]] Destinations& destinations() noexcept { return destinations_; }
  [[nodiscard]] const Destinations& destinations() const noexcept { return destinations_; }

  // A packet of the flow has passed. `segment` gives the rest of it, and is not asked for more of a packet than need be read.
  template <typename GetSegment>
  [[gnu::always_inline]] void touch(Flow& flow, Direction direction, std::uint8_t flags, const GetSegment& segment,
                                    Ms now) noexcept {
    if (!stays(flow, flags)) [[unlikely]]
      return advance(flow, direction, segment(), now);
    flow.last_seen = now;
    if (direction == Direction::kToClient) return;
    const Segment said = segment();
    if (said.end() - flow.client_next > kSequenceAhead) [[unlikely]]
      return doubt(flow, said.end(), said.acknowledgment);
    flow.client_next = said.end();
    flow.client_ack = said.acknowledgment;
  }
  void touch(Flow& flow, Direction direction, const Segment& segment, Ms now) noexcept {
    touch(flow, direction, segment.flags, [&] { return segment; }, now);
  }

  // Removes what has been idle too long among the next `budget` places; gives the number removed. Once per turn.
  std::size_t expire(Ms now, std::size_t budget) noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] bool full() const noexcept { return size_ >= capacity_; }
  [[nodiscard]] std::size_t places() const noexcept { return flows_.size(); }
  // Where a flow lies, for as long as it lives: for tables beside this one. at(): nullptr where none lies.
  [[nodiscard]] std::size_t place_of(const Flow& flow) const noexcept {
    return static_cast<std::size_t>(&flow - flows_.data());
  }
  [[nodiscard]] Flow* at(std::size_t place) noexcept { return occupied(place) ? &flows_[place] : nullptr; }
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
  static constexpr std::uint32_t kTagMask = (1u << kChunkFlows) - 1;
  static constexpr std::size_t kIdleClasses = 64;  // states, two-way and one-way, of SCTP and others
  static constexpr std::size_t kUnsettled = 32;

  // Bit i: the tag at place i of the chunk is `tag`.
  [[nodiscard]] static std::uint32_t match(const Chunk& chunk, std::uint8_t tag) noexcept {
    const __m128i tags = _mm_load_si128(reinterpret_cast<const __m128i*>(&chunk));
    const __m128i equal = _mm_cmpeq_epi8(tags, _mm_set1_epi8(static_cast<char>(tag)));
    return static_cast<std::uint32_t>(_mm_movemask_epi8(equal)) & kTagMask;
  }

  [[nodiscard]] bool occupied(std::size_t place) const noexcept {
    return chunks_[place / kChunkFlows].tags[place % kChunkFlows] != 0;
  }
  [[nodiscard]] std::size_t next_chunk(std::size_t chunk) const noexcept {
    return chunk + 1 == chunks_.size() ? 0 : chunk + 1;
  }
  // wyhash's way: each multiplication folds words with secret ones. The last is the finalizer: without it, tuples that
  // count up form arithmetic progressions, and with an unlucky secret flows lay 3.8 chunks from home on average, not 0.04.
  [[nodiscard, gnu::always_inline]] std::uint64_t hash(const std::array<std::uint64_t, 3>& words) const noexcept {
    const std::uint64_t first = mix(words[0] ^ secret_[0], words[1] ^ secret_[1]);
    const std::uint64_t second = mix(first ^ secret_[2], words[2] ^ secret_[3]);
    return mix(second, secret_[0] | 1);
  }
  [[nodiscard]] std::size_t chunk_of(std::uint64_t hash) const noexcept {
    return static_cast<std::size_t>((hash >> 32) * chunks_.size() >> 32);
  }
  [[nodiscard]] static std::uint8_t tag_of(std::uint64_t hash) noexcept {
    return static_cast<std::uint8_t>((hash & 0xff) + ((hash & 0xff) == 0));  // never 0
  }
  [[nodiscard]] static std::uint32_t reply_hash(std::uint64_t hash) noexcept {
    return static_cast<std::uint32_t>(hash >> 32);
  }
  [[nodiscard]] std::uint64_t hash_of(const Flow& flow) const noexcept {
    auto words = flow.key.words();
    words[2] &= ~(std::uint64_t{0xff} << 56);  // without the mark
    return hash(words);
  }
  [[nodiscard]] Flow* find_in(const Lookup& lookup) noexcept;  // idle or not
  [[nodiscard]] Flow* find_reply_in(const Lookup& lookup) noexcept;
  [[nodiscard]] std::size_t take_place(std::uint64_t hash) noexcept;
  [[nodiscard, gnu::always_inline]] bool idle(const Flow& flow, Ms now) const noexcept {
    const std::uint32_t passed = elapsed(now, flow.last_seen);
    if (passed <= least_idle_ms_) [[likely]]
      return false;
    return passed > idle_ms_[flow.service * kIdleClasses + (flow.key.mark % kIdleClasses)];
  }
  // A segment of the client that is not next to its last one: it repeats some, or many are missing, or somebody forged it to
  // teach the flow numbers that a reset will have. Near ones are believed. Others are not, but put the flow in doubt, and
  // what the backend acknowledges next is right: so a forger has to hit the same thousandth of the space as with the reset
  // itself, and a flow that has lost a large window on the way is not lost track of. Where no backend's packets come by,
  // the flow stays with what it knew: it may then miss a reset, and ends by its idle limit.
  void doubt(Flow& flow, std::uint32_t client_next, std::uint32_t client_ack) noexcept;
  // Whether a packet with these flags moves the flow's numbers and nothing else. Those of associations are looked at: they
  // have tags.
  [[nodiscard]] static bool stays(const Flow& flow, std::uint8_t tcp_flags) noexcept {
    const auto state = static_cast<FlowState>(flow.key.mark & (Flow::kStateBits | Flow::kSctp));
    return is_steady(state) && !changes_state(tcp_flags);
  }
  void advance(Flow& flow, Direction direction, const Segment& segment, Ms now) noexcept;
  void follow_client(Flow& flow, const Segment& segment) noexcept;
  void follow_tags(Flow& flow, Direction direction, const Segment& segment) noexcept;
  void settle_all(Ms now) noexcept;
  void change_state(Flow& flow, FlowState next, Ms now) noexcept;
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
  std::array<std::span<const std::byte>, 2>
      indexes_;  // chunks_ and replies_: where a hash's line is, of its upper half
  HugeArray<std::uint32_t>
      idle_ms_;  // by service, and state with Flow::kOneWay and kSctp; 0: of a service without a flow
  std::uint32_t least_idle_ms_ = ~std::uint32_t{0};  // no flow is idle before; of all that idle_ms_ has ever held
  Flow nobody_;
  Destinations destinations_;
  std::size_t size_ = 0;
  std::size_t cursor_ = 0;                           // of expire()
  std::array<std::uint32_t, kUnsettled> unsettled_;  // places of flows that are not in replies_ yet
  std::size_t unsettled_count_ = 0;
};

}  // namespace sluice::lb
