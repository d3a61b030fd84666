#include "sluice/net/parse.h"

#include <bit>
#include <cstddef>
#include <cstring>

#include "ip6_extensions.h"
#include "sluice/net/checksum.h"
#include "sluice/net/parse_common.h"
#include "sluice/net/sctp.h"
#include "sluice/net/vlan.h"

namespace sluice::net {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::uint32_t kIp4Loopback = 127;   // first byte
constexpr std::uint32_t kIp4ThisNetwork = 0;  // first byte
constexpr std::uint32_t kIp4Multicast = 0xe;  // first 4 bits
constexpr std::uint32_t kIp4Broadcast = 0xffffffff;

// RFC 1122 section 3.2.1.3: what must not stand as source or destination on a wire.
ParseError judge_addresses(Be32 src, Be32 dst) noexcept {
  const std::uint32_t from = src.host();
  const std::uint32_t to = dst.host();
  if (from >> 24 == kIp4ThisNetwork || from >> 24 == kIp4Loopback || from >> 28 == kIp4Multicast ||
      from == kIp4Broadcast) {
    return ParseError::kIpSource;
  }
  if (to >> 24 == kIp4ThisNetwork || to >> 24 == kIp4Loopback) return ParseError::kIpDestination;
  return from == to ? ParseError::kLand : ParseError::kNone;
}

constexpr IpAddress kIp6Loopback = IpAddress::v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});

// An IPv4-mapped address never stands on a wire (RFC 4291 section 2.5.5.2), and here it would be taken for IPv4.
// The unspecified source is left to the layer 4 check: duplicate address detection uses it.
ParseError judge_addresses(const IpAddress& src, const IpAddress& dst) noexcept {
  if (src.is_v4() || src.is_multicast() || src == kIp6Loopback) return ParseError::kIpSource;
  if (dst.is_v4() || dst.is_unspecified() || dst == kIp6Loopback) return ParseError::kIpDestination;
  return src == dst ? ParseError::kLand : ParseError::kNone;
}

ParseError parse_tcp(Bytes frame, Parsed& out) noexcept {
  if (out.l4_len() < sizeof(TcpHeader)) {
    // RFC 1858 section 3.1: a first fragment too small for the header hides the flags from filters.
    return out.fragment == FragmentKind::kFirst ? ParseError::kFragment : ParseError::kL4Truncated;
  }
  const auto& tcp = header_at<TcpHeader>(frame, out.l4_offset);
  if (tcp.header_len() < sizeof(TcpHeader) || tcp.header_len() > out.l4_len()) return ParseError::kTcpDataOffset;
  const std::uint8_t flags = tcp.flags;
  if ((flags & (kTcpFin | kTcpSyn | kTcpRst | kTcpPsh | kTcpAck | kTcpUrg)) == 0) return ParseError::kTcpFlags;
  if ((flags & kTcpSyn) != 0 && (flags & (kTcpFin | kTcpRst)) != 0) return ParseError::kTcpFlags;
  out.src_port = tcp.src_port.host();
  out.dst_port = tcp.dst_port.host();
  out.tcp_flags = flags;
  out.payload_offset = static_cast<std::uint16_t>(out.l4_offset + tcp.header_len());
  return ParseError::kNone;
}

ParseError parse_udp(Bytes frame, Parsed& out) noexcept {
  if (out.l4_len() < sizeof(UdpHeader)) return ParseError::kL4Truncated;
  const auto& udp = header_at<UdpHeader>(frame, out.l4_offset);
  const std::size_t len = udp.len.host();
  if (len < sizeof(UdpHeader)) return ParseError::kUdpLength;
  if (out.fragment == FragmentKind::kWhole && len > out.l4_len()) return ParseError::kUdpLength;
  out.src_port = udp.src_port.host();
  out.dst_port = udp.dst_port.host();
  out.payload_offset = static_cast<std::uint16_t>(out.l4_offset + sizeof(UdpHeader));
  return ParseError::kNone;
}

ParseError parse_sctp(Bytes frame, Parsed& out) noexcept {
  if (out.l4_len() < sizeof(SctpHeader)) return ParseError::kL4Truncated;
  out.payload_offset = static_cast<std::uint16_t>(out.l4_offset + sizeof(SctpHeader));
  const auto& sctp = header_at<SctpHeader>(frame, out.l4_offset);
  out.src_port = sctp.src_port.host();
  out.dst_port = sctp.dst_port.host();
  if (out.fragment != FragmentKind::kWhole) return ParseError::kNone;
  const auto flags = sctp_flags(frame.subspan(out.payload_offset, out.payload_len()));
  if (!flags) return ParseError::kSctpChunk;
  out.tcp_flags = *flags;
  return ParseError::kNone;
}

