// Segments without data that a middlebox sends by itself: the answer to a SYN, a SYN in a client's name, and what follows
// in a handshake.
// Threading: pure functions.
// Spec:      RFC 9293 section 3.1, RFC 791, RFC 8200.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/net/address.h"
#include "sluice/net/tcp_options.h"
#include "sluice/net/wire.h"

namespace sluice::net {

struct TcpSegment {
  Endpoint src, dst;  // of one family
  std::uint32_t sequence = 0, acknowledgment = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 0;
  TcpOptions options;
};

// Bytes that a segment may take from its IP header on, whatever its family and options; `frame` has them behind l3_offset.
inline constexpr std::size_t kMaxSegmentBytes = sizeof(Ip6Header) + sizeof(TcpHeader) + kMaxTcpOptionBytes;

// Writes IP and TCP header at `l3_offset`, and nothing behind them; gives the length of the frame.
std::size_t write_tcp_segment(std::span<std::uint8_t> frame, std::size_t l3_offset, const TcpSegment& segment) noexcept;

}  // namespace sluice::net
