#include "sluice/net/neighbor.h"

namespace sluice::net {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::uint16_t kEthernetHardware = 1;
constexpr std::uint8_t kNeighborHopLimit = 255;  // RFC 4861 section 7.1: came from this link
constexpr std::uint8_t kSolicitedFlag = 0x40;
constexpr std::uint8_t kOverrideFlag = 0x20;

// false: an option of length 0 or beyond the message (RFC 4861 section 4.6). Unknown options are passed over.
bool read_options(Bytes options, NeighborOption wanted, std::optional<MacAddress>& link_layer) noexcept {
  while (!options.empty()) {
    if (options.size() < 2) return false;
    const std::size_t len = options[1] * std::size_t{8};
    if (len == 0 || len > options.size()) return false;
    if (options[0] == static_cast<std::uint8_t>(wanted) && len == sizeof(LinkLayerOption)) {
      link_layer = header_at<LinkLayerOption>(options, 0).mac;
    }
    options = options.subspan(len);
  }
  return true;
}

}  // namespace

std::optional<ArpMessage> parse_arp(Bytes frame, const Parsed& packet) noexcept {
  if (!packet.ok() || packet.family != Family::kArp) return std::nullopt;
  const auto& arp = header_at<ArpPacket>(frame, packet.l3_offset);
  if (arp.hardware_type.host() != kEthernetHardware || arp.hardware_len != 6 || arp.protocol_len != 4 ||
      arp.protocol_type.host() != static_cast<std::uint16_t>(EtherType::kIp4)) {
    return std::nullopt;
  }
  const std::uint16_t operation = arp.operation.host();
  if (operation != static_cast<std::uint16_t>(ArpOperation::kRequest) &&
      operation != static_cast<std::uint16_t>(ArpOperation::kReply)) {
    return std::nullopt;
  }
  ArpMessage message;
  message.operation = static_cast<ArpOperation>(operation);
  message.sender_mac = arp.sender_mac;
  message.sender = IpAddress::v4(arp.sender_address);
  message.target = IpAddress::v4(arp.target_address);
  if (message.sender_mac.is_multicast() || message.sender_mac == MacAddress{}) return std::nullopt;
  if (message.sender.is_multicast() || arp.sender_address.raw() == 0xffffffff) return std::nullopt;
  return message;
}

std::optional<NeighborDiscovery> parse_neighbor_discovery(Bytes frame, const Parsed& packet) noexcept {
  if (!packet.ok() || packet.family != Family::kIp6 || packet.proto != IpProto::kIcmpv6) return std::nullopt;
  const auto type = static_cast<Icmpv6Type>(packet.icmp_type);
  if (type != Icmpv6Type::kNeighborSolicitation && type != Icmpv6Type::kNeighborAdvertisement) return std::nullopt;
  // RFC 6980: neighbour discovery is never fragmented.
  if (packet.ttl != kNeighborHopLimit || packet.icmp_code != 0 || packet.fragment != FragmentKind::kWhole ||
      packet.l4_len() < sizeof(NeighborMessage) || !l4_checksum_ok(frame, packet)) {
    return std::nullopt;
  }
  const auto& wire = header_at<NeighborMessage>(frame, packet.l4_offset);
  NeighborDiscovery message;
  message.solicitation = type == Icmpv6Type::kNeighborSolicitation;
  message.src = packet.src;
  message.target = IpAddress::v6(wire.target);
  if (message.target.is_multicast() || message.target.is_v4()) return std::nullopt;
  const Bytes options = frame.subspan(packet.l4_offset, packet.l4_len()).subspan(sizeof(NeighborMessage));
  const auto wanted = message.solicitation ? NeighborOption::kSourceLinkLayer : NeighborOption::kTargetLinkLayer;
  if (!read_options(options, wanted, message.link_layer)) return std::nullopt;
  if (message.link_layer && message.link_layer->is_multicast()) return std::nullopt;

  if (message.solicitation) {
    if (message.src.is_unspecified()) {  // RFC 4861 section 7.1.1: duplicate address detection
      if (packet.dst != solicited_node_multicast(message.target) || message.link_layer) return std::nullopt;
    }
    return message;
  }
  message.solicited = (wire.flags & kSolicitedFlag) != 0;
  message.override_ = (wire.flags & kOverrideFlag) != 0;
  if (message.src.is_unspecified()) return std::nullopt;
  if (message.solicited && packet.dst.is_multicast()) return std::nullopt;  // section 7.1.2
  return message;
}

IpAddress solicited_node_multicast(const IpAddress& address) noexcept {
  const auto& low = address.bytes();
  return IpAddress::v6({0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, low[13], low[14], low[15]});
}

MacAddress multicast_mac(const IpAddress& group) noexcept {
  const auto& b = group.bytes();
  if (group.is_v4()) return {{0x01, 0x00, 0x5e, static_cast<std::uint8_t>(b[13] & 0x7f), b[14], b[15]}};
  return {{0x33, 0x33, b[12], b[13], b[14], b[15]}};
}

IpAddress link_local_address(const MacAddress& mac) noexcept {
  const auto& m = mac.bytes;
  return IpAddress::v6(
      {0xfe, 0x80, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(m[0] ^ 2), m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]});
}

}  // namespace sluice::net