ParseError parse_icmp(Bytes frame, Parsed& out) noexcept {
  if (out.l4_len() < sizeof(IcmpHeader)) return ParseError::kL4Truncated;
  const auto& icmp = header_at<IcmpHeader>(frame, out.l4_offset);
  out.icmp_type = icmp.type;
  out.icmp_code = icmp.code;
  if (is_echo(out)) {
    out.src_port = out.dst_port = static_cast<std::uint16_t>(icmp.rest.host() >> 16);
  }
  out.payload_offset = static_cast<std::uint16_t>(out.l4_offset + sizeof(IcmpHeader));
  return ParseError::kNone;
}

ParseError parse_l4(Bytes frame, Parsed& out) noexcept {
  out.payload_offset = out.l4_offset;
  if (out.fragment == FragmentKind::kLater) return ParseError::kNone;
  switch (out.proto) {
    case IpProto::kTcp:
      return parse_tcp(frame, out);
    case IpProto::kUdp:
      return parse_udp(frame, out);
    case IpProto::kSctp:
      return parse_sctp(frame, out);
    case IpProto::kIcmp:
      return out.family == Family::kIp4 ? parse_icmp(frame, out) : ParseError::kNone;
    case IpProto::kIcmpv6:
      return out.family == Family::kIp6 ? parse_icmp(frame, out) : ParseError::kNone;
  }
  return ParseError::kNone;  // another protocol: forwarding judges by addresses
}

// Offset in bytes and "more fragments follow", of either family.
ParseError note_fragment(std::size_t offset, bool more, Parsed& out) noexcept {
  if (offset == 0 && !more) return ParseError::kNone;  // IPv6: an atomic fragment (RFC 6946)
  const std::size_t len = out.fragment_len();
  if (len == 0 || offset + len > 65535 || (more && len % 8 != 0)) return ParseError::kFragment;
  // RFC 1858 section 3.2: offset 8 would overwrite the TCP flags of the first fragment.
  if (offset == 8 && out.proto == IpProto::kTcp) return ParseError::kFragment;
  out.fragment = offset == 0 ? FragmentKind::kFirst : FragmentKind::kLater;
  out.fragment_offset = static_cast<std::uint16_t>(offset);
  out.more_fragments = more;
  return ParseError::kNone;
}

// Nearly every header has 20 bytes: five words.
bool ip4_checksum_ok(Bytes header) noexcept {
  std::uint32_t words[5];
  std::memcpy(words, header.data(), sizeof(words));
  if (header.size() > sizeof(words)) [[unlikely]] {
    return checksum(header).raw() == 0;
  }
  std::uint64_t sum = std::uint64_t{words[0]} + words[1] + words[2] + words[3] + words[4];
  sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
  return ((sum & 0xffff) + (sum >> 16)) == 0xffff;
}

// Options pass as they are, but for those that name routers: they lead packets around filters (RFC 7126 section 4.3).
ParseError judge_options(Bytes options) noexcept {
  enum : std::uint8_t { kEnd = 0, kNoOperation = 1, kLooseSourceRoute = 131, kStrictSourceRoute = 137 };
  for (std::size_t at = 0; at < options.size() && options[at] != kEnd;) {
    const std::uint8_t type = options[at];
    if (type == kNoOperation) {
      ++at;
      continue;
    }
    const std::size_t len = at + 1 < options.size() ? options[at + 1] : 0;
    if (len < 2 || len > options.size() - at) return ParseError::kIpOption;
    if (type == kLooseSourceRoute || type == kStrictSourceRoute) return ParseError::kIpOption;
    at += len;
  }
  return ParseError::kNone;
}

