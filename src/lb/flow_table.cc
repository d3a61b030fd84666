#include "sluice/lb/flow_table.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <limits>
#include <utility>

namespace sluice::lb {
namespace {

std::size_t chunks_for(std::size_t capacity, std::size_t chunk_flows) noexcept {
  const double places = static_cast<double>(capacity) / FlowTable::kLoad;
  return static_cast<std::size_t>(places / static_cast<double>(chunk_flows)) + 1;
}

}  // namespace

FlowTable::FlowTable(std::size_t capacity, const Secret& secret, NatPorts& ports, telemetry::WorkerCounters& counters)
    : capacity_(capacity),
      secret_(secret),
      ports_(ports),
      counters_(counters),
      chunks_(chunks_for(capacity, kChunkFlows)),
      flows_(chunks_.size() * kChunkFlows),
      replies_(capacity),
      indexes_{std::as_bytes(chunks_.span()), replies_.bytes()},
      idle_ms_(kMaxServices * kIdleClasses),
      destinations_(capacity, secret) {
  std::memset(static_cast<void*>(chunks_.data()), 0, chunks_.size() * sizeof(Chunk));
  for (Flow& flow : flows_.span()) flow = Flow{};
  counters_.flow_capacity.set(static_cast<std::int64_t>(capacity));
}

void FlowTable::set_limits(ServiceIndex service, const FlowLimits& limits) noexcept {
  for (std::size_t mark = 0; mark < kIdleClasses; ++mark) {
    const auto state = static_cast<FlowState>(mark & Flow::kStateBits);
    const std::uint32_t idle = limits.of(state, (mark & Flow::kOneWay) != 0, (mark & Flow::kSctp) != 0);
    idle_ms_[service * kIdleClasses + mark] = idle;
    least_idle_ms_ = std::min(least_idle_ms_, idle);
  }
}

Flow* FlowTable::find_in(const Lookup& lookup) noexcept {
  const std::uint8_t tag = tag_of(lookup.hash);
  std::size_t chunk = chunk_of(lookup.hash);
  // The bound is never reached while a chunk without overflow exists; it keeps the loop finite by itself.
  for (std::size_t seen = 0; seen < chunks_.size(); ++seen) {
    for (std::uint32_t hits = match(chunks_[chunk], tag); hits != 0; hits &= hits - 1) {
      Flow& flow = flows_[chunk * kChunkFlows + static_cast<std::size_t>(std::countr_zero(hits))];
      if (flow.has_key(lookup.key)) [[likely]]
        return &flow;
    }
    if (chunks_[chunk].overflow == 0) [[likely]]
      return nullptr;
    chunk = next_chunk(chunk);
  }
  return nullptr;
}

Flow* FlowTable::find(const FlowKey& key, Ms now) noexcept {
  Flow* flow = find_in({key.words(), hash(key.words())});
  if (flow == nullptr || !idle(*flow, now)) [[likely]]
    return flow;
  end_idle(*flow, now);
  return nullptr;
}

Flow* FlowTable::find_reply_in(const Lookup& lookup) noexcept {
  const std::size_t place =
      replies_.find(reply_hash(lookup.hash), [&](std::size_t at) { return flows_[at].has_reply_key(lookup.key); });
  return place == ReplyIndex::kNone ? nullptr : &flows_[place];
}

Flow* FlowTable::find_reply(const ReplyKey& key, Ms now) noexcept {
  settle(now);
  Flow* flow = find_reply_in({key.words(), hash(key.words())});
  if (flow == nullptr || !idle(*flow, now)) [[likely]]
    return flow;
  end_idle(*flow, now);
  return nullptr;
}

// Raises the overflow counts on the way to the free place. kNoPlace: a count is at its end (it takes thousands of full
// chunks in a row, so it is not reached in practice); nothing has changed then.
std::size_t FlowTable::take_place(std::uint64_t hash) noexcept {
  const std::size_t home = chunk_of(hash);
  std::size_t chunk = home;
  for (std::size_t seen = 0; seen < chunks_.size(); ++seen, chunk = next_chunk(chunk)) {
    const std::uint32_t free = match(chunks_[chunk], 0);
    if (free == 0) {
      if (chunks_[chunk].overflow == std::numeric_limits<std::uint16_t>::max()) return kNoPlace;
      continue;
    }
    for (std::size_t full = home; full != chunk; full = next_chunk(full)) ++chunks_[full].overflow;
    const auto slot = static_cast<std::size_t>(std::countr_zero(free));
    chunks_[chunk].tags[slot] = tag_of(hash);
    return chunk * kChunkFlows + slot;
  }
  return kNoPlace;
}

Flow* FlowTable::insert(const NewFlow& flow, Ms now) noexcept {
  if (full()) return nullptr;
  const std::size_t place = take_place(hash(flow.key.words()));
  if (place == kNoPlace) return nullptr;
  if (idle_ms_[flow.service * kIdleClasses] == 0) [[unlikely]]
    set_limits(flow.service, FlowLimits{});  // nothing was said of the service
  Flow& entry = flows_[place];
  entry = {.key = flow.key,
           .reply = {flow.reply.backend, flow.reply.backend_port, flow.reply.local_port, flow.reply.source},
           .service = flow.service,
           .backend = flow.backend,
           .last_seen = now};
  entry.set_state(flow.state);
  if (flow.one_way) entry.set(Flow::kOneWay);
  if (flow.key.proto == net::IpProto::kSctp) entry.set(Flow::kSctp);
  if (flow.reply.local_port != 0) {
    if (unsettled_count_ == kUnsettled) settle_all(now);
    __builtin_prefetch(replies_.line(reply_hash(hash(flow.reply.words()))), 1);
    unsettled_[unsettled_count_++] = static_cast<std::uint32_t>(place);
  }
  ++size_;
  count(entry, 1);
  if (is_open(flow.state)) counters_.tcp_flows_open.add(1);
  counters_.flows_created.add();
  return &entry;
}

void FlowTable::settle_all(Ms now) noexcept {
  const std::size_t count = std::exchange(unsettled_count_, 0);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t place = unsettled_[i];
    const auto words = flows_[place].reply_key().words();
    const std::uint64_t of_reply = hash(words);
    if (Flow* other = find_reply_in({words, of_reply})) {
      assert(other->is(Flow::kPortRests));
      remove(*other, now);
    }
    replies_.insert(reply_hash(of_reply), place);
  }
}

