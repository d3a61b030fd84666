#include "sluice/lb/flow_table.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <limits>

#include <immintrin.h>

namespace sluice::lb {
namespace {

constexpr std::uint32_t kTagMask = (1u << 14) - 1;

std::uint64_t multiply_fold(std::uint64_t a, std::uint64_t b) noexcept {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

// Bit i: the tag at place i of the chunk is `tag`.
std::uint32_t match(const void* chunk, std::uint8_t tag) noexcept {
  const __m128i tags = _mm_load_si128(static_cast<const __m128i*>(chunk));
  const __m128i equal = _mm_cmpeq_epi8(tags, _mm_set1_epi8(static_cast<char>(tag)));
  return static_cast<std::uint32_t>(_mm_movemask_epi8(equal)) & kTagMask;
}

// Three words rather than memcmp's call.
bool same(const void* a, const void* b) noexcept {
  std::uint64_t left[3], right[3];
  std::memcpy(left, a, sizeof(left));
  std::memcpy(right, b, sizeof(right));
  return ((left[0] ^ right[0]) | (left[1] ^ right[1]) | (left[2] ^ right[2])) == 0;
}

std::size_t chunks_for(std::size_t capacity, std::size_t chunk_flows) noexcept {
  const double places = static_cast<double>(capacity) / FlowTable::kLoad;
  return static_cast<std::size_t>(places / static_cast<double>(chunk_flows)) + 1;
}

}  // namespace

struct FlowTable::Probe {
  std::size_t chunk;  // the home
  std::uint8_t tag;   // never 0
};

FlowTable::FlowTable(std::size_t capacity, const Secret& secret, NatPorts& ports, telemetry::WorkerCounters& counters)
    : capacity_(capacity),
      secret_(secret),
      ports_(ports),
      counters_(counters),
      chunks_(chunks_for(capacity, kChunkFlows)),
      flows_(chunks_.size() * kChunkFlows),
      replies_(capacity) {
  std::memset(static_cast<void*>(chunks_.data()), 0, chunks_.size() * sizeof(Chunk));
  for (Flow& flow : flows_.span()) flow = Flow{};
  counters_.flow_capacity.set(static_cast<std::int64_t>(capacity));
}

// wyhash's way: each multiplication folds words with secret ones. The last is the finalizer: without it, tuples that count
// up form arithmetic progressions, and with an unlucky secret flows lay 3.8 chunks from home on average, not 0.04.
std::uint64_t FlowTable::hash(const void* key) const noexcept {
  std::uint64_t words[3];
  std::memcpy(words, key, sizeof(words));
  const std::uint64_t first = multiply_fold(words[0] ^ secret_[0], words[1] ^ secret_[1]);
  const std::uint64_t second = multiply_fold(first ^ secret_[2], words[2] ^ secret_[3]);
  return multiply_fold(second, secret_[0] | 1);
}

std::uint32_t FlowTable::reply_hash(const ReplyKey& key) const noexcept {
  return static_cast<std::uint32_t>(hash(&key) >> 32);
}

FlowTable::Probe FlowTable::probe(const FlowKey& key) const noexcept {
  const std::uint64_t h = hash(&key);
  const auto tag = static_cast<std::uint8_t>(h);
  return {static_cast<std::size_t>((h >> 32) * chunks_.size() >> 32), tag == 0 ? std::uint8_t{1} : tag};
}

Flow* FlowTable::find_in(const Probe& probe, const FlowKey& key) noexcept {
  std::size_t chunk = probe.chunk;
  // The bound is never reached while a chunk without overflow exists; it keeps the loop finite by itself.
  for (std::size_t seen = 0; seen < chunks_.size(); ++seen) {
    for (std::uint32_t hits = match(&chunks_[chunk], probe.tag); hits != 0; hits &= hits - 1) {
      Flow& flow = flows_[chunk * kChunkFlows + static_cast<std::size_t>(std::countr_zero(hits))];
      if (same(&flow.key, &key)) [[likely]]
        return &flow;
    }
    if (chunks_[chunk].overflow == 0) [[likely]]
      return nullptr;
    chunk = next_chunk(chunk);
  }
  return nullptr;
}

Flow* FlowTable::find(const FlowKey& key, Ms now) noexcept {
  Flow* flow = find_in(probe(key), key);
  if (flow == nullptr || !idle(*flow, now)) [[likely]]
    return flow;
  end_idle(*flow, now);
  return nullptr;
}

Flow* FlowTable::find_idle_or_not(const ReplyKey& key) noexcept {
  const std::size_t place =
      replies_.find(reply_hash(key), [&](std::size_t at) { return same(&flows_[at].reply, &key); });
  return place == ReplyIndex::kNone ? nullptr : &flows_[place];
}

Flow* FlowTable::find_reply(const ReplyKey& key, Ms now) noexcept {
  Flow* flow = find_idle_or_not(key);
  if (flow == nullptr || !idle(*flow, now)) [[likely]]
    return flow;
  end_idle(*flow, now);
  return nullptr;
}

// In three passes, so that the misses of all lookups overlap: tags, then flows, then the comparison. Where the first flow
// that a tag points to is not the one (1 in 25), or the flow lies behind its home, the single lookup decides.
void FlowTable::find(std::span<const FlowKey> keys, std::span<Flow*> out, Ms now) noexcept {
  assert(keys.size() <= kMaxBurst && out.size() >= keys.size());
  std::array<Probe, kMaxBurst> probes;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    probes[i] = probe(keys[i]);
    __builtin_prefetch(&chunks_[probes[i].chunk]);
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::uint32_t hits = match(&chunks_[probes[i].chunk], probes[i].tag);
    out[i] =
        hits == 0 ? nullptr : &flows_[probes[i].chunk * kChunkFlows + static_cast<std::size_t>(std::countr_zero(hits))];
    __builtin_prefetch(out[i], 1);
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    Flow* flow = out[i];
    if (flow == nullptr || !same(&flow->key, &keys[i])) [[unlikely]] {
      flow = find_in(probes[i], keys[i]);
    }
    out[i] = flow != nullptr && !idle(*flow, now) ? flow : nullptr;
  }
}

void FlowTable::find_replies(std::span<const ReplyKey> keys, std::span<Flow*> out, Ms now) noexcept {
  assert(keys.size() <= kMaxBurst && out.size() >= keys.size());
  std::array<std::uint32_t, kMaxBurst> hashes;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    hashes[i] = reply_hash(keys[i]);
    replies_.prefetch(hashes[i]);
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::size_t guess = replies_.first_guess(hashes[i]);
    out[i] = guess == ReplyIndex::kNone ? nullptr : &flows_[guess];
    __builtin_prefetch(out[i], 1);
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    Flow* flow = out[i];
    // No entry with the hash: there is no such flow. Another's entry with the same 32 bits: the single lookup goes on.
    if (flow != nullptr && !same(&flow->reply, &keys[i])) [[unlikely]] {
      flow = find_idle_or_not(keys[i]);
    }
    out[i] = flow != nullptr && !idle(*flow, now) ? flow : nullptr;
  }
}