ParseError parse_ip4(Bytes frame, Parsed& out) noexcept {
  const std::size_t room = frame.size() - out.l3_offset;
  if (room < sizeof(Ip4Header)) return ParseError::kIpTruncated;
  const auto& ip = header_at<Ip4Header>(frame, out.l3_offset);
  if (ip.version_ihl >> 4 != 4) return ParseError::kIpVersion;
  const std::size_t header_len = ip.header_len();
  const std::size_t total_len = ip.total_len.host();
  if (header_len < sizeof(Ip4Header) || header_len > room) return ParseError::kIpHeaderLength;
  if (total_len < header_len) return ParseError::kIpTotalLength;
  if (total_len > room) return ParseError::kIpTruncated;
  if (!ip4_checksum_ok(frame.subspan(out.l3_offset, header_len))) return ParseError::kIpChecksum;
  if (const ParseError error = judge_addresses(ip.src, ip.dst); error != ParseError::kNone) return error;
  if (header_len > sizeof(Ip4Header)) {
    const Bytes options = frame.subspan(out.l3_offset + sizeof(Ip4Header), header_len - sizeof(Ip4Header));
    if (const ParseError error = judge_options(options); error != ParseError::kNone) return error;
  }

  out.family = Family::kIp4;
  out.src = IpAddress::v4(ip.src);
  out.dst = IpAddress::v4(ip.dst);
  out.ttl = ip.ttl;
  out.proto = static_cast<IpProto>(ip.proto);
  out.end = static_cast<std::uint16_t>(out.l3_offset + total_len);
  out.l4_offset = static_cast<std::uint16_t>(out.l3_offset + header_len);
  const std::uint16_t fragment = ip.fragment.host();
  if ((fragment & (kIp4MoreFragments | kIp4FragmentOffset)) != 0) [[unlikely]] {
    out.fragment_id = ip.id.host();
    out.fragment_at = out.l4_offset;
    const ParseError error =
        note_fragment((fragment & kIp4FragmentOffset) * 8u, (fragment & kIp4MoreFragments) != 0, out);
    if (error != ParseError::kNone) return error;
  }
  return parse_l4(frame, out);
}

ParseError parse_ip6(Bytes frame, Parsed& out) noexcept {
  const std::size_t room = frame.size() - out.l3_offset;
  if (room < sizeof(Ip6Header)) return ParseError::kIpTruncated;
  const auto& ip = header_at<Ip6Header>(frame, out.l3_offset);
  if (ip.version_class_flow.host() >> 28 != 6) return ParseError::kIpVersion;
  const std::size_t total_len = sizeof(Ip6Header) + ip.payload_len.host();
  if (total_len > room) return ParseError::kIpTruncated;
  const IpAddress src = IpAddress::v6(ip.src);
  const IpAddress dst = IpAddress::v6(ip.dst);
  if (const ParseError error = judge_addresses(src, dst); error != ParseError::kNone) return error;

  out.family = Family::kIp6;
  out.src = src;
  out.dst = dst;
  out.ttl = ip.hop_limit;
  out.end = static_cast<std::uint16_t>(out.l3_offset + total_len);
  const Ip6Chain chain = walk_extensions(frame.first(out.end), out.l3_offset + sizeof(Ip6Header), ip.next_header);
  if (chain.error != ParseError::kNone) return chain.error;
  out.proto = static_cast<IpProto>(chain.proto);
  out.l4_offset = static_cast<std::uint16_t>(chain.offset);
  if (src.is_unspecified() && out.proto != IpProto::kIcmpv6) return ParseError::kIpSource;
  if (chain.fragmented) [[unlikely]] {
    out.fragment_id = chain.fragment_id;
    out.fragment_at = static_cast<std::uint16_t>(chain.fragment_at);
    const ParseError error = note_fragment(chain.fragment_offset, chain.more_fragments, out);
    if (error != ParseError::kNone) return error;
  }
  return parse_l4(frame, out);
}

ParseError parse_arp_frame(Bytes frame, Parsed& out) noexcept {
  if (frame.size() - out.l3_offset < sizeof(ArpPacket)) return ParseError::kArpTruncated;
  out.family = Family::kArp;
  out.end = static_cast<std::uint16_t>(out.l3_offset + sizeof(ArpPacket));
  out.l4_offset = out.payload_offset = out.end;
  return ParseError::kNone;
}

ParseError parse_frame(Bytes frame, Parsed& out) noexcept {
  if (frame.size() < sizeof(EthernetHeader)) return ParseError::kEthernetTruncated;
  if (frame.size() > 65535) return ParseError::kIpTotalLength;
  const FoundTags tags = find_tags(frame);
  out.vlan = tags.ids.outer;
  out.l3_offset = static_cast<std::uint16_t>(sizeof(EthernetHeader) + tags.bytes);
  const auto type = static_cast<EtherType>(header_at<Be16>(frame, out.l3_offset - sizeof(Be16)).host());
  switch (type) {
    case EtherType::kIp4:
      return parse_ip4(frame, out);
    case EtherType::kIp6:
      return parse_ip6(frame, out);
    case EtherType::kArp:
      return parse_arp_frame(frame, out);
    case EtherType::kVlan:
    case EtherType::kVlanService:
      // A third tag, or one that the frame cuts short.
      if (frame.size() < out.l3_offset + sizeof(VlanTag)) return ParseError::kEthernetTruncated;
      break;
  }
  return ParseError::kEtherTypeUnknown;
}

}  // namespace

