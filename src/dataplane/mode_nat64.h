// Forwarding mode `nat` between IPv4 and IPv6, either way. The packet stays where it lies: its IP header is replaced by one
// of the other family that ends where layer 4 begins, so the frame begins later or earlier than before.
// The frame ends with its packet, `packet` is the result of parse(frame).
// Threading: pure functions.
// Spec:      RFC 7915; RFC 6146, of which the mapping is a flow of the table.
#pragma once

#include <cstddef>
#include <cstdint>

#include <rte_mbuf.h>

#include "packet.h"
#include "sluice/dataplane/egress.h"
#include "sluice/net/translate.h"

namespace sluice::dataplane {

// Whether the mbuf has room before the frame for what an IPv6 header needs more.
[[nodiscard]] inline bool has_translation_room(const rte_mbuf* mbuf, const net::Parsed& packet) noexcept {
  return packet.family == net::Family::kIp6 ||
         rte_pktmbuf_headroom(mbuf) + packet.l4_offset >= Egress::kLinkRoom + sizeof(net::Ip6Header);
}

inline void translate(rte_mbuf* mbuf, const net::Parsed& packet, const net::Endpoint& src,
                      const net::Endpoint& dst) noexcept {
  const std::uint8_t* begin = net::translate_flow(frame_of(mbuf), packet, src, dst) - Egress::kLinkRoom;
  const std::ptrdiff_t later = begin - rte_pktmbuf_mtod(mbuf, const std::uint8_t*);
  mbuf->data_off = static_cast<std::uint16_t>(mbuf->data_off + later);
  mbuf->data_len = static_cast<std::uint16_t>(mbuf->data_len - later);
  mbuf->pkt_len = mbuf->data_len;
}

}  // namespace sluice::dataplane
