// Cutting a packet into fragments that have an mbuf each.
// Threading: pure functions.
// Ownership: `take` gets the fragments, one by one; the packet stays its owner's.
// Units:     bytes.
// Spec:      RFC 791 section 3.2, RFC 8200 section 4.5 (net/fragment.h).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "packet.h"
#include "sluice/dataplane/egress.h"
#include "sluice/net/fragment.h"

namespace sluice::dataplane {

// What `write(out, done, most)` makes of a packet whose payload is so long, until it has all of it, each behind the room for
// a link header and with `room_behind` it. False: there was no buffer for the next one.
template <typename Write, typename Take>
[[nodiscard]] bool cut_by(const rte_mbuf* mbuf, std::size_t payload, std::size_t mtu, std::size_t room_behind,
                          Write&& write, Take&& take) noexcept {
  for (std::size_t done = 0; done < payload;) {
    rte_mbuf* part = rte_pktmbuf_alloc(mbuf->pool);
    if (part == nullptr) return false;
    const std::size_t most = std::min<std::size_t>(mtu, rte_pktmbuf_tailroom(part) - Egress::kLinkRoom - room_behind);
    const net::Cut made =
        write(std::span(rte_pktmbuf_mtod_offset(part, std::uint8_t*, Egress::kLinkRoom), most), done, most);
    done += made.payload;
    part->data_len = static_cast<std::uint16_t>(Egress::kLinkRoom + made.bytes);
    part->pkt_len = part->data_len;
    part->port = mbuf->port;
    take(part);
  }
  return true;
}

// The IPv4 packet that begins `at` bytes into the mbuf, which ends with it, in fragments of at most `mtu` bytes, which is at
// least net::kMinFragmentMtu.
template <typename Take>
[[nodiscard]] bool cut(const rte_mbuf* mbuf, std::size_t at, std::size_t mtu, std::size_t room_behind,
                       Take&& take) noexcept {
  const std::span<const std::uint8_t> packet = frame_of(mbuf).subspan(at);
  const std::size_t payload = packet.size() - net::header_at<net::Ip4Header>(packet, 0).header_len();
  const auto write = [packet](std::span<std::uint8_t> out, std::size_t done, std::size_t most) {
    return net::cut_ip4(out, packet, done, most);
  };
  return cut_by(mbuf, payload, mtu, room_behind, write, std::forward<Take>(take));
}

// The same of an IPv6 packet that net::cut_ip6() takes.
template <typename Take>
[[nodiscard]] bool cut6(const rte_mbuf* mbuf, std::size_t at, std::size_t mtu, std::uint32_t id, Take&& take) noexcept {
  const std::span<const std::uint8_t> packet = frame_of(mbuf).subspan(at);
  const auto write = [packet, id](std::span<std::uint8_t> out, std::size_t done, std::size_t most) {
    return net::cut_ip6(out, packet, done, most, id);
  };
  return cut_by(mbuf, packet.size() - sizeof(net::Ip6Header), mtu, 0, write, std::forward<Take>(take));
}

}  // namespace sluice::dataplane
