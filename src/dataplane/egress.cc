#include "sluice/dataplane/egress.h"

#include <cstring>

#include "cut.h"
#include "packet.h"
#include "sluice/net/wire.h"

namespace sluice::dataplane {

using telemetry::Drop;

namespace {

void write_link_type(rte_mbuf* mbuf) noexcept {
  const bool v4 = (*rte_pktmbuf_mtod_offset(mbuf, const std::uint8_t*, Egress::kLinkRoom) >> 4) == 4;
  rte_pktmbuf_mtod(mbuf, net::EthernetHeader*)->type =
      static_cast<std::uint16_t>(v4 ? net::EtherType::kIp4 : net::EtherType::kIp6);
}

}  // namespace

void Egress::drop(rte_mbuf* mbuf, Drop reason) noexcept {
  drops_[static_cast<std::size_t>(reason)].add();
  rte_pktmbuf_free(mbuf);
}

void Egress::send_ip(rte_mbuf* mbuf, const net::IpAddress& destination) noexcept {
  const Route* route = route_to(destination);
  if (route == nullptr) return drop(mbuf, Drop::kNoRoute);
  send_ip(mbuf, destination, *route);
}

void Egress::send_ip(rte_mbuf* mbuf, const net::IpAddress& destination, const Route& route) noexcept {
  if (rte_pktmbuf_pkt_len(mbuf) > route.mtu + kLinkRoom) return send_cut(mbuf, destination, route);
  const Hop* hop = hop_to(destination, route);
  if (hop == nullptr) return wait(mbuf, route.gateway.is_unspecified() ? destination : route.gateway, route.interface);
  std::memcpy(rte_pktmbuf_mtod(mbuf, std::uint8_t*), hop->link_header.data(), kLinkRoom);
  send_frame(mbuf, route.interface);
}

void Egress::send_cut(rte_mbuf* mbuf, const net::IpAddress& destination, const Route& route) noexcept {
  const std::span<const std::uint8_t> packet = std::span<const std::uint8_t>(frame_of(mbuf)).subspan(kLinkRoom);
  if (mbuf->nb_segs > 1 || !net::may_be_cut(packet)) return drop(mbuf, Drop::kTooBig);
  const bool whole = cut(mbuf, kLinkRoom, route.mtu, 0, [&](rte_mbuf* part) { send_ip(part, destination, route); });
  if (!whole) return drop(mbuf, Drop::kNoMbuf);
  cut_.add();
  rte_pktmbuf_free(mbuf);
}

void Egress::send_in_fragments(rte_mbuf* mbuf, const net::IpAddress& destination, const Route& route,
                               std::uint32_t id) noexcept {
  if (destination.is_v4()) {
    net::permit_cut(frame_of(mbuf).subspan(kLinkRoom), static_cast<std::uint16_t>(id));
    return send_cut(mbuf, destination, route);
  }
  const bool whole = cut6(mbuf, kLinkRoom, route.mtu, id, [&](rte_mbuf* part) { send_ip(part, destination, route); });
  if (!whole) return drop(mbuf, Drop::kNoMbuf);
  cut_.add();
  rte_pktmbuf_free(mbuf);
}

const Egress::Hop* Egress::find_hop(Hop& hop, const net::IpAddress& destination, const Route& route) noexcept {
  const net::IpAddress& next_hop = route.gateway.is_unspecified() ? destination : route.gateway;
  hop = {};
  const NeighborView neighbor = neighbors_.find(route.interface, next_hop, hop.neighbor);
  if (!neighbor.usable()) {
    hop.neighbor = {};
    return nullptr;
  }
  hop.destination = destination;
  hop.interface = route.interface;
  hop.mtu = route.mtu;
  const net::EthernetHeader header{
      .dst = neighbor.mac,
      .src = topology_.interfaces()[route.interface].mac,
      .type = Be16(static_cast<std::uint16_t>(next_hop.is_v4() ? net::EtherType::kIp4 : net::EtherType::kIp6))};
  std::memcpy(hop.link_header.data(), &header, sizeof(header));
  return &hop;
}

void Egress::wait(rte_mbuf* mbuf, const net::IpAddress& next_hop, InterfaceId interface) noexcept {
  if (neighbors_.find(interface, next_hop).state == NeighborState::kFailed) {
    return drop(mbuf, Drop::kNeighborUnreachable);
  }
  pending_of(mbuf) = {.address = next_hop, .interface = interface};
  if (resolve_.send({&mbuf, 1}) == 0) drop(mbuf, Drop::kNeighborPending);
}

void write_link_header(rte_mbuf* mbuf, const net::MacAddress& from, const net::MacAddress& to) noexcept {
  auto* ethernet = rte_pktmbuf_mtod(mbuf, net::EthernetHeader*);
  ethernet->dst = to;
  ethernet->src = from;
  write_link_type(mbuf);
}

}  // namespace sluice::dataplane
