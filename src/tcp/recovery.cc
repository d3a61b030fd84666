#include <algorithm>
#include <cassert>

#include "congestion.h"
#include "core.h"

namespace sluice::tcp {

// RFC 2018 section 4 and 5. What a block does not cover whole stays as it is: a peer takes whole segments. The work for a block is a search and what it newly covers, whatever the peer sends.
void Core::take_sacks(Connection& c, Sending& tx, const Segment& s, AckNews& news) noexcept {
  const std::uint32_t before = tx.board.sacked_bytes();
  const std::span<const SackBlock> blocks = std::span(s.options.sack).first(s.options.sack_count);
  for (const SackBlock& block : blocks) {
    if (!seq_lt(block.start, block.end) || seq_gt(block.end, c.snd_max_)) {
      ++stats_.bad_sack;
      continue;
    }
    if (&block == blocks.data() && is_duplicate_sack(blocks, s.ack)) {
      ++stats_.duplicate_sacks;
      continue;
    }
    if (seq_le(block.end, c.snd_una_)) continue;  // overtaken by an acknowledgment
    SegmentPos pos = tx.board.lower_bound(pool_, block.start);
    for (;;) {
      pos = tx.board.skip_sacked(pool_, pos);
      if (pos == tx.board.end()) break;
      const SentSegment& segment = tx.board.at(pool_, pos);
      if (seq_gt(segment.end(), block.end)) break;
      news.arrived(segment);
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

// Marks what must be taken for lost. True: there is something new.
bool Core::find_losses(Connection& c, Sending& tx, bool advances) noexcept {
  Scoreboard& board = tx.board;
  const std::uint32_t before = board.lost_bytes();
  if (c.sack_on_) {
    // RFC 6675 section 4, IsLost: DupThresh segments above it are there.
    if (board.sacked() < kDuplicateAcks) return false;
    const SegmentPos limit = board.third_highest_sacked();
    SegmentPos pos = static_cast<std::int32_t>(tx.judged - board.first()) > 0 ? tx.judged : board.first();
    for (;; ++pos) {
      pos = board.skip_sacked(pool_, pos);
      if (static_cast<std::int32_t>(pos - limit) >= 0) break;
      const SentSegment& segment = board.at(pool_, pos);
      if (segment.fate == Fate::kInFlight && !segment.sent_again()) board.mark_lost(pool_, pos);
    }
    tx.judged = limit;
  } else if (!board.empty() && board.at(pool_, board.first()).fate == Fate::kInFlight) {
    // RFC 6582 section 3.2, step 2: duplicates of what was sent again after a timeout do not count; step 3: a partial
    // acknowledgment tells of the next hole.
    const bool third = tx.phase == Phase::kOpen && tx.duplicates >= kDuplicateAcks && seq_gt(c.snd_una_, tx.recover);
    const bool partial = tx.phase == Phase::kRecovery && advances && seq_lt(c.snd_una_, tx.recover);
    if (third || partial) board.mark_lost(pool_, board.first());
  }
  return board.lost_bytes() > before;
}

void Core::adapt_window(Connection& c, Sending& tx, const AckNews& news) noexcept {
  Congestion& cc = tx.congestion;
  bool may_grow = news.acked != 0;
  if (tx.phase != Phase::kOpen && seq_ge(c.snd_una_, tx.recover)) {
    if (tx.phase == Phase::kRecovery) {
      cc.window = cc.threshold;  // RFC 6937 section 3
      tx.duplicates = 0;
      may_grow = false;
    }
    tx.phase = Phase::kOpen;
  }
  if (tx.phase == Phase::kRecovery) {
    reduce_rate(cc, tx.reduction, news.delivered, tx.pipe(c.mss_), may_grow && !news.found_losses, false, c.mss_);
  } else if (tx.phase == Phase::kOpen && tx.board.has_lost()) {
    enter_recovery(c, tx, news);
  } else if (may_grow) {
    grow_window(cc, {.acked = news.acked,
                     .flight = news.flight,
                     .mss = c.mss_,
                     .una = c.snd_una_,
                     .max = c.snd_max_,
                     .rtt_us = news.timed ? std::max(now_us_ - news.newest_us, 1u) : 0,
                     .srtt = c.srtt_ / 8,
                     .now = now_ms_});
  }
}

// RFC 6675 section 5 (4), RFC 6582 section 3.2 step 2.
void Core::enter_recovery(Connection& c, Sending& tx, const AckNews& news) noexcept {
  ++stats_.fast_retransmits;
  tx.phase = Phase::kRecovery;
  tx.recover = c.snd_max_;
  c.rtt_timing_ = false;
  start_reduction(tx.congestion, tx.reduction, c.flight(), c.mss_);
  reduce_rate(tx.congestion, tx.reduction, news.delivered, tx.pipe(c.mss_), false, true, c.mss_);
  start_rtx(c);
}

// RFC 6298 section 5.4 and on, RFC 5681 section 3.1: everything is taken for lost and sent again from the first on, but
// for what the peer says it has. If it said so of the very first, it has thrown away what it had (RFC 2018 section 8).
void Core::lose_all(Connection& c, Sending& tx) noexcept {
  const bool reneged = !tx.board.empty() && tx.board.at(pool_, tx.board.first()).fate == Fate::kSacked;
  if (reneged) ++stats_.sack_reneging;
  tx.board.lose_all(pool_, reneged);
  tx.duplicates = 0;
  tx.phase = Phase::kLoss;
  tx.recover = c.snd_max_;
  take_timeout(tx.congestion, c.flight(), c.mss_, c.backoff_ == 1);
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
