// What is lost, by time (RACK), by probes of the tail (TLP), or by duplicate acknowledgments where the peer has no SACK.
#include <algorithm>

#include "core.h"

namespace sluice::tcp {
namespace {

// RFC 8985 section 5.1: RACK_sent_after().
bool is_sent_after(std::uint32_t a_us, Seq a_end, std::uint32_t b_us, Seq b_end) noexcept {
  return a_us == b_us ? seq_gt(a_end, b_end) : seq_gt(a_us, b_us);
}

}  // namespace

// RFC 8985 section 6.2, steps 1 to 3, for a segment that is newly acknowledged or sacked.
void Core::arrived(Connection& c, Sending& tx, const SentSegment& segment, AckNews& news) noexcept {
  Rack& rack = tx.rack;
  const std::uint32_t rtt = std::max(now_us_ - segment.sent_us, 1u);
  if (!segment.sent_again()) {
    news.rtt_us = news.rtt_us == 0 ? rtt : std::min(news.rtt_us, rtt);  // Karn's algorithm
    if (c.min_rtt_us_ == 0 || rtt < c.min_rtt_us_) c.min_rtt_us_ = rtt;
    news.largest = std::max(news.largest, segment.len);
    if (seq_lt(segment.end(), rack.highest)) rack.reordering_seen = true;
    if (tx.phase == Phase::kLoss && seq_le(segment.end(), tx.recover)) news.original = true;
  } else if (rtt < c.min_rtt_us_ || (news.echo_age_us != 0 && news.echo_age_us > rtt + 1000)) {
    return;  // it may be the first transmission that has arrived
  }
  rack.highest = seq_max(rack.highest, segment.end());
  if (rack.rtt_us == 0 || is_sent_after(segment.sent_us, segment.end(), rack.sent_us, rack.end)) {
    rack.sent_us = segment.sent_us;
    rack.end = segment.end();
  }
  if (news.latest_rtt_us == 0 || rtt < news.latest_rtt_us) rack.rtt_us = news.latest_rtt_us = rtt;
}

// Section 6.2, step 4.
std::uint32_t Core::reordering_window(const Connection& c, const Sending& tx) const noexcept {
  const Rack& rack = tx.rack;
  if (!rack.reordering_seen && (tx.is_repairing() || tx.board.sacked() >= kDuplicateAcks)) return 0;
  const std::uint32_t srtt_us = c.srtt_ * 125;
  return std::min(rack.window_mult * (c.min_rtt_us_ / 4), srtt_us);
}

// A DSACK says that something was sent again for nothing: the window widens, once in a round trip.
void Core::widen_reordering_window(Connection& c, Sending& tx, bool dsack) noexcept {
  Rack& rack = tx.rack;
  constexpr std::uint8_t kPersist = 16;
  if (rack.in_dsack_round && seq_ge(c.snd_una_, rack.dsack_round)) rack.in_dsack_round = false;
  if (!dsack || rack.in_dsack_round) return;
  rack.in_dsack_round = true;
  rack.dsack_round = c.snd_max_;
  if (rack.window_mult != 0xff) ++rack.window_mult;
  rack.window_persist = kPersist;
}

void Core::narrow_reordering_window(Sending& tx) noexcept {  // a recovery is over
  Rack& rack = tx.rack;
  if (rack.window_persist == 0) return;
  --rack.window_persist;
  if (rack.window_persist == 0) rack.window_mult = 1;
}

// Marks what must be taken for lost. True: there is something new.
bool Core::find_losses(Connection& c, Sending& tx, bool advances) noexcept {
  const std::uint32_t before = tx.board.lost_bytes();
  if (c.sack_on_) {
    find_late(c, tx);
  } else {
    find_holes(c, tx, advances);
  }
  return tx.board.lost_bytes() > before;
}

// RFC 8985 section 6.2, step 5. Segments in flight lie in order of transmission, so the search ends at the first that is
// not late; step 5 has the timer wait for the last, we look again when the first is due.
void Core::find_late(Connection& c, Sending& tx) noexcept {
  const Rack& rack = tx.rack;
  if (c.early_ == EarlyTimer::kReorder) c.early_ = EarlyTimer::kNone;
  if (rack.rtt_us == 0) return;
  const std::uint32_t allowed = rack.rtt_us + reordering_window(c, tx);
  while (tx.board.has_in_flight()) {
    const SegmentPos pos = tx.board.oldest_sent();
    const SentSegment& segment = tx.board.at(pool_, pos);
    if (!is_sent_after(rack.sent_us, rack.end, segment.sent_us, segment.end())) return;
    const std::uint32_t age = now_us_ - segment.sent_us;
    if (age < allowed) return start_early(c, EarlyTimer::kReorder, (allowed - age + 999) / 1000);
    tx.board.mark_lost(pool_, pos);
  }
}

// RFC 6582 section 3.2, step 2: duplicates of what was sent again after a timeout do not count; step 3: a partial
// acknowledgment tells of the next hole.
void Core::find_holes(Connection& c, Sending& tx, bool advances) noexcept {
  Scoreboard& board = tx.board;
  if (board.empty() || board.at(pool_, board.first()).fate != Fate::kInFlight) return;
  const bool may_begin = tx.phase == Phase::kMarked || (tx.phase == Phase::kOpen && seq_gt(c.snd_una_, tx.recover));
  const bool third = may_begin && tx.duplicates >= kDuplicateAcks;
  const bool partial = tx.phase == Phase::kRecovery && advances && seq_lt(c.snd_una_, tx.recover);
  if (third || partial) board.mark_lost(pool_, board.first());
}

// --- tail loss probes ---

// RFC 8985 section 7.2: after new data and after acknowledgments, while nothing speaks of a loss.
void Core::schedule_probe(Connection& c, Sending& tx) noexcept {
  if (c.early_ == EarlyTimer::kReorder) return;
  c.early_ = EarlyTimer::kNone;
  if (!c.sack_on_ || !c.rtx_on_ || tx.board.empty() || tx.is_repairing() || tx.board.sacked() != 0 || tx.probe.out) {
    return;
  }
  constexpr Ticks kWithoutSample = 1000, kMaxAckDelay = 200, kGranularity = 2;
  Ticks wait = kWithoutSample;
  if (c.srtt_ != 0) wait = c.srtt_ / 4 + (tx.board.size() == 1 ? kMaxAckDelay : kGranularity);
  start_early(c, EarlyTimer::kProbe, std::min(wait, reached(now_ms_, c.rtx_deadline_) ? 0 : c.rtx_deadline_ - now_ms_));
}

// Section 7.3: new data if there is some, else the last segment again; the congestion window does not count.
void Core::send_probe_of_tail(Connection& c, Sending& tx) noexcept {
  const std::uint32_t unsent = c.fin_sent_ ? 0 : c.tx_end() - c.snd_max_;
  const std::uint32_t window = c.snd_wnd_ - std::min(c.snd_wnd_, c.flight());
  const std::uint32_t len = std::min({unsent, std::uint32_t{c.mss_} - sack_len(c), window});
  const std::uint8_t flags = kTcpAck | (len == unsent ? kTcpPsh : 0);
  const bool is_new = len != 0 && send_next(c, tx, len, flags);
  if (!is_new && !send_again(c, tx, tx.board.end() - 1)) return;
  ++stats_.tail_probes;
  tx.probe = {.end = c.snd_max_, .out = true, .sent_again = !is_new};
  start_rtx(c);
}

// Section 7.4.2. True: the probe has repaired a loss, which congestion control must hear of.
bool Core::has_probe_repaired(Sending& tx, const Segment& s, const AckNews& news, bool duplicate) noexcept {
  if (!tx.probe.out || seq_lt(s.ack, tx.probe.end)) return false;
  const bool beyond = seq_gt(s.ack, tx.probe.end);
  const bool twice = news.dsack || (duplicate && s.options.sack_count == 0);
  if (tx.probe.sent_again && !twice && !beyond) return false;
  tx.probe.out = false;
  return tx.probe.sent_again && !twice;
}

void Core::on_early_timer(Connection& c) noexcept {
  Sending& tx = sending(c);
  const EarlyTimer timer = std::exchange(c.early_, EarlyTimer::kNone);
  if (timer == EarlyTimer::kProbe) return send_probe_of_tail(c, tx);
  if (!find_losses(c, tx, false)) return;
  adapt_window(c, tx, {.flight = c.flight(), .found_losses = true});
  check_books(c, tx);
  if (!transmit(c)) push(ListId::kOutput, c);
}

}  // namespace sluice::tcp
