// The common shapes of packets, in few instructions. Nearly every packet is IPv4 without options, or IPv6 without extension
// headers, whole, and TCP or UDP, between addresses that need no second look, with hops left to go. parse_common() judges
// just that, and gives up (false, `out` undefined) on anything else: an error too is left to parse(), which says which.
// parse_test.cc holds the two against each other. Its result is in two forms: in registers, for who forwards the packet
// (CommonHeaders), and a Parsed, for everybody else (expand()).
// Threading: pure functions.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <immintrin.h>

#include "sluice/net/parse.h"

namespace sluice::net {

template <Family kFamily>
struct CommonHeaders {
  IpAddress src;
  IpAddress dst;
  std::uint16_t src_port = 0;
  std::uint16_t dst_port = 0;
  IpProto proto{};
  std::uint8_t tcp_flags = 0;
};

// The shortest frame that parse_common() takes: IPv4 and TCP. On the wire a frame has at least 60 bytes, so a small UDP
// packet passes too.
inline constexpr std::size_t kLeastCommonFrame = sizeof(EthernetHeader) + sizeof(Ip4Header) + sizeof(TcpHeader);

namespace common {

template <typename Word>
[[nodiscard, gnu::always_inline]] inline Word load(const std::uint8_t* at) noexcept {
  Word word;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

// By the first byte of an IPv4 address: bit 0, no source may begin so (this network, loopback, groups and above); bit 1,
// no destination (this network, loopback).
inline constexpr std::array<std::uint8_t, 256> kIp4Special = [] {
  std::array<std::uint8_t, 256> out{};
  out[0] = out[127] = 3;
  for (std::size_t net = 0xe0; net < out.size(); ++net) out[net] = 1;
  return out;
}();

// Bit f: TCP flags f (the lower six) never stand on a segment: none at all, or SYN with FIN or RST.
inline constexpr std::uint64_t kBadTcpFlags = [] {
  std::uint64_t out = 1;
  for (unsigned flags = 0; flags < 64; ++flags) {
    if ((flags & kTcpSyn) != 0 && (flags & (kTcpFin | kTcpRst)) != 0) out |= std::uint64_t{1} << flags;
  }
  return out;
}();

// `l4`: `len` bytes to the packet's end; the frame holds a fixed TCP header there (of UDP it may hold less behind it).
template <Family kFamily>
[[nodiscard, gnu::always_inline]] inline bool parse_l4(const std::uint8_t* l4, std::size_t len, std::uint8_t proto,
                                                       CommonHeaders<kFamily>& out) noexcept {
  out.src_port = std::byteswap(load<std::uint16_t>(l4));
  out.dst_port = std::byteswap(load<std::uint16_t>(l4 + 2));
  out.proto = static_cast<IpProto>(proto);
  if (proto == static_cast<std::uint8_t>(IpProto::kTcp)) [[likely]] {
    const std::size_t header = (l4[12] >> 4) * 4u;
    out.tcp_flags = l4[13];
    return header >= sizeof(TcpHeader) && header <= len && (kBadTcpFlags >> (out.tcp_flags & 0x3f) & 1) == 0;
  }
  if (proto != static_cast<std::uint8_t>(IpProto::kUdp)) return false;
  const std::size_t stated = std::byteswap(load<std::uint16_t>(l4 + 4));
  out.tcp_flags = 0;
  return stated >= sizeof(UdpHeader) && stated <= len;
}

// What expand_ip4() and expand_ip6() cannot take over as it lies there.
struct Shape {
  std::uint64_t end;
  std::uint64_t payload_offset;
  std::uint64_t tcp_flags;
};
[[nodiscard, gnu::always_inline]] inline Shape shape_of(const std::uint8_t* frame, std::size_t l4, std::size_t len,
                                                        std::uint8_t proto) noexcept {
  if (proto != static_cast<std::uint8_t>(IpProto::kTcp)) return {l4 + len, l4 + sizeof(UdpHeader), 0};
  return {l4 + len, l4 + (frame[l4 + 12] >> 4) * 4u, frame[l4 + 13]};
}

// In words, which is a quarter of the instructions: Parsed's layout is its own.
inline void expand_ip6(const std::uint8_t* frame, Parsed& out) noexcept {
  static_assert(offsetof(Parsed, fragment_id) == 32 && offsetof(Parsed, src_port) == 36 &&
                offsetof(Parsed, l3_offset) == 40 && offsetof(Parsed, l4_offset) == 42 &&
                offsetof(Parsed, payload_offset) == 44 && offsetof(Parsed, end) == 46 && offsetof(Parsed, vlan) == 48 &&
                offsetof(Parsed, error) == 50 && offsetof(Parsed, family) == 51 && offsetof(Parsed, fragment) == 52 &&
                offsetof(Parsed, proto) == 53 && offsetof(Parsed, ttl) == 54 && offsetof(Parsed, tcp_flags) == 55 &&
                offsetof(Parsed, icmp_type) == 56 && offsetof(Parsed, common) == 59);
  static_assert(static_cast<int>(ParseError::kNone) == 0 && static_cast<int>(FragmentKind::kWhole) == 0);
  constexpr std::uint64_t kL3 = sizeof(EthernetHeader), kL4 = kL3 + sizeof(Ip6Header);
  const std::uint8_t* ip = frame + kL3;
  const Shape shape = shape_of(frame, kL4, std::byteswap(load<std::uint16_t>(ip + 4)), ip[6]);
  out.src = IpAddress::v6(ip + 8);
  out.dst = IpAddress::v6(ip + 24);
  const std::uint64_t ports = std::rotl(std::byteswap(load<std::uint32_t>(frame + kL4)), 16);
  const std::uint64_t words[] = {ports << 32, kL3 | (kL4 << 16) | (shape.payload_offset << 32) | (shape.end << 48),
                                 (std::uint64_t{static_cast<std::uint8_t>(Family::kIp6)} << 24) |
                                     (std::uint64_t{ip[6]} << 40) | (std::uint64_t{ip[7]} << 48) |
                                     (shape.tcp_flags << 56),
                                 std::uint64_t{1} << 24};
  std::memcpy(reinterpret_cast<std::uint8_t*>(&out) + offsetof(Parsed, fragment_id), words, sizeof(words));
}

// All of it, from the twelve last bytes of an IPv4 header (TTL, protocol, checksum, addresses) and the ports behind it: each 16
// bytes of Parsed are those, in another order.
inline void expand_ip4(const std::uint8_t* frame, Parsed& out) noexcept {
  constexpr char kNone = -1;  // a byte that is none of them: 0
  constexpr long long kL3 = sizeof(EthernetHeader), kL4 = kL3 + sizeof(Ip4Header);
  const __m128i header = _mm_loadu_si128(reinterpret_cast<const __m128i*>(frame + kL3 + 8));
  const Shape shape =
      shape_of(frame, kL4, std::byteswap(load<std::uint16_t>(frame + kL3 + 2)) - sizeof(Ip4Header), frame[kL3 + 9]);
  const auto store = [&](std::size_t at, __m128i bytes) {
    _mm_store_si128(reinterpret_cast<__m128i*>(reinterpret_cast<std::uint8_t*>(&out) + at), bytes);
  };
  const __m128i mapped = _mm_set_epi32(0, static_cast<int>(0xffff0000), 0, 0);  // ::ffff:0:0/96
  const auto address = [&](char at) {
    return _mm_or_si128(
        mapped, _mm_shuffle_epi8(header, _mm_set_epi8(static_cast<char>(at + 3), static_cast<char>(at + 2),
                                                      static_cast<char>(at + 1), at, kNone, kNone, kNone, kNone, kNone,
                                                      kNone, kNone, kNone, kNone, kNone, kNone, kNone)));
  };
  store(offsetof(Parsed, src), address(4));
  store(offsetof(Parsed, dst), address(8));
  const __m128i ports = _mm_shuffle_epi8(header, _mm_set_epi8(kNone, kNone, kNone, kNone, kNone, kNone, kNone, kNone,
                                                              14, 15, 12, 13, kNone, kNone, kNone, kNone));
  const auto offsets = static_cast<long long>(shape.payload_offset << 32 | shape.end << 48);
  store(offsetof(Parsed, fragment_id), _mm_insert_epi64(ports, (kL3 | kL4 << 16) | offsets, 1));
  constexpr int kFamily = static_cast<int>(Family::kIp4) << 24, kCommon = 1 << 24;
  const __m128i fields =
      _mm_or_si128(_mm_set_epi32(0, kCommon, 0, kFamily),
                   _mm_shuffle_epi8(header, _mm_set_epi8(kNone, kNone, kNone, kNone, kNone, kNone, kNone, kNone, kNone,
                                                         0, 1, kNone, kNone, kNone, kNone, kNone)));
  store(offsetof(Parsed, vlan), _mm_insert_epi8(fields, static_cast<int>(shape.tcp_flags), 7));
}

[[nodiscard, gnu::always_inline]] inline bool parse_ip4(const std::uint8_t* frame, std::size_t size,
                                                        CommonHeaders<Family::kIp4>& out) noexcept {
  constexpr std::size_t kL3 = sizeof(EthernetHeader), kL4 = kL3 + sizeof(Ip4Header);
  const auto first = load<std::uint64_t>(frame + kL3);       // version, DSCP, total length, id, fragment
  const auto second = load<std::uint64_t>(frame + kL3 + 8);  // TTL, protocol, checksum, source
  const auto dst = load<std::uint32_t>(frame + kL3 + 16);
  // Five words of header, and no fragment: all of that word but DF and the reserved bit.
  if ((first & 0xff3f'0000'0000'00ff) != 0x45) return false;
  // One's complement addition may be done in words of 64 bits with the carry added at the end (RFC 1071 section 2 (C)). The
  // sum is all ones if it is a multiple of 65,535 (it is not 0), which one multiplication by the inverse says.
  std::uint64_t sum = 0;
  const bool carry = __builtin_add_overflow(first, second, &sum);
  const bool carry_again = __builtin_add_overflow(sum, std::uint64_t{dst} + carry, &sum);
  constexpr std::uint64_t kMost = ~std::uint64_t{0} / 0xffff, kInverse = 0 - kMost;
  static_assert(kInverse * 0xffff == 1);
  if ((sum + carry_again) * kInverse > kMost) return false;
  const std::size_t total = std::byteswap(static_cast<std::uint16_t>(first >> 16));
  if (total < sizeof(Ip4Header) + sizeof(UdpHeader) || total > size - kL3) return false;
  const auto src = static_cast<std::uint32_t>(second >> 32);
  if (((kIp4Special[src & 0xff] & 1) | (kIp4Special[dst & 0xff] & 2)) != 0 || src == dst) return false;
  if ((second & 0xfe) == 0) return false;  // a TTL of 1 or 0
  out.src = IpAddress::v4(Be32::from_raw(src));
  out.dst = IpAddress::v4(Be32::from_raw(dst));
  return parse_l4(frame + kL4, total - sizeof(Ip4Header), static_cast<std::uint8_t>(second >> 8), out);
}

[[nodiscard, gnu::always_inline]] inline bool parse_ip6(const std::uint8_t* frame, std::size_t size,
                                                        CommonHeaders<Family::kIp6>& out) noexcept {
  constexpr std::size_t kL3 = sizeof(EthernetHeader), kL4 = kL3 + sizeof(Ip6Header);
  const std::uint8_t* ip = frame + kL3;
  if (size < kL4 + sizeof(TcpHeader) || ip[0] >> 4 != 6) return false;
  const std::size_t len = std::byteswap(load<std::uint16_t>(ip + 4));
  if (len < sizeof(UdpHeader) || len > size - kL4) return false;
  out.src = IpAddress::v6(ip + 8);
  out.dst = IpAddress::v6(ip + 24);
  // Those that mean something special begin with a byte of zeros or, as a group, of ones.
  if (ip[8] == 0 || ip[8] == 0xff || ip[24] == 0 || out.src == out.dst) return false;
  if (ip[7] <= 1) return false;  // the hop limit
  return parse_l4(frame + kL4, len, ip[6], out);
}

}  // namespace common

// `frame` begins with an Ethernet header and has `size` bytes. False: it is no common packet of this family.
template <Family kFamily>
[[nodiscard, gnu::always_inline]] inline bool parse_common(const std::uint8_t* frame, std::size_t size,
                                                           CommonHeaders<kFamily>& out) noexcept {
  constexpr bool kV4 = kFamily == Family::kIp4;
  constexpr auto kType = static_cast<std::uint16_t>(kV4 ? EtherType::kIp4 : EtherType::kIp6);
  if (size < kLeastCommonFrame || size > 65535) return false;
  if (common::load<std::uint16_t>(frame + offsetof(EthernetHeader, type)) != std::byteswap(kType)) return false;
  if constexpr (kV4) {
    return common::parse_ip4(frame, size, out);
  } else {
    return common::parse_ip6(frame, size, out);
  }
}

// The Parsed of a common packet of this family.
inline void expand(Family family, const std::uint8_t* frame, Parsed& out) noexcept {
  family == Family::kIp4 ? common::expand_ip4(frame, out) : common::expand_ip6(frame, out);
}

}  // namespace sluice::net
