#include "core.h"

#include <algorithm>
#include <memory>
#include <new>

namespace sluice::tcp {

Core::Core(const StackConfig& config, PacketSink& sink, Instant now)
    : config_(config),
      sink_(sink),
      now_(now),
      hash_(config.secret),
      table_(config.max_connections + std::size_t{1}),
      blocks_(config.max_connections + std::size_t{1}),
      slots_(config.max_connections + std::size_t{1}),
      sending_(config.max_connections + std::size_t{1}),
      pool_(config.buffer_memory),
      wheel_(now),
      time_wait_(config.max_time_wait, hash_),
      time_wait_timer_(&Core::fire_time_wait, this),
      sources_(config.max_connections, hash_),
      paths_(hash_),
      listener_table_(kMaxListeners),
      cookies_(config.secret),
      max_half_open_(std::max(std::min(config.max_connections, pool_.size()) / kHalfOpenShare, 1u)),
      max_rx_blocks_(static_cast<std::uint32_t>(std::max(config.rx_buffer / kBlockSize, std::size_t{kMinRxBlocks}))),
      max_tx_blocks_(static_cast<std::uint32_t>(std::max(config.tx_buffer / kBlockSize, std::size_t{1}))) {
  constexpr std::uint32_t kMostBlocks = 0xffff;  // what the queues' 16-bit counts hold: 256 MiB a connection
  max_rx_blocks_ = std::min(max_rx_blocks_, kMostBlocks);
  max_tx_blocks_ = std::min(max_tx_blocks_, kMostBlocks);
  while (rcv_shift_ < kMaxWindowScale &&
         (std::uint64_t{0x10000} << rcv_shift_) < std::uint64_t{max_rx_blocks_} * kBlockSize) {
    ++rcv_shift_;
  }
  set_now(now);
}

Core::~Core() {
  for (ConnIndex i = 1; i < fresh_; ++i) {
    if (is_live(slots_[i].generation)) std::destroy_at(&conn(i));
  }
}

void Core::set_now(Instant now) noexcept {
  now_ = std::max(now_, now);
  now_ms_ = ticks(now_.time_since_epoch());
  now_us_ = static_cast<std::uint32_t>(now_.time_since_epoch().count() / 1000);
}

const StackStats& Core::stats() const noexcept {
  stats_.time_wait = time_wait_.size();
  stats_.buffer_bytes = std::size_t{pool_.used()} * kBlockSize;
  stats_.promised_bytes = std::size_t{pool_.promised()} * kBlockSize;
  return stats_;
}

// --- lists ---

void Core::push(ListId id, Connection& c) noexcept {
  const auto which = static_cast<std::size_t>(id);
  const auto bit = static_cast<std::uint8_t>(1u << which);
  if ((c.lists_ & bit) != 0) return;
  c.lists_ = static_cast<std::uint8_t>(c.lists_ | bit);
  append(lists_[which], which, c);
}

void Core::remove(ListId id, Connection& c) noexcept {
  const auto which = static_cast<std::size_t>(id);
  const auto bit = static_cast<std::uint8_t>(1u << which);
  if ((c.lists_ & bit) == 0) return;
  c.lists_ = static_cast<std::uint8_t>(c.lists_ & ~bit);
  unlink(lists_[which], which, c);
}

void Core::append(ConnList& l, std::size_t which, Connection& c) noexcept {
  c.link(which) = {l.tail_, kNoConn};
  if (l.tail_ == kNoConn) {
    l.head_ = c.index_;
  } else {
    conn(l.tail_).link(which).next = c.index_;
  }
  l.tail_ = c.index_;
  ++l.size_;
}

void Core::unlink(ConnList& l, std::size_t which, Connection& c) noexcept {
  const ListLink link = c.link(which);
  (link.previous == kNoConn ? l.head_ : conn(link.previous).link(which).next) = link.next;
  (link.next == kNoConn ? l.tail_ : conn(link.next).link(which).previous) = link.previous;
  --l.size_;
}

// --- connections come and go ---

Connection* Core::find(const FourTuple& tuple, std::uint32_t hash) noexcept {
  const ConnIndex index = table_.find(hash, [&](ConnIndex at) { return conn(at).tuple_ == tuple; });
  return index == kNoConn ? nullptr : &conn(index);
}

Connection* Core::allocate(const FourTuple& tuple, std::uint32_t hash) noexcept {
  ConnIndex index = free_list_;
  if (index != kNoConn) {
    free_list_ = slots_[index].link;
  } else if (fresh_ <= config_.max_connections) {
    index = fresh_++;
  } else {
    ++stats_.no_memory;
    return nullptr;
  }
  ++slots_[index].generation;
  slots_[index].link = 0;
  auto* c = new (blocks_[index].bytes) Connection(*this, index, slots_[index].generation);
  c->tuple_ = tuple;
  c->hash_ = hash;
  table_.insert(hash, index);
  ++stats_.connections;
  return c;
}

void Core::leave_network(Connection& c) noexcept {
  if (c.state_ == State::kDone) return;
  table_.erase(c.hash_, c.index_);
  c.timer_.cancel();
  remove(ListId::kOutput, c);
  remove(ListId::kStarved, c);
  if (c.state_ == State::kSynReceived) leave_half_open(c);
  drop_pending(c);
  if (std::uint32_t& source = slots_[c.index_].link; source != 0) sources_.remove(std::exchange(source, 0));
  if (c.syn_acked()) sending(c).board.clear(pool_);
  c.state_ = State::kDone;
  c.tx_.clear(pool_);
  c.rx_.shrink_quota(pool_, 0);
}

void Core::destroy(Connection& c) noexcept {
  leave_network(c);
  remove(ListId::kReady, c);
  c.rx_.clear(pool_);
  const ConnIndex index = c.index_;
  std::destroy_at(&c);
  ++slots_[index].generation;
  slots_[index].link = free_list_;
  free_list_ = index;
  --stats_.connections;
}

void Core::finish(Connection& c, StreamError error) noexcept {
  leave_network(c);
  if (c.released_ || !c.accepted_) return destroy(c);
  c.error_ = error;
  if (error != StreamError::kNone) add_event(c, StreamEvents::kClosed);
}

// RFC 9293 section 3.3.2. The application may still hold the connection, to read what was received.
void Core::enter_time_wait(Connection& c) noexcept {
  TimeWaitRecord record{};
  record.tuple = c.tuple_;
  record.snd_nxt = c.snd_max_;
  record.rcv_nxt = c.rcv_nxt_;
  record.ts_recent = c.ts_recent_;
  record.ts_on = c.ts_on_;
  record.window = static_cast<std::uint16_t>(c.rcv_window() >> c.rcv_shift_);
  record.answered = half_second(now_ms_ - kChallengeInterval);
  if (time_wait_.is_full()) ++stats_.time_wait_evicted;
  time_wait_.add(record, now_ms_);
  arm_time_wait();
  finish(c, StreamError::kNone);
}

// --- listeners ---

Result<void> Core::listen(const net::Endpoint& local, const ListenOptions& options, Acceptor& acceptor) {
  if (local.port == 0) return fail("listen on " + local.text() + ": port 0 names no port");
  if (local.address.is_unspecified() || local.address == net::IpAddress::v4(Be32(0))) {
    return fail("listen on " + local.text() + ": an address is needed, there is no wildcard");
  }
  if (local.address.is_multicast())
    return fail("listen on " + local.text() + ": a multicast address cannot accept connections");
  Listener* slot = nullptr;
  for (Listener& l : listeners_) {
    if (l.acceptor != nullptr && l.local == local) return fail("listen on " + local.text() + ": already listening");
    if (l.acceptor == nullptr) slot = &l;
  }
  if (slot == nullptr) {
    if (listeners_.size() == kMaxListeners) return fail("listen on " + local.text() + ": too many listeners");
    slot = &listeners_.emplace_back();
  }
  const auto generation = static_cast<std::uint16_t>(slot->generation + 1);
  *slot = Listener{.local = local, .acceptor = &acceptor, .options = options, .generation = generation};
  slot->options.half_open = std::min(options.half_open, options.backlog / 2);
  listener_table_.insert(listener_hash(local), static_cast<std::uint32_t>(slot - listeners_.data()) + 1);
  return {};
}

// Connections that were not accepted yet are reset when their next segment or timer comes, or at the next dispatch().
void Core::unlisten(const net::Endpoint& local) noexcept {
  Listener* l = find_listener(local);
  if (l == nullptr) return;
  l->acceptor = nullptr;
  listener_table_.erase(listener_hash(local), static_cast<std::uint32_t>(l - listeners_.data()) + 1);
}

Listener* Core::find_listener(const net::Endpoint& local) noexcept {
  const std::uint32_t index =
      listener_table_.find(listener_hash(local), [&](std::uint32_t at) { return listeners_[at - 1].local == local; });
  return index == 0 ? nullptr : &listeners_[index - 1];
}

Listener* Core::listener_of(const Connection& c) noexcept {
  Listener& l = listeners_[c.listener_];
  return l.acceptor != nullptr && l.generation == c.listener_generation_ ? &l : nullptr;
}

void Core::drop_pending(Connection& c) noexcept {
  if (!c.passive_ || c.accepted_) return;
  if (Listener* l = listener_of(c); l != nullptr) --l->pending;
}

void Core::enter_half_open(Connection& c) noexcept {
  c.state_ = State::kSynReceived;
  ++stats_.half_open;
  if (c.passive_) append(listener_of(c)->half_open, kHalfOpenLink, c);
}

// The list of a listener that was closed is gone with it; nobody follows its links any more.
void Core::leave_half_open(Connection& c) noexcept {
  --stats_.half_open;
  if (!c.passive_) return;
  if (Listener* l = listener_of(c); l != nullptr) unlink(l->half_open, kHalfOpenLink, c);
}

// --- connect ---

Conn* Core::connect(const net::Endpoint& local, const net::Endpoint& remote, StreamHandler& handler, Instant now,
                    Duration timeout, const ConnOptions& options) noexcept {
  set_now(now);
  const FourTuple tuple{local, remote};
  const std::uint32_t hash = hash_(tuple);
  if (local.port == 0 || remote.port == 0 || local.address.is_v4() != remote.address.is_v4()) return nullptr;
  if (!is_free(local, remote)) return nullptr;
  TimeWaitRecord* old = time_wait_.find(tuple, hash);
  Connection* c = allocate(tuple, hash);
  if (c == nullptr) return nullptr;
  set_options(*c, options);
  c->state_ = State::kSynSent;
  c->accepted_ = true;
  c->handler_ = &handler;
  if (!grant_window(*c, false)) {
    ++stats_.no_memory;
    destroy(*c);
    return nullptr;
  }
  start_sequence(*c, old);
  if (old != nullptr) time_wait_.remove(*old);
  c->ts_on_ = c->sack_on_ = true;  // offered; taken back when the peer does not answer with it
  c->rcv_shift_ = rcv_shift_ & 0xf;
  c->ecn_send_ = c->ecn_receive_ = options.ecn == Ecn::kOn;  // so too
  c->end_deadline_ = now_ms_ + ticks(timeout > Duration::zero() ? timeout : config_.connect_timeout);
  bring_forward(*c, c->end_deadline_);
  push(ListId::kOutput, *c);
  return c;
}

// RFC 6191 section 2 for our own side: with timestamps, a peer can tell a new connection from the old one once our
// clock has moved on; a second is what Linux asks for.
bool Core::is_free(const net::Endpoint& local, const net::Endpoint& remote) const noexcept {
  const FourTuple tuple{local, remote};
  const std::uint32_t hash = hash_(tuple);
  if (table_.find(hash, [&](ConnIndex at) { return conn(at).tuple_ == tuple; }) != kNoConn) return false;
  const TimeWaitRecord* old = time_wait_.find(tuple, hash);
  if (old == nullptr) return true;
  constexpr Ticks kReuseAfter = 1000;
  return old->ts_on && reached(now_ms_, old->expires - TimeWaitTable::kDuration + kReuseAfter);
}

// --- up-calls ---

void Core::add_event(Connection& c, StreamEvents events) noexcept {
  if (c.released_) return;
  c.events_ |= events;
  if (!c.accepted_ || c.handler_ == nullptr) return;
  __builtin_prefetch(c.handler_);  // dispatch() comes soon
  push(ListId::kReady, c);
}

void Core::deliver_accept(Connection& c) noexcept {
  Listener* l = listener_of(c);
  if (l == nullptr) return c.abort();
  drop_pending(c);
  c.accepted_ = true;
  ++stats_.accepted;
  const ConnIndex index = c.index_;
  const std::uint32_t generation = c.generation_;
  l->acceptor->on_accept(c);
  // Neither taken nor aborted: nobody would ever close it.
  if (slots_[index].generation == generation && !c.released_ && c.handler_ == nullptr) c.abort();
}

// Blocks have come back: those whose write fell short for want of one may try again.
void Core::feed_starved() noexcept {
  ConnList& starved = list(ListId::kStarved);
  while (!starved.empty() && pool_.available() > starved.size() / 4) {
    Connection& c = conn(starved.front());
    remove(ListId::kStarved, c);
    if (!c.want_write_) continue;
    c.want_write_ = false;
    add_event(c, StreamEvents::kWritable);
  }
}

std::size_t Core::dispatch() noexcept {
  feed_starved();
  ConnList& ready = list(ListId::kReady);
  std::size_t calls = 0;
  // What becomes ready meanwhile waits for the next dispatch(), so that handlers that feed each other cannot keep us
  // here.
  for (std::uint32_t left = ready.size(); left > 0 && !ready.empty(); --left) {
    Connection& c = conn(ready.front());
    remove(ListId::kReady, c);
    ++calls;
    if (!c.accepted_) {
      const std::uint32_t before = ready.size();
      deliver_accept(c);
      if (ready.size() > before) ++left;  // it came with data: deliver in the same turn
      continue;
    }
    const StreamEvents events = std::exchange(c.events_, StreamEvents::kNone);
    if (events != StreamEvents::kNone && c.handler_ != nullptr) c.handler_->on_stream(events);
    // c may be gone here.
  }
  return calls;
}

// --- turns of the loop ---

void Core::advance(Instant now) noexcept {
  set_now(now);
  wheel_.advance(now_);
}

void Core::flush(Instant now) noexcept {
  set_now(now);
  sink_full_ = false;
  ConnList& output = list(ListId::kOutput);
  for (std::uint32_t left = output.size(); left > 0 && !output.empty(); --left) {
    Connection& c = conn(output.front());
    remove(ListId::kOutput, c);
    if (transmit(c)) continue;
    push(ListId::kOutput, c);
    return;  // the others would not fare better
  }
}

std::optional<Instant> Core::next_deadline() const noexcept {
  if (!lists_[static_cast<std::size_t>(ListId::kReady)].empty()) return now_;
  if (!lists_[static_cast<std::size_t>(ListId::kOutput)].empty()) {
    return sink_full_ ? now_ + std::chrono::milliseconds(1) : now_;
  }
  return wheel_.next_deadline();
}

}  // namespace sluice::tcp
