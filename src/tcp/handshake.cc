#include <algorithm>

#include "core.h"

namespace sluice::tcp {

std::uint64_t Core::keyed(const FourTuple& tuple) const noexcept {
  return siphash24(config_.secret, {reinterpret_cast<const std::uint8_t*>(&tuple), sizeof(FourTuple)});
}

// RFC 6528: a 4 microsecond clock plus a keyed hash of the tuple. The timestamp clock gets an offset of the same kind,
// the same for every connection of a tuple, so that it never runs backwards for the peer (RFC 7323 section 5.4).
void Core::start_sequence(Connection& c, const TimeWaitRecord* old) noexcept {
  const std::uint64_t offset = keyed(c.tuple_);
  const auto clock = static_cast<std::uint32_t>(now_.time_since_epoch().count() / 4000);
  Seq iss = clock + static_cast<std::uint32_t>(offset);
  if (old != nullptr && seq_le(iss, old->snd_nxt)) iss = old->snd_nxt + 0x10000;  // RFC 6191 section 2
  c.ts_offset_ = static_cast<std::uint32_t>(offset >> 32);
  start_at(c, iss);
}

void Core::start_at(Connection& c, Seq iss) noexcept {
  c.iss_ = iss;
  c.snd_una_ = c.snd_max_ = c.iss_;
  c.rto_ = kInitialRto;
  c.quick_acks_ = kQuickAcks;
  c.last_rx_ = c.last_tx_ = c.progress_ = now_ms_;
  c.last_challenge_ = now_ms_ - kChallengeInterval;
}

// A new window is a promise of memory: the fuller the pool, the smaller it is. At seven eighths, or when half of the
// reserve is gone, there is none but for connections that we open: those that are there come first.
bool Core::grant_window(Connection& c, bool cautious) noexcept {
  const std::uint32_t promised = pool_.promised();
  std::uint32_t blocks = kInitialRxBlocks;
  if (promised > pool_.size() / 8) blocks /= 2;
  if (promised > pool_.size() / 4) blocks /= 2;
  if (cautious || promised > pool_.size() / 2 || pool_.available() < reserve()) blocks = kMinRxBlocks;
  if (c.passive_ && (promised + blocks > pool_.size() / 8 * 7 || pool_.available() < reserve() / 2 + blocks)) {
    return false;
  }
  return c.rx_.grow_quota(pool_, std::min(blocks, max_rx_blocks_));
}

Connection* Core::allocate_passive(Listener& listener, const FourTuple& tuple, std::uint32_t hash) noexcept {
  Connection* c = allocate(tuple, hash);
  if (c == nullptr) return nullptr;
  c->passive_ = true;
  set_options(*c, listener.options.connection);
  c->listener_ = static_cast<std::uint16_t>(&listener - listeners_.data());
  c->listener_generation_ = listener.generation;
  ++listener.pending;
  return c;
}

void Core::set_options(Connection& c, const ConnOptions& options) noexcept {
  c.congestion_control_ = options.congestion;
  c.initial_window_ = std::max(options.initial_window, std::uint8_t{1});
  c.keepalive_idle_ = options.keepalive_idle > Duration::zero() ? ticks(options.keepalive_idle) : 0;
}

// RFC 6928 section 2, which has ten segments: large ones count for more.
std::uint32_t Core::initial_window(const Connection& c) noexcept {
  constexpr std::uint32_t kSegment = 1460;
  return std::min(c.initial_window_ * std::uint32_t{c.mss_}, std::max(2u * c.mss_, c.initial_window_ * kSegment));
}

// RFC 9293 section 3.10.7.2. `old` is a TIME_WAIT record of the tuple, which this SYN has been found to supersede.
void Core::input_listen(Listener& listener, const Segment& s, std::uint32_t hash, TimeWaitRecord* old) noexcept {
  if (listener.pending >= listener.options.backlog) {
    ++stats_.listen_overflow;
    return;
  }
  if (wants_cookie(listener)) {
    if (old != nullptr) time_wait_.remove(*old);
    return send_cookie(listener, s);
  }
  // The rest is for connections that we open: a flood of clients must not make backends look dead.
  if (is_full()) {
    ++stats_.no_memory;
    return;
  }
  Connection* c = allocate_passive(listener, s.tuple, hash);
  if (c == nullptr) return;
  if (!grant_window(*c, listener.half_open.size() >= kCautiousHalfOpen)) {
    destroy(*c);
    if (!listener.half_open.empty()) return send_cookie(listener, s);
    ++stats_.no_memory;
    return;
  }
  enter_half_open(*c);
  start_sequence(*c, old);
  if (old != nullptr) time_wait_.remove(*old);
  c->irs_ = s.seq;
  c->rcv_nxt_ = c->rcv_adv_ = c->last_ack_sent_ = s.seq + 1;
  c->ts_on_ = s.options.has_timestamp;
  c->sack_on_ = s.options.sack_permitted;
  if (s.options.has_window_scale) c->rcv_shift_ = rcv_shift_ & 0xf;
  c->ecn_send_ = c->ecn_receive_ = listener.options.connection.ecn != Ecn::kOff;
  take_ecn_setup(*c, s);
  take_syn_options(*c, s);
  push(ListId::kOutput, *c);
}

// Options count only in a SYN (RFC 9293 section 3.7.1, RFC 7323 section 2.2). Both sides must offer scale and
// timestamps.
void Core::take_syn_options(Connection& c, const Segment& s) noexcept {
  constexpr std::uint16_t kMinMss = 88;  // smaller ones are only seen in attacks that make us send headers
  std::uint16_t mss = std::max(std::min(peer_mss(s), own_mss(c.tuple_)), kMinMss);
  if (s.options.has_window_scale) {
    c.snd_shift_ = s.options.window_scale & 0xf;
  } else {
    c.rcv_shift_ = 0;
  }
  c.sack_on_ = c.sack_on_ && s.options.sack_permitted;
  c.ts_on_ = c.ts_on_ && s.options.has_timestamp;
  if (c.ts_on_) {
    mss = static_cast<std::uint16_t>(mss - kTimestampOptionLen);  // RFC 6691: the options are taken from the payload
    c.ts_recent_ = s.options.ts_value;
    c.ts_recent_at_ = now_ms_;
  }
  c.mss_ = mss;
  start_path(c);
  c.rx_round_end_ = c.rcv_nxt_ + c.rx_.window() / 2;
}

// RFC 9293 section 3.10.7.3.
void Core::input_syn_sent(Connection& c, Segment& s) noexcept {
  const bool acks_our_syn = s.has(kTcpAck) && seq_gt(s.ack, c.iss_) && seq_le(s.ack, c.snd_max_);
  if (s.has(kTcpAck) && !acks_our_syn) {
    if (!s.has(kTcpRst)) send_rst_for(s);
    return;
  }
  if (s.has(kTcpRst)) {
    if (!acks_our_syn) return;
    ++stats_.resets_in;
    ++stats_.refused;
    return finish(c, StreamError::kRefused);
  }
  if (!s.has(kTcpSyn)) return;
  c.irs_ = s.seq;
  c.rcv_nxt_ = c.last_ack_sent_ = s.seq + 1;
  c.rcv_adv_ = c.rcv_nxt_ + std::min<std::uint32_t>(c.rx_.window(), 0xffff);  // as our SYN advertised it
  take_ecn_setup(c, s);
  take_syn_options(c, s);
  if (acks_our_syn) {
    sample_rtt(c, s);
    establish(c, s);
    c.ack_now_ = true;
  } else {  // simultaneous open
    enter_half_open(c);
    send_syn(c);
  }
}

bool Core::admit_source(const Listener& listener, const net::IpAddress& client, std::uint32_t& record) noexcept {
  const ListenOptions& options = listener.options;
  if (options.source_connections == 0) return true;
  const net::IpAddress source = net::masked(client, options.source_prefix4, options.source_prefix6);
  record = sources_.add(source, options.service, options.source_connections);
  if (record != 0) return true;
  ++stats_.source_refused;
  return false;
}

// RFC 9293 section 3.10.7.4, fifth check, SYN-RECEIVED. False: the segment is dealt with.
bool Core::complete_handshake(Connection& c, const Segment& s) noexcept {
  if (seq_le(s.ack, c.snd_una_) || seq_gt(s.ack, c.snd_max_)) {
    send_rst_for(s);
    return false;
  }
  Listener* listener = c.passive_ ? listener_of(c) : nullptr;
  const auto admitted = [&] { return admit_source(*listener, c.tuple_.remote.address, slots_[c.index_].link); };
  if (c.passive_ && (listener == nullptr || !admitted())) {  // closed meanwhile, or one too many
    reset(c);
    destroy(c);
    return false;
  }
  leave_half_open(c);
  sample_rtt(c, s);
  establish(c, s);
  return true;
}

void Core::establish(Connection& c, const Segment& s) noexcept {
  const bool syn_lost = c.backoff_ > 0;
  if (syn_lost && c.srtt_ == 0) c.rto_ = kRtoAfterSynLoss;
  c.min_rtt_us_ = c.min_rtt_us_ != 0 && !syn_lost ? std::max(now_us_ - c.min_rtt_us_, 1u) : 0;  // Karn's algorithm
  c.rx_round_start_us_ = now_us_;
  Sending& tx = sending(c) = Sending{};
  // RFC 5681 section 3.1: one segment after a lost SYN.
  start_window(tx.congestion, c.congestion_control_, syn_lost ? c.mss_ : initial_window(c), c.iss_ + 1);
  tx.recover = tx.rack.highest = c.iss_;
  tx.undone_at = now_ms_ - kRtoAfterSynLoss;
  c.state_ = State::kEstablished;
  if (c.ecn_send_) ++stats_.ecn_connections;
  c.backoff_ = 0;
  c.rtx_on_ = false;
  c.snd_una_ = c.iss_ + 1;
  c.snd_wnd_ = s.has(kTcpSyn) ? s.window : static_cast<std::uint32_t>(s.window) << c.snd_shift_;
  c.max_snd_wnd_ = c.snd_wnd_;
  c.snd_wl1_ = s.seq;
  c.snd_wl2_ = s.ack;
  c.last_rx_ = c.progress_ = now_ms_;
  if (c.passive_) {
    (void)grant_window(c, false);  // it may have had the small one of a half-open connection
    push(ListId::kReady, c);
  } else {
    ++stats_.connected;
    add_event(c, StreamEvents::kConnected);
  }
  if (c.fin_queued_) c.state_ = State::kFinWait1;
  push(ListId::kOutput, c);
  arm(c);
}

}  // namespace sluice::tcp
