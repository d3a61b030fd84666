#include "sluice/net/crc32c.h"

#include <array>
#include <cstring>

#include <nmmintrin.h>

namespace sluice::net {
namespace {

// Polynomials over GF(2), bits reflected: the highest bit is the coefficient of x^0.
constexpr std::uint32_t kPolynomial = 0x82f63b78;
constexpr std::uint32_t kOne = 0x80000000;

constexpr std::uint32_t times_x(std::uint32_t a) noexcept { return (a >> 1) ^ (kPolynomial & (0u - (a & 1))); }

constexpr std::uint32_t multiply(std::uint32_t a, std::uint32_t b) noexcept {
  std::uint32_t product = 0;
  for (; a != 0; a <<= 1) {
    product ^= b & (0u - (a >> 31));
    b = times_x(b);
  }
  return product;
}

// x^(8 n step) for n in 0..255: what `step` times n zero bytes multiply a CRC by.
constexpr std::array<std::uint32_t, 256> powers(std::uint32_t by) noexcept {
  std::array<std::uint32_t, 256> out{};
  out[0] = kOne;
  for (std::size_t n = 1; n < out.size(); ++n) out[n] = multiply(out[n - 1], by);
  return out;
}
constexpr std::uint32_t kByte = [] {
  std::uint32_t a = kOne;
  for (int bit = 0; bit < 8; ++bit) a = times_x(a);
  return a;
}();
constexpr std::array<std::uint32_t, 256> kBytes = powers(kByte);
constexpr std::array<std::uint32_t, 256> kPages = powers(multiply(kBytes[255], kByte));  // of 256 bytes

}  // namespace

std::uint32_t crc32c_add(std::uint32_t crc, std::span<const std::uint8_t> bytes) noexcept {
  const std::uint8_t* at = bytes.data();
  std::size_t left = bytes.size();
  std::uint64_t sum = crc;
  for (; left >= 8; left -= 8, at += 8) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof(word));
    sum = _mm_crc32_u64(sum, word);
  }
  auto out = static_cast<std::uint32_t>(sum);
  for (; left > 0; --left, ++at) out = _mm_crc32_u8(out, *at);
  return out;
}

std::uint32_t crc32c_change(std::uint32_t difference, std::size_t behind) noexcept {
  const std::uint32_t crc = _mm_crc32_u32(0, difference);
  return multiply(multiply(crc, kPages[behind / 256]), kBytes[behind % 256]);
}

}  // namespace sluice::net
