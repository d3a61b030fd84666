// Integers as they stand on the wire: Be16 and Be32 keep network byte order in the type, so that it is never forgotten.
// Threading: values. Layout: exactly 2 and 4 bytes, alignment 1, so that wire structs need no packing attribute.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>

namespace sluice {

template <std::unsigned_integral T>
class BigEndian {
 public:
  BigEndian() = default;
  constexpr explicit BigEndian(T host) noexcept : bytes_(std::bit_cast<Bytes>(std::byteswap(host))) {}

  [[nodiscard]] constexpr T host() const noexcept { return std::byteswap(raw()); }
  // The bits as they lie in memory: for checksums and hashing, where the order does not matter.
  [[nodiscard]] constexpr T raw() const noexcept { return std::bit_cast<T>(bytes_); }
  [[nodiscard]] static constexpr BigEndian from_raw(T raw) noexcept {
    BigEndian value;
    value.bytes_ = std::bit_cast<Bytes>(raw);
    return value;
  }
  constexpr BigEndian& operator=(T host) noexcept { return *this = BigEndian(host); }
  constexpr bool operator==(const BigEndian&) const noexcept = default;

 private:
  struct Bytes {
    std::uint8_t at[sizeof(T)];
    constexpr bool operator==(const Bytes&) const noexcept = default;
  };
  Bytes bytes_;
};

using Be16 = BigEndian<std::uint16_t>;
using Be32 = BigEndian<std::uint32_t>;
static_assert(sizeof(Be16) == 2 && alignof(Be16) == 1 && sizeof(Be32) == 4 && alignof(Be32) == 1);
static_assert(std::endian::native == std::endian::little, "sluice runs on x86-64");

}  // namespace sluice
