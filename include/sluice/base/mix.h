// The multiply-and-fold step of wyhash: every bit of both numbers reaches every bit of the result.
// Threading: pure function.
#pragma once

#include <cstdint>

namespace sluice {

[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept {
  __extension__ using Wide = unsigned __int128;  // g++ -Wpedantic takes it only so
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

}  // namespace sluice
