#include "sluice/net/parse.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <ostream>
#include <string>

#include <gtest/gtest.h>

#include "packets.h"
#include "sluice/base/random.h"
#include "sluice/net/checksum.h"

namespace sluice::net {
namespace {

using test::Bytes;
using test::ip4;
using test::ip6;

constexpr std::uint8_t kHopByHop = 0, kRouting = 43, kDestinationOptions = 60;

auto udp4() { return ip4("192.0.2.1", "198.51.100.7").udp(40000, 53, {1, 2, 3}); }
auto tcp4(std::uint8_t flags = kTcpSyn) { return ip4("192.0.2.1", "198.51.100.7").tcp(40000, 443, flags); }
auto udp6() { return ip6("2001:db8::1", "2001:db8::2").udp(40000, 53, {1, 2, 3}); }
auto tcp6() { return ip6("2001:db8::1", "2001:db8::2").tcp(40000, 443); }
Bytes arp(std::size_t size) {
  Bytes frame(size);
  frame[12] = 0x08;
  frame[13] = 0x06;
  return frame;
}
test::PacketBuilder with_extensions(std::size_t count, std::size_t body) {
  auto packet = udp6();
  for (std::size_t i = 0; i < count; ++i) packet.extension(kDestinationOptions, Bytes(body));
  return packet;
}

Bytes inside_tag(std::uint16_t type, std::uint8_t id, Bytes frame) {
  const std::uint8_t tag[] = {static_cast<std::uint8_t>(type >> 8), static_cast<std::uint8_t>(type), 0, id};
  frame.insert(frame.begin() + 12, std::begin(tag), std::end(tag));
  return frame;
}

struct ErrorCase {
  const char* name;
  Bytes frame;
  ParseError want;
};
void PrintTo(const ErrorCase& row, std::ostream* out) { *out << row.name; }

const ErrorCase kErrorCases[] = {
    // Link layer
    {"empty", {}, ParseError::kEthernetTruncated},
    {"ethernet_cut", Bytes(13), ParseError::kEthernetTruncated},
    {"vlan_cut", udp4().vlan(7).cut(17).frame(), ParseError::kEthernetTruncated},
    {"unknown_type", udp4().ether_type(0x88cc).frame(), ParseError::kEtherTypeUnknown},
    {"two_tags", inside_tag(0x88a8, 9, udp4().vlan(7).frame()), ParseError::kNone},
    {"two_tags_cut", inside_tag(0x88a8, 9, udp4().vlan(7).cut(17).frame()), ParseError::kEthernetTruncated},
    {"three_tags", inside_tag(0x88a8, 9, inside_tag(0x8100, 8, udp4().vlan(7).frame())), ParseError::kEtherTypeUnknown},
    {"beyond_16_bits", Bytes(65536), ParseError::kIpTotalLength},
    {"arp", arp(42), ParseError::kNone},
    {"arp_padded", arp(60), ParseError::kNone},
    {"arp_cut", arp(41), ParseError::kArpTruncated},
    // IPv4
    {"udp4", udp4().frame(), ParseError::kNone},
    {"options_that_pass", udp4().options({7, 7, 4, 0, 0, 0, 0, 1, 0x94, 4, 0, 0}).frame(), ParseError::kNone},
    {"options_end_early", udp4().options({0, 131, 3, 4}).frame(), ParseError::kNone},
    {"loose_source_route", udp4().options({131, 7, 4, 192, 0, 2, 1, 0}).frame(), ParseError::kIpOption},
    {"strict_source_route", udp4().options({1, 137, 3, 4}).frame(), ParseError::kIpOption},
    {"option_beyond_the_header", udp4().options({0x94, 5, 0, 0}).frame(), ParseError::kIpOption},
    {"option_without_length", udp4().options({1, 1, 1, 0x94}).frame(), ParseError::kIpOption},
    {"option_of_length_1", udp4().options({0x94, 1, 0, 0}).frame(), ParseError::kIpOption},
    {"tcp4", tcp4().frame(), ParseError::kNone},
    {"padded_to_60", udp4().pad(60).frame(), ParseError::kNone},
    {"options", udp4().options({1, 1, 1, 0}).frame(), ParseError::kNone},
    {"ip4_header_cut", udp4().cut(14 + 19).frame(), ParseError::kIpTruncated},
    {"ip4_packet_cut", udp4().cut(14 + 30).frame(), ParseError::kIpTruncated},
    {"ip4_no_header", udp4().cut(14).frame(), ParseError::kIpTruncated},
    {"version_6_in_ip4", udp4().set_ip(0, 0x65).frame(), ParseError::kIpVersion},
    {"header_length_4", udp4().set_ip(0, 0x44).frame(), ParseError::kIpHeaderLength},
    {"header_length_beyond_the_frame", udp4().set_ip(0, 0x4f).frame(), ParseError::kIpHeaderLength},
    {"total_length_below_the_header", udp4().set_ip(3, 19).frame(), ParseError::kIpTotalLength},
    {"total_length_beyond_the_frame", udp4().set_ip(3, 32).frame(), ParseError::kIpTruncated},
    {"wrong_header_checksum", udp4().set(14 + 8, 63).frame(), ParseError::kIpChecksum},
    {"from_loopback", ip4("127.0.0.1", "198.51.100.7").udp(1, 2).frame(), ParseError::kIpSource},
    {"from_this_network", ip4("0.1.2.3", "198.51.100.7").udp(1, 2).frame(), ParseError::kIpSource},
    {"from_nobody", ip4("0.0.0.0", "198.51.100.7").udp(1, 2).frame(), ParseError::kIpSource},
    {"from_a_group", ip4("224.0.0.1", "198.51.100.7").udp(1, 2).frame(), ParseError::kIpSource},
    {"from_broadcast", ip4("255.255.255.255", "198.51.100.7").udp(1, 2).frame(), ParseError::kIpSource},
    {"to_loopback", ip4("192.0.2.1", "127.0.0.1").udp(1, 2).frame(), ParseError::kIpDestination},
    {"to_nobody", ip4("192.0.2.1", "0.0.0.0").udp(1, 2).frame(), ParseError::kIpDestination},
    {"to_a_group", ip4("192.0.2.1", "224.0.0.1").udp(1, 2).frame(), ParseError::kNone},
    {"to_broadcast", ip4("192.0.2.1", "255.255.255.255").udp(1, 2).frame(), ParseError::kNone},
    {"land", ip4("192.0.2.1", "192.0.2.1").tcp(80, 80).frame(), ParseError::kLand},
    {"ttl_of_zero_is_for_the_caller", udp4().ttl(0).frame(), ParseError::kNone},
    // IPv6
    {"udp6", udp6().frame(), ParseError::kNone},
    {"tcp6", tcp6().frame(), ParseError::kNone},
    {"ip6_header_cut", udp6().cut(14 + 39).frame(), ParseError::kIpTruncated},
    {"ip6_packet_cut", udp6().cut(14 + 50).frame(), ParseError::kIpTruncated},
    {"version_4_in_ip6", udp6().set_ip(0, 0x40).frame(), ParseError::kIpVersion},
    {"from_ip6_loopback", ip6("::1", "2001:db8::2").udp(1, 2).frame(), ParseError::kIpSource},
    {"from_ip6_group", ip6("ff02::1", "2001:db8::2").udp(1, 2).frame(), ParseError::kIpSource},
    {"from_unspecified", ip6("::", "2001:db8::2").udp(1, 2).frame(), ParseError::kIpSource},
    {"from_unspecified_icmpv6", ip6("::", "2001:db8::2").icmp(135, 0).frame(), ParseError::kNone},
    {"to_ip6_loopback", ip6("2001:db8::1", "::1").udp(1, 2).frame(), ParseError::kIpDestination},
    {"to_unspecified", ip6("2001:db8::1", "::").udp(1, 2).frame(), ParseError::kIpDestination},
    {"ip6_land", ip6("2001:db8::1", "2001:db8::1").udp(1, 2).frame(), ParseError::kLand},
    {"hop_by_hop_first", udp6().extension(kHopByHop, Bytes(6)).frame(), ParseError::kNone},
    {"hop_by_hop_second", udp6().extension(kDestinationOptions, Bytes(6)).extension(kHopByHop, Bytes(6)).frame(),
     ParseError::kExtensionUnknown},
    {"routing_type_0", udp6().extension(kRouting, Bytes(6)).frame(), ParseError::kExtensionUnknown},
    {"routing_type_4", udp6().extension(kRouting, {4, 0, 0, 0, 0, 0}).frame(), ParseError::kNone},
    {"extensions_at_the_bound", with_extensions(8, 6).frame(), ParseError::kNone},
    {"one_extension_too_many", with_extensions(9, 6).frame(), ParseError::kExtensionLimit},
    {"extension_bytes_at_the_bound", with_extensions(1, 254).frame(), ParseError::kNone},
    {"extension_bytes_beyond_the_bound", with_extensions(1, 262).frame(), ParseError::kExtensionLimit},
    {"extension_beyond_the_packet", udp6().extension(kDestinationOptions, Bytes(6)).set(14 + 41, 9).frame(),
     ParseError::kExtensionTruncated},
    {"extension_cut", ip6("2001:db8::1", "2001:db8::2").payload(IpProto{60}, Bytes(7)).frame(),
     ParseError::kExtensionTruncated},
    {"two_fragment_headers", udp6().extension(44, Bytes(6)).fragment(0, false).frame(), ParseError::kExtensionUnknown},
    // Fragments
    {"first_fragment", ip4("192.0.2.1", "198.51.100.7").udp(1, 2, Bytes(16)).fragment(0, true).frame(),
     ParseError::kNone},
    {"later_fragment", ip4("192.0.2.1", "198.51.100.7").udp(1, 2, Bytes(16)).fragment(1480, false).frame(),
     ParseError::kNone},
    {"fragment_not_in_eights", ip4("192.0.2.1", "198.51.100.7").udp(1, 2, Bytes(3)).fragment(0, true).frame(),
     ParseError::kFragment},
    {"fragment_beyond_64k", ip4("192.0.2.1", "198.51.100.7").udp(1, 2, Bytes(16)).fragment(65528, false).frame(),
     ParseError::kFragment},
    {"fragment_empty", ip4("192.0.2.1", "198.51.100.7").payload(IpProto::kUdp, {}).fragment(8, true).frame(),
     ParseError::kFragment},
    {"tiny_tcp_fragment", ip4("192.0.2.1", "198.51.100.7").payload(IpProto::kTcp, Bytes(16)).fragment(0, true).frame(),
     ParseError::kFragment},
    {"tcp_fragment_over_the_flags",
     ip4("192.0.2.1", "198.51.100.7").payload(IpProto::kTcp, Bytes(16)).fragment(8, true).frame(),
     ParseError::kFragment},
    {"udp_fragment_at_8_is_fine",
     ip4("192.0.2.1", "198.51.100.7").payload(IpProto::kUdp, Bytes(16)).fragment(8, true).frame(), ParseError::kNone},
    {"ip6_first_fragment", ip6("2001:db8::1", "2001:db8::2").udp(1, 2, Bytes(16)).fragment(0, true).frame(),
     ParseError::kNone},
    {"ip6_atomic_fragment", udp6().fragment(0, false).frame(), ParseError::kNone},
    {"ip6_fragment_beyond_64k", ip6("2001:db8::1", "2001:db8::2").udp(1, 2, Bytes(16)).fragment(65528, false).frame(),
     ParseError::kFragment},
    // Layer 4
    {"udp_cut", ip4("192.0.2.1", "198.51.100.7").payload(IpProto::kUdp, Bytes(7)).frame(), ParseError::kL4Truncated},
    {"tcp_cut", ip4("192.0.2.1", "198.51.100.7").payload(IpProto::kTcp, Bytes(19)).frame(), ParseError::kL4Truncated},
    {"icmp_cut", ip4("192.0.2.1", "198.51.100.7").payload(IpProto::kIcmp, Bytes(7)).frame(), ParseError::kL4Truncated},
    {"icmpv6_cut", ip6("2001:db8::1", "2001:db8::2").payload(IpProto::kIcmpv6, Bytes(7)).frame(),
     ParseError::kL4Truncated},
    {"nothing_at_all", ip4("192.0.2.1", "198.51.100.7").payload(IpProto::kUdp, {}).frame(), ParseError::kL4Truncated},
    {"udp_length_7", udp4().set_l4(5, 7).frame(), ParseError::kUdpLength},
    {"udp_length_beyond_the_packet", udp4().set_l4(5, 12).frame(), ParseError::kUdpLength},
    {"udp_length_below_the_packet", udp4().set_l4(5, 10).frame(), ParseError::kNone},
    {"data_offset_4", tcp4().set_l4(12, 4 << 4).frame(), ParseError::kTcpDataOffset},
    {"data_offset_beyond_the_segment", tcp4().set_l4(12, 6 << 4).frame(), ParseError::kTcpDataOffset},
    {"no_flags", tcp4(0).frame(), ParseError::kTcpFlags},
    {"syn_fin", tcp4(kTcpSyn | kTcpFin).frame(), ParseError::kTcpFlags},
    {"syn_rst", tcp4(kTcpSyn | kTcpRst).frame(), ParseError::kTcpFlags},
    {"all_flags", tcp4(0x3f).frame(), ParseError::kTcpFlags},
    {"ecn_setup_syn", tcp4(0xc2).frame(), ParseError::kNone},
    {"fin_push_urgent", tcp4(kTcpFin | kTcpPsh | kTcpUrg).frame(), ParseError::kNone},
    {"unknown_protocol", ip4("192.0.2.1", "198.51.100.7").payload(IpProto{89}, Bytes(1)).frame(), ParseError::kNone},
    {"icmp_in_ip6_is_unknown", ip6("2001:db8::1", "2001:db8::2").payload(IpProto::kIcmp, Bytes(1)).frame(),
     ParseError::kNone},
};

class ParseErrors : public ::testing::TestWithParam<ErrorCase> {};
TEST_P(ParseErrors, GivesTheReason) { EXPECT_STREQ(text_of(parse(GetParam().frame).error), text_of(GetParam().want)); }
INSTANTIATE_TEST_SUITE_P(Net, ParseErrors, ::testing::ValuesIn(kErrorCases),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(Parse, IPv4MappedAddressesAreRefusedInIPv6) {
  // ::ffff:192.0.2.1 as it would lie on the wire.
  Bytes frame = udp6().frame();
  const Bytes mapped = test::from_hex("00000000 00000000 0000ffff c0000201");
  std::ranges::copy(mapped, frame.begin() + 14 + 8);
  EXPECT_EQ(parse(frame).error, ParseError::kIpSource);
  frame = udp6().frame();
  std::ranges::copy(mapped, frame.begin() + 14 + 24);
  EXPECT_EQ(parse(frame).error, ParseError::kIpDestination);
}

TEST(Parse, FieldsOfTcpOverIPv4WithATagAndOptions) {
  const Bytes frame = ip4("192.0.2.1", "198.51.100.7")
                          .vlan(42)
                          .options({1, 1, 1, 0})
                          .ttl(9)
                          .tcp(40000, 443, kTcpAck | kTcpPsh, 7, 8, {'h', 'i'})
                          .pad(100)
                          .frame();
  const Parsed packet = parse(frame);
  ASSERT_TRUE(packet.ok());
  EXPECT_EQ(packet.family, Family::kIp4);
  EXPECT_EQ(packet.vlan, 42);
  EXPECT_EQ(packet.src.text(), "192.0.2.1");
  EXPECT_EQ(packet.dst.text(), "198.51.100.7");
  EXPECT_EQ(packet.src_port, 40000);
  EXPECT_EQ(packet.dst_port, 443);
  EXPECT_EQ(packet.proto, IpProto::kTcp);
  EXPECT_EQ(packet.ttl, 9);
  EXPECT_EQ(packet.tcp_flags, kTcpAck | kTcpPsh);
  EXPECT_EQ(packet.l3_offset, 18);
  EXPECT_EQ(packet.l4_offset, 18 + 24);
  EXPECT_EQ(packet.payload_offset, 18 + 24 + 20);
  EXPECT_EQ(packet.end, 18 + 24 + 20 + 2);  // not the padding
  EXPECT_EQ(packet.payload_len(), 2u);
  EXPECT_TRUE(l4_checksum_ok(frame, packet));
}

TEST(Parse, FieldsOfUdpOverIPv6BehindExtensions) {
  const Bytes frame = udp6().extension(kHopByHop, Bytes(6)).extension(kDestinationOptions, Bytes(14)).frame();
  const Parsed packet = parse(frame);
  ASSERT_TRUE(packet.ok());
  EXPECT_EQ(packet.family, Family::kIp6);
  EXPECT_EQ(packet.proto, IpProto::kUdp);
  EXPECT_EQ(packet.l4_offset, 14 + 40 + 8 + 16);
  EXPECT_EQ(packet.payload_len(), 3u);
  EXPECT_EQ(packet.dst_port, 53);
  EXPECT_TRUE(l4_checksum_ok(frame, packet));
}

TEST(Parse, EchoCarriesItsIdentifierAsPorts) {
  const Parsed packet = parse(ip4("192.0.2.1", "198.51.100.7").icmp(8, 0, 0xbeef0001).frame());
  EXPECT_EQ(packet.icmp_type, 8);
  EXPECT_EQ(packet.src_port, 0xbeef);
  EXPECT_EQ(packet.dst_port, 0xbeef);
  EXPECT_FALSE(is_icmp_error(packet));
}

TEST(Parse, FragmentsSayWhatTheyAre) {
  const auto udp = [] { return ip4("192.0.2.1", "198.51.100.7").udp(5, 6, Bytes(16)); };
  Parsed packet = parse(udp().fragment(0, true, 0x77).frame());
  EXPECT_EQ(packet.fragment, FragmentKind::kFirst);
  EXPECT_EQ(packet.fragment_id, 0x77u);
  EXPECT_EQ(packet.dst_port, 6);
  packet = parse(udp().fragment(1480, true, 0x77).frame());
  EXPECT_EQ(packet.fragment, FragmentKind::kLater);
  EXPECT_EQ(packet.dst_port, 0);
  packet = parse(ip6("2001:db8::1", "2001:db8::2").udp(5, 6, Bytes(16)).fragment(8, false, 0x12345678).frame());
  EXPECT_EQ(packet.fragment, FragmentKind::kLater);
  EXPECT_EQ(packet.fragment_id, 0x12345678u);
  EXPECT_EQ(packet.proto, IpProto::kUdp);
  EXPECT_EQ(parse(udp6().fragment(0, false).frame()).fragment, FragmentKind::kWhole);
}

TEST(ParseIp, ReadsABarePacket) {
  const Bytes four = tcp4().ip_packet();
  EXPECT_TRUE(parse_ip(four).ok());
  EXPECT_EQ(parse_ip(four).l3_offset, 0);
  EXPECT_EQ(parse_ip(four).l4_offset, 20);
  EXPECT_TRUE(parse_ip(tcp6().ip_packet()).ok());
  EXPECT_EQ(parse_ip({}).error, ParseError::kIpTruncated);
  EXPECT_EQ(parse_ip(Bytes{0x50}).error, ParseError::kIpVersion);
}

struct ChecksumCase {
  const char* name;
  Bytes frame;
  bool want;
};
const ChecksumCase kChecksumCases[] = {
    {"tcp4", tcp4().frame(), true},
    {"tcp4_broken", tcp4().set(14 + 20 + 4, 99).frame(), false},
    {"tcp6", tcp6().frame(), true},
    {"tcp6_broken", tcp6().set(14 + 40 + 4, 99).frame(), false},
    {"udp4", udp4().frame(), true},
    {"udp4_broken", udp4().set(14 + 20 + 8, 99).frame(), false},
    {"udp4_without", udp4().no_checksum().frame(), true},
    {"udp6_without", udp6().no_checksum().frame(), false},
    {"padding_does_not_count", udp4().pad(60).set(14 + 20 + 8, 1).frame(), true},
    {"icmp", ip4("192.0.2.1", "198.51.100.7").icmp(8, 0, 5, {1}).frame(), true},
    {"icmp_broken", ip4("192.0.2.1", "198.51.100.7").icmp(8, 0, 5, {1}).set(14 + 20 + 8, 9).frame(), false},
    {"icmpv6", ip6("2001:db8::1", "2001:db8::2").icmp(128, 0, 5, {1}).frame(), true},
    {"icmpv6_broken", ip6("2001:db8::1", "2001:db8::2").icmp(128, 0, 5, {1}).set(14 + 40 + 8, 9).frame(), false},
    {"fragment", ip4("192.0.2.1", "198.51.100.7").udp(1, 2, Bytes(16)).fragment(0, true).set(14 + 28, 9).frame(), true},
    {"other_protocol", ip4("192.0.2.1", "198.51.100.7").payload(IpProto{89}, Bytes(4)).frame(), true},
};

TEST(L4ChecksumOk, KnowsEachProtocol) {
  for (const ChecksumCase& row : kChecksumCases) {
    const Parsed packet = parse(row.frame);
    ASSERT_TRUE(packet.ok()) << row.name;
    EXPECT_EQ(l4_checksum_ok(row.frame, packet), row.want) << row.name;
  }
}

// An error from a router about `inner`, of which `quoted` bytes are quoted.
Bytes error_about(const Bytes& inner, std::size_t quoted) {
  Bytes quote(inner.begin(), inner.begin() + static_cast<std::ptrdiff_t>(std::min(quoted, inner.size())));
  return ip4("203.0.113.9", "192.0.2.1").icmp(3, 4, 1400, std::move(quote)).frame();
}

TEST(ParseQuoted, GivesTheTupleOfTheQuotedPacket) {
  // 8 bytes of layer 4 are enough; the router lowered the TTL, so the quoted checksum is wrong.
  Bytes inner = ip4("192.0.2.1", "198.51.100.7").tcp(40000, 443).ip_packet();
  inner[8] = 1;
  const Bytes frame = error_about(inner, 28);
  const Parsed outer = parse(frame);
  ASSERT_TRUE(is_icmp_error(outer));
  const Parsed quoted = parse_quoted(frame, outer);
  ASSERT_TRUE(quoted.ok()) << text_of(quoted.error);
  EXPECT_EQ(quoted.src.text(), "192.0.2.1");
  EXPECT_EQ(quoted.dst.text(), "198.51.100.7");
  EXPECT_EQ(quoted.src_port, 40000);
  EXPECT_EQ(quoted.dst_port, 443);
  EXPECT_EQ(quoted.proto, IpProto::kTcp);
  EXPECT_EQ(quoted.l3_offset, 14 + 20 + 8);
  EXPECT_EQ(quoted.l4_offset, 14 + 20 + 8 + 20);
}

TEST(ParseQuoted, GivesTheTupleOfAQuotedIPv6Packet) {
  const Bytes inner = udp6().extension(kDestinationOptions, Bytes(6)).ip_packet();
  const Bytes frame = ip6("2001:db8::99", "2001:db8::1").icmp(2, 0, 1280, inner).frame();
  const Parsed outer = parse(frame);
  const Parsed quoted = parse_quoted(frame, outer);
  ASSERT_TRUE(quoted.ok()) << text_of(quoted.error);
  EXPECT_EQ(quoted.src.text(), "2001:db8::1");
  EXPECT_EQ(quoted.dst_port, 53);
  EXPECT_EQ(quoted.proto, IpProto::kUdp);
}

TEST(ParseQuoted, RefusesWhatDoesNotHoldATuple) {
  const Bytes inner = udp4().ip_packet();
  for (const std::size_t size : {0u, 19u, 20u, 27u}) {
    const Bytes frame = error_about(inner, size);
    EXPECT_FALSE(parse_quoted(frame, parse(frame)).ok()) << size;
  }
  const Bytes echo = ip4("203.0.113.9", "192.0.2.1").icmp(8, 0, 0, inner).frame();
  EXPECT_FALSE(parse_quoted(echo, parse(echo)).ok());
  Bytes version = inner;
  version[0] = 0x65;
  const Bytes frame = error_about(version, 100);
  EXPECT_FALSE(parse_quoted(frame, parse(frame)).ok());
  Bytes options = inner;
  options[0] = 0x4f;  // a header longer than the quote
  const Bytes longer = error_about(options, 100);
  EXPECT_FALSE(parse_quoted(longer, parse(longer)).ok());
}

// Whatever the bytes are: no read outside of the frame (the sanitizers watch), and what is ok is inside.
TEST(Parse, SurvivesMangledFrames) {
  const Bytes seeds[] = {
      tcp4().frame(),
      udp6().extension(kHopByHop, Bytes(6)).extension(kDestinationOptions, Bytes(14)).frame(),
      ip6("2001:db8::1", "2001:db8::2").udp(5, 6, Bytes(16)).fragment(0, true).frame(),
      udp4().vlan(3).options(Bytes(8, 1)).frame(),
      error_about(tcp4().ip_packet(), 100),
      ip6("2001:db8::99", "2001:db8::1").icmp(2, 0, 1280, tcp6().ip_packet()).frame(),
  };
  Random random(1);
  for (int round = 0; round < 200'000; ++round) {
    Bytes frame = seeds[random.below(std::size(seeds))];
    for (std::uint32_t i = random.below(4); i > 0; --i) {
      frame[random.below(static_cast<std::uint32_t>(frame.size()))] = static_cast<std::uint8_t>(random.next());
    }
    frame.resize(random.below(3) == 0 ? random.below(static_cast<std::uint32_t>(frame.size()) + 1) : frame.size());
    frame.shrink_to_fit();
    const Parsed packet = parse(frame);
    if (!packet.ok()) continue;
    ASSERT_LE(packet.l3_offset, packet.l4_offset);
    ASSERT_LE(packet.l4_offset, packet.payload_offset);
    ASSERT_LE(packet.payload_offset, packet.end);
    ASSERT_LE(packet.end, frame.size());
    (void)l4_checksum_ok(frame, packet);
    const Parsed quoted = parse_quoted(frame, packet);
    if (quoted.ok()) {
      ASSERT_LE(quoted.l4_offset, quoted.end);
    }
  }
}

// Common packets are judged in a shorter way than others; a bare packet always goes the long way. Both must agree.
TEST(Parse, CommonPacketsAreJudgedAsAllOthers) {
  const Bytes seeds[] = {
      tcp4(kTcpAck).frame(),
      tcp6().frame(),
      udp4().pad(60).frame(),
      udp6().pad(80).frame(),
      tcp4().pad(60).frame(),
      ip4("198.51.100.7", "203.0.113.255").udp(1, 2, Bytes(40)).frame(),
      ip6("fe80::1", "ff02::1").udp(1, 2, Bytes(40)).frame(),
  };
  const std::uint8_t telling[] = {0x00, 0x01, 0x05, 0x06, 0x08, 0x11, 0x12, 0x14, 0x1c, 0x28, 0x3f,
                                  0x40, 0x45, 0x46, 0x50, 0x60, 0x7f, 0x80, 0xe0, 0xf0, 0xff};
  Random random(1);
  std::size_t sound = 0;
  for (int round = 0; round < 500'000; ++round) {
    Bytes frame = seeds[random.below(std::size(seeds))];
    for (std::uint32_t i = random.below(4); i > 0; --i) {
      const std::uint32_t at = 14 + random.below(std::min(60u, static_cast<std::uint32_t>(frame.size()) - 14));
      frame[at] =
          random.below(2) == 0 ? telling[random.below(std::size(telling))] : static_cast<std::uint8_t>(random.next());
    }
    const bool v4 = frame[12] == 0x08;
    if (v4 && random.below(4) != 0) {
      frame[24] = frame[25] = 0;
      const Be16 sum = checksum(std::span(frame).subspan(14, 20));
      std::memcpy(&frame[24], &sum, sizeof(sum));
    }
    if (random.below(8) == 0) frame.resize(random.below(static_cast<std::uint32_t>(frame.size()) + 1));
    frame.shrink_to_fit();
    if (frame.size() < 15 || frame[14] >> 4 != (v4 ? 4 : 6)) continue;
    const Parsed got = parse(frame);
    Parsed want = parse_ip(std::span(frame).subspan(14));
    ASSERT_EQ(got.error, want.error) << round;
    if (!got.ok()) continue;
    ++sound;
    for (std::uint16_t* offset : {&want.l3_offset, &want.l4_offset, &want.payload_offset, &want.end}) {
      *offset = static_cast<std::uint16_t>(*offset + 14);
    }
    ASSERT_EQ(got.src, want.src);
    ASSERT_EQ(got.dst, want.dst);
    ASSERT_EQ(0, std::memcmp(&got.fragment_id, &want.fragment_id,
                             offsetof(Parsed, icmp_code) + 1 - offsetof(Parsed, fragment_id)))
        << round;
  }
  EXPECT_GT(sound, 100'000u);
}

}  // namespace
}  // namespace sluice::net
