// The IP headers that a translation writes: part of translate.cc and translate_error.cc.
// Threading: pure functions.
// Spec:      RFC 7915 sections 4.1 and 5.1; RFC 6864 (identifiers).
#pragma once

#include <cstddef>
#include <cstdint>

#include "sluice/net/address.h"
#include "sluice/net/checksum.h"
#include "sluice/net/wire.h"

namespace sluice::net {

struct TranslatedIp {
  std::uint8_t traffic_class;
  std::size_t l4_len;
  std::uint8_t ttl;
  IpProto proto;
  IpAddress src, dst;
};

// The header whose last byte stands right before layer 4. It may begin before the frame does.
template <typename Header>
[[nodiscard]] Header& header_before(std::uint8_t* l4) noexcept {
  static_assert(alignof(Header) == 1);
  return *reinterpret_cast<Header*>(l4 - sizeof(Header));
}

// Routers may cut what is small enough to have come from a link of IPv6's least MTU: nobody on the IPv6 side would send
// less. `id` tells such packets apart: the checksum behind the header, which differs from packet to packet and follows
// from each, so that a copy keeps it.
inline void write_ip4(const TranslatedIp& from, Be16 id, Ip4Header& ip) noexcept {
  constexpr std::size_t kMayBeCut = 1260;
  const std::size_t total_len = sizeof(Ip4Header) + from.l4_len;
  const bool may_be_cut = total_len <= kMayBeCut;
  ip.version_ihl = 0x45;
  ip.dscp_ecn = from.traffic_class;
  ip.total_len = static_cast<std::uint16_t>(total_len);
  ip.id = may_be_cut ? id : Be16(0);
  ip.fragment = may_be_cut ? std::uint16_t{0} : kIp4DontFragment;
  ip.ttl = from.ttl;
  ip.proto = static_cast<std::uint8_t>(from.proto);
  ip.checksum = 0;
  ip.src = from.src.v4();
  ip.dst = from.dst.v4();
  ip.checksum = checksum({reinterpret_cast<const std::uint8_t*>(&ip), sizeof(ip)});
}

inline void write_ip6(const TranslatedIp& from, Ip6Header& ip) noexcept {
  ip.version_class_flow = 6u << 28 | std::uint32_t{from.traffic_class} << 20;
  ip.payload_len = static_cast<std::uint16_t>(from.l4_len);
  ip.next_header = static_cast<std::uint8_t>(from.proto);
  ip.hop_limit = from.ttl;
  ip.src = from.src.bytes();
  ip.dst = from.dst.bytes();
}

}  // namespace sluice::net
