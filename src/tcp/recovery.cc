#include <algorithm>
#include <array>
#include <cassert>
#include <span>

#include "congestion.h"
#include "core.h"

namespace sluice::tcp {

// RFC 2018 section 4 and 5. What a block does not cover whole stays as it is: a peer takes whole segments. The work for a
// block is a search and what it newly covers, whatever the peer sends.
void Core::take_sacks(Connection& c, Sending& tx, const Segment& s, AckNews& news) noexcept {
  const std::uint32_t before = tx.board.sacked_bytes();
  std::array<SackBlock, kMaxSackBlocks> blocks = s.options.sack;
  std::span<SackBlock> left = std::span(blocks).first(s.options.sack_count);
  if (is_duplicate_sack(left, s.ack)) {
    if (seq_lt(left[0].start, left[0].end) && seq_le(left[0].end, c.snd_max_)) {
      ++stats_.duplicate_sacks;
      note_dsack(c, tx, left[0], news);
    } else {
      ++stats_.bad_sack;
    }
    left = left.subspan(1);
  }
  // In order: what a block tells late would look reordered behind one that lies above it.
  std::ranges::sort(left, seq_lt, &SackBlock::start);
  for (const SackBlock& block : left) {
    if (!seq_lt(block.start, block.end) || seq_gt(block.end, c.snd_max_)) {
      ++stats_.bad_sack;
      continue;
    }
    if (seq_le(block.end, c.snd_una_)) continue;  // overtaken by an acknowledgment
    SegmentPos pos = tx.board.lower_bound(pool_, block.start);
    for (;;) {
      pos = tx.board.skip_sacked(pool_, pos);
      if (pos == tx.board.end()) break;
      const SentSegment& segment = tx.board.at(pool_, pos);
      if (seq_gt(segment.end(), block.end)) break;
      arrived(c, tx, segment, news);
      tx.board.mark_sacked(pool_, pos++);
    }
  }
  news.delivered += tx.board.sacked_bytes() - before;
}

// RFC 2883 section 4: the first block lies below the acknowledgment, or inside the second.
bool Core::is_duplicate_sack(std::span<const SackBlock> blocks, Seq ack) noexcept {
  const SackBlock& first = blocks[0];
  if (seq_lt(first.start, ack)) return true;
  return blocks.size() > 1 && seq_ge(first.start, blocks[1].start) && seq_le(first.end, blocks[1].end);
}

// Without SACK. Returns the bytes that have arrived, as good as it can be known.
std::uint32_t Core::take_duplicate(Connection& c, Sending& tx) noexcept {
  if (tx.duplicates >= tx.board.size()) return 0;  // more than we have sent: forged, or old
  ++tx.duplicates;
  return c.mss_;
}

void Core::adapt_window(Connection& c, Sending& tx, const AckNews& news) noexcept {
  Congestion& cc = tx.congestion;
  bool may_grow = news.acked != 0;
  if (tx.phase != Phase::kOpen && seq_ge(c.snd_una_, tx.recover)) {
    if (tx.is_reducing()) {
      cc.window = cc.threshold;  // RFC 6937 section 3
      tx.duplicates = 0;
      may_grow = false;
    }
    if (tx.is_repairing()) narrow_reordering_window(tx);
    tx.phase = Phase::kOpen;
    tx.frto = FRto::kNone;
  }
  constexpr std::uint32_t kLongAgo = 1u << 30;  // before it would look like something to come
  if (tx.phase == Phase::kOpen && c.snd_una_ - tx.recover > kLongAgo) tx.recover = c.snd_una_ - 1;
  if (tx.phase == Phase::kMarked && tx.board.has_lost()) {
    tx.phase = Phase::kRecovery;  // RFC 3168 section 6.1.2: the window has come down for this round trip already
    ++stats_.fast_retransmits;
  }
  if (tx.is_reducing()) {
    const bool by_timer = news.delivered == 0 && news.found_losses;  // no acknowledgment has made room for it
    reduce_rate(cc, tx.reduction, news.delivered, tx.pipe(c.mss_), may_grow && !news.found_losses, by_timer, c.mss_);
  } else if (tx.phase == Phase::kOpen && (tx.board.has_lost() || news.probe_repaired)) {
    enter_recovery(c, tx, news);
  } else if (tx.phase == Phase::kOpen && news.marked && seq_gt(c.snd_una_, tx.recover)) {
    enter_reduction(c, tx, news);
  } else if (may_grow) {
    grow_window(cc, {.acked = news.acked,
                     .flight = news.flight,
                     .mss = c.mss_,
                     .una = c.snd_una_,
                     .max = c.snd_max_,
                     .rtt_us = news.rtt_us,
                     .srtt = c.srtt_ / 8,
                     .now = now_ms_});
  }
}

// RFC 6675 section 5 (4), RFC 6582 section 3.2 step 2.
void Core::enter_recovery(Connection& c, Sending& tx, const AckNews& news) noexcept {
  ++stats_.fast_retransmits;
  arm_undo(c, tx, news.probe_repaired);
  tx.phase = Phase::kRecovery;
  tx.recover = c.snd_max_;
  tx.probe.out = false;
  if (c.early_ == EarlyTimer::kProbe) c.early_ = EarlyTimer::kNone;
  c.rtt_timing_ = false;
  // What was on its way when the probe went is not known any more; the window is.
  const std::uint32_t flight = news.probe_repaired ? tx.congestion.window : c.flight();
  c.ecn_heard_ = c.ecn_send_;
  start_reduction(tx.congestion, tx.reduction, CongestionSignal::kLoss, flight, c.mss_);
  if (!c.outstanding()) {  // a probe has repaired the only loss: there is nothing to recover
    tx.phase = Phase::kOpen;
    tx.congestion.window = tx.congestion.threshold;
    return;
  }
  reduce_rate(tx.congestion, tx.reduction, news.delivered, tx.pipe(c.mss_), false, tx.board.has_lost(), c.mss_);
  start_rtx(c);
}

// RFC 6298 section 5.4 and on, RFC 5681 section 3.1: everything is taken for lost and sent again from the first on, but
// for what the peer says it has, and what was sent too lately to be judged (RFC 8985 section 6.3). If it said so of the
// very first, it has thrown away what it had (RFC 2018 section 8).
void Core::lose_all(Connection& c, Sending& tx) noexcept {
  const bool first = c.backoff_ == 1;
  const SegmentPos una = tx.board.first();
  const bool reneged = !tx.board.empty() && tx.board.at(pool_, una).fate == Fate::kSacked;
  if (reneged) ++stats_.sack_reneging;
  if (first && tx.phase == Phase::kOpen) arm_undo(c, tx, false);
  tx.frto = first && tx.phase != Phase::kLoss && !reneged ? FRto::kFirst : FRto::kNone;
  const std::uint32_t allowed = tx.rack.rtt_us + reordering_window(c, tx);
  tx.board.lose_all(pool_, reneged, [&](const SentSegment& segment) {
    return c.sack_on_ && !reneged && segment.seq != c.snd_una_ && now_us_ - segment.sent_us < allowed;
  });
  tx.duplicates = 0;
  tx.probe.out = false;
  c.early_ = EarlyTimer::kNone;
  tx.phase = Phase::kLoss;
  tx.recover = c.snd_max_;
  c.ecn_heard_ = c.ecn_send_;
  take_timeout(tx.congestion, c.flight(), c.mss_, first);
  check_books(c, tx);
}

// In debug builds: all of them while they are short, else now and then.
void Core::check_books([[maybe_unused]] Connection& c, [[maybe_unused]] Sending& tx) noexcept {
#ifndef NDEBUG
  constexpr std::uint32_t kShort = 64, kSometimes = 256;
  if (tx.board.size() > kShort && ++books_skipped_ % kSometimes != 0) return;
  assert(tx.board.matches(pool_, c.snd_una_, c.snd_max_));
#endif
}

}  // namespace sluice::tcp
