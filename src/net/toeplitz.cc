#include "sluice/net/toeplitz.h"

#include <bit>

#include <wmmintrin.h>

namespace sluice::net {
namespace {

constexpr std::size_t kPortsOfV4 = 2, kPortsOfV6 = 8;  // the word of a tuple that holds the ports

// The low half of the product without carries; the words are of 32 bits, so that is all that is wanted of it.
std::uint64_t multiply_plain(std::uint32_t word, std::uint64_t window) noexcept {
  std::uint64_t product = 0;
  for (; word != 0; word &= word - 1) product ^= window << std::countr_zero(word);
  return product;
}

std::uint64_t sum_plain(const std::uint32_t* words, const std::uint64_t* windows, std::size_t count) noexcept {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum ^= multiply_plain(words[i], windows[i]);
  return sum;
}

[[gnu::target("pclmul")]] std::uint64_t sum_pclmul(const std::uint32_t* words, const std::uint64_t* windows,
                                                   std::size_t count) noexcept {
  __m128i sum = _mm_setzero_si128();
  for (std::size_t i = 0; i < count; ++i) {
    const __m128i word = _mm_cvtsi64_si128(static_cast<long long>(words[i]));
    const __m128i window = _mm_cvtsi64_si128(static_cast<long long>(windows[i]));
    sum = _mm_xor_si128(sum, _mm_clmulepi64_si128(word, window, 0));
  }
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(sum));
}

std::uint32_t mirror(std::uint32_t bits) noexcept {
  bits = (bits >> 1 & 0x55555555) | (bits & 0x55555555) << 1;
  bits = (bits >> 2 & 0x33333333) | (bits & 0x33333333) << 2;
  bits = (bits >> 4 & 0x0f0f0f0f) | (bits & 0x0f0f0f0f) << 4;
  return __builtin_bswap32(bits);
}

std::uint32_t ports_word(std::uint16_t from, std::uint16_t to) noexcept { return std::uint32_t{from} << 16 | to; }

}  // namespace

bool Toeplitz::cpu_has_carryless() noexcept { return __builtin_cpu_supports("pclmul") != 0; }

Toeplitz::Toeplitz(std::span<const std::uint8_t, kKeyBytes> key, bool carryless) noexcept : carryless_(carryless) {
  for (std::size_t n = 0; n < kWords; ++n) {
    for (std::size_t bit = 0; bit < 63; ++bit) {
      const std::size_t at = n * 32 + bit;
      const std::uint64_t value = key[at / 8] >> (7 - at % 8) & 1;
      windows_[n] |= value << bit;
    }
  }
}

std::uint32_t Toeplitz::sum(const std::uint32_t* words, std::size_t first, std::size_t count) const noexcept {
  const std::uint64_t* windows = windows_.data() + first;
  return static_cast<std::uint32_t>(
      (carryless_ ? sum_pclmul(words, windows, count) : sum_plain(words, windows, count)) >> 31);
}

std::uint32_t Toeplitz::mirrored(const Endpoint& from, const Endpoint& to) const noexcept {
  std::array<std::uint32_t, kWords> words;
  if (from.address.is_v4()) {
    words[0] = from.address.v4().host();
    words[1] = to.address.v4().host();
    words[kPortsOfV4] = ports_word(from.port, to.port);
    return sum(words.data(), 0, kPortsOfV4 + 1);
  }
  const auto put = [&](std::size_t at, std::uint64_t half) {
    const std::uint64_t host = __builtin_bswap64(half);
    words[at] = static_cast<std::uint32_t>(host >> 32);
    words[at + 1] = static_cast<std::uint32_t>(host);
  };
  const auto source = from.address.words(), destination = to.address.words();
  put(0, source[0]);
  put(2, source[1]);
  put(4, destination[0]);
  put(6, destination[1]);
  words[kPortsOfV6] = ports_word(from.port, to.port);
  return sum(words.data(), 0, kWords);
}

std::uint32_t Toeplitz::hash(const Endpoint& from, const Endpoint& to) const noexcept {
  return mirror(mirrored(from, to));
}

std::uint32_t Toeplitz::mirrored_port(bool v4, std::uint16_t destination_port) const noexcept {
  const std::uint32_t word = destination_port;
  return sum(&word, v4 ? kPortsOfV4 : kPortsOfV6, 1);
}

}  // namespace sluice::net
