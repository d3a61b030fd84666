// Small helpers on mbufs that every part of the worker uses. By the time that these are called an mbuf is one segment,
// its data begins with the Ethernet header, and its `port` is our InterfaceId.
// Threading: pure functions.
#pragma once

#include <cstdint>
#include <span>

#include <rte_mbuf.h>

#include "sluice/dataplane/routes.h"
#include "sluice/net/build.h"
#include "sluice/net/parse.h"
#include "sluice/net/tcp_segment.h"

namespace sluice::dataplane {

[[nodiscard]] inline std::span<std::uint8_t> frame_of(rte_mbuf* mbuf) noexcept {
  return {rte_pktmbuf_mtod(mbuf, std::uint8_t*), rte_pktmbuf_data_len(mbuf)};
}
[[nodiscard]] inline std::span<const std::uint8_t> frame_of(const rte_mbuf* mbuf) noexcept {
  return {rte_pktmbuf_mtod(mbuf, const std::uint8_t*), rte_pktmbuf_data_len(mbuf)};
}
// Ethernet padding is not part of the packet.
inline void trim_padding(rte_mbuf* mbuf, const net::Parsed& packet) noexcept {
  if (mbuf->data_len == packet.end) [[likely]]
    return;
  mbuf->data_len = packet.end;
  mbuf->pkt_len = packet.end;
}
// The mbuf holds this segment, or this ABORT, from now on, behind the room for its link header.
inline constexpr std::size_t kRoomForLink = 14;  // Egress::kLinkRoom
inline void write_segment(rte_mbuf* mbuf, const net::TcpSegment& segment) noexcept {
  const std::size_t len = net::write_tcp_segment(
      {rte_pktmbuf_mtod(mbuf, std::uint8_t*), kRoomForLink + net::kMaxSegmentBytes}, kRoomForLink, segment);
  mbuf->data_len = static_cast<std::uint16_t>(len);
  mbuf->pkt_len = static_cast<std::uint32_t>(len);
}
inline void write_abort(rte_mbuf* mbuf, const net::SctpAbort& abort) noexcept {
  const std::size_t len = net::write_sctp_abort(
      {rte_pktmbuf_mtod(mbuf, std::uint8_t*), kRoomForLink + net::kMaxSegmentBytes}, kRoomForLink, abort);
  mbuf->data_len = static_cast<std::uint16_t>(len);
  mbuf->pkt_len = static_cast<std::uint32_t>(len);
}
[[nodiscard]] inline InterfaceId interface_of(const rte_mbuf* mbuf) noexcept { return mbuf->port; }

}  // namespace sluice::dataplane
