// Between IPv4 and IPv6: whole packets against packets that were built in the other family, and the tables of RFC 7915.
#include "sluice/net/translate.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "packets.h"
#include "sluice/net/build.h"

namespace sluice::net {
namespace {

using test::Bytes;
using test::ip4;
using test::ip6;
using test::PacketBuilder;

constexpr const char *kClient4 = "192.0.2.7", *kService4 = "203.0.113.10", *kOwn4 = "198.51.100.2",
                     *kBackend4 = "198.51.100.11";
constexpr const char *kClient6 = "2001:db8:99::7", *kService6 = "2001:db8:5::10", *kOwn6 = "2001:db8:1::2",
                     *kBackend6 = "2001:db8:1::11";

Endpoint endpoint(const char* address, std::uint16_t port) { return {*IpAddress::parse(address), port}; }

PacketBuilder traffic_class6(PacketBuilder packet, std::uint8_t value) {
  return packet.set_ip(0, static_cast<std::uint8_t>(0x60 | value >> 4))
      .set_ip(1, static_cast<std::uint8_t>(value << 4));
}

// An IPv4 packet as translations make it: what is small may be cut, and then has its checksum as identifier.
Bytes translated4(PacketBuilder packet, std::size_t checksum_at) {
  const Bytes plain = packet.ip_packet();
  if (plain.size() > 1260) return packet.set_ip(6, 0x40).ip_packet();
  return packet.set_ip(4, plain[20 + checksum_at]).set_ip(5, plain[20 + checksum_at + 1]).ip_packet();
}
constexpr std::size_t kTcpSum = 16, kUdpSum = 6, kSctpSum = 8;

Bytes translated(const Bytes& frame, const Endpoint& src, const Endpoint& dst) {
  constexpr std::size_t kRoom = 64;
  Bytes buffer(kRoom, 0xee);
  buffer.insert(buffer.end(), frame.begin(), frame.end());
  const std::span<std::uint8_t> in = std::span(buffer).subspan(kRoom);
  const Parsed parsed = parse(in);
  EXPECT_TRUE(parsed.ok());
  EXPECT_TRUE(may_translate(in, parsed));
  const std::uint8_t* begin = translate_flow(in, parsed, src, dst);
  return {begin, static_cast<const std::uint8_t*>(buffer.data() + kRoom + parsed.end)};
}

TEST(TranslateFlow, GivesThePacketOfTheOtherFamily) {
  struct Row {
    const char* name;
    PacketBuilder in;
    Bytes want;
  };
  const Endpoint own6 = endpoint(kOwn6, 30000), backend6 = endpoint(kBackend6, 8080);
  const Endpoint own4 = endpoint(kOwn4, 30000), backend4 = endpoint(kBackend4, 8080);
  const auto tcp = [](PacketBuilder packet, std::uint16_t src, std::uint16_t dst, std::size_t bytes) {
    return packet.tcp(src, dst, kTcpAck | kTcpPsh, 7, 8, Bytes(bytes, 'x'));
  };
  const auto udp = [](PacketBuilder packet, std::uint16_t src, std::uint16_t dst) {
    return packet.udp(src, dst, {1, 2, 3});
  };
  const Row to6[] = {
      {"tcp", tcp(ip4(kClient4, kService4), 40000, 80, 101),
       tcp(ip6(kOwn6, kBackend6).ttl(63), 30000, 8080, 101).ip_packet()},
      {"udp", udp(ip4(kClient4, kService4), 40000, 80), udp(ip6(kOwn6, kBackend6).ttl(63), 30000, 8080).ip_packet()},
      {"sctp", ip4(kClient4, kService4).sctp(40000, 80, 7, test::sctp_chunk(10)),
       ip6(kOwn6, kBackend6).ttl(63).sctp(30000, 8080, 7, test::sctp_chunk(10)).ip_packet()},
      {"udp_without_checksum_gets_one", udp(ip4(kClient4, kService4), 40000, 80).no_checksum(),
       udp(ip6(kOwn6, kBackend6).ttl(63), 30000, 8080).ip_packet()},
      {"padding_stays_out", udp(ip4(kClient4, kService4), 40000, 80).pad(60),
       udp(ip6(kOwn6, kBackend6).ttl(63), 30000, 8080).ip_packet()},
      {"options_go", tcp(ip4(kClient4, kService4).options(Bytes(40, 1)), 40000, 80, 3),
       tcp(ip6(kOwn6, kBackend6).ttl(63), 30000, 8080, 3).ip_packet()},
      {"type_of_service_is_the_traffic_class", tcp(ip4(kClient4, kService4).set_ip(1, 0xb9), 40000, 80, 3),
       traffic_class6(tcp(ip6(kOwn6, kBackend6).ttl(63), 30000, 8080, 3), 0xb9).ip_packet()},
      {"identifier_and_df_have_no_place", tcp(ip4(kClient4, kService4).set_ip(4, 9).set_ip(6, 0x40), 40000, 80, 3),
       tcp(ip6(kOwn6, kBackend6).ttl(63), 30000, 8080, 3).ip_packet()},
  };
  for (const Row& row : to6) EXPECT_EQ(translated(row.in.frame(), own6, backend6), row.want) << row.name;

  const auto tcp4 = [&](std::size_t bytes) { return tcp(ip4(kOwn4, kBackend4).ttl(63), 30000, 8080, bytes); };
  const Row to4[] = {
      {"tcp", tcp(ip6(kClient6, kService6), 40000, 80, 101), translated4(tcp4(101), kTcpSum)},
      {"udp", udp(ip6(kClient6, kService6), 40000, 80),
       translated4(udp(ip4(kOwn4, kBackend4).ttl(63), 30000, 8080), kUdpSum)},
      {"sctp", ip6(kClient6, kService6).sctp(40000, 80, 7, test::sctp_chunk(10)),
       translated4(ip4(kOwn4, kBackend4).ttl(63).sctp(30000, 8080, 7, test::sctp_chunk(10)), kSctpSum)},
      {"extension_headers_go", tcp(ip6(kClient6, kService6).extension(60, Bytes(22, 0)), 40000, 80, 3),
       translated4(tcp4(3), kTcpSum)},
      {"a_routing_header_at_its_end_goes",
       tcp(ip6(kClient6, kService6).extension(43, {4, 0, 0, 0, 0, 0}), 40000, 80, 3), translated4(tcp4(3), kTcpSum)},
      {"traffic_class_is_the_type_of_service", traffic_class6(tcp(ip6(kClient6, kService6), 40000, 80, 3), 0xb9),
       translated4(tcp4(3).set_ip(1, 0xb9), kTcpSum)},
      {"1260_bytes_may_be_cut", tcp(ip6(kClient6, kService6), 40000, 80, 1220), translated4(tcp4(1220), kTcpSum)},
      {"1261_may_not", tcp(ip6(kClient6, kService6), 40000, 80, 1221), translated4(tcp4(1221), kTcpSum)},
  };
  for (const Row& row : to4) EXPECT_EQ(translated(row.in.frame(), own4, backend4), row.want) << row.name;
}

TEST(TranslateFlow, AWrongChecksumStaysWrong) {
  const auto off_by = [](const Bytes& packet) {
    const Bytes frame = [&] {
      Bytes out(14, 0);
      out[12] = packet[0] >> 4 == 4 ? 0x08 : 0x86;
      out[13] = packet[0] >> 4 == 4 ? 0x00 : 0xdd;
      out.insert(out.end(), packet.begin(), packet.end());
      return out;
    }();
    return l4_checksum_ok(frame, parse(frame));
  };
  const Endpoint own6 = endpoint(kOwn6, 30000), backend6 = endpoint(kBackend6, 8080);
  const Endpoint own4 = endpoint(kOwn4, 30000), backend4 = endpoint(kBackend4, 8080);
  EXPECT_TRUE(off_by(translated(ip4(kClient4, kService4).tcp(1, 2).frame(), own6, backend6)));
  EXPECT_FALSE(off_by(translated(ip4(kClient4, kService4).tcp(1, 2).set(50, 0x55).frame(), own6, backend6)));
  EXPECT_TRUE(off_by(translated(ip6(kClient6, kService6).udp(1, 2, {1}).frame(), own4, backend4)));
  EXPECT_FALSE(off_by(translated(ip6(kClient6, kService6).udp(1, 2, {1}).set(60, 0x55).frame(), own4, backend4)));
}

TEST(MayTranslate, RefusesWhatHasNoOtherForm) {
  struct Row {
    const char* name;
    PacketBuilder in;
  };
  const Row rows[] = {
      {"segments_left", ip6(kClient6, kService6).extension(43, {4, 1, 0, 0, 0, 0}).tcp(1, 2)},
      {"segments_left_further_on",
       ip6(kClient6, kService6).extension(60, Bytes(6, 0)).extension(43, {4, 1, 0, 0, 0, 0}).tcp(1, 2)},
      {"udp6_without_checksum", ip6(kClient6, kService6).udp(1, 2, {1}).no_checksum()},
  };
  for (const Row& row : rows) {
    const Bytes frame = row.in.frame();
    const Parsed parsed = parse(frame);
    EXPECT_TRUE(parsed.ok()) << row.name;
    EXPECT_FALSE(may_translate(frame, parsed)) << row.name;
  }
}

TEST(TranslatedMtu, IsWhatTheSenderMaySend) {
  EXPECT_EQ(translated_mtu(1500, Family::kIp4), 1480);
  EXPECT_EQ(translated_mtu(1480, Family::kIp6), 1500);
  EXPECT_EQ(translated_mtu(65535, Family::kIp6), 65535);
  EXPECT_EQ(translated_mtu(10, Family::kIp4), 0);
}

// ---- errors ----

Bytes error_of(const PacketBuilder& error, const IcmpErrorTuple& to, const ErrorMtus& mtus = {1500, 1500}) {
  const Bytes frame = error.frame();
  const Parsed parsed = parse(frame);
  const Parsed quoted = parse_quoted(frame, parsed);
  EXPECT_TRUE(parsed.ok() && quoted.ok());
  Bytes out(kMaxBuiltBytes);
  out.resize(translate_icmp_error(out, frame, parsed, quoted, to, mtus));
  if (!out.empty()) out.erase(out.begin(), out.begin() + 14);
  return out;
}

// The client of IPv6 has sent to the service; the backend knows it as IPv4.
const IcmpErrorTuple kToClient6{.src = endpoint(kService6, 0).address,
                                .dst = endpoint(kClient6, 0).address,
                                .quoted_src = endpoint(kClient6, 40000),
                                .quoted_dst = endpoint(kService6, 80)};
const IcmpErrorTuple kToClient4{.src = endpoint(kService4, 0).address,
                                .dst = endpoint(kClient4, 0).address,
                                .quoted_src = endpoint(kClient4, 40000),
                                .quoted_dst = endpoint(kService4, 80)};

Bytes cut(Bytes packet, std::size_t l4) {
  packet.resize((packet[0] >> 4 == 4 ? (packet[0] & 0xfu) * 4u : 40u) + l4);
  return packet;
}

TEST(TranslateIcmpError, QuotesThePacketThatItsSenderKnows) {
  const auto tcp = [](PacketBuilder packet, std::uint16_t src, std::uint16_t dst) {
    return packet.tcp(src, dst, kTcpAck, 7, 8, Bytes(101, 'x')).ip_packet();
  };
  for (const std::size_t l4 : {8u, 16u, 18u, 20u, 121u}) {
    const Bytes in4 = cut(tcp(ip4(kOwn4, kBackend4).ttl(61).set_ip(1, 0x20), 30000, 8080), l4);
    const Bytes want6 = cut(traffic_class6(ip6(kClient6, kService6).ttl(61), 0x20)
                                .tcp(40000, 80, kTcpAck, 7, 8, Bytes(101, 'x'))
                                .ip_packet(),
                            l4);
    EXPECT_EQ(error_of(ip4(kBackend4, kOwn4).set_ip(1, 0xc0).icmp(3, 1, 0, in4), kToClient6),
              traffic_class6(ip6(kService6, kClient6).ttl(63).icmp(1, 0, 0, want6), 0xc0).ip_packet())
        << l4;
    const Bytes in6 = cut(tcp(ip6(kOwn6, kBackend6).ttl(61), 30000, 8080), l4);
    const Bytes want4 = cut(tcp(ip4(kClient4, kService4).ttl(61), 40000, 80), l4);
    // The error's own identifier is its checksum.
    PacketBuilder error = ip4(kService4, kClient4).ttl(63).icmp(3, 1, 0, want4);
    const Bytes plain = error.ip_packet();
    EXPECT_EQ(error_of(ip6(kBackend6, kOwn6).icmp(1, 3, 0, in6), kToClient4),
              error.set_ip(4, plain[22]).set_ip(5, plain[23]).ip_packet())
        << l4;
  }
  const Bytes udp = ip4(kOwn4, kBackend4).options(Bytes(8, 1)).udp(30000, 8080, {1, 2, 3}).ip_packet();
  const Bytes sctp = ip4(kOwn4, kBackend4).sctp(30000, 8080, 7, test::sctp_chunk(10)).ip_packet();
  EXPECT_EQ(error_of(ip4(kBackend4, kOwn4).icmp(3, 3, 0, sctp), kToClient6),
            ip6(kService6, kClient6)
                .ttl(63)
                .icmp(1, 4, 0, ip6(kClient6, kService6).sctp(40000, 80, 7, test::sctp_chunk(10)).ip_packet())
                .ip_packet());
  EXPECT_EQ(error_of(ip4(kBackend4, kOwn4).icmp(3, 3, 0, udp), kToClient6),
            ip6(kService6, kClient6)
                .ttl(63)
                .icmp(1, 4, 0, ip6(kClient6, kService6).udp(40000, 80, {1, 2, 3}).ip_packet())
                .ip_packet());
}

TEST(TranslateIcmpError, StaysWithinWhatAnErrorMayBe) {
  const Bytes long4 = ip4(kOwn4, kBackend4).tcp(30000, 8080, kTcpAck, 7, 8, Bytes(1400, 'x')).ip_packet();
  EXPECT_EQ(error_of(ip4(kBackend4, kOwn4).icmp(3, 1, 0, long4), kToClient6).size(), 1280u);
  const Bytes long6 = ip6(kOwn6, kBackend6).tcp(30000, 8080, kTcpAck, 7, 8, Bytes(1100, 'x')).ip_packet();
  EXPECT_EQ(error_of(ip6(kBackend6, kOwn6).icmp(1, 4, 0, long6), kToClient4).size(), 576u);
}

// RFC 4884: what lies behind the stated length is no part of the quoted packet.
TEST(TranslateIcmpError, LeavesExtensionsOut) {
  Bytes quoted4 = ip4(kOwn4, kBackend4).tcp(30000, 8080, kTcpAck, 7, 8, Bytes(88, 'x')).ip_packet();
  ASSERT_EQ(quoted4.size(), 128u);
  Bytes extended = quoted4;
  extended.insert(extended.end(), {0x20, 0, 0, 0, 0, 8, 1, 1, 1, 2, 3, 4});
  EXPECT_EQ(error_of(ip4(kBackend4, kOwn4).icmp(11, 0, 32u << 16, extended), kToClient6),
            error_of(ip4(kBackend4, kOwn4).icmp(11, 0, 0, quoted4), kToClient6));
  Bytes quoted6 = ip6(kOwn6, kBackend6).tcp(30000, 8080, kTcpAck, 7, 8, Bytes(68, 'x')).ip_packet();
  ASSERT_EQ(quoted6.size(), 128u);
  extended = quoted6;
  extended.insert(extended.end(), {0x20, 0, 0, 0, 0, 8, 1, 1, 1, 2, 3, 4});
  EXPECT_EQ(error_of(ip6(kBackend6, kOwn6).icmp(3, 0, 16u << 24, extended), kToClient4),
            error_of(ip6(kBackend6, kOwn6).icmp(3, 0, 0, quoted6), kToClient4));
}

struct ErrorRow {
  std::uint8_t type, code;
  std::uint32_t rest;
  int want_type;  // -1: dropped
  std::uint8_t want_code = 0;
  std::uint32_t want_rest = 0;
};

void check_rows(std::span<const ErrorRow> rows, bool to6) {
  const Bytes quoted4 = ip4(kOwn4, kBackend4).tcp(30000, 8080, kTcpAck, 1, 1, Bytes(1460, 'x')).ip_packet();
  const Bytes quoted6 = ip6(kOwn6, kBackend6).tcp(30000, 8080).ip_packet();
  for (const ErrorRow& row : rows) {
    const std::string name = std::to_string(row.type) + "/" + std::to_string(row.code) + " " + std::to_string(row.rest);
    const PacketBuilder error = to6 ? ip4(kBackend4, kOwn4).icmp(row.type, row.code, row.rest, cut(quoted4, 20))
                                    : ip6(kBackend6, kOwn6).icmp(row.type, row.code, row.rest, quoted6);
    const Bytes out = error_of(error, to6 ? kToClient6 : kToClient4, {1500, 1500});
    if (row.want_type < 0) {
      EXPECT_TRUE(out.empty()) << name;
      continue;
    }
    const std::size_t at = to6 ? 40 : 20;
    ASSERT_GT(out.size(), at + 8) << name;
    EXPECT_EQ(int{out[at]}, row.want_type) << name;
    EXPECT_EQ(out[at + 1], row.want_code) << name;
    const std::uint32_t rest = std::uint32_t{out[at + 4]} << 24 | std::uint32_t{out[at + 5]} << 16 |
                               std::uint32_t{out[at + 6]} << 8 | out[at + 7];
    EXPECT_EQ(rest, row.want_rest) << name;
  }
}

TEST(TranslateIcmpError, FollowsTheTableTowardsIp6) {
  const ErrorRow rows[] = {
      {3, 0, 0, 1, 0},
      {3, 1, 0, 1, 0},
      {3, 2, 0, 4, 1, 6},
      {3, 3, 0, 1, 4},
      {3, 4, 1400, 2, 0, 1420},
      {3, 4, 1500, 2, 0, 1500},  // no more than the way to the client takes
      {3, 4, 1000, 2, 0, 1280},  // no IPv6 host sends less
      {3, 4, 0, 2, 0, 1500},     // of a router that gives none: 1492 is next below 1500
      {3, 5, 0, 1, 0},
      {3, 6, 0, 1, 0},
      {3, 7, 0, 1, 0},
      {3, 8, 0, 1, 0},
      {3, 9, 0, 1, 1},
      {3, 10, 0, 1, 1},
      {3, 11, 0, 1, 0},
      {3, 12, 0, 1, 0},
      {3, 13, 0, 1, 1},
      {3, 14, 0, -1},
      {3, 15, 0, 1, 1},
      {3, 16, 0, -1},
      {11, 0, 0, 3, 0},
      {11, 1, 0, 3, 1},
      {12, 0, 0, 4, 0, 0},
      {12, 0, 1u << 24, 4, 0, 1},
      {12, 0, 2u << 24, 4, 0, 4},
      {12, 2, 3u << 24, 4, 0, 4},
      {12, 0, 4u << 24, -1},
      {12, 0, 7u << 24, -1},
      {12, 0, 8u << 24, 4, 0, 7},
      {12, 0, 9u << 24, 4, 0, 6},
      {12, 0, 10u << 24, -1},
      {12, 0, 12u << 24, 4, 0, 8},
      {12, 0, 15u << 24, 4, 0, 8},
      {12, 0, 16u << 24, 4, 0, 24},
      {12, 0, 19u << 24, 4, 0, 24},
      {12, 0, 20u << 24, -1},
      {12, 1, 0, -1},
      {5, 1, 0, -1},
      {4, 0, 0, -1},
  };
  check_rows(rows, true);
}

TEST(TranslateIcmpError, FollowsTheTableTowardsIp4) {
  const ErrorRow rows[] = {
      {1, 0, 0, 3, 1},
      {1, 1, 0, 3, 10},
      {1, 2, 0, 3, 1},
      {1, 3, 0, 3, 1},
      {1, 4, 0, 3, 3},
      {1, 5, 0, -1},
      {1, 6, 0, -1},
      {2, 0, 1400, 3, 4, 1380},
      {2, 0, 9000, 3, 4, 1480},  // no more than the interfaces take
      {3, 0, 0, 11, 0},
      {3, 1, 0, 11, 1},
      {4, 0, 0, 12, 0, 0},
      {4, 0, 1, 12, 0, 1u << 24},
      {4, 0, 2, -1},
      {4, 0, 3, -1},
      {4, 0, 4, 12, 0, 2u << 24},
      {4, 0, 5, 12, 0, 2u << 24},
      {4, 0, 6, 12, 0, 9u << 24},
      {4, 0, 7, 12, 0, 8u << 24},
      {4, 0, 8, 12, 0, 12u << 24},
      {4, 0, 23, 12, 0, 12u << 24},
      {4, 0, 24, 12, 0, 16u << 24},
      {4, 0, 39, 12, 0, 16u << 24},
      {4, 0, 40, -1},
      {4, 1, 6, 3, 2},
      {4, 2, 0, -1},
      {100, 0, 0, -1},
  };
  check_rows(rows, false);
}

TEST(TranslateIcmpError, ARouterWithoutMtuIsTakenToHaveThePlateauBelow) {
  const Bytes quoted = cut(ip4(kOwn4, kBackend4).udp(30000, 8080, Bytes(1463, 0)).ip_packet(), 8);  // 1491 bytes
  const Bytes out = error_of(ip4(kBackend4, kOwn4).icmp(3, 4, 0, quoted), kToClient6, {9000, 9000});
  EXPECT_EQ(out[46] << 8 | out[47], 1280);  // 1006 + 20, and no less than this
}

}  // namespace
}  // namespace sluice::net
