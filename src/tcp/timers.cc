#include <algorithm>

#include "core.h"

namespace sluice::tcp {

// One timer of the wheel stands for all deadlines of a connection. It may fire before any of them is due (they are
// moved without touching the wheel); then it is armed again for the earliest.
void Core::arm(Connection& c) noexcept {
  std::optional<Ticks> earliest = end_deadline(c);
  const auto consider = [&](Ticks deadline) {
    if (!earliest || seq_lt(deadline, *earliest)) earliest = deadline;
  };
  if (c.rtx_on_) consider(c.rtx_deadline_);
  if (c.ack_timer_on_) consider(c.ack_deadline_);
  if (c.early_ != EarlyTimer::kNone) consider(c.early_deadline_);
  if (earliest) set_timer(c, *earliest);
}

void Core::start_rtx(Connection& c) noexcept {
  const Ticks timeout = std::min(static_cast<Ticks>(c.rto_ << std::min<unsigned>(c.backoff_, 8)), kMaxRto);
  c.rtx_on_ = true;
  c.rtx_deadline_ = now_ms_ + timeout;
  bring_forward(c, c.rtx_deadline_);
}

void Core::start_early(Connection& c, EarlyTimer timer, Ticks wait) noexcept {
  c.early_ = timer;
  c.early_deadline_ = now_ms_ + wait;
  bring_forward(c, c.early_deadline_);
}

void Core::start_ack_timer(Connection& c) noexcept {
  if (c.ack_timer_on_) return;
  c.ack_timer_on_ = true;
  c.ack_deadline_ = now_ms_ + kDelayedAck;
  bring_forward(c, c.ack_deadline_);
}

// When the connection ends, or is probed, if nothing happens before.
std::optional<Ticks> Core::end_deadline(const Connection& c) const noexcept {
  if (c.state_ == State::kSynSent) return c.end_deadline_;
  if (c.released_) {  // the linger bounds: without progress, and in all
    const Ticks idle = c.progress_ + ticks(config_.linger);
    return seq_lt(idle, c.end_deadline_) ? idle : c.end_deadline_;
  }
  if (c.state_ == State::kSynReceived) return std::nullopt;  // retransmissions are counted
  if (c.outstanding()) return c.progress_ + ticks(config_.user_timeout);
  if (c.probing_) return c.last_rx_ + ticks(config_.user_timeout);
  if (c.keepalive_idle_ == 0) return std::nullopt;
  return c.last_rx_ + c.keepalive_idle_ + c.keepalive_probes_ * kKeepaliveInterval;
}

void Core::fire(void* owner) noexcept {
  auto& c = *static_cast<Connection*>(owner);
  c.core_->on_timer(c);
}

void Core::on_timer(Connection& c) noexcept {
  c.wheel_armed_ = false;
  const ConnIndex index = c.index_;
  const std::uint32_t generation = c.generation_;
  const auto ended = [&] { return slots_[index].generation != generation || c.state_ == State::kDone; };
  if (const std::optional<Ticks> end = end_deadline(c); end && reached(now_ms_, *end)) {
    on_end_timer(c);
    if (ended()) return;
  }
  if (c.ack_timer_on_ && reached(now_ms_, c.ack_deadline_)) send_ack(c);
  if (c.early_ != EarlyTimer::kNone && reached(now_ms_, c.early_deadline_)) on_early_timer(c);
  if (c.rtx_on_ && reached(now_ms_, c.rtx_deadline_)) {
    on_rtx_timer(c);
    if (ended()) return;
  }
  arm(c);
}

void Core::on_rtx_timer(Connection& c) noexcept {
  c.rtt_timing_ = false;
  if (!c.syn_acked()) {
    const std::uint8_t limit = c.state_ == State::kSynReceived ? kSynAckRetries : kSynRetries;
    const bool orphan = c.passive_ && listener_of(c) == nullptr;
    if (c.backoff_ >= limit || orphan) return finish(c, StreamError::kTimedOut);
    ++c.backoff_;
    ++stats_.timeouts;
    send_syn(c);
    return start_rtx(c);
  }
  if (c.backoff_ < 0xff) ++c.backoff_;
  if (c.probing_) {
    // RFC 9293 section 3.8.6.2.1 (4): a small window that stays is used after all.
    const std::uint32_t fits = std::min({c.tx_end() - c.snd_max_, c.snd_wnd_, std::uint32_t{c.mss_}});
    if (fits > 0 && send_next(c, sending(c), fits, kTcpAck | kTcpPsh)) return;
    send_probe(c);
    return start_rtx(c);
  }
  ++stats_.timeouts;
  if (!believe_claim(c)) {
    suspect_black_hole(c);
    lose_all(c, sending(c));
  }
  start_rtx(c);  // RFC 6298 section 5.5 and 5.6
  if (!transmit(c)) push(ListId::kOutput, c);
}

void Core::on_end_timer(Connection& c) noexcept {
  if (c.released_) {  // the linger bound
    reset(c);
    return finish(c, StreamError::kNone);
  }
  const bool idle = c.state_ != State::kSynSent && !c.outstanding() && !c.probing_;
  if (!idle || c.keepalive_probes_ >= kKeepaliveProbes) return finish(c, StreamError::kTimedOut);
  ++c.keepalive_probes_;
  send_probe(c);
}

void Core::fire_time_wait(void* owner) noexcept {
  auto& core = *static_cast<Core*>(owner);
  core.time_wait_.expire(core.now_ms_);
  core.arm_time_wait();
}

void Core::arm_time_wait() noexcept {
  const TimeWaitRecord* oldest = time_wait_.oldest();
  if (oldest != nullptr) wheel_.arm(time_wait_timer_, instant(oldest->expires));
}

}  // namespace sluice::tcp
