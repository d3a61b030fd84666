#include "sluice/net/rewrite.h"

#include <cstddef>

namespace sluice::net {
namespace {

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
