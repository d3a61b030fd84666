#include "sluice/net/rewrite.h"

#include <cstddef>

#include "sluice/net/sctp.h"

namespace sluice::net {
namespace {

// The identifier of an echo. Only ICMPv6 covers the addresses, whose change `delta` has, with its checksum.
void rewrite_identifier(IcmpHeader& icmp, Family family, std::uint16_t identifier, ChecksumDelta delta) noexcept {
  if (family == Family::kIp4) delta = {};
  const Be32 rest((std::uint32_t{identifier} << 16) | (icmp.rest.host() & 0xffff));
  delta.replace(icmp.rest, rest);
  icmp.rest = rest;
  icmp.checksum = delta.apply(icmp.checksum);
}

// Of the whole packet, which may be longer than its quote.
std::size_t stated_l4_len(std::span<const std::uint8_t> frame, const Parsed& quoted) noexcept {
  const std::size_t headers = quoted.l4_offset - std::size_t{quoted.l3_offset};
  const std::size_t stated = quoted.family == Family::kIp4
                                 ? header_at<Ip4Header>(frame, quoted.l3_offset).total_len.host()
                                 : header_at<Ip6Header>(frame, quoted.l3_offset).payload_len.host() + sizeof(Ip6Header);
  return stated < headers ? 0 : stated - headers;
}

// The quoted packet as its sender sent it. Its checksums change with what they cover and are not verified: a router may
// have changed the TTL and not the sum, and of what is cut short no sum could be made (RFC 5508 REQ-3 (c)).
void rewrite_quoted(std::span<std::uint8_t> frame, const Parsed& quoted, const Endpoint& src,
                    const Endpoint& dst) noexcept {
  ChecksumDelta delta;
  delta.replace(quoted.src, src.address);
  delta.replace(quoted.dst, dst.address);
  if (quoted.family == Family::kIp4) {
    auto& ip = header_at<Ip4Header>(frame, quoted.l3_offset);
    ip.src = src.address.v4();
    ip.dst = dst.address.v4();
    ip.checksum = delta.apply(ip.checksum);
  } else {
    auto& ip = header_at<Ip6Header>(frame, quoted.l3_offset);
    ip.src = src.address.bytes();
    ip.dst = dst.address.bytes();
  }
  if (quoted.proto == IpProto::kSctp)
    return rewrite_sctp_ports(frame.subspan(quoted.l4_offset), stated_l4_len(frame, quoted), src.port, dst.port);
  if (quoted.proto == IpProto::kIcmp || quoted.proto == IpProto::kIcmpv6)
    return rewrite_identifier(header_at<IcmpHeader>(frame, quoted.l4_offset), quoted.family, src.port, delta);
  rewrite_ports(frame, quoted.l4_offset, src.port, dst.port, delta);
  if (quoted.proto == IpProto::kUdp) {
    auto& udp = header_at<UdpHeader>(frame, quoted.l4_offset);
    udp.checksum = delta.apply_udp(udp.checksum);
  } else if (frame.size() >=
             quoted.l4_offset + offsetof(TcpHeader, urgent)) {  // beyond the 8 bytes that are always there
    auto& tcp = header_at<TcpHeader>(frame, quoted.l4_offset);
    tcp.checksum = delta.apply(tcp.checksum);
  }
}

}  // namespace

void rewrite_flow_other(std::span<std::uint8_t> frame, const Parsed& packet, const IpAddress& src,
                        std::uint16_t src_port, const IpAddress& dst, std::uint16_t dst_port) noexcept {
  const ChecksumDelta delta = rewrite_ip(frame, packet, src, dst);
  if (packet.fragment == FragmentKind::kLater) return;
  if (packet.proto == IpProto::kSctp) {
    const auto sctp = frame.subspan(packet.l4_offset, packet.l4_len());
    return rewrite_sctp_ports(sctp, sctp.size(), src_port, dst_port);
  }
  rewrite_identifier(header_at<IcmpHeader>(frame, packet.l4_offset), packet.family, dst_port, delta);
}

void rewrite_fragment_id(std::span<std::uint8_t> frame, const Parsed& packet) noexcept {
  if (packet.family == Family::kIp6) {
    header_at<Ip6Fragment>(frame, packet.fragment_at - sizeof(Ip6Fragment)).id = packet.fragment_id;
    return;
  }
  auto& ip = header_at<Ip4Header>(frame, packet.l3_offset);
  const Be16 id(static_cast<std::uint16_t>(packet.fragment_id));
  ChecksumDelta delta;
  delta.replace(ip.id, id);
  ip.id = id;
  ip.checksum = delta.apply(ip.checksum);
}

void rewrite_icmp_error(std::span<std::uint8_t> frame, const Parsed& error, const Parsed& quoted,
                        const IcmpErrorTuple& to) noexcept {
  rewrite_quoted(frame, quoted, to.quoted_src, to.quoted_dst);
  rewrite_ip(frame, error, to.src, to.dst);
  auto& icmp = header_at<IcmpHeader>(frame, error.l4_offset);
  const std::span<const std::uint8_t> message = frame.subspan(error.l4_offset);
  icmp.checksum = Be16(0);
  icmp.checksum =
      error.family == Family::kIp4 ? checksum(message) : l4_checksum(to.src, to.dst, IpProto::kIcmpv6, message);
}

}  // namespace sluice::net
