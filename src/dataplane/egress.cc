#include "sluice/dataplane/egress.h"

#include <algorithm>
#include <cstring>

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
  if (rte_pktmbuf_pkt_len(mbuf) > route.mtu + kLinkRoom) [[unlikely]]
    return drop(mbuf, Drop::kTooBig);
  const net::IpAddress& next_hop = route.gateway.is_unspecified() ? destination : route.gateway;
  const auto words = next_hop.words();
  Kept& kept = kept_[((words[0] ^ words[1]) * 0x9e3779b97f4a7c15u >> 56) % kKept];
  const bool known =
      kept.next_hop == next_hop && kept.interface == route.interface && Neighbors::is_current(kept.neighbor);
  if (!known && !find_neighbor(mbuf, next_hop, route.interface, kept)) [[unlikely]]
    return;
  auto* ethernet = rte_pktmbuf_mtod(mbuf, std::uint8_t*);
  std::memcpy(ethernet, kept.macs.data(), kept.macs.size());
  write_link_type(mbuf);
  send_frame(mbuf, route.interface);
}

bool Egress::find_neighbor(rte_mbuf* mbuf, const net::IpAddress& next_hop, InterfaceId interface, Kept& kept) noexcept {
  kept = {.next_hop = next_hop, .interface = interface, .macs = {}, .neighbor = {}};
  const NeighborView neighbor = neighbors_.find(interface, next_hop, kept.neighbor);
  if (neighbor.usable()) [[likely]] {
    const auto& mine = topology_.interfaces()[interface].mac.bytes;
    std::ranges::copy(neighbor.mac.bytes, kept.macs.begin());
    std::ranges::copy(mine, kept.macs.begin() + 6);
    return true;
  }
  kept.neighbor = {};
  if (neighbor.state == NeighborState::kFailed) {
    drop(mbuf, Drop::kNeighborUnreachable);
    return false;
  }
  pending_of(mbuf) = {.address = next_hop, .interface = interface};
  if (resolve_.send({&mbuf, 1}) == 0) drop(mbuf, Drop::kNeighborPending);
  return false;
}

void write_link_header(rte_mbuf* mbuf, const net::MacAddress& from, const net::MacAddress& to) noexcept {
  auto* ethernet = rte_pktmbuf_mtod(mbuf, net::EthernetHeader*);
  ethernet->dst = to;
  ethernet->src = from;
  write_link_type(mbuf);
}

}  // namespace sluice::dataplane
