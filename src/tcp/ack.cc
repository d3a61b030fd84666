#include <algorithm>

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
  const bool advances = seq_gt(s.ack, c.snd_una_);
  bool duplicate = false;
  if (seq_ge(s.ack, c.snd_una_)) {  // an old one's window and SACKs may be older than what we know
    const std::uint32_t window = static_cast<std::uint32_t>(s.window) << c.snd_shift_;
    const bool same_window = window == c.snd_wnd_;
    // A new acknowledgment brings its window also when what it came with was sent again, which RFC 9293 leaves out: the edge
    // would move on with the acknowledgment.
    if (advances || seq_lt(c.snd_wl1_, s.seq) || (c.snd_wl1_ == s.seq && seq_le(c.snd_wl2_, s.ack))) {
      c.snd_wnd_ = window;
      c.snd_wl1_ = s.seq;
      c.snd_wl2_ = s.ack;
      c.max_snd_wnd_ = std::max(c.max_snd_wnd_, window);
      if (!same_window || c.probing_) push(ListId::kOutput, c);
    }
    // The definition of RFC 5681 section 2; with SACK it is what the blocks say that counts.
    duplicate = !advances && s.payload.empty() && !s.has(kTcpFin) && same_window;
  }
  // With nothing on its way only a DSACK has something to say: that something came twice.
  const bool has_sack = c.sack_on_ && s.options.sack_count != 0;
  if (!has_sack && !(c.outstanding() && (advances || duplicate))) return true;
  take_ack(c, s, duplicate);
  return !advances || !c.fin_sent_ || c.outstanding() || our_fin_acked(c);
}

// What has been delivered, what is lost, and what that does to the window.
void Core::take_ack(Connection& c, const Segment& s, bool duplicate) noexcept {
  Sending& tx = sending(c);
  AckNews news{.flight = c.flight()};
  if (c.ts_on_ && s.options.ts_echo != 0) news.echo_age_us = (now_ms_ + c.ts_offset_ - s.options.ts_echo) * 1000;
  if (seq_gt(s.ack, c.snd_una_)) take_new_ack(c, tx, s, news);
  if (c.sack_on_ && s.options.sack_count != 0) take_sacks(c, tx, s, news);
  if (news.acked == 0 && (news.delivered != 0 || (duplicate && !c.sack_on_))) {
    ++stats_.duplicate_acks;
    if (!c.sack_on_) news.delivered += take_duplicate(c, tx);
  }
  widen_reordering_window(c, tx, news.dsack);
  news.marked = c.ecn_send_ && s.has(kTcpEce);
  const bool undone = try_undo(c, tx, s, news);
  news.found_losses = find_losses(c, tx, news.acked != 0);
  news.probe_repaired = has_probe_repaired(tx, s, news, duplicate);
  if (!undone || news.found_losses) adapt_window(c, tx, news);
  schedule_probe(c, tx);
  check_books(c, tx);
  push(ListId::kOutput, c);
}

void Core::take_new_ack(Connection& c, Sending& tx, const Segment& s, AckNews& news) noexcept {
  const std::uint32_t acked = s.ack - c.snd_una_;
  stats_.bytes_out += std::min(acked, c.tx_.bytes());
  const bool sampled = sample_rtt(c, s);
  const std::uint32_t sacked = tx.board.sacked_bytes();
  std::uint32_t segments = 0;
  tx.board.release(pool_, s.ack, [&](const SentSegment& segment) {
    ++segments;
    if (segment.fate != Fate::kSacked) arrived(c, tx, segment, news);
  });
  std::uint32_t delivered = acked - (sacked - tx.board.sacked_bytes());
  c.tx_.release(pool_, std::min(acked, c.tx_.bytes()));  // the rest is our FIN
  c.snd_una_ = s.ack;
  c.progress_ = now_ms_;
  if (tx.duplicates != 0) {  // of these segments all but the first have caused a duplicate acknowledgment
    const std::uint32_t told =
        tx.phase == Phase::kRecovery ? std::min(tx.duplicates, segments - std::min(segments, 1u)) : tx.duplicates;
    tx.duplicates -= told;
    delivered -= static_cast<std::uint32_t>(std::min<std::uint64_t>(delivered, std::uint64_t{told} * c.mss_));
  }
  // Karn's algorithm: the backed-off timeout stands until something that was sent once is acknowledged.
  if (sampled || seq_gt(s.ack, tx.recover)) c.backoff_ = 0;
  if (c.outstanding()) {
    start_rtx(c);  // RFC 6298 section 5.3
  } else {
    c.rtx_on_ = false;  // section 5.2
  }
  if (c.want_write_ && c.tx_.blocks() <= max_tx_blocks(c) / 2) {
    c.want_write_ = false;
    add_event(c, StreamEvents::kWritable);
  }
  news.acked = acked;
  news.delivered += delivered;
  c.acked_mss_ = std::max(c.acked_mss_, news.largest);
  if (c.claimed_mss_ != 0 || c.mss_guessed_) [[unlikely]]
    judge_path(c);
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
