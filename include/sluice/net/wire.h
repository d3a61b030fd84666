// Headers as they stand on the wire: every field is a byte or big-endian, so alignment is 1 and a struct may lie at any
// offset of a frame. Take one with header_at() after the length was checked.
// Threading: values.
// Spec:      Ethernet IEEE 802.3 and 802.1Q; ARP RFC 826; IPv4 RFC 791; IPv6 RFC 8200; TCP RFC 9293; UDP RFC 768;
//            ICMP RFC 792; ICMPv6 RFC 4443; neighbour discovery RFC 4861.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/base/endian.h"
#include "sluice/net/address.h"

namespace sluice::net {

enum class EtherType : std::uint16_t {
  kIp4 = 0x0800,
  kArp = 0x0806,
  kVlan = 0x8100,
  kIp6 = 0x86dd,
  kVlanService = 0x88a8,  // of the outer one of two tags (IEEE 802.1ad)
};
[[nodiscard]] constexpr bool is_vlan_type(EtherType type) noexcept {
  return type == EtherType::kVlan || type == EtherType::kVlanService;
}

struct EthernetHeader {
  MacAddress dst;
  MacAddress src;
  Be16 type;
};
static_assert(sizeof(EthernetHeader) == 14 && alignof(EthernetHeader) == 1);

struct VlanTag {  // follows an EthernetHeader of type kVlan or kVlanService
  Be16 control;   // priority 3 bits, drop eligible 1 bit, identifier 12 bits
  Be16 type;
};
static_assert(sizeof(VlanTag) == 4 && alignof(VlanTag) == 1);
inline constexpr std::uint16_t kVlanId = 0x0fff;  // of VlanTag::control

enum class ArpOperation : std::uint16_t { kRequest = 1, kReply = 2 };

struct ArpPacket {            // IPv4 over Ethernet
  Be16 hardware_type;         // 1
  Be16 protocol_type;         // 0x0800
  std::uint8_t hardware_len;  // 6
  std::uint8_t protocol_len;  // 4
  Be16 operation;
  MacAddress sender_mac;
  Be32 sender_address;
  MacAddress target_mac;
  Be32 target_address;
};
static_assert(sizeof(ArpPacket) == 28 && alignof(ArpPacket) == 1);

struct Ip4Header {
  std::uint8_t version_ihl;
  std::uint8_t dscp_ecn;
  Be16 total_len;
  Be16 id;
  Be16 fragment;  // flags 3 bits, offset in units of 8 bytes 13 bits
  std::uint8_t ttl;
  std::uint8_t proto;
  Be16 checksum;
  Be32 src;
  Be32 dst;

  [[nodiscard]] std::size_t header_len() const noexcept { return (version_ihl & 0xfu) * 4u; }
};
static_assert(sizeof(Ip4Header) == 20 && alignof(Ip4Header) == 1);
inline constexpr std::uint16_t kIp4DontFragment = 0x4000;
inline constexpr std::uint16_t kIp4MoreFragments = 0x2000;
inline constexpr std::uint16_t kIp4FragmentOffset = 0x1fff;

struct Ip6Header {
  Be32 version_class_flow;
  Be16 payload_len;
  std::uint8_t next_header;
  std::uint8_t hop_limit;
  std::array<std::uint8_t, 16> src;
  std::array<std::uint8_t, 16> dst;
};
static_assert(sizeof(Ip6Header) == 40 && alignof(Ip6Header) == 1);

struct Ip6Extension {  // hop-by-hop, routing, destination options: length in units of 8 bytes, the first not counted
  std::uint8_t next_header;
  std::uint8_t len;
};
inline constexpr std::uint16_t kMinIp6Mtu = 1280;  // RFC 8200 section 5
inline constexpr std::uint8_t kIp6FragmentHeader = 44;
struct Ip6Fragment {
  std::uint8_t next_header;
  std::uint8_t reserved;
  Be16 offset_more;  // offset 13 bits, reserved 2 bits, more 1 bit
  Be32 id;
};
static_assert(sizeof(Ip6Fragment) == 8 && alignof(Ip6Fragment) == 1);

inline constexpr std::uint8_t kTcpFin = 0x01;
inline constexpr std::uint8_t kTcpSyn = 0x02;
inline constexpr std::uint8_t kTcpRst = 0x04;
inline constexpr std::uint8_t kTcpPsh = 0x08;
inline constexpr std::uint8_t kTcpAck = 0x10;
inline constexpr std::uint8_t kTcpUrg = 0x20;

struct TcpHeader {
  Be16 src_port;
  Be16 dst_port;
  Be32 sequence;
  Be32 acknowledgment;
  std::uint8_t data_offset;  // upper 4 bits, in units of 4 bytes
  std::uint8_t flags;
  Be16 window;
  Be16 checksum;
  Be16 urgent;

