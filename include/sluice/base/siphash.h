// SipHash: a keyed hash that a hostile peer cannot predict: flow hash seeds, TCP initial sequence numbers, SYN
// cookies.
// Threading: pure functions and values.
// Spec:      Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012).
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice {

using SipKey = std::array<std::uint64_t, 2>;

// SipHash-2-4, the authors' own choice.
[[nodiscard]] std::uint64_t siphash24(const SipKey& key, std::span<const std::uint8_t> bytes) noexcept;

// The same with a choice of rounds and in steps, for input of a fixed shape: absorb() its words, the last of them with the length in bytes in its upper
// byte, then finish().
// 1 and 3 rounds are for what lives shortly and is seen in part.
template <int kRounds, int kLastRounds>
class SipHash {
 public:
  explicit constexpr SipHash(const SipKey& key) noexcept
      : v0_(key[0] ^ 0x736f6d6570736575u),
        v1_(key[1] ^ 0x646f72616e646f6du),
        v2_(key[0] ^ 0x6c7967656e657261u),
        v3_(key[1] ^ 0x7465646279746573u) {}

  constexpr void absorb(std::uint64_t word) noexcept {
    v3_ ^= word;
    for (int i = 0; i < kRounds; ++i) round();
    v0_ ^= word;
  }
  [[nodiscard]] constexpr std::uint64_t finish() noexcept {
    v2_ ^= 0xff;
    for (int i = 0; i < kLastRounds; ++i) round();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  constexpr void round() noexcept {
    v0_ += v1_;
    v1_ = std::rotl(v1_, 13) ^ v0_;
    v0_ = std::rotl(v0_, 32);
    v2_ += v3_;
    v3_ = std::rotl(v3_, 16) ^ v2_;
    v0_ += v3_;
    v3_ = std::rotl(v3_, 21) ^ v0_;
    v2_ += v1_;
    v1_ = std::rotl(v1_, 17) ^ v2_;
    v2_ = std::rotl(v2_, 32);
  }

  std::uint64_t v0_, v1_, v2_, v3_;
};
using SipHash24 = SipHash<2, 4>;
using SipHash13 = SipHash<1, 3>;

}  // namespace sluice
