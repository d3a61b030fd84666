// Explicit congestion notification: routers mark packets of connections that can do with it, rather than drop them. The
// receiver reports a mark until the sender says that it has heard, and the sender's window comes down once in a round trip.
#include "congestion.h"
#include "core.h"

namespace sluice::tcp {

// RFC 3168 section 6.1.1: who has sent or received one SYN without it does not use it.
void Core::take_ecn_setup(Connection& c, const Segment& syn) noexcept {
  if (!syn.is_ecn_setup()) c.ecn_send_ = c.ecn_receive_ = false;
}

// Section 6.1.1.1: a SYN that stays unanswered is sent again without, since there are firewalls that drop it. A peer that
// has got the first one may believe that we take part, so marks are still reported.
void Core::offer_ecn(Connection& c, HeaderFields& syn) noexcept {
  if ((syn.flags & kTcpAck) != 0) {
    syn.flags |= kTcpEce;
    return;
  }
  if (c.snd_max_ != c.iss_) {
    if (c.ecn_send_) ++stats_.ecn_fallbacks;
    c.ecn_send_ = false;
    return;
  }
  syn.flags |= kTcpEce | kTcpCwr;
}

// Section 6.1.3. A sender with a small window would wait long for a delayed acknowledgment.
void Core::take_ecn_marks(Connection& c, const Segment& s) noexcept {
  if (s.has(kTcpCwr)) c.ecn_echo_ = false;
  if (!s.marked) return;
  ++stats_.ecn_marks_in;
  if (!c.ecn_echo_) c.ack_now_ = true;
  c.ecn_echo_ = true;
}

// Section 6.1.2 and 6.1.5: data, but not what is sent again.
void Core::mark_data(Connection& c, HeaderFields& fields) noexcept {
  fields.ecn_capable = true;
  if (!c.ecn_heard_) return;
  fields.flags |= kTcpCwr;
  c.ecn_heard_ = false;
}

// Section 6.1.2: like a loss, but for the loss.
void Core::enter_reduction(Connection& c, Sending& tx, const AckNews& news) noexcept {
  ++stats_.ecn_reductions;
  tx.phase = Phase::kMarked;
  tx.recover = c.snd_max_;
  tx.undo.armed = false;
  c.ecn_heard_ = true;
  start_reduction(tx.congestion, tx.reduction, CongestionSignal::kMark, news.flight, c.mss_);
  if (!c.outstanding()) {
    tx.phase = Phase::kOpen;
    tx.congestion.window = tx.congestion.threshold;
    return;
  }
  reduce_rate(tx.congestion, tx.reduction, news.delivered, tx.pipe(c.mss_), news.acked != 0, false, c.mss_);
}

}  // namespace sluice::tcp
