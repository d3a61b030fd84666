#include <algorithm>

#include "congestion.h"
#include "core.h"

namespace sluice::tcp {

// RFC 9293 section 3.10.7.4, fifth check, from ESTABLISHED on. False: drop the segment, or the connection has ended.
bool Core::process_ack(Connection& c, const Segment& s) noexcept {
  // RFC 5961 section 5.2: neither of data never sent, nor older than what the peer can have been waiting with.
  if (seq_gt(s.ack, c.snd_max_) || seq_lt(s.ack, c.snd_una_ - c.max_snd_wnd_)) {
    ++stats_.bad_ack;
    send_challenge(c);
    return false;
  }
  if (seq_lt(s.ack, c.snd_una_)) return true;  // old, but its data may be new
  const std::uint32_t window = static_cast<std::uint32_t>(s.window) << c.snd_shift_;
  const bool same_window = window == c.snd_wnd_;
  if (seq_lt(c.snd_wl1_, s.seq) || (c.snd_wl1_ == s.seq && seq_le(c.snd_wl2_, s.ack))) {
    c.snd_wnd_ = window;
    c.snd_wl1_ = s.seq;
    c.snd_wl2_ = s.ack;
    c.max_snd_wnd_ = std::max(c.max_snd_wnd_, window);
    if (!same_window || c.probing_) push(ListId::kOutput, c);
  }
  if (seq_gt(s.ack, c.snd_una_)) {
    take_new_ack(c, s);
    if (c.fin_queued_ && !c.outstanding() && c.tx_.bytes() == 0 && c.fin_sent_) return our_fin_acked(c);
  } else if (s.payload.empty() && !s.has(kTcpFin) && same_window && c.outstanding()) {
    take_duplicate_ack(c);  // the definition of RFC 5681 section 2
  }
  return true;
}

void Core::release_acked(Connection& c, Seq ack) noexcept {
  const std::uint32_t data = std::min(ack - c.snd_una_, c.tx_.bytes());  // the rest is our FIN
  c.tx_.release(pool_, data);
  c.snd_una_ = ack;
  if (seq_lt(c.snd_nxt_, ack)) {  // after a timeout: the peer had more than we thought
    c.snd_nxt_ = ack;
    c.tx_.rewind(pool_);
  }
}

void Core::take_new_ack(Connection& c, const Segment& s) noexcept {
  Congestion& cc = c.congestion_;
  const std::uint32_t acked = s.ack - c.snd_una_;
  const std::uint32_t flight = c.snd_max_ - c.snd_una_;
  stats_.bytes_out += std::min(acked, c.tx_.bytes());
  const bool sampled = sample_rtt(c, s);
  release_acked(c, s.ack);
  c.progress_ = now_ms_;
  // Karn's algorithm: the backed-off timeout stands until something that was sent once is acknowledged.
  if (sampled || seq_gt(s.ack, cc.recover)) c.backoff_ = 0;
  if (!cc.in_recovery) {
    cc.duplicate_acks = 0;
    grow_window(cc, acked, flight, c.mss_);
  } else if (seq_ge(s.ack, cc.recover)) {
    leave_recovery(cc, c.snd_max_ - c.snd_una_, c.mss_);
  } else {
    take_partial_ack(cc, acked, c.mss_);
    retransmit_first(c);
  }
  if (c.outstanding()) {
    start_rtx(c);  // RFC 6298 section 5.3
  } else {
    c.rtx_on_ = false;  // section 5.2
  }
  if (c.want_write_ && c.tx_.blocks() <= max_tx_blocks(c) / 2) {
    c.want_write_ = false;
    add_event(c, StreamEvents::kWritable);
  }
  push(ListId::kOutput, c);
}

void Core::take_duplicate_ack(Connection& c) noexcept {
  Congestion& cc = c.congestion_;
  ++stats_.duplicate_acks;
  if (cc.in_recovery) {  // RFC 5681 section 3.2 step 4: another segment has left the network
    cc.window += c.mss_;
    push(ListId::kOutput, c);
    return;
  }
  if (cc.duplicate_acks < 0xff) ++cc.duplicate_acks;
  if (cc.duplicate_acks < kDuplicateAcks) {  // limited transmit (RFC 3042): send_data() counts duplicate_acks
    push(ListId::kOutput, c);
    return;
  }
  // RFC 6582 section 3.2 step 2: duplicates of what was sent again after a timeout do not count.
  if (cc.duplicate_acks != kDuplicateAcks || seq_le(c.snd_una_, cc.recover)) return;
  enter_recovery(cc, c.snd_max_ - c.snd_una_, c.snd_max_, c.mss_);
  c.rtt_timing_ = false;
  ++stats_.fast_retransmits;
  retransmit_first(c);
  start_rtx(c);
  push(ListId::kOutput, c);
}

// RFC 7323 section 4.1 with timestamps; else one segment at a time (RFC 6298 section 3).
bool Core::sample_rtt(Connection& c, const Segment& s) noexcept {
  if (c.ts_on_ && s.options.has_timestamp && s.options.ts_echo != 0) {
    const Ticks rtt = now_ms_ + c.ts_offset_ - s.options.ts_echo;
    if (rtt > kMaxRto) return false;  // not an echo of ours
    add_rtt_sample(c, rtt);
    return true;
  }
  if (!c.rtt_timing_ || seq_le(s.ack, c.rtt_seq_)) return false;
  c.rtt_timing_ = false;
  add_rtt_sample(c, now_ms_ - c.rtt_start_);
  return true;
}

// RFC 6298 section 2: the clock's granularity is a millisecond.
void Core::add_rtt_sample(Connection& c, Ticks rtt) noexcept {
  rtt = std::max<Ticks>(rtt, 1);
  if (c.srtt_ == 0) {
    c.srtt_ = rtt * 8;
    c.rttvar_ = rtt * 2;  // rtt / 2, in quarters
  } else {
    const std::uint32_t smoothed = c.srtt_ / 8;
    const std::uint32_t deviation = smoothed > rtt ? smoothed - rtt : rtt - smoothed;
    c.rttvar_ = c.rttvar_ - c.rttvar_ / 4 + deviation;
    c.srtt_ = c.srtt_ - c.srtt_ / 8 + rtt;
  }
  c.rto_ = std::clamp(c.srtt_ / 8 + std::max<Ticks>(c.rttvar_, 1), kMinRto, kMaxRto);
}

// RFC 9293 section 3.10.7.4: FIN-WAIT-1, CLOSING, LAST-ACK. False: the connection has left the network.
bool Core::our_fin_acked(Connection& c) noexcept {
  switch (c.state_) {
    case State::kFinWait1:
      c.state_ = State::kFinWait2;
      return true;
    case State::kClosing:
      enter_time_wait(c);
      return false;
    case State::kLastAck:
      finish(c, StreamError::kNone);
      return false;
    default:
      return true;
  }
}

}  // namespace sluice::tcp
