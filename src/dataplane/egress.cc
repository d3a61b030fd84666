#include "sluice/dataplane/egress.h"

#include <cstring>

#include "sluice/net/wire.h"

namespace sluice::dataplane {

using telemetry::Drop;

void Egress::drop(rte_mbuf* mbuf, Drop reason) noexcept {
  drops_[static_cast<std::size_t>(reason)].add();
  rte_pktmbuf_free(mbuf);
}

void Egress::send_frame(rte_mbuf* mbuf, InterfaceId interface) noexcept {
  sent_.add(1, rte_pktmbuf_pkt_len(mbuf));
  tx_.queue(interface, mbuf);
}

void Egress::send_ip(rte_mbuf* mbuf, const net::IpAddress& destination) noexcept {
  const Route* route = route_to(destination);
  if (route == nullptr) return drop(mbuf, Drop::kNoRoute);
  send_ip(mbuf, destination, *route);
}

void Egress::send_ip(rte_mbuf* mbuf, const net::IpAddress& destination, const Route& route) noexcept {
  const InterfaceInfo& info = topology_.interfaces()[route.interface];
  if (rte_pktmbuf_pkt_len(mbuf) > info.mtu + kLinkRoom) [[unlikely]]
    return drop(mbuf, Drop::kTooBig);
  const net::IpAddress& next_hop = route.gateway.is_unspecified() ? destination : route.gateway;
  const NeighborView neighbor = neighbors_.find(route.interface, next_hop);
  if (!neighbor.usable()) [[unlikely]] {
    if (neighbor.state == NeighborState::kFailed) return drop(mbuf, Drop::kNeighborUnreachable);
    pending_of(mbuf) = {.address = next_hop, .interface = route.interface};
    if (resolve_.send({&mbuf, 1}) == 0) drop(mbuf, Drop::kNeighborPending);
    return;
  }
  write_link_header(mbuf, info.mac, neighbor.mac);
  send_frame(mbuf, route.interface);
}

void write_link_header(rte_mbuf* mbuf, const net::MacAddress& from, const net::MacAddress& to) noexcept {
  auto* ethernet = rte_pktmbuf_mtod(mbuf, net::EthernetHeader*);
  const bool v4 = (*rte_pktmbuf_mtod_offset(mbuf, const std::uint8_t*, Egress::kLinkRoom) >> 4) == 4;
  ethernet->dst = to;
  ethernet->src = from;
  ethernet->type = static_cast<std::uint16_t>(v4 ? net::EtherType::kIp4 : net::EtherType::kIp6);
}

}  // namespace sluice::dataplane
