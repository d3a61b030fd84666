// Addresses as values: MAC, IPv4 and IPv6 in one 16-byte form, endpoints and prefixes; with their text forms.
// Threading: values.
// Spec:      an IPv4 address is kept as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2); IPv6 text as RFC 5952.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "sluice/base/endian.h"

namespace sluice::net {

struct MacAddress {
  std::array<std::uint8_t, 6> bytes{};

  [[nodiscard]] static std::optional<MacAddress> parse(std::string_view text) noexcept;
  [[nodiscard]] std::string text() const;
  [[nodiscard]] constexpr bool is_multicast() const noexcept { return (bytes[0] & 1) != 0; }
  constexpr auto operator<=>(const MacAddress&) const noexcept = default;
};
inline constexpr MacAddress kBroadcastMac{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

class IpAddress {
 public:
  constexpr IpAddress() noexcept = default;  // ::, "no address"
  [[nodiscard]] static constexpr IpAddress v4(Be32 address) noexcept {
    // Two whole words: a packet path that writes bytes and reads words back stalls on each address.
    return from_words({0, (std::uint64_t{address.raw()} << 32) | 0xffff0000u});
  }
  [[nodiscard]] static constexpr IpAddress v6(const std::array<std::uint8_t, 16>& bytes) noexcept {
    IpAddress out;
    out.bytes_ = bytes;
    return out;
  }
  [[nodiscard]] static IpAddress v6(const std::uint8_t* bytes) noexcept {
    IpAddress out;
    std::memcpy(out.bytes_.data(), bytes, 16);
    return out;
  }
  // As words() gives them.
  [[nodiscard]] static constexpr IpAddress from_words(const std::array<std::uint64_t, 2>& words) noexcept {
    IpAddress out;
    out.bytes_ = std::bit_cast<std::array<std::uint8_t, 16>>(words);
    return out;
  }
  [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text) noexcept;

  // The bytes as they lie in memory, for hashes and comparisons in registers.
  [[nodiscard]] constexpr std::array<std::uint64_t, 2> words() const noexcept {
    return std::bit_cast<std::array<std::uint64_t, 2>>(bytes_);
  }
  [[nodiscard]] constexpr bool is_v4() const noexcept {
    return words()[0] == 0 && static_cast<std::uint32_t>(words()[1]) == 0xffff0000u;  // bytes 10 and 11 are ff
  }
  [[nodiscard]] Be32 v4() const noexcept {  // only when is_v4()
    Be32 out;
    std::memcpy(&out, bytes_.data() + 12, 4);
    return out;
  }
  [[nodiscard]] constexpr const std::array<std::uint8_t, 16>& bytes() const noexcept { return bytes_; }
  [[nodiscard]] constexpr bool is_unspecified() const noexcept { return *this == IpAddress(); }
  [[nodiscard]] constexpr bool is_multicast() const noexcept {
    return is_v4() ? (bytes_[12] & 0xf0) == 0xe0 : bytes_[0] == 0xff;
  }
  [[nodiscard]] constexpr bool is_link_local() const noexcept {
    return is_v4() ? bytes_[12] == 169 && bytes_[13] == 254 : bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
  }
  [[nodiscard]] std::string text() const;
  constexpr auto operator<=>(const IpAddress&) const noexcept = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
};
static_assert(sizeof(IpAddress) == 16);

// The address with all but its first bits cleared.
[[nodiscard]] IpAddress masked(const IpAddress& address, std::uint8_t prefix4, std::uint8_t prefix6) noexcept;

struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;  // host order

  [[nodiscard]] std::string text() const;  // 192.0.2.1:80, [2001:db8::1]:80; of port 0 the address alone
  [[nodiscard]] static std::optional<Endpoint> parse(std::string_view text) noexcept;
  constexpr auto operator<=>(const Endpoint&) const noexcept = default;
};

struct Prefix {
  IpAddress address;
  std::uint8_t length = 0;  // 0..32 for IPv4, 0..128 for IPv6

  [[nodiscard]] static std::optional<Prefix> parse(std::string_view text) noexcept;
  [[nodiscard]] bool contains(const IpAddress& other) const noexcept;
  [[nodiscard]] bool is_one() const noexcept { return length == (address.is_v4() ? 32 : 128); }  // address alone
  [[nodiscard]] std::string text() const;
  constexpr auto operator<=>(const Prefix&) const noexcept = default;
};

// IANA protocol numbers that sluice acts on.
enum class IpProto : std::uint8_t { kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpv6 = 58, kSctp = 132 };
// Whether its header begins with a source and a destination port.
[[nodiscard]] constexpr bool has_ports(IpProto proto) noexcept {
  return proto == IpProto::kTcp || proto == IpProto::kUdp || proto == IpProto::kSctp;
}
// Whether a handshake opens its flows, so that a packet amid an unknown flow can be told from a first one.
[[nodiscard]] constexpr bool has_handshake(IpProto proto) noexcept {
  return proto == IpProto::kTcp || proto == IpProto::kSctp;
}

}  // namespace sluice::net