void parse(Bytes frame, Parsed& out) noexcept {
  CommonHeaders<Family::kIp4> ip4;
  if (parse_common(frame.data(), frame.size(), ip4)) return expand(Family::kIp4, frame.data(), out);
  CommonHeaders<Family::kIp6> ip6;
  if (parse_common(frame.data(), frame.size(), ip6)) return expand(Family::kIp6, frame.data(), out);
  out = Parsed{};
  out.error = parse_frame(frame, out);
}

Parsed parse(Bytes frame) noexcept {
  Parsed out;
  parse(frame, out);
  return out;
}

Parsed parse_ip(Bytes packet) noexcept {
  Parsed out;
  if (packet.empty()) {
    out.error = ParseError::kIpTruncated;
  } else if (packet.size() > 65535) {
    out.error = ParseError::kIpTotalLength;
  } else if (packet[0] >> 4 == 4) {
    out.error = parse_ip4(packet, out);
  } else if (packet[0] >> 4 == 6) {
    out.error = parse_ip6(packet, out);
  } else {
    out.error = ParseError::kIpVersion;
  }
  return out;
}

bool is_echo(const Parsed& packet) noexcept {
  if (packet.fragment == FragmentKind::kLater) return false;
  const std::uint8_t type = packet.icmp_type;
  if (packet.proto == IpProto::kIcmp && packet.family == Family::kIp4) {
    return type == static_cast<std::uint8_t>(IcmpType::kEchoRequest) ||
           type == static_cast<std::uint8_t>(IcmpType::kEchoReply);
  }
  if (packet.proto != IpProto::kIcmpv6 || packet.family != Family::kIp6) return false;
  return type == static_cast<std::uint8_t>(Icmpv6Type::kEchoRequest) ||
         type == static_cast<std::uint8_t>(Icmpv6Type::kEchoReply);
}

bool l4_checksum_ok(Bytes frame, const Parsed& packet) noexcept {
  if (packet.fragment != FragmentKind::kWhole) return true;
  Bytes l4 = frame.subspan(packet.l4_offset, packet.l4_len());
  switch (packet.proto) {
    case IpProto::kTcp:
      break;
    case IpProto::kUdp: {
      const auto& udp = header_at<UdpHeader>(frame, packet.l4_offset);
      if (udp.checksum.raw() == 0) return packet.family == Family::kIp4;
      l4 = l4.first(udp.len.host());
      break;
    }
    case IpProto::kSctp:
      return sctp_checksum_ok(l4);
    case IpProto::kIcmp:
      return packet.family != Family::kIp4 || checksum(l4).raw() == 0;
    case IpProto::kIcmpv6:
      if (packet.family != Family::kIp6) return true;
      break;
    default:
      return true;
  }
  return l4_checksum(packet.src, packet.dst, packet.proto, l4).raw() == 0;
}

const char* text_of(ParseError error) noexcept {
  switch (error) {
    case ParseError::kNone:
      return "none";
    case ParseError::kEthernetTruncated:
      return "ethernet_truncated";
    case ParseError::kEtherTypeUnknown:
      return "ether_type_unknown";
    case ParseError::kArpTruncated:
      return "arp_truncated";
    case ParseError::kIpTruncated:
      return "ip_truncated";
    case ParseError::kIpVersion:
      return "ip_version";
    case ParseError::kIpHeaderLength:
      return "ip_header_length";
    case ParseError::kIpTotalLength:
      return "ip_total_length";
    case ParseError::kIpChecksum:
      return "ip_checksum";
    case ParseError::kIpOption:
      return "ip_option";
    case ParseError::kIpSource:
      return "ip_source";
    case ParseError::kIpDestination:
      return "ip_destination";
    case ParseError::kLand:
      return "land";
    case ParseError::kExtensionTruncated:
      return "extension_truncated";
    case ParseError::kExtensionLimit:
      return "extension_limit";
    case ParseError::kExtensionUnknown:
      return "extension_unknown";
    case ParseError::kFragment:
      return "fragment";
    case ParseError::kL4Truncated:
      return "l4_truncated";
    case ParseError::kTcpDataOffset:
      return "tcp_data_offset";
    case ParseError::kTcpFlags:
      return "tcp_flags";
    case ParseError::kUdpLength:
      return "udp_length";
    case ParseError::kSctpChunk:
      return "sctp_chunk";
  }
  return "unknown";
}

}  // namespace sluice::net
