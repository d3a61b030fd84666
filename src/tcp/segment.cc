#include "segment.h"

#include <cstring>

#include "sluice/net/checksum.h"

namespace sluice::tcp {
namespace {

// Of the traffic class (RFC 3168 section 5).
constexpr std::uint8_t kEcnCapable = 2;
constexpr std::uint8_t kEcnMarked = 3;
constexpr std::uint8_t kEcnMask = 3;

constexpr std::size_t kMinTcpHeader = sizeof(net::TcpHeader);

enum OptionKind : std::uint8_t {
  kEnd = 0,
  kNop = 1,
  kMss = 2,
  kWindowScale = 3,
  kSackPermitted = 4,
  kSack = 5,
  kTimestamps = 8,
};

std::uint32_t load32(const std::uint8_t* at) noexcept {
  Be32 value;
  std::memcpy(&value, at, 4);
  return value.host();
}

void store32(std::uint8_t* at, std::uint32_t host) noexcept {
  const Be32 value(host);
  std::memcpy(at, &value, 4);
}

void parse_option(std::uint8_t kind, std::span<const std::uint8_t> body, SegmentOptions& out) noexcept {
  switch (kind) {
    case kMss:
      if (body.size() == 2) out.mss = static_cast<std::uint16_t>(body[0] << 8 | body[1]);
      break;
    case kWindowScale:
      if (body.size() == 1) {
        out.has_window_scale = true;
        out.window_scale = body[0] < kMaxWindowScale ? body[0] : kMaxWindowScale;
      }
      break;
    case kSackPermitted:
      out.sack_permitted = body.empty();
      break;
    case kSack:
      if (body.size() % 8 != 0 || body.size() > 8 * kMaxSackBlocks) break;
      out.sack_count = static_cast<std::uint8_t>(body.size() / 8);
      for (std::size_t i = 0; i < out.sack_count; ++i) {
        out.sack[i] = {load32(body.data() + 8 * i), load32(body.data() + 8 * i + 4)};
      }
      break;
    case kTimestamps:
      if (body.size() == 8) {
        out.has_timestamp = true;
        out.ts_value = load32(body.data());
        out.ts_echo = load32(body.data() + 4);
      }
      break;
    default:
      break;  // RFC 9293 section 3.1, MUST-6: unknown options are skipped
  }
}

// A malformed length ends the options; what was read before it holds (RFC 9293 section 3.1, MUST-7: no error may come
// of it).
void parse_options(std::span<const std::uint8_t> bytes, SegmentOptions& out) noexcept {
  // The layout that nearly every segment of an established connection has (RFC 7323 appendix A).
  if (bytes.size() == kTimestampOptionLen && load32(bytes.data()) == 0x0101080a) {
    out.has_timestamp = true;
    out.ts_value = load32(bytes.data() + 4);
    out.ts_echo = load32(bytes.data() + 8);
    return;
  }
  while (!bytes.empty() && bytes[0] != kEnd) {
    if (bytes[0] == kNop) {
      bytes = bytes.subspan(1);
      continue;
    }
    if (bytes.size() < 2 || bytes[1] < 2 || bytes[1] > bytes.size()) return;
    parse_option(bytes[0], bytes.subspan(2, bytes[1] - 2u), out);
    bytes = bytes.subspan(bytes[1]);
  }
}

// Finds the TCP header of a whole packet and the addresses around it. Empty: not a TCP segment that we take.
std::span<const std::uint8_t> find_tcp4(std::span<const std::uint8_t> packet, bool checked, Segment& out) noexcept {
  if (packet.size() < sizeof(net::Ip4Header)) return {};
  const auto& ip = *reinterpret_cast<const net::Ip4Header*>(packet.data());
  const std::size_t header = ip.header_len();
  const std::size_t total = ip.total_len.host();
  if (header < sizeof(net::Ip4Header) || total < header || total > packet.size()) return {};
  if (ip.proto != static_cast<std::uint8_t>(net::IpProto::kTcp)) return {};
  if ((ip.fragment.host() & (net::kIp4MoreFragments | net::kIp4FragmentOffset)) != 0) return {};
  if (!checked && net::checksum(packet.first(header)).raw() != 0) return {};
  out.marked = (ip.dscp_ecn & kEcnMask) == kEcnMarked;
  out.tuple.local.address = net::IpAddress::v4(ip.dst);
  out.tuple.remote.address = net::IpAddress::v4(ip.src);
  return packet.subspan(header, total - header);
}

std::span<const std::uint8_t> find_tcp6(std::span<const std::uint8_t> packet, Segment& out) noexcept {
  if (packet.size() < sizeof(net::Ip6Header)) return {};
  const auto& ip = *reinterpret_cast<const net::Ip6Header*>(packet.data());
  const std::size_t total = sizeof(net::Ip6Header) + ip.payload_len.host();
  if (total > packet.size()) return {};
  out.marked = (ip.version_class_flow.host() >> 20 & kEcnMask) == kEcnMarked;
  out.tuple.local.address = net::IpAddress::v6(ip.dst);
  out.tuple.remote.address = net::IpAddress::v6(ip.src);
  std::span<const std::uint8_t> rest = packet.subspan(sizeof(net::Ip6Header), ip.payload_len.host());
  std::uint8_t next = ip.next_header;
  // Hop-by-hop (0), routing (43) and destination options (60) may stand before TCP; a handful is all that is ever seen.
  for (int i = 0; i < 4 && (next == 0 || next == 43 || next == 60); ++i) {
    if (rest.size() < 8 || rest.size() < (rest[1] + 1u) * 8u) return {};
    next = rest[0];
    rest = rest.subspan((rest[1] + 1u) * 8u);
  }
  if (next != static_cast<std::uint8_t>(net::IpProto::kTcp)) return {};
  return rest;
}

bool is_broadcast(const net::IpAddress& address) noexcept {
  return address.is_v4() && address.v4().raw() == 0xffffffff;
}

// RFC 9293 section 3.9.2.3, MUST-57 and MUST-63: no connection has a multicast, broadcast or unspecified end.
bool may_connect(const net::IpAddress& address) noexcept {
  return !address.is_multicast() && !is_broadcast(address) && !address.is_unspecified();
}

}  // namespace

ParseResult parse_segment(std::span<const std::uint8_t> packet, Offloads offloads, Segment& out) noexcept {
  if (packet.empty()) return ParseResult::kBadSegment;
  const unsigned version = packet[0] >> 4;
  std::span<const std::uint8_t> tcp;
  if (version == 4) {
    tcp = find_tcp4(packet, offloads.rx_checksum_good, out);
  } else if (version == 6) {
    tcp = find_tcp6(packet, out);
  }
  if (tcp.size() < kMinTcpHeader) return ParseResult::kBadSegment;
  const auto& header = *reinterpret_cast<const net::TcpHeader*>(tcp.data());
  const std::size_t header_len = header.header_len();
  if (header_len < kMinTcpHeader || header_len > tcp.size()) return ParseResult::kBadSegment;
  if (!may_connect(out.tuple.local.address) || !may_connect(out.tuple.remote.address)) return ParseResult::kBadSegment;
  if (!offloads.rx_checksum_good &&
      net::l4_checksum(out.tuple.remote.address, out.tuple.local.address, net::IpProto::kTcp, tcp).raw() != 0) {
    return ParseResult::kBadChecksum;
  }
  out.tuple.local.port = header.dst_port.host();
  out.tuple.remote.port = header.src_port.host();
  out.seq = header.sequence.host();
  out.ack = header.acknowledgment.host();
  out.window = header.window.host();
  out.flags = header.flags;
  out.options = SegmentOptions{};
  if (header_len > kMinTcpHeader) {
    parse_options(tcp.subspan(kMinTcpHeader, header_len - kMinTcpHeader), out.options);
  }
  out.payload = tcp.subspan(header_len);
  return ParseResult::kOk;
}

std::optional<QuotedSegment> parse_quoted(std::span<const std::uint8_t> quoted) noexcept {
  if (quoted.empty()) return std::nullopt;
  QuotedSegment out;
  FourTuple& tuple = out.tuple;
  constexpr std::size_t kQuotedTcp = 8;  // RFC 792: ports and sequence number
  std::size_t header = 0;
  if (quoted[0] >> 4 == 4) {
    if (quoted.size() < sizeof(net::Ip4Header)) return std::nullopt;
    const auto& ip = *reinterpret_cast<const net::Ip4Header*>(quoted.data());
    header = ip.header_len();
    if (header < sizeof(net::Ip4Header) || ip.proto != static_cast<std::uint8_t>(net::IpProto::kTcp))
      return std::nullopt;
    if ((ip.fragment.host() & net::kIp4FragmentOffset) != 0) return std::nullopt;
    out.packet_len = ip.total_len.host();
    tuple.local.address = net::IpAddress::v4(ip.src);
    tuple.remote.address = net::IpAddress::v4(ip.dst);
  } else if (quoted[0] >> 4 == 6) {
    if (quoted.size() < sizeof(net::Ip6Header)) return std::nullopt;
    const auto& ip = *reinterpret_cast<const net::Ip6Header*>(quoted.data());
    header = sizeof(net::Ip6Header);  // we send no extension headers
    if (ip.next_header != static_cast<std::uint8_t>(net::IpProto::kTcp)) return std::nullopt;
    out.packet_len = ip.payload_len.host() + std::uint32_t{sizeof(net::Ip6Header)};
    tuple.local.address = net::IpAddress::v6(ip.src);
    tuple.remote.address = net::IpAddress::v6(ip.dst);
  } else {
    return std::nullopt;
  }
  if (quoted.size() < header + kQuotedTcp) return std::nullopt;
  const std::uint8_t* tcp = quoted.data() + header;
  tuple.local.port = static_cast<std::uint16_t>(tcp[0] << 8 | tcp[1]);
  tuple.remote.port = static_cast<std::uint16_t>(tcp[2] << 8 | tcp[3]);
  out.seq = load32(tcp + 4);
  return out;
}

std::size_t options_len(const SegmentOptions& options) noexcept {
  if (options.mss == 0) return (options.has_timestamp ? kTimestampOptionLen : 0) + sack_option_len(options.sack_count);
  std::size_t len = 4;
  if (options.has_timestamp) len += options.sack_permitted ? 10 : kTimestampOptionLen;
  if (options.sack_permitted) len += options.has_timestamp ? 2 : 4;
  if (options.has_window_scale) len += 4;
  return len;
}

namespace {

// Linux' order, which middleboxes and test suites expect: MSS, SACK-permitted, timestamps, NOP, window scale; SACK.
void write_options(std::uint8_t* at, const SegmentOptions& options) noexcept {
  if (options.mss != 0) {
    store32(at, static_cast<std::uint32_t>(kMss << 24 | 4 << 16 | options.mss));
    at += 4;
  }
  if (options.has_timestamp) {
    const bool sack = options.sack_permitted && options.mss != 0;  // shares the word that the NOPs would pad
    at[0] = sack ? static_cast<std::uint8_t>(kSackPermitted) : static_cast<std::uint8_t>(kNop);
    at[1] = sack ? 2 : static_cast<std::uint8_t>(kNop);
    at[2] = kTimestamps;
    at[3] = 10;
    store32(at + 4, options.ts_value);
    store32(at + 8, options.ts_echo);
    at += kTimestampOptionLen;
  } else if (options.sack_permitted && options.mss != 0) {
    store32(at, kNop << 24 | kNop << 16 | kSackPermitted << 8 | 2);
    at += 4;
  }
  if (options.has_window_scale)
    store32(at, static_cast<std::uint32_t>(kNop << 24 | kWindowScale << 16 | 3 << 8 | options.window_scale));
  if (options.sack_count == 0 || options.mss != 0) return;
  store32(at, static_cast<std::uint32_t>(kNop << 24 | kNop << 16 | kSack << 8 | (2 + 8 * options.sack_count)));
  for (std::size_t i = 0; i < options.sack_count; ++i) {
    store32(at + 4 + 8 * i, options.sack[i].start);
    store32(at + 8 + 8 * i, options.sack[i].end);
  }
}

void write_ip4(std::uint8_t* at, const FourTuple& tuple, std::size_t total, std::uint8_t ecn) noexcept {
  auto& ip = *reinterpret_cast<net::Ip4Header*>(at);
  ip.version_ihl = 0x45;
  ip.dscp_ecn = ecn;
  ip.total_len = static_cast<std::uint16_t>(total);
  ip.id = std::uint16_t{0};  // RFC 6864 section 4.1: an atomic datagram's is of no account
  ip.fragment = net::kIp4DontFragment;
  ip.ttl = 64;
  ip.proto = static_cast<std::uint8_t>(net::IpProto::kTcp);
  ip.checksum = std::uint16_t{0};
  ip.src = tuple.local.address.v4();
  ip.dst = tuple.remote.address.v4();
  ip.checksum = net::checksum({at, sizeof(net::Ip4Header)});
}

void write_ip6(std::uint8_t* at, const FourTuple& tuple, std::size_t payload_len, std::uint8_t ecn) noexcept {
  auto& ip = *reinterpret_cast<net::Ip6Header*>(at);
  ip.version_class_flow = std::uint32_t{6} << 28 | std::uint32_t{ecn} << 20;
  ip.payload_len = static_cast<std::uint16_t>(payload_len);
  ip.next_header = static_cast<std::uint8_t>(net::IpProto::kTcp);
  ip.hop_limit = 64;
  ip.src = tuple.local.address.bytes();
  ip.dst = tuple.remote.address.bytes();
}

}  // namespace

void build_segment(std::span<std::uint8_t> packet, const FourTuple& tuple, const HeaderFields& fields,
                   std::size_t payload_len, bool tx_checksum) noexcept {
  const std::size_t option_bytes = options_len(fields.options);
  const std::size_t tcp_len = kMinTcpHeader + option_bytes + payload_len;
  const std::size_t ip_len = packet.size() - tcp_len;
  const std::uint8_t ecn = fields.ecn_capable ? kEcnCapable : std::uint8_t{0};
  if (ip_len == sizeof(net::Ip4Header)) {
    write_ip4(packet.data(), tuple, packet.size(), ecn);
  } else {
    write_ip6(packet.data(), tuple, tcp_len, ecn);
  }
  const std::span<std::uint8_t> tcp = packet.subspan(ip_len);
  auto& header = *reinterpret_cast<net::TcpHeader*>(tcp.data());
  header.src_port = tuple.local.port;
  header.dst_port = tuple.remote.port;
  header.sequence = fields.seq;
  header.acknowledgment = fields.ack;
  header.data_offset = static_cast<std::uint8_t>((kMinTcpHeader + option_bytes) / 4 << 4);
  header.flags = fields.flags;
  header.window = fields.window;
  header.checksum = std::uint16_t{0};
  header.urgent = std::uint16_t{0};
  write_options(tcp.data() + kMinTcpHeader, fields.options);
  if (tx_checksum) {
    net::ChecksumSum sum;
    sum.add_pseudo_header(tuple.local.address, tuple.remote.address, net::IpProto::kTcp, tcp_len);
    header.checksum = Be16::from_raw(sum.folded());
  } else {
    header.checksum = net::l4_checksum(tuple.local.address, tuple.remote.address, net::IpProto::kTcp, tcp);
  }
}

}  // namespace sluice::tcp
