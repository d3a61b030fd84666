// ARP and neighbour discovery frames of build.h.
#include <cstring>

#include "sluice/net/build.h"
#include "sluice/net/checksum.h"

namespace sluice::net {
namespace {

using Out = std::span<std::uint8_t>;

constexpr std::uint8_t kSolicited = 0x40;
constexpr std::uint8_t kOverride = 0x20;

void put_ethernet(Out out, const MacAddress& dst, const MacAddress& src, EtherType type) noexcept {
  auto& ethernet = header_at<EthernetHeader>(out, 0);
  ethernet.dst = dst;
  ethernet.src = src;
  ethernet.type = static_cast<std::uint16_t>(type);
}

std::size_t put_arp(Out out, ArpOperation operation, const MacAddress& to, const LinkSource& from,
                    const MacAddress& target_mac, const IpAddress& target) noexcept {
  if (out.size() < kArpFrameBytes || !from.address.is_v4() || !target.is_v4()) return 0;
  put_ethernet(out, to, from.mac, EtherType::kArp);
  auto& arp = header_at<ArpPacket>(out, sizeof(EthernetHeader));
  arp.hardware_type = 1;
  arp.protocol_type = static_cast<std::uint16_t>(EtherType::kIp4);
  arp.hardware_len = 6;
  arp.protocol_len = 4;
  arp.operation = static_cast<std::uint16_t>(operation);
  arp.sender_mac = from.mac;
  arp.sender_address = from.address.v4();
  arp.target_mac = target_mac;
  arp.target_address = target.v4();
  return kArpFrameBytes;
}

struct NeighborFrame {
  Icmpv6Type type;
  std::uint8_t flags;
  MacAddress link_dst;
  MacAddress link_src;  // also the option's
  IpAddress src;
  IpAddress dst;
  IpAddress target;
  bool option;
};

std::size_t put_neighbor(Out out, const NeighborFrame& frame) noexcept {
  const std::size_t l4_len = sizeof(NeighborMessage) + (frame.option ? sizeof(LinkLayerOption) : 0);
  const std::size_t l4_offset = sizeof(EthernetHeader) + sizeof(Ip6Header);
  if (out.size() < l4_offset + l4_len) return 0;
  put_ethernet(out, frame.link_dst, frame.link_src, EtherType::kIp6);
  auto& ip = header_at<Ip6Header>(out, sizeof(EthernetHeader));
  ip.version_class_flow = 6u << 28;
  ip.payload_len = static_cast<std::uint16_t>(l4_len);
  ip.next_header = static_cast<std::uint8_t>(IpProto::kIcmpv6);
  ip.hop_limit = 255;  // RFC 4861 section 7.1
  ip.src = frame.src.bytes();
  ip.dst = frame.dst.bytes();
  auto& message = header_at<NeighborMessage>(out, l4_offset);
  message = {};
  message.type = static_cast<std::uint8_t>(frame.type);
  message.flags = frame.flags;
  message.target = frame.target.bytes();
  if (frame.option) {
    auto& option = header_at<LinkLayerOption>(out, l4_offset + sizeof(NeighborMessage));
    option.type =
        static_cast<std::uint8_t>(frame.type == Icmpv6Type::kNeighborSolicitation ? NeighborOption::kSourceLinkLayer
                                                                                  : NeighborOption::kTargetLinkLayer);
    option.len = 1;
    option.mac = frame.link_src;
  }
  message.checksum = l4_checksum(frame.src, frame.dst, IpProto::kIcmpv6, out.subspan(l4_offset, l4_len));
  return l4_offset + l4_len;
}

}  // namespace

std::size_t build_arp_request(Out out, const LinkSource& from, const IpAddress& target, const MacAddress* to) noexcept {
  return put_arp(out, ArpOperation::kRequest, to != nullptr ? *to : kBroadcastMac, from, MacAddress{}, target);
}

std::size_t build_arp_reply(Out out, const LinkSource& from, const ArpMessage& request) noexcept {
  return put_arp(out, ArpOperation::kReply, request.sender_mac, from, request.sender_mac, request.sender);
}

std::size_t build_gratuitous_arp(Out out, const LinkSource& from) noexcept {
  return put_arp(out, ArpOperation::kRequest, kBroadcastMac, from, MacAddress{}, from.address);
}

std::size_t build_neighbor_solicitation(Out out, const LinkSource& from, const IpAddress& target,
                                        const MacAddress* to) noexcept {
  if (from.address.is_v4() || target.is_v4()) return 0;
  const IpAddress dst = to != nullptr ? target : solicited_node_multicast(target);
  return put_neighbor(out, {.type = Icmpv6Type::kNeighborSolicitation,
                            .flags = 0,
                            .link_dst = to != nullptr ? *to : multicast_mac(dst),
                            .link_src = from.mac,
                            .src = from.address,
                            .dst = dst,
                            .target = target,
                            .option = !from.address.is_unspecified()});  // RFC 4861 section 4.3
}

std::size_t build_neighbor_advertisement(Out out, const LinkSource& from, const NeighborDiscovery& solicitation,
                                         const MacAddress& to) noexcept {
  if (from.address.is_v4() || !solicitation.solicitation) return 0;
  if (solicitation.src.is_unspecified()) return build_unsolicited_advertisement(out, from);
  return put_neighbor(out, {.type = Icmpv6Type::kNeighborAdvertisement,
                            .flags = kSolicited | kOverride,
                            .link_dst = to,
                            .link_src = from.mac,
                            .src = from.address,
                            .dst = solicitation.src,
                            .target = from.address,
                            .option = true});
}

std::size_t build_unsolicited_advertisement(Out out, const LinkSource& from) noexcept {
  if (from.address.is_v4()) return 0;
  return put_neighbor(out, {.type = Icmpv6Type::kNeighborAdvertisement,
                            .flags = kOverride,
                            .link_dst = multicast_mac(kAllNodes),
                            .link_src = from.mac,
                            .src = from.address,
                            .dst = kAllNodes,
                            .target = from.address,
                            .option = true});
}

}  // namespace sluice::net
