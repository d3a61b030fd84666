// The packet inside an ICMP error: parse_quoted() and is_icmp_error() of parse.h.
#include "ip6_extensions.h"
#include "sluice/net/parse.h"

namespace sluice::net {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::size_t kQuotedL4Bytes = 8;  // RFC 792: "the first 64 bits of the original datagram's data"

ParseError parse_ports(Bytes frame, Parsed& out) noexcept {
  out.payload_offset = out.l4_offset;
  if (out.fragment == FragmentKind::kLater) return ParseError::kNone;
  if (frame.size() < out.l4_offset + kQuotedL4Bytes) return ParseError::kL4Truncated;
  switch (out.proto) {
    case IpProto::kTcp:
    case IpProto::kUdp:
    case IpProto::kSctp: {
      const auto& ports = header_at<UdpHeader>(frame, out.l4_offset);  // the ports lie alike in all three
      out.src_port = ports.src_port.host();
      out.dst_port = ports.dst_port.host();
      break;
    }
    case IpProto::kIcmp:
    case IpProto::kIcmpv6: {
      const auto& icmp = header_at<IcmpHeader>(frame, out.l4_offset);
      out.icmp_type = icmp.type;
      out.icmp_code = icmp.code;
      out.src_port = out.dst_port = static_cast<std::uint16_t>(icmp.rest.host() >> 16);
      break;
    }
  }
  return ParseError::kNone;
}

ParseError parse_quoted_ip4(Bytes frame, Parsed& out) noexcept {
  if (frame.size() < out.l3_offset + sizeof(Ip4Header)) return ParseError::kIpTruncated;
  const auto& ip = header_at<Ip4Header>(frame, out.l3_offset);
  if (ip.version_ihl >> 4 != 4) return ParseError::kIpVersion;
  const std::size_t header_len = ip.header_len();
  if (header_len < sizeof(Ip4Header)) return ParseError::kIpHeaderLength;
  if (frame.size() < out.l3_offset + header_len) return ParseError::kIpTruncated;
  out.family = Family::kIp4;
  out.src = IpAddress::v4(ip.src);
  out.dst = IpAddress::v4(ip.dst);
  out.ttl = ip.ttl;
  out.proto = static_cast<IpProto>(ip.proto);
  out.l4_offset = static_cast<std::uint16_t>(out.l3_offset + header_len);
  const std::uint16_t fragment = ip.fragment.host();
  if ((fragment & kIp4FragmentOffset) != 0) {
    out.fragment = FragmentKind::kLater;
  } else if ((fragment & kIp4MoreFragments) != 0) {
    out.fragment = FragmentKind::kFirst;
  }
  out.fragment_id = ip.id.host();
  return parse_ports(frame, out);
}

ParseError parse_quoted_ip6(Bytes frame, Parsed& out) noexcept {
  if (frame.size() < out.l3_offset + sizeof(Ip6Header)) return ParseError::kIpTruncated;
  const auto& ip = header_at<Ip6Header>(frame, out.l3_offset);
  if (ip.version_class_flow.host() >> 28 != 6) return ParseError::kIpVersion;
  out.src = IpAddress::v6(ip.src);
  out.dst = IpAddress::v6(ip.dst);
  if (out.src.is_v4()) return ParseError::kIpSource;
  if (out.dst.is_v4()) return ParseError::kIpDestination;
  out.family = Family::kIp6;
  out.ttl = ip.hop_limit;
  const Ip6Chain chain = walk_extensions(frame, out.l3_offset + sizeof(Ip6Header), ip.next_header);
  if (chain.error != ParseError::kNone) return chain.error;
  out.proto = static_cast<IpProto>(chain.proto);
  out.l4_offset = static_cast<std::uint16_t>(chain.offset);
  out.fragment_id = chain.fragment_id;
  if (chain.fragment_offset != 0) {
    out.fragment = FragmentKind::kLater;
  } else if (chain.more_fragments) {
    out.fragment = FragmentKind::kFirst;
  }
  return parse_ports(frame, out);
}

}  // namespace

bool is_icmp_error(const Parsed& packet) noexcept {
  if (packet.fragment == FragmentKind::kLater) return false;
  if (packet.family == Family::kIp4 && packet.proto == IpProto::kIcmp) {
    switch (static_cast<IcmpType>(packet.icmp_type)) {
      case IcmpType::kUnreachable:
      case IcmpType::kSourceQuench:
      case IcmpType::kRedirect:
      case IcmpType::kTimeExceeded:
      case IcmpType::kParameterProblem:
        return true;
      case IcmpType::kEchoReply:
      case IcmpType::kEchoRequest:
        return false;
    }
    return false;
  }
  // RFC 4443 section 2.1: error messages have a zero in the high-order bit of their type.
  return packet.family == Family::kIp6 && packet.proto == IpProto::kIcmpv6 && packet.icmp_type < 128;
}

Parsed parse_quoted_at(Bytes frame, const Parsed& outer, std::size_t offset) noexcept {
  Parsed out;
  const Bytes quoting = frame.first(outer.end);
  out.l3_offset = static_cast<std::uint16_t>(offset);
  out.end = outer.end;
  out.vlan = outer.vlan;
  if (offset >= quoting.size()) {
    out.error = ParseError::kIpTruncated;
    return out;
  }
  out.error = quoting[offset] >> 4 == 4 ? parse_quoted_ip4(quoting, out) : parse_quoted_ip6(quoting, out);
  return out;
}

Parsed parse_quoted(Bytes frame, const Parsed& outer) noexcept {
  Parsed out;
  if (!outer.ok() || !is_icmp_error(outer)) {
    out.error = ParseError::kL4Truncated;
    return out;
  }
  out = parse_quoted_at(frame, outer, outer.payload_offset);
  if (out.ok() && out.family != outer.family) out.error = ParseError::kIpVersion;
  return out;
}

}  // namespace sluice::net
