// The Internet checksum: sums of whole packets, and the change of one when a field of the packet changes.
// Sums run over the bytes as they lie in memory, so no byte is swapped: one's complement addition does not mind the
// order (RFC 1071 section 2 (B)).
// Threading: pure functions and values.
// Spec:      RFC 1071, RFC 1624 section 3 equation 3, RFC 768, RFC 8200 section 8.1.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "sluice/base/endian.h"
#include "sluice/net/address.h"

namespace sluice::net {

// A one's complement sum that is not folded yet. Add parts of a packet in any order; each but the last of a datagram
// must have an even length.
class ChecksumSum {
 public:
  constexpr ChecksumSum() noexcept = default;
  void add(std::span<const std::uint8_t> bytes) noexcept;
  void add(Be16 value) noexcept { sum_ += value.raw(); }
  void add(Be32 value) noexcept { sum_ += value.raw(); }
  // The address as it stands in the header: 4 bytes or 16.
  void add(const IpAddress& address) noexcept;
  // Pseudo header: RFC 9293 section 3.1 for IPv4, RFC 8200 section 8.1 for IPv6. Both addresses of one family.
  void add_pseudo_header(const IpAddress& src, const IpAddress& dst, IpProto proto, std::size_t l4_len) noexcept;

  [[nodiscard]] std::uint16_t folded() const noexcept;  // memory order, not complemented
  // What goes into the packet.
  [[nodiscard]] Be16 checksum() const noexcept { return Be16::from_raw(static_cast<std::uint16_t>(~folded())); }
  // The same for UDP: a result of 0 is sent as all ones (RFC 768).
  [[nodiscard]] Be16 udp_checksum() const noexcept {
    const Be16 sum = checksum();
    return sum.raw() == 0 ? Be16::from_raw(0xffff) : sum;
  }

 private:
  std::uint64_t sum_ = 0;  // every addition is of at most 32 bits and a half: 2^31 of them fit
};

[[nodiscard]] Be16 checksum(std::span<const std::uint8_t> bytes) noexcept;

// Of a TCP, UDP or ICMPv6 message with its pseudo header, the checksum field of `l4` counted as it stands: to fill in,
// zero the field first (UDP: use the sum's udp_checksum()); to verify, the result is 0.
[[nodiscard]] Be16 l4_checksum(const IpAddress& src, const IpAddress& dst, IpProto proto,
                               std::span<const std::uint8_t> l4) noexcept;

// What replacing fields does to a checksum: collect the replacements of a packet once, apply them to the IPv4 header's
// checksum and to layer 4's. RFC 1624: HC' = ~(~HC + ~m + m').
class ChecksumDelta {
 public:
  constexpr void replace(Be16 from, Be16 to) noexcept {
    sum_ += static_cast<std::uint16_t>(~from.raw());
    sum_ += to.raw();
  }
  constexpr void replace(Be32 from, Be32 to) noexcept {
    sum_ += static_cast<std::uint32_t>(~from.raw());
    sum_ += to.raw();
  }
  // 8 bytes that begin at an even offset of what the checksum covers, as they lie in memory.
  constexpr void replace_words(std::uint64_t from, std::uint64_t to) noexcept {
    sum_ += (~from & 0xffffffff) + (~from >> 32);
    sum_ += (to & 0xffffffff) + (to >> 32);
  }
  // Both of one family: 4 bytes or 16.
  void replace(const IpAddress& from, const IpAddress& to) noexcept;
  // Of different families: 4 bytes for 16, or 16 for 4.
  void replace_family(const IpAddress& from, const IpAddress& to) noexcept;
  constexpr void add(const ChecksumDelta& other) noexcept { sum_ += other.sum_; }

  [[nodiscard]] constexpr Be16 apply(Be16 checksum) const noexcept {
    return Be16::from_raw(static_cast<std::uint16_t>(~fold(sum_ + static_cast<std::uint16_t>(~checksum.raw()))));
  }
  // UDP: 0 means "none" and stays (RFC 768); a result of 0 becomes all ones.
  [[nodiscard]] constexpr Be16 apply_udp(Be16 checksum) const noexcept {
    if (checksum.raw() == 0) return checksum;
    const Be16 out = apply(checksum);
    return out.raw() == 0 ? Be16::from_raw(0xffff) : out;
  }

 private:
  // Adding a word to itself with its halves swapped leaves the one's complement sum of the halves in the upper one.
  static constexpr std::uint16_t fold(std::uint64_t sum) noexcept {
    const auto half = static_cast<std::uint32_t>((sum + std::rotl(sum, 32)) >> 32);
    return static_cast<std::uint16_t>((half + std::rotl(half, 16)) >> 16);
  }
  std::uint64_t sum_ = 0;
};

}  // namespace sluice::net
