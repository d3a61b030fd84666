// A NAT's changes to ICMP errors: every field and checksum, whichever part of the packet is quoted.
#include "sluice/net/rewrite.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "packets.h"

namespace sluice::net {
namespace {

using test::Bytes;
using test::ip4;
using test::ip6;

// The client 192.0.2.7:40000 speaks to the service 203.0.113.10:80; the backend knows it as 198.51.100.2:30000.
struct Row {
  const char* name;
  test::PacketBuilder sent, original;  // to the backend; as the client sent it
  std::size_t quoted_l4;               // how much of layer 4 is quoted; 0: all
};
constexpr const char *kClient6 = "2001:db8:99::7", *kService6 = "2001:db8:5::10", *kOwn6 = "2001:db8:1::2",
                     *kBackend6 = "2001:db8:1::11";
const Row kRows[] = {
    {"tcp", ip4("198.51.100.2", "198.51.100.11").tcp(30000, 8080, kTcpAck, 7, 8, Bytes(101, 'x')),
     ip4("192.0.2.7", "203.0.113.10").tcp(40000, 80, kTcpAck, 7, 8, Bytes(101, 'x')), 0},
    {"tcp_8_bytes", ip4("198.51.100.2", "198.51.100.11").tcp(30000, 8080),
     ip4("192.0.2.7", "203.0.113.10").tcp(40000, 80), 8},
    {"tcp_up_to_the_checksum", ip4("198.51.100.2", "198.51.100.11").tcp(30000, 8080),
     ip4("192.0.2.7", "203.0.113.10").tcp(40000, 80), 18},
    {"tcp_with_ip_options", ip4("198.51.100.2", "198.51.100.11").options(Bytes(8, 1)).tcp(30000, 8080),
     ip4("192.0.2.7", "203.0.113.10").options(Bytes(8, 1)).tcp(40000, 80), 0},
    {"udp", ip4("198.51.100.2", "198.51.100.11").udp(30000, 8080, {1, 2, 3}),
     ip4("192.0.2.7", "203.0.113.10").udp(40000, 80, {1, 2, 3}), 0},
    {"udp_8_bytes", ip4("198.51.100.2", "198.51.100.11").udp(30000, 8080, {1, 2, 3}),
     ip4("192.0.2.7", "203.0.113.10").udp(40000, 80, {1, 2, 3}), 8},
    {"udp_without_checksum", ip4("198.51.100.2", "198.51.100.11").udp(30000, 8080, {1}).no_checksum(),
     ip4("192.0.2.7", "203.0.113.10").udp(40000, 80, {1}).no_checksum(), 0},
    {"tcp6", ip6(kOwn6, kBackend6).tcp(30000, 8080, kTcpAck, 7, 8, Bytes(101, 'x')),
     ip6(kClient6, kService6).tcp(40000, 80, kTcpAck, 7, 8, Bytes(101, 'x')), 0},
    {"tcp6_8_bytes", ip6(kOwn6, kBackend6).tcp(30000, 8080), ip6(kClient6, kService6).tcp(40000, 80), 8},
    {"sctp", ip4("198.51.100.2", "198.51.100.11").sctp(30000, 8080, 7, test::sctp_chunk(0, 3, Bytes(101, 'x'))),
     ip4("192.0.2.7", "203.0.113.10").sctp(40000, 80, 7, test::sctp_chunk(0, 3, Bytes(101, 'x'))), 0},
    {"sctp_up_to_the_checksum",
     ip4("198.51.100.2", "198.51.100.11").sctp(30000, 8080, 7, test::sctp_chunk(0, 3, Bytes(101, 'x'))),
     ip4("192.0.2.7", "203.0.113.10").sctp(40000, 80, 7, test::sctp_chunk(0, 3, Bytes(101, 'x'))), 12},
    {"sctp_8_bytes", ip4("198.51.100.2", "198.51.100.11").sctp(30000, 8080, 7, test::sctp_chunk(10)),
     ip4("192.0.2.7", "203.0.113.10").sctp(40000, 80, 7, test::sctp_chunk(10)), 8},
    {"sctp6_behind_an_extension",
     ip6(kOwn6, kBackend6).extension(60, Bytes(6, 0)).sctp(30000, 8080, 7, test::sctp_chunk(0, 3, Bytes(101, 'x'))),
     ip6(kClient6, kService6).extension(60, Bytes(6, 0)).sctp(40000, 80, 7, test::sctp_chunk(0, 3, Bytes(101, 'x'))),
     60},
    {"echo", ip4("198.51.100.2", "198.51.100.11").icmp(8, 0, 30000u << 16 | 5, Bytes(56, 'x')),
     ip4("192.0.2.7", "203.0.113.10").icmp(8, 0, 40000u << 16 | 5, Bytes(56, 'x')), 8},
    {"echo6", ip6(kOwn6, kBackend6).icmp(128, 0, 30000u << 16 | 5, Bytes(56, 'x')),
     ip6(kClient6, kService6).icmp(128, 0, 40000u << 16 | 5, Bytes(56, 'x')), 0},
    {"udp6", ip6(kOwn6, kBackend6).udp(30000, 8080, {1}), ip6(kClient6, kService6).udp(40000, 80, {1}), 0},
    {"udp6_behind_an_extension", ip6(kOwn6, kBackend6).extension(60, Bytes(6, 0)).udp(30000, 8080, {1}),
     ip6(kClient6, kService6).extension(60, Bytes(6, 0)).udp(40000, 80, {1}), 0},
};

Bytes quote_of(const test::PacketBuilder& packet, std::size_t l4) {
  Bytes bytes = packet.ip_packet();
  if (l4 != 0) bytes.resize((bytes[0] >> 4 == 4 ? (bytes[0] & 0xfu) * 4u : 40u) + l4);
  return bytes;
}

TEST(RewriteIcmpError, IsTheErrorThatTheOriginalPacketWouldHaveHad) {
  for (const Row& row : kRows) {
    const bool v4 = row.sent.ip_packet()[0] >> 4 == 4;
    const auto error = [&](const char* from, const char* to, std::uint8_t ttl, const test::PacketBuilder& about) {
      const std::uint8_t type = v4 ? 3 : 2;
      return test::PacketBuilder(from, to)
          .ttl(ttl)
          .icmp(type, v4 ? 4 : 0, 1400, quote_of(about, row.quoted_l4))
          .frame();
    };
    Bytes frame = error(v4 ? "198.51.100.77" : "2001:db8:1::77", v4 ? "198.51.100.2" : kOwn6, 60, row.sent);
    const Parsed outer = parse(frame);
    ASSERT_TRUE(outer.ok()) << row.name;
    const Parsed quoted = parse_quoted(frame, outer);
    ASSERT_TRUE(quoted.ok()) << row.name;
    const IpAddress client = *IpAddress::parse(v4 ? "192.0.2.7" : kClient6);
    const IpAddress service = *IpAddress::parse(v4 ? "203.0.113.10" : kService6);
    rewrite_icmp_error(frame, outer, quoted,
                       {.src = service, .dst = client, .quoted_src = {client, 40000}, .quoted_dst = {service, 80}});
    EXPECT_EQ(frame, error(v4 ? "203.0.113.10" : kService6, v4 ? "192.0.2.7" : kClient6, 59, row.original)) << row.name;
  }
}

// A router that took one off the TTL and left the sum alone: what was wrong by one stays so, and the error is whole.
TEST(RewriteIcmpError, AWrongQuotedChecksumStaysWrong) {
  const auto error = [](const char* from, const char* to, std::uint8_t ttl, test::PacketBuilder about) {
    Bytes quoted = about.ip_packet();
    quoted[8] = static_cast<std::uint8_t>(quoted[8] - 1);
    return test::PacketBuilder(from, to).ttl(ttl).icmp(11, 0, 0, quoted).frame();
  };
  Bytes frame =
      error("198.51.100.77", "198.51.100.2", 64, ip4("198.51.100.2", "198.51.100.11").udp(30000, 8080, {1, 2}));
  const Parsed outer = parse(frame);
  const IpAddress client = *IpAddress::parse("192.0.2.7"), service = *IpAddress::parse("203.0.113.10");
  rewrite_icmp_error(frame, outer, parse_quoted(frame, outer),
                     {.src = service, .dst = client, .quoted_src = {client, 40000}, .quoted_dst = {service, 53}});
  EXPECT_EQ(frame, error("203.0.113.10", "192.0.2.7", 63, ip4("192.0.2.7", "203.0.113.10").udp(40000, 53, {1, 2})));
  EXPECT_TRUE(l4_checksum_ok(frame, parse(frame)));
}

TEST(RewriteFragmentId, GivesAnotherOfEitherFamily) {
  const auto fragment = [](bool v4, std::uint32_t id) {
    test::PacketBuilder packet = v4 ? ip4("192.0.2.1", "198.51.100.7") : ip6("2001:db8::1", "2001:db8::2");
    if (!v4) packet.extension(60, Bytes(6));
    return packet.udp(1, 2, Bytes(16)).fragment(64, true, id).frame();
  };
  for (const bool v4 : {true, false}) {
    Bytes frame = fragment(v4, 7);
    Parsed parsed = parse(frame);
    ASSERT_EQ(parsed.fragment, FragmentKind::kLater);
    parsed.fragment_id = 0x12345678;
    rewrite_fragment_id(frame, parsed);
    EXPECT_EQ(frame, fragment(v4, v4 ? 0x5678 : 0x12345678));
  }
}

}  // namespace
}  // namespace sluice::net
