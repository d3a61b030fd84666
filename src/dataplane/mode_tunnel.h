// Forwarding modes `ipip`, `gre`, `gue` and `vxlan`: the packet goes to the backend as it came, but for its TTL, behind a
// header of its own. The backend takes that off, has the service's address, and answers the client itself.
// Threading: pure functions.
// Spec:      RFC 1812 section 5.3.1 and RFC 2003 section 3.1 (TTL: the tunnel is one hop), RFC 6040 (DSCP and ECN).
#pragma once

#include <cstdint>

#include "packet.h"
#include "sluice/dataplane/egress.h"
#include "sluice/net/rewrite.h"
#include "tunnels.h"

namespace sluice::dataplane {

// Whether the buffer has room in front of the packet: what DPDK reserves by default is enough.
[[nodiscard]] inline bool has_tunnel_room(const rte_mbuf* mbuf, const net::Parsed& packet) noexcept {
  return rte_pktmbuf_headroom(mbuf) + packet.l3_offset >= net::EncapsulationHeader::kRoom;
}

// `frame` is that of the mbuf and ends with its packet, `packet` is the result of parse(frame), and has_tunnel_room().
// Afterwards the mbuf begins with room for the link header, then the outer header. `spread`: the flow's spread_hash().
[[gnu::always_inline]] inline void encapsulate(rte_mbuf* mbuf, std::uint8_t* frame, const net::Parsed& packet,
                                               const net::EncapsulationHeader& header, std::uint32_t spread) noexcept {
  net::take_hop({frame, packet.end}, packet);
  std::uint8_t* ip = frame + packet.l3_offset;
  header.write(ip, packet.l3_len(), net::traffic_class_of(ip, packet.family), spread);
  const auto grown = static_cast<std::uint16_t>(header.size() + Egress::kLinkRoom - packet.l3_offset);
  mbuf->data_off = static_cast<std::uint16_t>(mbuf->data_off - grown);
  mbuf->data_len = static_cast<std::uint16_t>(packet.end + grown);
  mbuf->pkt_len = mbuf->data_len;
}

}  // namespace sluice::dataplane
