// From the bytes of a frame to what the packet path asks about it: one pass, no copy of the packet, no allocation. What
// is judged here once need not be judged again: with error kNone, all offsets and lengths lie inside the frame, the
// IPv4 header's checksum is right, and the fixed header of TCP, UDP, SCTP, ICMP and ICMPv6 is there (fragments: see below).
// TTL and layer 4 checksums are not judged: forwarding keeps a wrong checksum wrong, ends verify (l4_checksum_ok()).
// Threading: pure functions.
// Units:     offsets are bytes from the start of the frame; ports, lengths and ids are in host order.
// Spec:      RFC 791, RFC 1122 section 3.2.1, RFC 1858 section 3 (tiny and overlapping fragments), RFC 8200 section 4,
//            RFC 5095 (routing type 0), RFC 9293, RFC 768, RFC 9260.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/net/address.h"
#include "sluice/net/wire.h"

namespace sluice::net {

enum class ParseError : std::uint8_t {
  kNone,
  kEthernetTruncated,   // shorter than its Ethernet header or VLAN tags
  kEtherTypeUnknown,    // neither IPv4, IPv6 nor ARP, or a third VLAN tag
  kArpTruncated,        // shorter than an ARP packet of IPv4 over Ethernet
  kIpTruncated,         // frame shorter than an IP header, or than the length that the header states
  kIpVersion,           // version is not that of the Ethernet type
  kIpHeaderLength,      // IPv4 header length below 5 or beyond the packet
  kIpTotalLength,       // IPv4 total length below its header; a frame beyond 65,535 bytes
  kIpChecksum,          // IPv4 header checksum
  kIpOption,            // IPv4: a source route (RFC 7126 section 4.3), or an option beyond the header
  kIpSource,            // multicast, broadcast, loopback, unspecified (but for ICMPv6), or IPv4-mapped in IPv6
  kIpDestination,       // unspecified, loopback, or IPv4-mapped in IPv6
  kLand,                // source is the destination
  kExtensionTruncated,  // an IPv6 extension header beyond the packet
  kExtensionLimit,      // more than kMaxExtensions headers or kMaxExtensionBytes bytes of them
  kExtensionUnknown,    // routing type 0 (RFC 5095), or hop-by-hop that is not first
  kFragment,            // first of TCP too small for its header, offset 1 of TCP, or beyond 65,535 bytes
  kL4Truncated,         // TCP, UDP, SCTP or ICMP header beyond the packet
  kTcpDataOffset,       // below 5 or beyond the segment
  kTcpFlags,            // none at all, SYN with FIN or RST
  kUdpLength,           // below 8 or beyond the packet
  kSctpChunk,           // none, shorter than its header or beyond the packet, or beside one that stands alone
};
[[nodiscard]] const char* text_of(ParseError error) noexcept;

enum class Family : std::uint8_t { kNone, kArp, kIp4, kIp6 };

enum class FragmentKind : std::uint8_t {
  kWhole,
  kFirst,  // more follow; has the ports
  kLater,  // no ports; payload_offset is l4_offset
};

inline constexpr std::size_t kMaxExtensions = 8;
inline constexpr std::size_t kMaxExtensionBytes = 256;

struct FiveTuple {
  Endpoint src;
  Endpoint dst;
  IpProto proto{};
};

struct alignas(64) Parsed {  // one cache line: a burst of 32 is 2 KiB
  IpAddress src;             // of IP; for ARP unset
  IpAddress dst;
  std::uint32_t fragment_id = 0;  // valid unless kWhole
  std::uint16_t src_port = 0;     // TCP, UDP, SCTP; ICMP echo: the identifier, in both ports
  std::uint16_t dst_port = 0;
  std::uint16_t l3_offset = 0;       // of the IP header or ARP packet: 14, and 4 for each VLAN tag
  std::uint16_t l4_offset = 0;       // of the layer 4 header, behind options and extension headers
  std::uint16_t payload_offset = 0;  // behind the layer 4 header
  std::uint16_t end = 0;             // of the IP packet: what lies behind it is padding
  std::uint16_t vlan = 0;            // identifier of the outermost tag that has one; 0: none has
  ParseError error = ParseError::kNone;
  Family family = Family::kNone;
  FragmentKind fragment = FragmentKind::kWhole;
  IpProto proto{};             // any protocol number, not only the named ones
  std::uint8_t ttl = 0;        // or hop limit
  std::uint8_t tcp_flags = 0;  // TCP; SCTP: what its chunks mean (sctp.h)
  std::uint8_t icmp_type = 0;  // ICMP, ICMPv6
  std::uint8_t icmp_code = 0;
  bool more_fragments = false;        // valid unless kWhole, as the two below
  bool common = false;                // parse_common() took it
  std::uint16_t fragment_offset = 0;  // bytes
  std::uint16_t fragment_at = 0;      // where the fragment's data begin: behind the IPv4 header or the fragment header