// Raises the overflow counts on the way to the free place. kNoPlace: a count is at its end (it takes thousands of full
// chunks in a row, so it is not reached in practice); nothing has changed then.
std::size_t FlowTable::take_place(const Probe& probe) noexcept {
  std::size_t chunk = probe.chunk;
  for (std::size_t seen = 0; seen < chunks_.size(); ++seen, chunk = next_chunk(chunk)) {
    const std::uint32_t free = match(&chunks_[chunk], 0);
    if (free == 0) {
      if (chunks_[chunk].overflow == std::numeric_limits<std::uint16_t>::max()) return kNoPlace;
      continue;
    }
    for (std::size_t full = probe.chunk; full != chunk; full = next_chunk(full)) ++chunks_[full].overflow;
    const auto slot = static_cast<std::size_t>(std::countr_zero(free));
    chunks_[chunk].tags[slot] = probe.tag;
    return chunk * kChunkFlows + slot;
  }
  return kNoPlace;
}

Flow* FlowTable::insert(const NewFlow& flow, const FlowLimits& limits, Ms now) noexcept {
  const bool translated = flow.reply.local_port != 0;
  if (translated) {
    if (Flow* other = find_idle_or_not(flow.reply)) {
      // Its port was given back when it closed, and now `flow` has it.
      if (!other->port_rests) return nullptr;
      remove(*other, now);
    }
  }
  if (full()) return nullptr;
  const std::size_t place = take_place(probe(flow.key));
  if (place == kNoPlace) return nullptr;
  Flow& entry = flows_[place];
  entry = {.key = flow.key,
           .reply = flow.reply,
           .backend = flow.backend,
           .last_seen = now,
           .idle_ms = limits.of(flow.state),
           .service = flow.service,
           .state = flow.state,
           .port_rests = false};
  if (translated) replies_.insert(reply_hash(flow.reply), place);
  ++size_;
  count(entry, 1);
  if (is_open(entry.state)) counters_.tcp_flows_open.add(1);
  counters_.flows_created.add();
  return &entry;
}

