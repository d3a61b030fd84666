// What a NAT changes in the packets that pass through it: addresses, TTL, ports, and the checksums over them.
// Threading: pure functions.
// Spec:      RFC 1624 (a checksum that was wrong stays wrong: its end judges it), RFC 1812 section 5.3.1 (TTL), RFC 5508
//            section 4 (ICMP errors) and 3 (echo), RFC 9260 section 6.8.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "sluice/net/address.h"
#include "sluice/net/checksum.h"
#include "sluice/net/parse.h"
#include "sluice/net/wire.h"

namespace sluice::net {

// Gives the IP header its new addresses and takes one off TTL or hop limit, which must not be 0. Returns what the addresses do to checksums
// with a pseudo header. `packet` is the result of parse(frame); all addresses are of its family.
[[gnu::always_inline]] inline ChecksumDelta rewrite_ip(std::span<std::uint8_t> frame, const Parsed& packet,
                                                       const IpAddress& src, const IpAddress& dst) noexcept {
  ChecksumDelta delta;
  if (packet.family == Family::kIp4) {
    auto& ip = header_at<Ip4Header>(frame, packet.l3_offset);
    const Be32 new_src = src.v4(), new_dst = dst.v4();
    delta.replace(ip.src, new_src);
    delta.replace(ip.dst, new_dst);
    ChecksumDelta header = delta;
    header.replace(Be16::from_raw(1), Be16::from_raw(0));  // the TTL is the low byte of its word as it lies in memory
    ip.src = new_src;
    ip.dst = new_dst;
    ip.ttl = static_cast<std::uint8_t>(ip.ttl - 1);
    ip.checksum = header.apply(ip.checksum);
  } else {
    auto& ip = header_at<Ip6Header>(frame, packet.l3_offset);
    for (std::size_t i = 0; i < 2; ++i) {
      delta.replace_words(packet.src.words()[i], src.words()[i]);
      delta.replace_words(packet.dst.words()[i], dst.words()[i]);
    }
    ip.src = src.bytes();
    ip.dst = dst.bytes();
    ip.hop_limit = static_cast<std::uint8_t>(ip.hop_limit - 1);
  }
  return delta;
}

// What a router does: one off TTL or hop limit, which must not be 0.
[[gnu::always_inline]] inline void take_hop(std::span<std::uint8_t> frame, const Parsed& packet) noexcept {
  if (packet.family == Family::kIp4) {
    auto& ip = header_at<Ip4Header>(frame, packet.l3_offset);
    ip.ttl = static_cast<std::uint8_t>(ip.ttl - 1);
    // The TTL is the low byte of its word as it lies in memory: the sum has one less, so its complement one more, and what
    // would be 0xffff is 0 (RFC 1141, with the carry that RFC 1624 asks for).
    const std::uint32_t more = std::uint32_t{ip.checksum.raw()} + 1;
    ip.checksum = Be16::from_raw(static_cast<std::uint16_t>(more + (more >= 0xffff)));
  } else {
    auto& ip = header_at<Ip6Header>(frame, packet.l3_offset);
    ip.hop_limit = static_cast<std::uint8_t>(ip.hop_limit - 1);
  }
}

// New ports, which lie alike in TCP and UDP; adds what they do to the checksum.
[[gnu::always_inline]] inline void rewrite_ports(std::span<std::uint8_t> frame, std::size_t l4_offset,
                                                 std::uint16_t src_port, std::uint16_t dst_port,
                                                 ChecksumDelta& delta) noexcept {
  auto& ports = header_at<UdpHeader>(frame, l4_offset);
  const Be16 src(src_port), dst(dst_port);
  delta.replace(ports.src_port, src);
  delta.replace(ports.dst_port, dst);
  ports.src_port = src;
  ports.dst_port = dst;
}

// Of a TCP or UDP segment at `l4_offset`.
[[gnu::always_inline]] inline void apply_to_l4(std::span<std::uint8_t> frame, std::size_t l4_offset, IpProto proto,
                                               const ChecksumDelta& delta) noexcept {
  if (proto == IpProto::kTcp) [[likely]] {
    auto& tcp = header_at<TcpHeader>(frame, l4_offset);
    tcp.checksum = delta.apply(tcp.checksum);
  } else {
    auto& udp = header_at<UdpHeader>(frame, l4_offset);
    udp.checksum = delta.apply_udp(udp.checksum);
  }
}

// What rewrite_flow() does with IPv4, in words as they lie in memory: source and destination are neighbours in both
// headers. An eighth of all that the packet path spends goes here.
[[gnu::always_inline]] inline void rewrite_flow4(std::span<std::uint8_t> frame, const Parsed& packet, Be32 src,
                                                 std::uint16_t src_port, Be32 dst, std::uint16_t dst_port) noexcept {
  std::uint8_t* ip = frame.data() + packet.l3_offset;
  std::uint8_t* l4 = frame.data() + packet.l4_offset;
  std::uint64_t old_addresses = 0;
  std::uint32_t old_ports = 0;
  std::memcpy(&old_addresses, ip + offsetof(Ip4Header, src), sizeof(old_addresses));
  std::memcpy(&old_ports, l4, sizeof(old_ports));
  const std::uint64_t addresses = src.raw() | (std::uint64_t{dst.raw()} << 32);
  const std::uint32_t ports = std::byteswap(static_cast<std::uint32_t>(dst_port | (std::uint32_t{src_port} << 16)));
  std::memcpy(ip + offsetof(Ip4Header, src), &addresses, sizeof(addresses));
  std::memcpy(l4, &ports, sizeof(ports));

  ChecksumDelta delta;
  delta.replace_words(old_addresses, addresses);
  ChecksumDelta header = delta;
  header.replace(Be16::from_raw(1), Be16::from_raw(0));  // the TTL is the low byte of its word as it lies in memory
  auto& fields = header_at<Ip4Header>(frame, packet.l3_offset);
  fields.ttl = static_cast<std::uint8_t>(fields.ttl - 1);
  fields.checksum = header.apply(fields.checksum);
  delta.replace(Be32::from_raw(old_ports), Be32::from_raw(ports));
  apply_to_l4(frame, packet.l4_offset, packet.proto, delta);
}

// What rewrite_flow() does with SCTP, whose checksum covers the ports alone, and with ICMP echo.
void rewrite_flow_other(std::span<std::uint8_t> frame, const Parsed& packet, const IpAddress& src,
                        std::uint16_t src_port, const IpAddress& dst, std::uint16_t dst_port) noexcept;

// Addresses, TTL and ports of a TCP, UDP or SCTP packet; of an ICMP or ICMPv6 echo, `dst_port` is the new identifier.
// Or of a fragment: ports, and the checksum that covers the addresses too, are in the first one alone, and what becomes of the
// whole follows from it; but not of SCTP, whose checksum must have the whole. `packet` is the result of parse(frame); all
// addresses are of its family.
[[gnu::always_inline]] inline void rewrite_flow(std::span<std::uint8_t> frame, const Parsed& packet,
                                                const IpAddress& src, std::uint16_t src_port, const IpAddress& dst,
                                                std::uint16_t dst_port) noexcept {
  if (packet.proto != IpProto::kTcp && packet.proto != IpProto::kUdp) [[unlikely]]
    return rewrite_flow_other(frame, packet, src, src_port, dst, dst_port);
  if (packet.family == Family::kIp4 && packet.fragment == FragmentKind::kWhole)  // one comparison: they are neighbours
    return rewrite_flow4(frame, packet, src.v4(), src_port, dst.v4(), dst_port);
  ChecksumDelta delta = rewrite_ip(frame, packet, src, dst);
  if (packet.fragment == FragmentKind::kLater) [[unlikely]]
    return;
  rewrite_ports(frame, packet.l4_offset, src_port, dst_port, delta);
  apply_to_l4(frame, packet.l4_offset, packet.proto, delta);
}
// Gives a fragment the identifier `packet.fragment_id`, which need not be the one that it came with.
void rewrite_fragment_id(std::span<std::uint8_t> frame, const Parsed& packet) noexcept;

// What rewrite_flow() does, of a common packet: TCP or UDP, and whole.
template <Family kFamily>
[[gnu::always_inline]] inline void rewrite_flow(std::span<std::uint8_t> frame, const CommonPacket<kFamily>& packet,
                                                const IpAddress& src, std::uint16_t src_port, const IpAddress& dst,
                                                std::uint16_t dst_port) noexcept {
  if constexpr (kFamily == Family::kIp4) {
    rewrite_flow4(frame, packet, src.v4(), src_port, dst.v4(), dst_port);
  } else {
    ChecksumDelta delta = rewrite_ip(frame, packet, src, dst);
    rewrite_ports(frame, packet.l4_offset, src_port, dst_port, delta);
    apply_to_l4(frame, packet.l4_offset, packet.proto, delta);
  }
}

struct IcmpErrorTuple {             // all of the error's family
  IpAddress src, dst;               // of the error
  Endpoint quoted_src, quoted_dst;  // of an echo, quoted_src.port is the identifier
};

// An ICMP or ICMPv6 error that quotes a TCP, UDP or SCTP packet or an echo, for the side that knows that packet by other addresses and
// ports. Type, code, and what else the error says stay (RFC 5508 REQ-4 (b), REQ-5 (b)). The frame ends with its packet,
// `error` is the result of parse(frame), `quoted` of parse_quoted(frame, error), and the error's own checksum is right: it
// is made anew.
void rewrite_icmp_error(std::span<std::uint8_t> frame, const Parsed& error, const Parsed& quoted,
                        const IcmpErrorTuple& to) noexcept;

}  // namespace sluice::net
