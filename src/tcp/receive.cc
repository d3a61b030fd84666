#include <algorithm>

#include "core.h"

namespace sluice::tcp {

// RFC 9293 section 3.10.7.4, seventh and eighth check. The segment lies inside the window.
void Core::process_data(Connection& c, Segment& s) noexcept {
  if (!c.can_receive()) return;  // the peer has ended its direction: what comes after its FIN is ignored
  if (c.peer_fin_) {             // it came beyond a gap that is still open; nothing can follow it
    if (seq_gt(s.seq, c.peer_fin_seq_)) return;
    s.payload = s.payload.first(std::min<std::size_t>(s.payload.size(), c.peer_fin_seq_ - s.seq));
  } else if (s.has(kTcpFin)) {
    c.peer_fin_ = true;
    c.peer_fin_seq_ = s.seq + static_cast<std::uint32_t>(s.payload.size());
  }
  const auto len = static_cast<std::uint32_t>(s.payload.size());
  const std::uint32_t distance = s.seq - c.rcv_nxt_;
  if (distance != 0) {
    ++stats_.out_of_order;
    bool stored = false;
    if (c.dsack_on_) send_ack(c);
    if (len > 0 && !c.released_) {
      (void)c.rx_.store(pool_, c.rcv_nxt_, distance, s.payload, stored);
      if (c.rx_.duplicate() != SackBlock{}) note_duplicate(c, c.rx_.duplicate());
    }
    if (len > 0 && !stored) ++stats_.out_of_order_dropped;
    send_ack(c);  // at once, so that the peer counts duplicates (RFC 5681 section 4.2)
    return;
  }
  if (len > 0) {
    const bool had_gap = c.rx_.has_gap();
    std::uint32_t advance = len;
    bool stored = true;
    if (!c.released_) advance = c.rx_.store(pool_, c.rcv_nxt_, 0, s.payload, stored);
    c.rcv_nxt_ += advance;
    stats_.bytes_in += advance;
    add_event(c, StreamEvents::kReadable);
    if (had_gap) c.ack_now_ = true;  // RFC 5681 section 4.2: the gap, or a part of it, is filled
    if (!c.released_) adapt_window_quota(c);
    acknowledge_data(c);
  }
  if (c.peer_fin_ && seq_ge(c.rcv_nxt_, c.peer_fin_seq_)) process_fin(c);
}

void Core::process_fin(Connection& c) noexcept {
  c.rcv_nxt_ = seq_max(c.rcv_nxt_, c.peer_fin_seq_ + 1);
  c.rcv_adv_ = seq_max(c.rcv_adv_, c.rcv_nxt_);
  c.ack_now_ = true;
  push(ListId::kOutput, c);
  add_event(c, StreamEvents::kPeerClosed);
  switch (c.state_) {
    case State::kEstablished:
      c.state_ = State::kCloseWait;
      break;
    case State::kFinWait1:
      c.state_ = State::kClosing;
      break;
    case State::kFinWait2:
      send_ack(c);
      enter_time_wait(c);
      break;
    default:
      break;
  }
}

// RFC 2883 section 4: each is told in the acknowledgment that it causes.
void Core::note_duplicate(Connection& c, SackBlock twice) noexcept {
  if (!c.sack_on_ || !c.syn_acked()) return;
  if (c.dsack_on_) send_ack(c);
  c.rx_.set_duplicate(twice);
  c.dsack_on_ = true;
}

// RFC 5681 section 4.2 and RFC 9293 section 3.8.6.3: every second segment, and at once while the peer is in slow start.
void Core::acknowledge_data(Connection& c) noexcept {
  ++c.ack_pending_;
  if (c.quick_acks_ > 0) {
    --c.quick_acks_;
    c.ack_now_ = true;
  }
  if (c.ack_pending_ >= kAckEvery) c.ack_now_ = true;
  if (c.ack_pending_ >= kAckStretch) {
    send_ack(c);
  } else if (c.ack_now_) {
    push(ListId::kOutput, c);
  } else {
    start_ack_timer(c);
  }
}

// The window grows while the application keeps up, each time that the peer has used half of it within two round trips: a
// window may so come to be four times what a peer can use. It grows to a sixteenth of what the pool has left.
void Core::adapt_window_quota(Connection& c) noexcept {
  const std::uint32_t available = pool_.available();
  if (available < reserve()) [[unlikely]]
    return;
  if (seq_lt(c.rcv_nxt_, c.rx_round_end_)) return;
  const std::uint32_t quota = c.rx_.quota();
  const std::uint32_t grown = std::min({quota * 2, max_rx_blocks_, available / 16});
  constexpr std::uint32_t kShortest = 200;  // us: what the ends themselves take
  const std::uint32_t rtt = c.min_rtt_us_ != 0 ? std::max(c.min_rtt_us_, kShortest) : kInitialRto * 1000;
  const bool is_used = now_us_ - c.rx_round_start_us_ <= 2 * rtt;
  if (grown > quota && is_used && c.rx_.ready() <= quota * (kBlockSize / 2)) (void)c.rx_.grow_quota(pool_, grown);
  c.rx_round_end_ = c.rcv_nxt_ + c.rx_.quota() * (kBlockSize / 2);
  c.rx_round_start_us_ = now_us_;
}

// The application has consumed bytes: tell the peer when the window has become much larger than it knows. RFC 9293
// section 3.8.6.2.2; a window that is still half open is told with the next acknowledgment.
void Core::consumed(Connection& c) noexcept {
  if (!c.can_receive()) return;
  if (is_pressed(c)) [[unlikely]] {
    c.rx_.shrink_quota(pool_, std::max(c.rx_.blocks_for(c.rcv_window()), kMinRxBlocks));
  }
  const std::uint32_t quota = c.rx_.quota() * kBlockSize;
  if (c.rcv_window() >= quota / 2) return;
  const std::uint32_t gain = c.rx_.window() - std::min(c.rx_.window(), c.rcv_window());
  if (gain < std::min<std::uint32_t>(quota / 2, c.mss_)) return;
  c.ack_now_ = true;
  push(ListId::kOutput, c);
}

// The window to advertise; moves the right edge that the peer may use. It never moves back, but for the rounding to the
// scale that RFC 7323 section 2.4 describes, which the receive check forgives.
std::uint16_t Core::window_field(Connection& c, bool syn) noexcept {
  const unsigned shift = syn ? 0 : c.rcv_shift_;
  constexpr std::uint32_t kDiscardWindow =
      0xffff;  // of a connection that the application has closed: nothing is stored
  const std::uint32_t limit = std::min(c.released_ ? kDiscardWindow : c.rx_.window(), 0xffffu << shift);
  const std::uint32_t open = limit >> shift << shift;
  const std::uint32_t threshold = std::min(c.rx_.quota() * (kBlockSize / 2), std::uint32_t{c.mss_});
  if (open > c.rcv_window() && open - c.rcv_window() >= threshold && (syn || !is_pressed(c))) {
    c.rcv_adv_ = c.rcv_nxt_ + open;
    return static_cast<std::uint16_t>(open >> shift);
  }
  const std::uint32_t current = c.rcv_window();
  const std::uint32_t up = (current + (1u << shift) - 1) >> shift << shift;
  if (up > limit) return static_cast<std::uint16_t>(current >> shift);
  c.rcv_adv_ = c.rcv_nxt_ + up;
  return static_cast<std::uint16_t>(up >> shift);
}

}  // namespace sluice::tcp