void FlowTable::remove(Flow& flow, Ms now) noexcept {
  const auto place = static_cast<std::size_t>(&flow - flows_.data());
  const std::size_t chunk = place / kChunkFlows;
  if (flow.reply.local_port != 0) {
    replies_.remove(reply_hash(flow.reply), place);
    if (!flow.port_rests) give_port_back(flow, now);
  }
  for (std::size_t full = probe(flow.key).chunk; full != chunk; full = next_chunk(full)) --chunks_[full].overflow;
  chunks_[chunk].tags[place % kChunkFlows] = 0;
  --size_;
  count(flow, -1);
  if (is_open(flow.state)) counters_.tcp_flows_open.add(-1);
  flow = Flow{};  // matches no key: proto 0
}

void FlowTable::give_port_back(const Flow& flow, Ms now) noexcept {
  ports_.give_back(flow.reply.source, flow.reply.proto, flow.reply.endpoint(), flow.reply.local_port, now);
}

void FlowTable::count(const Flow& flow, int change) noexcept {
  counters_.flows.set(static_cast<std::int64_t>(size_));
  counters_.nat_ports_used.set(static_cast<std::int64_t>(ports_.stats().taken));
  if (flow.service < kMaxServices) {
    auto& service = counters_.services[flow.service];
    service.active.add(change);
    if (change > 0) service.flows.add();
  }
  if (flow.backend.index < kMaxBackends) {
    auto& backend = counters_.backends[flow.backend.index];
    backend.active.add(change);
    if (change > 0) backend.flows.add();
  }
}

void FlowTable::change_state(Flow& flow, FlowState next, const FlowLimits& limits, Ms now) noexcept {
  counters_.tcp_flows_open.add(int{is_open(next)} - int{is_open(flow.state)});
  flow.state = next;
  flow.idle_ms = limits.of(next);
  flow.last_seen = now;
  if (next != FlowState::kClosed) return;
  counters_.flows_closed.add();
  if (flow.reply.local_port == 0) return;
  // The flow stays to forward what is still on the way; its port may begin its rest.
  give_port_back(flow, now);
  flow.port_rests = true;
  counters_.nat_ports_used.set(static_cast<std::int64_t>(ports_.stats().taken));
}

void FlowTable::end_idle(Flow& flow, Ms now) noexcept {
  if (flow.state != FlowState::kClosed) counters_.flows_expired.add();
  remove(flow, now);
}

std::size_t FlowTable::expire(Ms now, std::size_t budget) noexcept {
  std::size_t removed = 0;
  for (budget = std::min(budget, places()); budget > 0; --budget) {
    if (occupied(cursor_) && idle(flows_[cursor_], now)) {
      end_idle(flows_[cursor_], now);
      ++removed;
    }
    cursor_ = cursor_ + 1 == places() ? 0 : cursor_ + 1;
  }
  return removed;
}

std::size_t FlowTable::displaced() const noexcept {
  std::size_t sum = 0;
  for (std::size_t chunk = 0; chunk < chunks_.size(); ++chunk) sum += chunks_[chunk].overflow;
  return sum;
}

}  // namespace sluice::lb
