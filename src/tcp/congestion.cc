#include "congestion.h"

#include <algorithm>
#include <cmath>
#include <memory>

namespace sluice::tcp {
namespace {

constexpr float kBeta = 0.7f;       // RFC 9438 section 4.6
constexpr float kRenoBeta = 0.5f;   // RFC 5681 section 3.1
constexpr float kBetaMark = 0.85f;  // RFC 8511 section 3.1
constexpr float kRenoBetaMark = 0.8f;
constexpr float kC = 0.4f;                               // section 5
constexpr float kAlpha = 3 * (1 - kBeta) / (1 + kBeta);  // section 4.3
constexpr std::uint32_t kSlowStartLimit =
    8;  // segments an acknowledgment; RFC 9406 section 4.2's L: peers acknowledge in bursts

// Whole units of growth; the rest waits for the next.
void grow_by(Congestion& c, float bytes) noexcept {
  c.credit += bytes;
  const auto whole = static_cast<std::uint32_t>(c.credit);
  c.credit -= static_cast<float>(whole);
  c.window = std::min(c.window + whole, kMaxCongestionWindow);
}

void leave_first_slow_start(Congestion& c, std::uint32_t threshold) noexcept {
  if (c.threshold == kNoThreshold) std::construct_at(&c.cubic);
  c.threshold = threshold;
  c.in_epoch = false;
  c.credit = 0;
}

// RFC 9406 section 4.2, at each acknowledgment. True: slow start is over.
bool hystart(Congestion& c, const AckSample& ack) noexcept {
  constexpr std::uint32_t kMinRttThresh = 4000, kMaxRttThresh = 16'000, kMinRttDivisor = 8;
  constexpr std::uint8_t kRttSamples = 8, kCssRounds = 5;
  HyStart& s = c.start;
  if (ack.rtt_us != 0) {
    s.round_min = std::min(s.round_min, ack.rtt_us);
    if (s.samples < kRttSamples) ++s.samples;
  }
  if (s.samples >= kRttSamples && s.last_round_min != HyStart::kNone) {
    if (s.css_baseline == HyStart::kNone) {
      const std::uint32_t thresh = std::clamp(s.last_round_min / kMinRttDivisor, kMinRttThresh, kMaxRttThresh);
      if (s.round_min >= s.last_round_min + thresh) {
        s.css_baseline = s.round_min;
        s.css_rounds = 0;
      }
    } else if (s.round_min < s.css_baseline) {  // it was only a burst: back to slow start
      s.css_baseline = HyStart::kNone;
    }
  }
  if (seq_lt(ack.una, s.round_end)) return false;
  s.round_end = ack.max;
  s.last_round_min = s.round_min;
  s.round_min = HyStart::kNone;
  s.samples = 0;
  return s.css_baseline != HyStart::kNone && ++s.css_rounds >= kCssRounds;
}

void slow_start(Congestion& c, const AckSample& ack) noexcept {
  constexpr float kCssDivisor = 4;
  std::uint32_t grown = std::min(ack.acked, kSlowStartLimit * ack.mss);
  if (c.threshold == kNoThreshold) {
    if (hystart(c, ack)) return leave_first_slow_start(c, c.window);
    if (c.start.css_baseline != HyStart::kNone) return grow_by(c, static_cast<float>(grown) / kCssDivisor);
  }
  c.window = std::min(c.window + grown, kMaxCongestionWindow);
}

// RFC 5681 section 3.1, RFC 3465 section 2.1: a segment for each window.
void grow_reno(Congestion& c, const AckSample& ack) noexcept {
  c.credit += static_cast<float>(ack.acked);
  if (c.credit < static_cast<float>(c.window)) return;
  c.credit -= static_cast<float>(c.window);
  c.window = std::min(c.window + ack.mss, kMaxCongestionWindow);
}

// RFC 9438 section 4.2 to 4.5.
void grow_cubic(Congestion& c, const AckSample& ack) noexcept {
  Cubic& q = c.cubic;
  const auto mss = static_cast<float>(ack.mss);
  const float w = static_cast<float>(c.window) / mss;
  if (!c.in_epoch) {
    c.in_epoch = true;
    q.epoch = ack.now;
    q.w_max = std::max(q.w_max, w);
    q.k = std::cbrt((q.w_max - w) / kC);
    q.w_est = w;
  }
  const float t = static_cast<float>(ack.now - q.epoch) / 1000;
  const auto curve = [&](float at) {
    const float d = at - q.k;
    return kC * d * d * d + q.w_max;
  };
  const float acked = static_cast<float>(ack.acked) / mss;
  q.w_est += (q.w_est >= q.cwnd_prior ? 1 : kAlpha) * acked / w;
  if (curve(t) < q.w_est) {  // the Reno-friendly region
    if (q.w_est > w) grow_by(c, (q.w_est - w) * mss);
    return;
  }
  const float target = std::clamp(curve(t + static_cast<float>(ack.srtt) / 1000), w, 1.5f * w);
  grow_by(c, (target - w) / w * acked * mss);
}

}  // namespace

void start_window(Congestion& c, CongestionControl algorithm, std::uint32_t window, Seq round_end) noexcept {
  c = Congestion{};
  c.algorithm = algorithm;
  c.window = window;
  c.start.round_end = round_end;
}

void grow_window(Congestion& c, const AckSample& ack) noexcept {
  if (c.window < c.threshold) {
    if (ack.flight * 2 >= c.window) slow_start(c, ack);
    return;
  }
  if (ack.flight + 3 * ack.mss < c.window) {
    c.in_epoch = false;  // RFC 9438 section 5.8: what the application does not use is no time on the curve
    return;
  }
  switch (c.algorithm) {
    case CongestionControl::kReno:
      return grow_reno(c, ack);
    case CongestionControl::kCubic:
      return grow_cubic(c, ack);
  }
}

void take_congestion(Congestion& c, CongestionSignal signal, std::uint32_t flight, std::uint32_t mss) noexcept {
  const bool is_cubic = c.algorithm == CongestionControl::kCubic;
  // RFC 5681 section 3.1 equation 4, RFC 9438 section 4.6. What limited transmit sent beyond the window does not count
  // (RFC 5681 section 3.2 step 2).
  const std::uint32_t used = std::min(flight, std::max(c.window, mss));
  // A first slow start has gone too far whatever told so.
  const bool gently = signal == CongestionSignal::kMark && c.threshold != kNoThreshold;
  const float beta = is_cubic ? (gently ? kBetaMark : kBeta) : (gently ? kRenoBetaMark : kRenoBeta);
  const auto reduced = static_cast<std::uint32_t>(static_cast<float>(used) * beta);
  leave_first_slow_start(c, std::max(reduced, 2 * mss));
  if (!is_cubic) return;
  const float w = static_cast<float>(c.window) / static_cast<float>(mss);
  // Section 4.7: with less than the last time the flow makes room for others.
  c.cubic.w_max = w < c.cubic.w_max ? w * (1 + kBeta) / 2 : w;
  c.cubic.cwnd_prior = w;
}

void take_timeout(Congestion& c, std::uint32_t flight, std::uint32_t mss, bool first) noexcept {
  if (first) take_congestion(c, CongestionSignal::kLoss, flight, mss);
  c.window = mss;
  c.in_epoch = false;
  c.credit = 0;
}

WindowBefore window_before(const Congestion& c) noexcept {
  WindowBefore out{.window = c.window, .threshold = c.threshold};
  if (c.threshold != kNoThreshold) {
    out.w_max = c.cubic.w_max;
    out.cwnd_prior = c.cubic.cwnd_prior;
  }
  return out;
}

void undo_loss(Congestion& c, const WindowBefore& before, std::uint32_t pipe, std::uint32_t burst, Seq max) noexcept {
  c.window = std::max(c.window, std::min(before.window, pipe + burst));
  c.in_epoch = false;
  c.credit = 0;
  if (before.threshold == kNoThreshold) {
    c.threshold = kNoThreshold;
    std::construct_at(&c.start)->round_end = max;
  } else {
    c.threshold = std::max({before.threshold, before.window, c.threshold});
    c.cubic.w_max = before.w_max;
    c.cubic.cwnd_prior = before.cwnd_prior;
  }
}

void restart_after_idle(Congestion& c, std::uint32_t initial_window) noexcept {
  c.window = std::min(c.window, initial_window);
  c.in_epoch = false;
}

void start_reduction(Congestion& c, RateReduction& r, CongestionSignal signal, std::uint32_t flight,
                     std::uint32_t mss) noexcept {
  take_congestion(c, signal, flight, mss);
  r = {.delivered = 0, .out = 0, .flight_at_entry = std::max(flight, mss)};
}

void reduce_rate(Congestion& c, RateReduction& r, std::uint32_t delivered, std::uint32_t pipe, bool repairing,
                 bool must_send, std::uint32_t mss) noexcept {
  r.delivered += delivered;
  std::uint32_t may_send = 0;
  if (pipe > c.threshold) {
    const std::uint64_t share = (std::uint64_t{r.delivered} * c.threshold + r.flight_at_entry - 1) / r.flight_at_entry;
    may_send = share > r.out ? static_cast<std::uint32_t>(share) - r.out : 0;
  } else {
    std::uint32_t limit = r.delivered > r.out ? r.delivered - r.out : 0;  // PRR-CRB
    if (repairing) limit = std::max(limit, delivered) + mss;              // PRR-SSRB
    may_send = std::min(c.threshold - pipe, limit);
  }
  if (must_send) may_send = std::max(may_send, mss);
  c.window = pipe + may_send;
}

}  // namespace sluice::tcp
