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
    IpAddress out;
    out.bytes_[10] = 0xff;
    out.bytes_[11] = 0xff;
    const auto raw = std::bit_cast<std::array<std::uint8_t, 4>>(address);
    out.bytes_[12] = raw[0];
    out.bytes_[13] = raw[1];
    out.bytes_[14] = raw[2];
    out.bytes_[15] = raw[3];
    return out;
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
  [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text) noexcept;

  [[nodiscard]] constexpr bool is_v4() const noexcept {
    const auto words = std::bit_cast<std::array<std::uint32_t, 4>>(bytes_);
    return words[0] == 0 && words[1] == 0 && words[2] == 0xffff0000u;  // bytes 10 and 11 are ff
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

struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;  // host order

  [[nodiscard]] std::string text() const;  // 192.0.2.1:80, [2001:db8::1]:80
  [[nodiscard]] static std::optional<Endpoint> parse(std::string_view text) noexcept;
  constexpr auto operator<=>(const Endpoint&) const noexcept = default;
};

struct Prefix {
  IpAddress address;
  std::uint8_t length = 0;  // 0..32 for IPv4, 0..128 for IPv6

  [[nodiscard]] static std::optional<Prefix> parse(std::string_view text) noexcept;
  [[nodiscard]] bool contains(const IpAddress& other) const noexcept;
  [[nodiscard]] std::string text() const;
  constexpr auto operator<=>(const Prefix&) const noexcept = default;
};

// IANA protocol numbers that sluice acts on.
enum class IpProto : std::uint8_t { kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpv6 = 58 };

}  // namespace sluice::net
