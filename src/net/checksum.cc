#include "sluice/net/checksum.h"

namespace sluice::net {

void ChecksumSum::add(std::span<const std::uint8_t> bytes) noexcept {
  const std::uint8_t* at = bytes.data();
  std::size_t left = bytes.size();
  // 64 bits at a time, the halves apart so that no carry is lost: this loop becomes AVX2 adds.
  std::uint64_t low = 0, high = 0;
  for (; left >= 8; at += 8, left -= 8) {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    low += word & 0xffffffff;
    high += word >> 32;
  }
  if (left > 0) {  // an odd byte is the first of a pair whose second is 0
    std::uint64_t word = 0;
    std::memcpy(&word, at, left);
    low += word & 0xffffffff;
    high += word >> 32;
  }
  sum_ += low + high;
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
  // An IPv4 address is its last word here; the words before it are the same in both.
  for (std::size_t i = from.is_v4() ? 3 : 0; i < 4; ++i) {
    sum_ += static_cast<std::uint32_t>(~old_words[i]);
    sum_ += new_words[i];
  }
}

}  // namespace sluice::net