  [[nodiscard]] bool ok() const noexcept { return error == ParseError::kNone; }
  [[nodiscard]] FiveTuple tuple() const noexcept { return {{src, src_port}, {dst, dst_port}, proto}; }
  [[nodiscard]] std::size_t l3_len() const noexcept { return end - l3_offset; }
  [[nodiscard]] std::size_t l4_len() const noexcept { return end - l4_offset; }  // header and payload
  [[nodiscard]] std::size_t fragment_len() const noexcept { return end - fragment_at; }
  [[nodiscard]] std::size_t payload_len() const noexcept { return end - payload_offset; }
};
static_assert(sizeof(Parsed) == 64);

// A packet that parse_common() (parse_common.h) took, as a local of the function that edits it: as long as no reference to it
// gets out of that function, nothing that is written to the frame can change it for the compiler, so it stays in registers,
// what follows from the family is a constant, and what is not asked for is not read.
template <Family kFamily>
struct CommonPacket : Parsed {
  [[gnu::always_inline]] explicit CommonPacket(const std::uint8_t* frame) noexcept {
    constexpr std::size_t kL3 = sizeof(EthernetHeader);
    constexpr std::size_t kL4 = kL3 + (kFamily == Family::kIp4 ? sizeof(Ip4Header) : sizeof(Ip6Header));
    if constexpr (kFamily == Family::kIp4) {
      const auto& ip = *reinterpret_cast<const Ip4Header*>(frame + kL3);
      src = IpAddress::v4(ip.src);
      dst = IpAddress::v4(ip.dst);
      end = static_cast<std::uint16_t>(kL3 + ip.total_len.host());
      proto = static_cast<IpProto>(ip.proto);
    } else {
      const auto& ip = *reinterpret_cast<const Ip6Header*>(frame + kL3);
      src = IpAddress::v6(ip.src.data());
      dst = IpAddress::v6(ip.dst.data());
      end = static_cast<std::uint16_t>(kL4 + ip.payload_len.host());
      proto = static_cast<IpProto>(ip.next_header);
    }
    const auto& tcp = *reinterpret_cast<const TcpHeader*>(frame + kL4);
    src_port = tcp.src_port.host();
    dst_port = tcp.dst_port.host();
    l3_offset = kL3;
    l4_offset = kL4;
    family = kFamily;
    payload_offset = kL4 + sizeof(UdpHeader);
    if (proto == IpProto::kTcp) [[likely]] {
      payload_offset = static_cast<std::uint16_t>(kL4 + (tcp.data_offset >> 4) * 4);
      tcp_flags = tcp.flags;
    }
  }
};

// A frame with its Ethernet header. Frames beyond 65,535 bytes are an error (kIpTotalLength).
[[nodiscard]] Parsed parse(std::span<const std::uint8_t> frame) noexcept;
// The same, for a burst: the result is made in its place. (A Parsed that is copied right after it was made stalls on its
// many small stores.)
void parse(std::span<const std::uint8_t> frame, Parsed& out) noexcept;
// A bare IP packet, as a tunnel holds it: l3_offset is 0.
[[nodiscard]] Parsed parse_ip(std::span<const std::uint8_t> packet) noexcept;

// The packet that an ICMP or ICMPv6 error quotes, as far as routing the error needs it: addresses, protocol and ports.
// Offsets are from the start of the outer frame. The quote may be cut short and its checksum may be wrong (a router has
// changed its TTL): only the addresses and 8 bytes of layer 4 must be there. `outer` is the result of parse(frame).
[[nodiscard]] Parsed parse_quoted(std::span<const std::uint8_t> frame, const Parsed& outer) noexcept;
// The same of a packet that lies deeper in the quote, behind the headers of a tunnel: at `offset` of the frame.
[[nodiscard]] Parsed parse_quoted_at(std::span<const std::uint8_t> frame, const Parsed& outer,
                                     std::size_t offset) noexcept;
// An ICMP or ICMPv6 echo request or reply; of a quoted packet, too. Its identifier is in both ports.
[[nodiscard]] bool is_echo(const Parsed& packet) noexcept;
[[nodiscard]] bool is_icmp_error(const Parsed& packet) noexcept;  // a type that quotes a packet

// Whether the TCP, UDP, SCTP, ICMP or ICMPv6 checksum is right; an IPv4 UDP checksum of 0 is (RFC 768), an IPv6 one is not
// (RFC 8200 section 8.1). Fragments and other protocols: true, nothing can be said.
[[nodiscard]] bool l4_checksum_ok(std::span<const std::uint8_t> frame, const Parsed& packet) noexcept;

}  // namespace sluice::net
