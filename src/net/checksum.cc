#include "sluice/net/checksum.h"

namespace sluice::net {
namespace {

std::uint64_t word_at(const std::uint8_t* at) noexcept {
  std::uint64_t word;
  std::memcpy(&word, at, 8);
  return word;
}

// Long runs: this loop becomes AVX2 adds of 32-bit halves, so it is kept apart from what is short.
[[gnu::noinline]] std::uint64_t sum_words(const std::uint8_t* at, std::size_t words) noexcept {
  std::uint64_t low = 0, high = 0;
  for (std::size_t i = 0; i < words; ++i) {
    const std::uint64_t word = word_at(at + i * 8);
    low += word & 0xffffffff;
    high += word >> 32;
  }
  return low + high;
}

constexpr std::size_t kShort = 64;

}  // namespace

void ChecksumSum::add(std::span<const std::uint8_t> bytes) noexcept {
  const std::uint8_t* at = bytes.data();
  std::size_t left = bytes.size();
  std::uint64_t sum = sum_;
  if (left >= kShort) {
    sum += sum_words(at, left / 8);
    at += left / 8 * 8;
    left %= 8;
  }
#pragma GCC unroll 1
  for (; left >= 8; left -= 8, at += 8) {
    const std::uint64_t word = word_at(at);
    sum += (word & 0xffffffff) + (word >> 32);
  }
  if ((left & 4) != 0) {
    std::uint32_t word;
    std::memcpy(&word, at, 4);
    sum += word;
    at += 4;
  }
  if ((left & 2) != 0) {
    std::uint16_t word;
    std::memcpy(&word, at, 2);
    sum += word;
    at += 2;
  }
  if ((left & 1) != 0) sum += *at;  // the first of a pair whose second is 0
  sum_ = sum;
}

void ChecksumSum::add(const IpAddress& address) noexcept {
  std::uint32_t words[4];
  std::memcpy(words, address.bytes().data(), 16);
  if (address.is_v4()) {
    sum_ += words[3];
  } else {
    sum_ += std::uint64_t{words[0]} + words[1] + words[2] + words[3];
  }
}

void ChecksumSum::add_pseudo_header(const IpAddress& src, const IpAddress& dst, IpProto proto,
                                    std::size_t l4_len) noexcept {
  add(src);
  add(dst);
  // Both forms add the protocol and the length once; the zeros around them add nothing.
  add(Be32(static_cast<std::uint32_t>(l4_len)));
  add(Be16(static_cast<std::uint16_t>(proto)));
}

std::uint16_t ChecksumSum::folded() const noexcept {
  std::uint64_t sum = (sum_ & 0xffffffff) + (sum_ >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>((sum & 0xffff) + (sum >> 16));
}

Be16 checksum(std::span<const std::uint8_t> bytes) noexcept {
  ChecksumSum sum;
  sum.add(bytes);
  return sum.checksum();
}

Be16 l4_checksum(const IpAddress& src, const IpAddress& dst, IpProto proto, std::span<const std::uint8_t> l4) noexcept {
  ChecksumSum sum;
  sum.add_pseudo_header(src, dst, proto, l4.size());
  sum.add(l4);
  return sum.checksum();
}

void ChecksumDelta::replace(const IpAddress& from, const IpAddress& to) noexcept {
  std::uint32_t old_words[4], new_words[4];
  std::memcpy(old_words, from.bytes().data(), 16);
  std::memcpy(new_words, to.bytes().data(), 16);
  sum_ += std::uint64_t{static_cast<std::uint32_t>(~old_words[3])} + new_words[3];
  if (from.is_v4()) return;  // an IPv4 address is its last word here
  for (std::size_t i = 0; i < 3; ++i) sum_ += std::uint64_t{static_cast<std::uint32_t>(~old_words[i])} + new_words[i];
}

void ChecksumDelta::replace_family(const IpAddress& from, const IpAddress& to) noexcept {
  std::uint32_t old_words[4], new_words[4];
  std::memcpy(old_words, from.bytes().data(), 16);
  std::memcpy(new_words, to.bytes().data(), 16);
  // An IPv4 address is its last word here, and the others are not in its header.
  for (std::size_t i = from.is_v4() ? 3 : 0; i < 4; ++i) sum_ += static_cast<std::uint32_t>(~old_words[i]);
  for (std::size_t i = to.is_v4() ? 3 : 0; i < 4; ++i) sum_ += new_words[i];
}

}  // namespace sluice::net
