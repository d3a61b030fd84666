#include "sluice/net/translate.h"

#include "ip6_extensions.h"
#include "sluice/net/sctp.h"
#include "translated_ip.h"

namespace sluice::net {
namespace {

using Bytes = std::span<const std::uint8_t>;

// Gives the new checksum, or two bytes of it.
Be16 rewrite_l4(std::span<std::uint8_t> frame, const Parsed& packet, const Endpoint& src,
                const Endpoint& dst) noexcept {
  if (packet.proto == IpProto::kSctp) {  // covers no addresses
    const auto sctp = frame.subspan(packet.l4_offset, packet.l4_len());
    rewrite_sctp_ports(sctp, sctp.size(), src.port, dst.port);
    return header_at<Be16>(sctp, offsetof(SctpHeader, checksum));
  }
  ChecksumDelta delta;
  delta.replace_family(packet.src, src.address);
  delta.replace_family(packet.dst, dst.address);
  rewrite_ports(frame, packet.l4_offset, src.port, dst.port, delta);
  if (packet.proto == IpProto::kTcp) [[likely]] {
    auto& tcp = header_at<TcpHeader>(frame, packet.l4_offset);
    return tcp.checksum = delta.apply(tcp.checksum);
  }
  auto& udp = header_at<UdpHeader>(frame, packet.l4_offset);
  if (udp.checksum.raw() != 0) [[likely]] {
    return udp.checksum = delta.apply_udp(udp.checksum);
  }
  // RFC 7915 section 4.5: over IPv6 there must be one.
  const std::size_t len = udp.len.host();
  ChecksumSum sum;
  sum.add_pseudo_header(src.address, dst.address, IpProto::kUdp, len);
  sum.add(frame.subspan(packet.l4_offset, len));
  return udp.checksum = sum.udp_checksum();
}

std::uint8_t traffic_class_of(Bytes frame, const Parsed& packet) noexcept {
  if (packet.family == Family::kIp4) return header_at<Ip4Header>(frame, packet.l3_offset).dscp_ecn;
  return static_cast<std::uint8_t>(header_at<Ip6Header>(frame, packet.l3_offset).version_class_flow.host() >> 20);
}

}  // namespace

bool may_translate(Bytes frame, const Parsed& packet) noexcept {
  if (!has_ports(packet.proto) || packet.fragment != FragmentKind::kWhole) return false;
  if (packet.family == Family::kIp4) return true;  // parse() refuses source routes; other options are left out
  const std::size_t extensions_at = packet.l3_offset + sizeof(Ip6Header);
  if (packet.l4_offset != extensions_at) {
    const auto& ip = header_at<Ip6Header>(frame, packet.l3_offset);
    if (walk_extensions(frame.first(packet.end), extensions_at, ip.next_header).segments_left) return false;
  }
  return packet.proto != IpProto::kUdp || header_at<UdpHeader>(frame, packet.l4_offset).checksum.raw() != 0;
}

std::uint8_t* translate_flow(std::span<std::uint8_t> frame, const Parsed& packet, const Endpoint& src,
                             const Endpoint& dst) noexcept {
  // The new header may lie where the old one does: what it takes over is read first.
  const TranslatedIp ip{.traffic_class = traffic_class_of(frame, packet),
                        .l4_len = packet.l4_len(),
                        .ttl = static_cast<std::uint8_t>(packet.ttl - 1),
                        .proto = packet.proto,
                        .src = src.address,
                        .dst = dst.address};
  const Be16 checksum = rewrite_l4(frame, packet, src, dst);
  std::uint8_t* l4 = frame.data() + packet.l4_offset;
  if (packet.family == Family::kIp4) {
    write_ip6(ip, header_before<Ip6Header>(l4));
    return l4 - sizeof(Ip6Header);
  }
  write_ip4(ip, checksum, header_before<Ip4Header>(l4));
  return l4 - sizeof(Ip4Header);
}

}  // namespace sluice::net
