// CRC32c (Castagnoli): of bytes, and the change of one when a field of what it covers changes. The CRC is linear, so the
// change depends on the field's difference and on how many bytes follow it alone, and a CRC that was wrong stays wrong.
// Threading: pure functions.
// Spec:      RFC 9260 appendix A; RFC 3720 appendix B.4 (test vectors).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::net {

// A CRC that goes on over several pieces: begin with kCrc32cStart, finish by inverting all bits.
inline constexpr std::uint32_t kCrc32cStart = 0xffffffff;
[[nodiscard]] std::uint32_t crc32c_add(std::uint32_t crc, std::span<const std::uint8_t> bytes) noexcept;
[[nodiscard]] inline std::uint32_t crc32c(std::span<const std::uint8_t> bytes) noexcept {
  return ~crc32c_add(kCrc32cStart, bytes);
}

inline constexpr std::size_t kMaxCrc32cBehind = 65535;
// What to XOR to the CRC of a message in which 4 bytes changed by `difference` (old XOR new, as they lie in memory) and
// `behind` bytes, at most kMaxCrc32cBehind, follow them. Some 64 steps, however long the message is.
[[nodiscard]] std::uint32_t crc32c_change(std::uint32_t difference, std::size_t behind) noexcept;

}  // namespace sluice::net
