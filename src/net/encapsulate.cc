#include "sluice/net/encapsulate.h"

#include "sluice/net/esp.h"

namespace sluice::net {
namespace {

constexpr std::uint8_t kProtoIp4 = 4, kProtoIp6 = 41, kProtoGre = 47;
constexpr std::uint32_t kVxlanHasVni = 0x08000000;  // RFC 7348 section 5: flag I

std::uint16_t ether_type_of(Family family) noexcept {
  return static_cast<std::uint16_t>(family == Family::kIp4 ? EtherType::kIp4 : EtherType::kIp6);
}

bool is_udp(Encapsulation kind) noexcept { return kind >= Encapsulation::kGue; }

std::size_t bytes_behind_ip(Encapsulation kind) noexcept {
  switch (kind) {
    case Encapsulation::kIpIp:
    case Encapsulation::kEsp:
      return 0;
    case Encapsulation::kGre:
      return sizeof(GreHeader);
    case Encapsulation::kGue:
      return sizeof(UdpHeader);
    case Encapsulation::kGueData:
      return sizeof(UdpHeader) + sizeof(GueHeader);
    case Encapsulation::kVxlan:
      return sizeof(UdpHeader) + sizeof(VxlanHeader) + sizeof(EthernetHeader);
  }
  return 0;
}

}  // namespace

EncapsulationHeader::EncapsulationHeader(const TunnelEnds& ends) noexcept
    : src_spread_(ends.src_spread), outer4_(ends.dst.is_v4()) {
  const std::size_t ip_len = outer4_ ? sizeof(Ip4Header) : sizeof(Ip6Header);
  size_ = static_cast<std::uint8_t>(ip_len + bytes_behind_ip(ends.kind));
  if (is_udp(ends.kind)) udp_at_ = static_cast<std::uint8_t>(ip_len);
  plain_ip4_ = outer4_ && size_ <= kNear && udp_at_ == 0 && src_spread_ == 0;
  const std::span<std::uint8_t> header = std::span(bytes_).last(size_);
  const std::uint8_t inner = ends.inner == Family::kIp4 ? kProtoIp4 : kProtoIp6;
  const std::uint8_t proto = is_udp(ends.kind)                  ? static_cast<std::uint8_t>(IpProto::kUdp)
                             : ends.kind == Encapsulation::kGre ? kProtoGre
                             : ends.kind == Encapsulation::kEsp ? static_cast<std::uint8_t>(kEspProto)
                                                                : inner;
  if (outer4_) {
    auto& ip = header_at<Ip4Header>(header, 0);
    ip = {.version_ihl = 0x45,
          .dscp_ecn = 0,
          .total_len = {},
          .id = {},
          .fragment = Be16(kIp4DontFragment),
          .ttl = ends.ttl,
          .proto = proto,
          .checksum = {},
          .src = ends.src.v4(),
          .dst = ends.dst.v4()};
    ip.checksum = checksum(header.first(sizeof(Ip4Header)));
  } else {
    header_at<Ip6Header>(header, 0) = {.version_class_flow = Be32(6u << 28),
                                       .payload_len = {},
                                       .next_header = proto,
                                       .hop_limit = ends.ttl,
                                       .src = ends.src.bytes(),
                                       .dst = ends.dst.bytes()};
  }
  if (udp_at_ != 0) header_at<UdpHeader>(header, ip_len).dst_port = ends.port;
  const std::size_t behind_udp = ip_len + sizeof(UdpHeader);
  switch (ends.kind) {
    case Encapsulation::kIpIp:
    case Encapsulation::kEsp:
    case Encapsulation::kGue:
      break;
    case Encapsulation::kGre:
      header_at<GreHeader>(header, ip_len) = {.flags = {}, .type = Be16(ether_type_of(ends.inner))};
      break;
    case Encapsulation::kGueData:
      header_at<GueHeader>(header, behind_udp) = {.variant_len = 0, .proto = inner, .flags = {}};
      break;
    case Encapsulation::kVxlan:
      header_at<VxlanHeader>(header, behind_udp) = {.flags = Be32(kVxlanHasVni), .vni = Be32(ends.vni << 8)};
      header_at<EthernetHeader>(header, behind_udp + sizeof(VxlanHeader)) = {ends.inner_dst, ends.inner_src,
                                                                             Be16(ether_type_of(ends.inner))};
      break;
  }
}

}  // namespace sluice::net
