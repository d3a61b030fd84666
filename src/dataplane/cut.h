// Cutting an IPv4 packet into fragments that have an mbuf each.
// Threading: pure functions.
// Ownership: `take` gets the fragments, one by one; the packet stays its owner's.
// Units:     bytes.
// Spec:      RFC 791 section 3.2 (net/fragment.h).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "packet.h"
#include "sluice/dataplane/egress.h"
#include "sluice/net/fragment.h"

namespace sluice::dataplane {

// The packet that begins `at` bytes into the mbuf, which ends with it, in fragments of at most `mtu` bytes behind the room for
// a link header, with `room_behind` them. `mtu` is at least net::kMinFragmentMtu. False: there was no buffer for the next one.
template <typename Take>
[[nodiscard]] bool cut(const rte_mbuf* mbuf, std::size_t at, std::size_t mtu, std::size_t room_behind,
                       Take&& take) noexcept {
  const std::span<const std::uint8_t> packet = frame_of(mbuf).subspan(at);
  const std::size_t payload = packet.size() - net::header_at<net::Ip4Header>(packet, 0).header_len();
  for (std::size_t done = 0; done < payload;) {
    rte_mbuf* part = rte_pktmbuf_alloc(mbuf->pool);
    if (part == nullptr) return false;
    const std::size_t most = std::min<std::size_t>(mtu, rte_pktmbuf_tailroom(part) - Egress::kLinkRoom - room_behind);
    const net::Ip4Cut made =
        net::cut_ip4({rte_pktmbuf_mtod_offset(part, std::uint8_t*, Egress::kLinkRoom), most}, packet, done, most);
    done += made.payload;
    part->data_len = static_cast<std::uint16_t>(Egress::kLinkRoom + made.bytes);
    part->pkt_len = part->data_len;
    part->port = mbuf->port;
    take(part);
  }
  return true;
}

}  // namespace sluice::dataplane
