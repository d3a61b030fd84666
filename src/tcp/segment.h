// TCP segments as bytes: parse() judges a received IP packet, build_header() writes one to be sent.
// Threading: pure functions.
// Units:     all integers in host order.
// Spec:      RFC 9293 section 3.1 and 3.2 (options), RFC 7323 (window scale, timestamps), RFC 2018 (SACK).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "seq.h"
#include "sluice/net/address.h"
#include "sluice/net/wire.h"
#include "sluice/tcp/packet_sink.h"

namespace sluice::tcp {

// A connection's name. Field order as sluice sees it, whichever way the packet goes.
struct FourTuple {
  net::Endpoint local;
  net::Endpoint remote;
  bool operator==(const FourTuple&) const noexcept = default;
};
static_assert(sizeof(FourTuple) == 36);

using net::kTcpAck;
using net::kTcpFin;
using net::kTcpPsh;
using net::kTcpRst;
using net::kTcpSyn;
inline constexpr std::uint8_t kTcpEce = 0x40;  // RFC 3168 section 6.1
inline constexpr std::uint8_t kTcpCwr = 0x80;

inline constexpr std::uint8_t kMaxWindowScale = 14;  // RFC 7323 section 2.3
inline constexpr std::uint16_t kDefaultMss4 = 536;   // RFC 9293 section 3.7.1, MUST-15
inline constexpr std::uint16_t kDefaultMss6 = 1220;
inline constexpr std::size_t kTimestampOptionLen = 12;  // NOP NOP timestamps, in every segment once negotiated

// Bytes [start, end) that the receiver has beyond a gap, or twice (RFC 2018, RFC 2883).
struct SackBlock {
  Seq start = 0;
  Seq end = 0;
  bool operator==(const SackBlock&) const noexcept = default;
};
inline constexpr std::size_t kMaxSackBlocks = 4;  // 3 beside timestamps

struct SegmentOptions {
  std::uint16_t mss = 0;  // 0: not given
  std::uint8_t window_scale = 0;
  bool has_window_scale = false;
  bool has_timestamp = false;
  bool sack_permitted = false;  // only with mss: in a SYN
  std::uint8_t sack_count = 0;  // never with mss
  std::uint32_t ts_value = 0;
  std::uint32_t ts_echo = 0;
  std::array<SackBlock, kMaxSackBlocks> sack{};
};
// NOP NOP SACK: what so many blocks take in the header.
[[nodiscard]] constexpr std::size_t sack_option_len(std::size_t blocks) noexcept {
  return blocks == 0 ? 0 : 4 + 8 * blocks;
}

// One received segment. `payload` points into the packet.
struct Segment {
  FourTuple tuple;  // local: to whom it was sent
  Seq seq = 0;
  Seq ack = 0;
  std::uint16_t window = 0;  // as it stands in the header, not scaled
  std::uint8_t flags = 0;
  bool marked = false;  // congestion experienced, says the IP header
  SegmentOptions options;
  std::span<const std::uint8_t> payload;

  [[nodiscard]] bool has(std::uint8_t flag) const noexcept { return (flags & flag) != 0; }
  [[nodiscard]] bool is_ecn_setup() const noexcept {  // RFC 3168 section 6.1.1; of a SYN or SYN-ACK
    return (flags & (kTcpEce | kTcpCwr)) == (has(kTcpAck) ? kTcpEce : kTcpEce | kTcpCwr);
  }
  // SEG.LEN of RFC 9293: SYN and FIN count.
  [[nodiscard]] std::uint32_t len() const noexcept {
    return static_cast<std::uint32_t>(payload.size()) + (has(kTcpSyn) ? 1 : 0) + (has(kTcpFin) ? 1 : 0);
  }
};

// What the sender of a SYN can receive in one segment (RFC 9293 section 3.7.1).
[[nodiscard]] constexpr std::uint16_t peer_mss(const Segment& syn) noexcept {
  if (syn.options.mss != 0) return syn.options.mss;
  return syn.tuple.remote.address.is_v4() ? kDefaultMss4 : kDefaultMss6;
}

enum class ParseResult : std::uint8_t {
  kOk,
  kBadChecksum,
  kBadSegment,  // lengths, fragment, protocol, or addresses that no connection may have
};

[[nodiscard]] ParseResult parse_segment(std::span<const std::uint8_t> packet, Offloads offloads, Segment& out) noexcept;

// What an ICMP error quotes of a packet that we sent.
struct QuotedSegment {
  FourTuple tuple;
  Seq seq = 0;
  std::uint32_t packet_len = 0;  // of the whole IP packet, as its header says
};
// Nothing: not a TCP header of which ports and sequence number are there.
[[nodiscard]] std::optional<QuotedSegment> parse_quoted(std::span<const std::uint8_t> quoted) noexcept;

// Options of a segment that is to be sent. mss != 0 makes it a SYN's set.
struct HeaderFields {
  Seq seq = 0;
  Seq ack = 0;
  std::uint16_t window = 0;
  std::uint8_t flags = 0;
  bool ecn_capable = false;  // ECT(0) in the IP header
  SegmentOptions options;
};

[[nodiscard]] constexpr std::size_t ip_header_len(const FourTuple& tuple) noexcept {
  return tuple.local.address.is_v4() ? sizeof(net::Ip4Header) : sizeof(net::Ip6Header);
}
[[nodiscard]] std::size_t options_len(const SegmentOptions& options) noexcept;

// Writes the headers in front of `payload_len` bytes, which already stand at their place in `packet`; `packet` is the
// whole packet. With tx_checksum, the checksum field gets the folded pseudo header only, as NICs want it.
void build_segment(std::span<std::uint8_t> packet, const FourTuple& tuple, const HeaderFields& fields,
                   std::size_t payload_len, bool tx_checksum) noexcept;

}  // namespace sluice::tcp
