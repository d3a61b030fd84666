// Time as an argument: no module reads a clock on its own; who calls hands in the Instant, so that tests run on virtual
// time.
// Threading: values; pure functions.
// Units:     nanoseconds since an arbitrary start (Instant), milliseconds since the same start in 32 bits (Ms, wraps
//            after 49 days).
#pragma once

#include <chrono>
#include <cstdint>

namespace sluice {

using Duration = std::chrono::nanoseconds;

// Not a real clock: it has no now(). It only makes the time points of sluice a type of their own.
struct MonotonicTag {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicTag>;
  static constexpr bool is_steady = true;
};
using Instant = MonotonicTag::time_point;

// Wall-clock time, seconds since 1970 (UTC): HTTP dates, certificate lifetimes, log lines.
using UnixSeconds = std::int64_t;

// Milliseconds since start, as stored in a flow. Compare only by difference: elapsed(now, then).
enum class Ms : std::uint32_t {};
[[nodiscard]] constexpr Ms to_ms(Instant at) noexcept {
  return static_cast<Ms>(std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count());
}
[[nodiscard]] constexpr std::uint32_t elapsed(Ms now, Ms then) noexcept {
  return static_cast<std::uint32_t>(now) - static_cast<std::uint32_t>(then);
}

}  // namespace sluice
