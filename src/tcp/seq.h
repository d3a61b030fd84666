// Sequence numbers: 32 bits that wrap. Compared only by these functions.
// Threading: values.
// Spec:      RFC 9293 section 3.4.
#pragma once

#include <cstdint>

namespace sluice::tcp {

using Seq = std::uint32_t;

[[nodiscard]] constexpr bool seq_lt(Seq a, Seq b) noexcept { return static_cast<std::int32_t>(a - b) < 0; }
[[nodiscard]] constexpr bool seq_le(Seq a, Seq b) noexcept { return static_cast<std::int32_t>(a - b) <= 0; }
[[nodiscard]] constexpr bool seq_gt(Seq a, Seq b) noexcept { return seq_lt(b, a); }
[[nodiscard]] constexpr bool seq_ge(Seq a, Seq b) noexcept { return seq_le(b, a); }
[[nodiscard]] constexpr Seq seq_max(Seq a, Seq b) noexcept { return seq_lt(a, b) ? b : a; }
[[nodiscard]] constexpr Seq seq_min(Seq a, Seq b) noexcept { return seq_lt(a, b) ? a : b; }

// Milliseconds since start in 32 bits, wrapping like sequence numbers do: deadlines, RTTs and timestamp options.
using Ticks = std::uint32_t;
[[nodiscard]] constexpr bool reached(Ticks now, Ticks deadline) noexcept { return seq_ge(now, deadline); }

}  // namespace sluice::tcp
