// SipHash-2-4: a keyed hash that a hostile peer cannot predict: flow hash seeds, TCP initial sequence numbers, SYN
// cookies.
// Threading: pure functions.
// Spec:      Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice {

using SipKey = std::array<std::uint64_t, 2>;

[[nodiscard]] std::uint64_t siphash24(const SipKey& key, std::span<const std::uint8_t> bytes) noexcept;

}  // namespace sluice
