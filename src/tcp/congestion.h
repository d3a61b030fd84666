// Congestion control: slow start, congestion avoidance, the window of fast recovery. State in Congestion (sending.h);
// here is only arithmetic, no segment is sent.
// Threading: pure functions on one connection's state.
// Units:     bytes.
// Spec:      RFC 5681, RFC 6937 (PRR), RFC 6928 (initial window), RFC 3465 (byte counting).
#pragma once

#include <algorithm>
#include <cstdint>

#include "sending.h"

namespace sluice::tcp {

inline constexpr std::uint32_t kNoThreshold = 0x7fffffff;
inline constexpr std::uint32_t kMaxCongestionWindow = 1u << 30;

// RFC 6928 section 2: ten segments.
[[nodiscard]] constexpr std::uint32_t initial_window(std::uint32_t mss) noexcept {
  return std::min(10 * mss, std::max(2 * mss, 14'600u));
}

// RFC 5681 section 4.1: after an idle time the ACK clock is gone.
constexpr void restart_after_idle(Congestion& c, std::uint32_t mss) noexcept {
  c.window = std::min(c.window, initial_window(mss));
}

// An acknowledgment of `acked` new bytes outside recovery; `flight` was out before it. A window that was not used does
// not grow (RFC 7661 section 1).
constexpr void grow_window(Congestion& c, std::uint32_t acked, std::uint32_t flight, std::uint32_t mss) noexcept {
  if (c.window < c.threshold) {
    if (flight * 2 < c.window) return;
    constexpr std::uint32_t kLimit =
        8;  // segments; RFC 3465's L, as RFC 9406 section 4.2 has it: peers acknowledge in bursts
    c.window += std::min(acked, kLimit * mss);
  } else {
    if (flight + 3 * mss < c.window) return;
    c.acked += acked;
    if (c.acked < c.window) return;
    c.acked -= c.window;
    c.window += mss;
  }
  c.window = std::min(c.window, kMaxCongestionWindow);
}

// RFC 5681 section 3.1 equation 4.
[[nodiscard]] constexpr std::uint32_t loss_threshold(std::uint32_t flight, std::uint32_t mss) noexcept {
  return std::max(flight / 2, 2 * mss);
}

constexpr void start_reduction(Congestion& c, RateReduction& r, std::uint32_t flight, std::uint32_t mss) noexcept {
  c.threshold = loss_threshold(flight, mss);
  c.acked = 0;
  r = {.delivered = 0, .out = 0, .flight_at_entry = std::max(flight, mss)};
}

// RFC 6937 section 3, on each acknowledgment in recovery: the window comes down in proportion to what arrives, and when
// less than the threshold is on its way, it goes up to it in slow start while no more losses are found. `must_send`: the
// first retransmission goes whatever the window says.
constexpr void reduce_rate(Congestion& c, RateReduction& r, std::uint32_t delivered, std::uint32_t pipe, bool repairing,
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

// RFC 5681 section 3.1: the window is one segment, and the threshold comes down once.
constexpr void take_timeout(Congestion& c, std::uint32_t flight, std::uint32_t mss, bool first) noexcept {
  if (first) c.threshold = loss_threshold(flight, mss);
  c.window = mss;
  c.acked = 0;
}

}  // namespace sluice::tcp
