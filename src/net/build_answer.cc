// Answers to a packet: echo replies, ICMP errors, TCP resets and SCTP aborts of build.h.
#include <algorithm>
#include <cstring>
#include <utility>

#include "sluice/net/build.h"
#include "sluice/net/checksum.h"
#include "sluice/net/sctp.h"

namespace sluice::net {
namespace {

using Out = std::span<std::uint8_t>;
using Bytes = std::span<const std::uint8_t>;

constexpr std::uint8_t kTtl = 64;
constexpr std::uint8_t kInternetworkControl = 0xc0;  // precedence 6 for ICMP errors (RFC 1812 section 4.3.2.5)

// The link header of `frame` with its addresses swapped, VLAN tag and type as they are.
void put_link_answer(Out out, Bytes frame, const Parsed& packet) noexcept {
  std::memcpy(out.data(), frame.data(), packet.l3_offset);
  auto& ethernet = header_at<EthernetHeader>(out, 0);
  std::swap(ethernet.dst, ethernet.src);
}

void put_ip(Out out, const Parsed& packet, const IpAddress& src, IpProto proto, std::size_t payload_len,
            std::uint8_t traffic_class) noexcept {
  if (packet.family == Family::kIp4) {
    auto& ip = header_at<Ip4Header>(out, packet.l3_offset);
    ip.version_ihl = 0x45;
    ip.dscp_ecn = traffic_class;
    ip.total_len = static_cast<std::uint16_t>(sizeof(Ip4Header) + payload_len);
    ip.id = 0;  // with DF the identifier has no meaning (RFC 6864 section 4.1)
    ip.fragment = kIp4DontFragment;
    ip.ttl = kTtl;
    ip.proto = static_cast<std::uint8_t>(proto);
    ip.checksum = 0;
    ip.src = src.v4();
    ip.dst = packet.src.v4();
    ip.checksum = checksum(out.subspan(packet.l3_offset, sizeof(Ip4Header)));
    return;
  }
  auto& ip = header_at<Ip6Header>(out, packet.l3_offset);
  ip.version_class_flow = 6u << 28 | std::uint32_t{traffic_class} << 20;
  ip.payload_len = static_cast<std::uint16_t>(payload_len);
  ip.next_header = static_cast<std::uint8_t>(proto);
  ip.hop_limit = kTtl;
  ip.src = src.bytes();
  ip.dst = packet.src.bytes();
}

std::size_t ip_header_len(const Parsed& packet) noexcept {
  return packet.family == Family::kIp4 ? sizeof(Ip4Header) : sizeof(Ip6Header);
}

bool is_broadcast(const IpAddress& address) noexcept { return address.is_v4() && address.v4().raw() == 0xffffffff; }

// A frame that parse() judged (not parse_ip()) and an IP packet from one host to one host, on the link too.
bool is_unicast(Bytes frame, const Parsed& packet) noexcept {
  if (!packet.ok() || packet.l3_offset < sizeof(EthernetHeader)) return false;
  if (packet.family != Family::kIp4 && packet.family != Family::kIp6) return false;
  if (header_at<EthernetHeader>(frame, 0).dst.is_multicast()) return false;
  return !packet.dst.is_multicast() && !is_broadcast(packet.dst) && !packet.src.is_unspecified();
}

struct TypeAndCode {
  std::uint8_t type;
  std::uint8_t code;
};

TypeAndCode icmp4_of(IcmpError error) noexcept {
  constexpr auto kUnreachable = static_cast<std::uint8_t>(IcmpType::kUnreachable);
  switch (error) {
    case IcmpError::kHostUnreachable:
      return {kUnreachable, 1};
    case IcmpError::kPortUnreachable:
      return {kUnreachable, 3};
    case IcmpError::kPacketTooBig:
      return {kUnreachable, 4};
    case IcmpError::kTimeExceeded:
      break;
  }
  return {static_cast<std::uint8_t>(IcmpType::kTimeExceeded), 0};
}

TypeAndCode icmp6_of(IcmpError error) noexcept {
  constexpr auto kUnreachable = static_cast<std::uint8_t>(Icmpv6Type::kUnreachable);
  switch (error) {
    case IcmpError::kHostUnreachable:
      return {kUnreachable, 3};
    case IcmpError::kPortUnreachable:
      return {kUnreachable, 4};
    case IcmpError::kPacketTooBig:
      return {static_cast<std::uint8_t>(Icmpv6Type::kPacketTooBig), 0};
    case IcmpError::kTimeExceeded:
      break;
  }
  return {static_cast<std::uint8_t>(Icmpv6Type::kTimeExceeded), 0};
}

void swap_addresses_ip4(Out frame, const Parsed& packet) noexcept {
  auto& ip = header_at<Ip4Header>(frame, packet.l3_offset);
  std::swap(ip.src, ip.dst);  // the sum stays
  const auto ttl_and_proto = [&ip] { return Be16(static_cast<std::uint16_t>(ip.ttl << 8 | ip.proto)); };
  ChecksumDelta delta;
  const Be16 before = ttl_and_proto();
  ip.ttl = kTtl;
  delta.replace(before, ttl_and_proto());
  ip.checksum = delta.apply(ip.checksum);
}

void turn_around(Out frame, const Parsed& packet) noexcept {
  auto& ethernet = header_at<EthernetHeader>(frame, 0);
  std::swap(ethernet.dst, ethernet.src);
  if (packet.family == Family::kIp4) return swap_addresses_ip4(frame, packet);
  auto& ip = header_at<Ip6Header>(frame, packet.l3_offset);
  std::swap(ip.src, ip.dst);
  ip.hop_limit = kTtl;
}

}  // namespace

bool make_echo_reply(Out frame, const Parsed& packet) noexcept {
  if (!is_unicast(frame, packet) || packet.fragment == FragmentKind::kLater) return false;
  const bool ip4 = packet.family == Family::kIp4;
  if (packet.proto != (ip4 ? IpProto::kIcmp : IpProto::kIcmpv6)) return false;
  const auto request =
      ip4 ? static_cast<std::uint8_t>(IcmpType::kEchoRequest) : static_cast<std::uint8_t>(Icmpv6Type::kEchoRequest);
  const auto reply =
      ip4 ? static_cast<std::uint8_t>(IcmpType::kEchoReply) : static_cast<std::uint8_t>(Icmpv6Type::kEchoReply);
  if (packet.icmp_type != request || packet.icmp_code != 0) return false;

  turn_around(frame, packet);
  auto& icmp = header_at<IcmpHeader>(frame, packet.l4_offset);
  ChecksumDelta delta;  // type and code are one 16-bit word; code is 0
  delta.replace(Be16(static_cast<std::uint16_t>(request << 8)), Be16(static_cast<std::uint16_t>(reply << 8)));
  icmp.type = reply;
  icmp.checksum = delta.apply(icmp.checksum);
  return true;
}

bool make_later_echo_reply(Out frame, const Parsed& packet) noexcept {
  if (!is_unicast(frame, packet) || packet.fragment != FragmentKind::kLater) return false;
  turn_around(frame, packet);
  return true;
}

bool may_answer_with_icmp_error(Bytes frame, const Parsed& packet) noexcept {
  if (!is_unicast(frame, packet) || packet.fragment == FragmentKind::kLater || is_icmp_error(packet)) return false;
  return packet.proto != IpProto::kIcmpv6 || packet.icmp_type != static_cast<std::uint8_t>(Icmpv6Type::kRedirect);
}

std::size_t build_icmp_error(Out out, Bytes frame, const Parsed& packet, IcmpError error, const IpAddress& src,
                             std::uint32_t mtu) noexcept {
  if (!may_answer_with_icmp_error(frame, packet)) return 0;
  const bool ip4 = packet.family == Family::kIp4;
  if (src.is_v4() != ip4) return 0;
  const std::size_t headers = ip_header_len(packet) + sizeof(IcmpHeader);
  const std::size_t bound = (ip4 ? kMaxIcmp4ErrorBytes : kMaxIcmp6ErrorBytes) - headers;
  const std::size_t quoted = std::min(packet.l3_len(), bound);
  const std::size_t total = packet.l3_offset + headers + quoted;
  if (out.size() < total) return 0;

  put_link_answer(out, frame, packet);
  const IpProto proto = ip4 ? IpProto::kIcmp : IpProto::kIcmpv6;
  put_ip(out, packet, src, proto, sizeof(IcmpHeader) + quoted, ip4 ? kInternetworkControl : 0);
  const std::size_t l4_offset = packet.l3_offset + ip_header_len(packet);
  const auto [type, code] = ip4 ? icmp4_of(error) : icmp6_of(error);
  auto& icmp = header_at<IcmpHeader>(out, l4_offset);
  icmp = {.type = type, .code = code, .checksum = Be16(0), .rest = Be32(0)};
  // RFC 1191 section 4 has 16 bits for the MTU, RFC 4443 section 3.2 has 32.
  if (error == IcmpError::kPacketTooBig) icmp.rest = ip4 ? std::min(mtu, 65535u) : mtu;
  std::memcpy(out.data() + l4_offset + sizeof(IcmpHeader), frame.data() + packet.l3_offset, quoted);
  const Out message = out.subspan(l4_offset, sizeof(IcmpHeader) + quoted);
  icmp.checksum = ip4 ? checksum(message) : l4_checksum(src, packet.src, proto, message);
  return total;
}

std::optional<std::uint32_t> mtu_of_error(Bytes frame, const Parsed& error) noexcept {
  const auto& icmp = header_at<IcmpHeader>(frame, error.l4_offset);
  const auto is = [&](TypeAndCode wanted) { return icmp.type == wanted.type && icmp.code == wanted.code; };
  if (error.family == Family::kIp4 && is(icmp4_of(IcmpError::kPacketTooBig))) {
    const std::uint32_t mtu = icmp.rest.host() & 0xffff;  // 0: a router from before RFC 1191
    if (mtu != 0) return mtu;
  }
  if (error.family == Family::kIp6 && is(icmp6_of(IcmpError::kPacketTooBig))) return icmp.rest.host();
  return std::nullopt;
}

std::size_t too_big_header_bytes(const IpAddress& to) noexcept {
  return (to.is_v4() ? sizeof(Ip4Header) : sizeof(Ip6Header)) + sizeof(IcmpHeader);
}

std::size_t max_quote_bytes(const IpAddress& to) noexcept {
  return (to.is_v4() ? kMaxIcmp4ErrorBytes : kMaxIcmp6ErrorBytes) - too_big_header_bytes(to);
}

void write_packet_too_big(Out packet, const IpAddress& from, const IpAddress& to, std::uint32_t mtu) noexcept {
  const bool ip4 = to.is_v4();
  const std::size_t l4_offset = too_big_header_bytes(to) - sizeof(IcmpHeader);
  const Out message = packet.subspan(l4_offset);
  Parsed about;
  about.family = ip4 ? Family::kIp4 : Family::kIp6;
  about.src = to;
  const IpProto proto = ip4 ? IpProto::kIcmp : IpProto::kIcmpv6;
  put_ip(packet, about, from, proto, message.size(), ip4 ? kInternetworkControl : 0);
  const auto [type, code] = ip4 ? icmp4_of(IcmpError::kPacketTooBig) : icmp6_of(IcmpError::kPacketTooBig);
  auto& icmp = header_at<IcmpHeader>(packet, l4_offset);
  icmp = {.type = type, .code = code, .checksum = Be16(0), .rest = Be32(mtu)};
  icmp.checksum = ip4 ? checksum(message) : l4_checksum(from, to, proto, message);
}

std::size_t build_tcp_reset(Out out, Bytes frame, const Parsed& packet) noexcept {
  if (!is_unicast(frame, packet) || packet.fragment != FragmentKind::kWhole || packet.proto != IpProto::kTcp) return 0;
  const auto& segment = header_at<TcpHeader>(frame, packet.l4_offset);
  if ((segment.flags & kTcpRst) != 0) return 0;
  const std::size_t l4_offset = packet.l3_offset + ip_header_len(packet);
  const std::size_t total = l4_offset + sizeof(TcpHeader);
  if (out.size() < total) return 0;

  put_link_answer(out, frame, packet);
  put_ip(out, packet, packet.dst, IpProto::kTcp, sizeof(TcpHeader), 0);
  auto& tcp = header_at<TcpHeader>(out, l4_offset);
  std::memset(&tcp, 0, sizeof(tcp));
  tcp.src_port = packet.dst_port;
  tcp.dst_port = packet.src_port;
  tcp.data_offset = 5 << 4;
  if ((segment.flags & kTcpAck) != 0) {  // <SEQ=SEG.ACK><CTL=RST>
    tcp.sequence = segment.acknowledgment;
    tcp.flags = kTcpRst;
  } else {  // <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>
    const std::uint32_t syn = (segment.flags & kTcpSyn) != 0 ? 1 : 0;
    const std::uint32_t fin = (segment.flags & kTcpFin) != 0 ? 1 : 0;
    tcp.acknowledgment = segment.sequence.host() + static_cast<std::uint32_t>(packet.payload_len()) + syn + fin;
    tcp.flags = kTcpRst | kTcpAck;
  }
  tcp.checksum = l4_checksum(packet.dst, packet.src, IpProto::kTcp, out.subspan(l4_offset, sizeof(TcpHeader)));
  return total;
}

namespace {

constexpr std::size_t kSctpAbortBytes = sizeof(SctpHeader) + sizeof(SctpChunk);

void put_sctp_abort(Out sctp, const SctpAbort& abort) noexcept {
  auto& header = header_at<SctpHeader>(sctp, 0);
  header.src_port = abort.src.port;
  header.dst_port = abort.dst.port;
  header.tag = abort.tag;
  header_at<SctpChunk>(sctp, sizeof(SctpHeader)) = {.type = static_cast<std::uint8_t>(SctpChunkType::kAbort),
                                                    .flags = abort.reflected ? kSctpTagReflected : std::uint8_t{0},
                                                    .len = Be16(sizeof(SctpChunk))};
  set_sctp_checksum(sctp.first(kSctpAbortBytes));
}

}  // namespace

std::size_t write_sctp_abort(Out out, std::size_t l3_offset, const SctpAbort& abort) noexcept {
  const bool ip4 = abort.dst.address.is_v4();
  const std::size_t l4_offset = l3_offset + (ip4 ? sizeof(Ip4Header) : sizeof(Ip6Header));
  if (out.size() < l4_offset + kSctpAbortBytes) return 0;
  Parsed about;
  about.family = ip4 ? Family::kIp4 : Family::kIp6;
  about.l3_offset = static_cast<std::uint16_t>(l3_offset);
  about.src = abort.dst.address;
  put_ip(out, about, abort.src.address, IpProto::kSctp, kSctpAbortBytes, 0);
  put_sctp_abort(out.subspan(l4_offset), abort);
  return l4_offset + kSctpAbortBytes;
}

std::size_t build_sctp_abort(Out out, Bytes frame, const Parsed& packet) noexcept {
  if (!is_unicast(frame, packet) || packet.fragment != FragmentKind::kWhole || packet.proto != IpProto::kSctp) return 0;
  if ((packet.tcp_flags & kTcpRst) != 0) return 0;  // ABORT or SHUTDOWN COMPLETE
  const std::size_t l4_offset = packet.l3_offset + ip_header_len(packet);
  const std::size_t total = l4_offset + kSctpAbortBytes;
  if (out.size() < total) return 0;
  const auto& received = header_at<SctpHeader>(frame, packet.l4_offset);
  // An INIT says in its first field which tag its sender expects; of all else the tag comes back, and is said to.
  constexpr std::size_t kInitiateTagBytes = sizeof(Be32);
  const std::size_t behind_chunk = packet.payload_offset + sizeof(SctpChunk);
  const bool init = packet.tcp_flags == kTcpSyn;
  if (init && packet.end < behind_chunk + kInitiateTagBytes) return 0;

  put_link_answer(out, frame, packet);
  put_ip(out, packet, packet.dst, IpProto::kSctp, kSctpAbortBytes, 0);
  put_sctp_abort(out.subspan(l4_offset), {.src = {packet.dst, packet.dst_port},
                                          .dst = {packet.src, packet.src_port},
                                          .tag = (init ? header_at<Be32>(frame, behind_chunk) : received.tag).host(),
                                          .reflected = !init});
  return total;
}

}  // namespace sluice::net