  [[nodiscard]] std::size_t header_len() const noexcept { return (data_offset >> 4) * 4u; }
};
static_assert(sizeof(TcpHeader) == 20 && alignof(TcpHeader) == 1);

struct UdpHeader {
  Be16 src_port;
  Be16 dst_port;
  Be16 len;
  Be16 checksum;  // 0 over IPv4: the sender computed none
};
static_assert(sizeof(UdpHeader) == 8 && alignof(UdpHeader) == 1);

struct GreHeader {  // RFC 2784 without its optional checksum
  Be16 flags;
  Be16 type;  // an EtherType
};
static_assert(sizeof(GreHeader) == 4 && alignof(GreHeader) == 1);

struct GueHeader {           // draft-ietf-intarea-gue section 3, variant 0 without extensions
  std::uint8_t variant_len;  // variant 2 bits, control 1 bit, length of extensions in units of 4 bytes 5 bits
  std::uint8_t proto;        // of the payload
  Be16 flags;
};
static_assert(sizeof(GueHeader) == 4 && alignof(GueHeader) == 1);

struct VxlanHeader {
  Be32 flags;
  Be32 vni;  // in the upper 24 bits
};
static_assert(sizeof(VxlanHeader) == 8 && alignof(VxlanHeader) == 1);

struct IcmpHeader {  // of ICMP and ICMPv6 alike; `rest` depends on type and code
  std::uint8_t type;
  std::uint8_t code;
  Be16 checksum;
  Be32 rest;  // echo: identifier, sequence; packet too big: MTU; fragmentation needed: MTU in the lower half
};
static_assert(sizeof(IcmpHeader) == 8 && alignof(IcmpHeader) == 1);

enum class IcmpType : std::uint8_t {
  kEchoReply = 0,
  kUnreachable = 3,
  kSourceQuench = 4,
  kRedirect = 5,
  kEchoRequest = 8,
  kTimeExceeded = 11,
  kParameterProblem = 12,
};
enum class Icmpv6Type : std::uint8_t {
  kUnreachable = 1,
  kPacketTooBig = 2,
  kTimeExceeded = 3,
  kParameterProblem = 4,
  kEchoRequest = 128,
  kEchoReply = 129,
  kRouterSolicitation = 133,
  kRouterAdvertisement = 134,
  kNeighborSolicitation = 135,
  kNeighborAdvertisement = 136,
  kRedirect = 137,
};

struct NeighborMessage {  // solicitation and advertisement (RFC 4861 sections 4.3, 4.4); options follow
  std::uint8_t type;
  std::uint8_t code;
  Be16 checksum;
  std::uint8_t flags;  // advertisement: router, solicited, override in the upper 3 bits
  std::array<std::uint8_t, 3> reserved;
  std::array<std::uint8_t, 16> target;
};
static_assert(sizeof(NeighborMessage) == 24 && alignof(NeighborMessage) == 1);

enum class NeighborOption : std::uint8_t { kSourceLinkLayer = 1, kTargetLinkLayer = 2 };
struct LinkLayerOption {  // of Ethernet: 8 bytes
  std::uint8_t type;
  std::uint8_t len;  // in units of 8 bytes: 1
  MacAddress mac;
};
static_assert(sizeof(LinkLayerOption) == 8 && alignof(LinkLayerOption) == 1);

// The header at `offset`; the caller has checked that it lies inside the bytes.
template <typename Header>
[[nodiscard]] Header& header_at(std::span<std::uint8_t> bytes, std::size_t offset) noexcept {
  static_assert(alignof(Header) == 1);
  return *reinterpret_cast<Header*>(bytes.data() + offset);
}
template <typename Header>
[[nodiscard]] const Header& header_at(std::span<const std::uint8_t> bytes, std::size_t offset) noexcept {
  static_assert(alignof(Header) == 1);
  return *reinterpret_cast<const Header*>(bytes.data() + offset);
}

}  // namespace sluice::net