void FlowTable::remove(Flow& flow, Ms now) noexcept {
  settle(now);
  const auto place = static_cast<std::size_t>(&flow - flows_.data());
  const std::size_t chunk = place / kChunkFlows;
  if (flow.reply.local_port != 0) {
    replies_.remove(reply_hash(hash(flow.reply_key().words())), place);
    if (!flow.is(Flow::kPortRests)) give_port_back(flow, now);
  }
  for (std::size_t full = chunk_of(hash_of(flow)); full != chunk; full = next_chunk(full)) --chunks_[full].overflow;
  chunks_[chunk].tags[place % kChunkFlows] = 0;
  --size_;
  count(flow, -1);
  if (is_open(flow.state())) counters_.tcp_flows_open.add(-1);
  if (Destinations::is_number(flow.key.listener)) [[unlikely]]
    destinations_.release(flow.key.listener);
  flow = Flow{};  // matches no key: proto 0
}

void FlowTable::give_port_back(const Flow& flow, Ms now) noexcept {
  ports_.give_back(flow.reply.source, flow.key.proto, port_set_of(flow.key, flow.reply.endpoint()),
                   flow.reply.local_port, now);
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

namespace {

// Whether a reset of this flow may come from its sender. What we do not know yet counts as right.
bool plausible(const Flow& flow, Direction direction, const Segment& segment) noexcept {
  if (flow.is(Flow::kSctp)) {
    // RFC 9260 section 8.5.1: the receiver's own tag, or, with the T bit, that which it sends itself.
    if ((direction == Direction::kToBackend ? flow.client_next : flow.client_ack) == 0) return true;
    return segment.sequence == flow.client_next || segment.sequence == flow.client_ack;
  }
  if (flow.key.proto != net::IpProto::kTcp) return true;
  if (flow.state() == FlowState::kSynSent && direction == Direction::kToClient) {
    return (segment.flags & net::kTcpAck) != 0 &&
           segment.acknowledgment == flow.client_next;  // RFC 9293 section 3.10.7.3
  }
  if (direction == Direction::kToBackend) return plausible_sequence(segment.sequence, flow.client_next);
  return flow.state() == FlowState::kSynReceived || plausible_sequence(segment.sequence, flow.client_ack);
}

}  // namespace

void FlowTable::doubt(Flow& flow, std::uint32_t client_next, std::uint32_t client_ack) noexcept {
  if (plausible_sequence(client_next, flow.client_next)) {
    flow.client_next = client_next;
    flow.client_ack = client_ack;
  } else if (!flow.is(Flow::kOneWay) && flow.state() == FlowState::kEstablished) {
    flow.set_state(FlowState::kDoubted);
  }
}

// TCP outside kEstablished. The first segments say where the client's numbers begin.
void FlowTable::follow_client(Flow& flow, const Segment& segment) noexcept {
  const bool syn = (segment.flags & net::kTcpSyn) != 0;
  const std::uint32_t next = segment.end() + std::uint32_t{syn} + ((segment.flags & net::kTcpFin) != 0);
  const bool begins = flow.state() == FlowState::kSynSent && (syn || flow.client_next == 0);
  if (!begins) return doubt(flow, next, segment.acknowledgment);
  flow.client_next = next;
  flow.client_ack = segment.acknowledgment;
}

// While the association opens, INIT and INIT ACK say the tags. (Where only the client's packets come by, and after an
// association was begun anew on the same ports, which the backend's tag tells, the client's next packet does.)
void FlowTable::follow_tags(Flow& flow, Direction direction, const Segment& segment) noexcept {
  const bool opening = flow.state() == FlowState::kSynSent || flow.state() == FlowState::kSynReceived;
  const bool syn = (segment.flags & net::kTcpSyn) != 0;
  if (direction == Direction::kToBackend) {
    if (syn && opening) flow.client_ack = segment.acknowledgment;
    if (flow.client_next == 0) flow.client_next = segment.sequence;
  } else if (syn) {
    if (opening) flow.client_next = segment.acknowledgment;
  } else if (segment.sequence != 0 && segment.sequence != flow.client_ack) {
    flow.client_ack = segment.sequence;
    flow.client_next = 0;
  }
}

void FlowTable::advance(Flow& flow, Direction direction, const Segment& segment, Ms now) noexcept {
  const bool reset = (segment.flags & net::kTcpRst) != 0;
  if (reset && !plausible(flow, direction, segment)) {
    counters_.resets_implausible.add();
    return;
  }
  const bool tells = !reset && flow.key.proto == net::IpProto::kTcp;
  if (flow.is(Flow::kSctp) && !reset) follow_tags(flow, direction, segment);
  if (tells && direction == Direction::kToBackend) follow_client(flow, segment);
  if (tells && direction == Direction::kToClient && (segment.flags & net::kTcpAck) != 0) {
    // What the backend acknowledges is the client's, whatever was forged before.
    const bool answers = flow.state() == FlowState::kSynSent || flow.state() == FlowState::kSynReceived;
    if (answers || flow.state() == FlowState::kDoubted) flow.client_next = segment.acknowledgment;
    if (flow.state() == FlowState::kDoubted) flow.set_state(FlowState::kEstablished);
  }
  const FlowState state = flow.state();
  const FlowState next = next_state(state, segment.flags, direction, flow.is(Flow::kOneWay));
  if (next != state) {
    change_state(flow, next, now);
  } else if (state < FlowState::kClosed) {  // the end of a flow is not put off by what still comes
    flow.last_seen = now;
  }
}

void FlowTable::change_state(Flow& flow, FlowState next, Ms now) noexcept {
  counters_.tcp_flows_open.add(int{is_open(next)} - int{is_open(flow.state())});
  flow.set_state(next);
  flow.last_seen = now;
  if (next != FlowState::kClosed) return;
  counters_.flows_closed.add();
  if (flow.reply.local_port == 0) return;
  // The flow stays to forward what is still on the way; its port may begin its rest.
  give_port_back(flow, now);
  flow.set(Flow::kPortRests);
  counters_.nat_ports_used.set(static_cast<std::int64_t>(ports_.stats().taken));
}

void FlowTable::end_idle(Flow& flow, Ms now) noexcept {
  if (flow.state() != FlowState::kClosed) counters_.flows_expired.add();
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
