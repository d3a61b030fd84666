// Recoveries that were for nothing: what tells them, and how they are taken back.
#include <algorithm>

#include "core.h"

namespace sluice::tcp {

// A recovery, or a timeout outside one, begins. A probe that has sent something again may be among what comes twice; if
// the recovery is only for what it has repaired, it lies below all that is out.
void Core::arm_undo(Connection& c, Sending& tx, bool by_probe) noexcept {
  tx.undo = {.before = window_before(tx.congestion),
             .marker = by_probe ? tx.probe.end - 1 : c.snd_una_,
             .sent_again = by_probe || (tx.probe.out && tx.probe.sent_again) ? 1u : 0u,
             .armed = true};
}

// RFC 3708 section 3 and RFC 2883 section 4: what was sent again has come twice.
void Core::note_dsack(Connection& c, Sending& tx, const SackBlock& twice, AckNews& news) noexcept {
  news.dsack = true;
  Undo& undo = tx.undo;
  const bool of_recovery = seq_gt(twice.end, undo.marker) && seq_le(twice.end, tx.recover);
  if (!undo.armed || undo.sent_again == 0 || !of_recovery) return;
  const std::uint32_t segments = (twice.end - twice.start + c.mss_ - 1) / c.mss_;
  undo.sent_again -= std::min(undo.sent_again, segments);
  if (undo.sent_again == 0) news.all_came_twice = true;
}

// True: the recovery was for nothing, and is undone.
bool Core::try_undo(Connection& c, Sending& tx, const Segment& s, const AckNews& news) noexcept {
  if (!tx.undo.armed) return false;
  // RFC 3522 section 3.2, step 5: what was acknowledged is the first transmission. While others are on their way again
  // it only says that segments overtake each other: they may have been lost.
  const bool echoes_before = news.acked != 0 && tx.phase != Phase::kOpen && tx.undo.stamped &&
                             s.options.has_timestamp && seq_lt(s.options.ts_echo, tx.undo.stamp);
  if (echoes_before && tx.phase == Phase::kRecovery) tx.rack.reordering_seen = true;
  const bool is_eifel =
      echoes_before && (tx.phase == Phase::kLoss || tx.board.again_in_flight() == 0 || seq_ge(c.snd_una_, tx.recover));
  if (!news.all_came_twice && !is_eifel && !is_timeout_spurious(c, tx, news)) return false;
  // To put all back that was lost takes time, and a peer may ask for it at will: after each undo it has to wait.
  constexpr Ticks kUndoInterval = 20;
  if (now_ms_ - tx.undone_at < kUndoInterval) return false;
  tx.undone_at = now_ms_;
  ++(tx.phase == Phase::kLoss ? stats_.spurious_timeouts : stats_.spurious_recoveries);
  if (tx.phase != Phase::kOpen) {
    tx.board.restore_lost(pool_);
    tx.phase = Phase::kOpen;
    tx.duplicates = 0;
    c.backoff_ = 0;
  }
  tx.frto = FRto::kNone;
  tx.undo.armed = false;
  undo_loss(tx.congestion, tx.undo.before, tx.pipe(c.mss_), std::max(news.delivered, initial_window(c)), c.snd_max_);
  return true;
}

// RFC 5682 section 3.1, and 2.1 for peers without SACK.
bool Core::is_timeout_spurious(Connection& c, Sending& tx, const AckNews& news) noexcept {
  const FRto step = std::exchange(tx.frto, FRto::kNone);
  switch (step) {
    case FRto::kNone:
      return false;
    case FRto::kFirst: {
      if (c.sack_on_ && news.original) return true;
      const bool partial = news.acked != 0 && seq_lt(c.snd_una_, tx.recover);
      const bool has_new = !c.fin_sent_ && c.snd_max_ != c.tx_end() && c.flight() < c.snd_wnd_;
      if (partial && has_new) tx.frto = FRto::kSecond;
      return false;
    }
    case FRto::kSecond:
      return c.sack_on_ ? news.original : news.acked != 0;
  }
  return false;
}

}  // namespace sluice::tcp
