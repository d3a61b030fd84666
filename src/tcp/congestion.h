// Congestion control: slow start, congestion avoidance, fast retransmit and NewReno recovery. State in Congestion
// (connection.h); here is only arithmetic, no segment is sent.
// Threading: pure functions on one connection's state.
// Units:     bytes.
// Spec:      RFC 5681, RFC 6582, RFC 3042, RFC 6928 (initial window), RFC 3465 (byte counting).
#pragma once

#include <algorithm>
#include <cstdint>

#include "connection.h"

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

// RFC 6582 section 3.2 step 2: the third duplicate acknowledgment.
constexpr void enter_recovery(Congestion& c, std::uint32_t flight, Seq snd_max, std::uint32_t mss) noexcept {
  c.threshold = loss_threshold(flight, mss);
  c.window = c.threshold + 3 * mss;
  c.recover = snd_max;
  c.in_recovery = true;
  c.acked = 0;
}

// Step 3: a partial acknowledgment deflates the window by what has left the network.
constexpr void take_partial_ack(Congestion& c, std::uint32_t acked, std::uint32_t mss) noexcept {
  c.window -= std::min(acked, c.window - std::min(c.window, mss));
  if (acked >= mss) c.window += mss;
}

// Step 3: a full acknowledgment, option 1, which does not send a burst.
constexpr void leave_recovery(Congestion& c, std::uint32_t flight, std::uint32_t mss) noexcept {
  c.window = std::min(c.threshold, std::max(flight, mss) + mss);
  c.in_recovery = false;
  c.duplicate_acks = 0;
}

// RFC 5681 section 3.1 and RFC 6582 section 3.2 step 4.
constexpr void take_timeout(Congestion& c, std::uint32_t flight, Seq snd_max, std::uint32_t mss, bool first) noexcept {
  if (first) c.threshold = loss_threshold(flight, mss);
  c.window = mss;
  c.recover = snd_max;
  c.in_recovery = false;
  c.duplicate_acks = 0;
  c.acked = 0;
}

}  // namespace sluice::tcp
