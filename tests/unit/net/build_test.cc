// Expected frames were made with scapy 2.5.
#include "sluice/net/build.h"

#include <array>
#include <string>

#include <gtest/gtest.h>

#include "packets.h"
#include "sluice/net/checksum.h"

namespace sluice::net {
namespace {

using test::Bytes;
using test::ip4;
using test::ip6;

constexpr MacAddress kOurs{{2, 0, 0, 0, 0, 1}};
constexpr MacAddress kTheirs{{2, 0, 0, 0, 0, 2}};
IpAddress ip(const char* text) { return *IpAddress::parse(text); }
LinkSource ours(const char* address) { return {kOurs, ip(address)}; }

// Calls build(out) with just enough room, and with one byte less, where nothing may be written.
template <typename Build>
std::string built(Build&& build) {
  std::array<std::uint8_t, kMaxBuiltBytes> room{};
  const std::size_t size = build(std::span(room));
  if (size == 0) return "";
  EXPECT_LE(size, kMaxBuiltBytes);
  Bytes exact(size);
  EXPECT_EQ(build(std::span(exact)), size);
  EXPECT_EQ(test::to_hex(exact.data(), size), test::to_hex(room.data(), size));
  Bytes tight(size - 1, 0xee);
  EXPECT_EQ(build(std::span(tight)), 0u);
  EXPECT_EQ(tight, Bytes(size - 1, 0xee));
  return test::to_hex(room.data(), size);
}

TEST(BuildArp, Request) {
  EXPECT_EQ(built([](auto out) { return build_arp_request(out, ours("192.0.2.1"), ip("192.0.2.2")); }),
            "ffffffffffff02000000000108060001080006040001020000000001c0000201000000000000c0000202");
}
TEST(BuildArp, UnicastRequest) {
  EXPECT_EQ(built([](auto out) { return build_arp_request(out, ours("192.0.2.1"), ip("192.0.2.2"), &kTheirs); }),
            "02000000000202000000000108060001080006040001020000000001c0000201000000000000c0000202");
}
TEST(BuildArp, Reply) {
  const ArpMessage request{ArpOperation::kRequest, kTheirs, ip("192.0.2.2"), ip("192.0.2.1")};
  EXPECT_EQ(built([&](auto out) { return build_arp_reply(out, ours("192.0.2.1"), request); }),
            "02000000000202000000000108060001080006040002020000000001c0000201020000000002c0000202");
}
TEST(BuildArp, Gratuitous) {
  EXPECT_EQ(built([](auto out) { return build_gratuitous_arp(out, ours("192.0.2.1")); }),
            "ffffffffffff02000000000108060001080006040001020000000001c0000201000000000000c0000201");
}
TEST(BuildArp, NotForIPv6) {
  EXPECT_EQ(built([](auto out) { return build_gratuitous_arp(out, ours("2001:db8::1")); }), "");
  EXPECT_EQ(built([](auto out) { return build_arp_request(out, ours("192.0.2.1"), ip("2001:db8::2")); }), "");
}

TEST(BuildNeighbor, Solicitation) {
  EXPECT_EQ(
      built([](auto out) { return build_neighbor_solicitation(out, ours("2001:db8::1"), ip("2001:db8::1234:5678")); }),
      "3333ff34567802000000000186dd6000000000203aff20010db8000000000000000000000001ff020000000000000000"
      "0001ff34567887005cd20000000020010db80000000000000000123456780101020000000001");
}
TEST(BuildNeighbor, UnicastSolicitation) {
  EXPECT_EQ(built([](auto out) {
              return build_neighbor_solicitation(out, ours("2001:db8::1"), ip("2001:db8::1234:5678"), &kTheirs);
            }),
            "02000000000202000000000186dd6000000000203aff20010db800000000000000000000000120010db8000000000000"
            "00001234567887001b1e0000000020010db80000000000000000123456780101020000000001");
}
TEST(BuildNeighbor, DuplicateAddressDetectionHasNoOption) {
  EXPECT_EQ(built([](auto out) { return build_neighbor_solicitation(out, ours("::"), ip("2001:db8::1234:5678")); }),
            "3333ff34567802000000000186dd6000000000183aff00000000000000000000000000000000ff020000000000000000"
            "0001ff34567887008d960000000020010db8000000000000000012345678");
}
TEST(BuildNeighbor, Advertisement) {
  NeighborDiscovery solicitation;
  solicitation.solicitation = true;
  solicitation.src = ip("2001:db8::2");
  solicitation.target = ip("2001:db8::1");
  EXPECT_EQ(
      built([&](auto out) { return build_neighbor_advertisement(out, ours("2001:db8::1"), solicitation, kTheirs); }),
      "02000000000202000000000186dd6000000000203aff20010db800000000000000000000000120010db8000000000000"
      "00000000000288008a736000000020010db80000000000000000000000010201020000000001");
}
constexpr const char* kUnsolicited =
    "33330000000102000000000186dd6000000000203aff20010db8000000000000000000000001ff020000000000000000"
    "0000000000018800f92a2000000020010db80000000000000000000000010201020000000001";
TEST(BuildNeighbor, UnsolicitedAdvertisement) {
  EXPECT_EQ(built([](auto out) { return build_unsolicited_advertisement(out, ours("2001:db8::1")); }), kUnsolicited);
}
TEST(BuildNeighbor, DuplicateAddressDetectionIsAnsweredToAll) {
  NeighborDiscovery solicitation;
  solicitation.solicitation = true;
  solicitation.target = ip("2001:db8::1");
  EXPECT_EQ(
      built([&](auto out) { return build_neighbor_advertisement(out, ours("2001:db8::1"), solicitation, kTheirs); }),
      kUnsolicited);
}

// ---- answers ----

auto udp4() { return ip4("192.0.2.1", "198.51.100.7").udp(40000, 53, {'a', 'b', 'c'}); }
auto udp6() { return ip6("2001:db8::1", "2001:db8::2").udp(40000, 53, {'a', 'b', 'c'}); }
auto echo4() { return ip4("192.0.2.1", "198.51.100.7").icmp(8, 0, 0x12340001, {'a', 'b', 'c'}); }
auto echo6() { return ip6("2001:db8::1", "2001:db8::2").icmp(128, 0, 0x12340001, {'a', 'b', 'c'}); }

std::string echo_reply(Bytes frame) {
  const Bytes before = frame;
  if (!make_echo_reply(frame, parse(frame))) {
    EXPECT_EQ(frame, before);
    return "";
  }
  return test::to_hex(frame.data(), frame.size());
}

TEST(MakeEchoReply, IPv4) {
  EXPECT_EQ(echo_reply(echo4().ttl(3).frame()),
            "02000000000102000000000208004500001f0000000040018ea2c6336407c00002010000296812340001616263");
}
TEST(MakeEchoReply, IPv6) {
  EXPECT_EQ(echo_reply(echo6().ttl(3).frame()),
            "02000000000102000000000286dd60000000000b3a4020010db800000000000000000000000220010db8000000000000"
            "00000000000181004cad12340001616263");
}
TEST(MakeEchoReply, KeepsOptionsAndTag) {
  Bytes frame = echo4().vlan(7).options({1, 1, 1, 1}).frame();
  ASSERT_TRUE(make_echo_reply(frame, parse(frame)));
  const Parsed reply = parse(frame);
  EXPECT_TRUE(reply.ok());
  EXPECT_EQ(reply.vlan, 7);
  EXPECT_EQ(reply.icmp_type, 0);
  EXPECT_TRUE(l4_checksum_ok(frame, reply));
}
// The reply to a request in fragments is its fragments turned around.
TEST(MakeEchoReply, OfFragments) {
  for (const bool v4 : {true, false}) {
    const auto packet = [&](std::uint8_t type, bool back) {
      const char* here = v4 ? "192.0.2.1" : "2001:db8::1";
      const char* there = v4 ? "198.51.100.7" : "2001:db8::2";
      const net::MacAddress from = back ? kTheirs : kOurs, to = back ? kOurs : kTheirs;
      return test::PacketBuilder(back ? there : here, back ? here : there)
          .link(from, to)
          .icmp(type, 0, 7, Bytes(24, 0x5a));
    };
    const std::uint8_t request = v4 ? 8 : 128, reply = v4 ? 0 : 129;
    Bytes first = packet(request, false).fragment(0, true, 9).ttl(3).frame();
    ASSERT_TRUE(make_echo_reply(first, parse(first)));
    EXPECT_EQ(first, packet(reply, true).fragment(0, true, 9).frame());
    Bytes later = packet(request, false).fragment(32, false, 9).ttl(3).frame();
    ASSERT_TRUE(make_later_echo_reply(later, parse(later)));
    const Parsed turned = parse(later);
    EXPECT_TRUE(turned.ok());
    EXPECT_EQ(turned.src, parse(first).src);
    EXPECT_EQ(turned.dst, parse(first).dst);
    EXPECT_EQ(turned.ttl, 64);
    EXPECT_FALSE(make_later_echo_reply(first, parse(first)));
  }
}

TEST(MakeEchoReply, OnlyToARequestToOneHost) {
  EXPECT_EQ(echo_reply(ip4("192.0.2.1", "198.51.100.7").icmp(0, 0).frame()), "");
  EXPECT_EQ(echo_reply(ip4("192.0.2.1", "198.51.100.7").icmp(8, 1).frame()), "");
  EXPECT_EQ(echo_reply(ip4("192.0.2.1", "224.0.0.1").icmp(8, 0).frame()), "");
  EXPECT_EQ(echo_reply(ip4("192.0.2.1", "255.255.255.255").icmp(8, 0).frame()), "");
  EXPECT_EQ(echo_reply(echo4().link(kOurs, kBroadcastMac).frame()), "");
  EXPECT_EQ(echo_reply(ip4("192.0.2.1", "198.51.100.7").icmp(8, 0, 0, Bytes(16)).fragment(8, true).frame()), "");
  EXPECT_EQ(echo_reply(ip6("2001:db8::1", "ff02::1").icmp(128, 0).frame()), "");
  EXPECT_EQ(echo_reply(udp4().frame()), "");
  EXPECT_EQ(echo_reply(Bytes(20)), "");
}

std::string icmp_error(const Bytes& frame, IcmpError error, const char* src, std::uint32_t mtu = 0) {
  const Parsed packet = parse(frame);
  return built([&](auto out) { return build_icmp_error(out, frame, packet, error, ip(src), mtu); });
}

TEST(BuildIcmpError, PortUnreachable) {
  EXPECT_EQ(icmp_error(udp4().pad(60).frame(), IcmpError::kPortUnreachable, "198.51.100.7"),
            "020000000001020000000002080045c0003b0000400040014dc6c6336407c00002010303e955000000004500001f0000"
            "000040118e92c0000201c63364079c400035000bb2c3616263");
}
TEST(BuildIcmpError, FragmentationNeededTellsTheMtu) {
  EXPECT_EQ(icmp_error(udp4().frame(), IcmpError::kPacketTooBig, "203.0.113.1", 1400),
            "020000000001020000000002080045c0003b0000400040013bffcb007101c00002010304e3dc000005784500001f0000"
            "000040118e92c0000201c63364079c400035000bb2c3616263");
}
TEST(BuildIcmpError, TimeExceededOverIPv6) {
  EXPECT_EQ(icmp_error(udp6().frame(), IcmpError::kTimeExceeded, "2001:db8::99"),
            "02000000000102000000000286dd60000000003b3a4020010db800000000000000000000009920010db8000000000000"
            "00000000000103002f4f0000000060000000000b114020010db800000000000000000000000120010db8000000000000"
            "0000000000029c400035000b438b616263");
}
TEST(BuildIcmpError, PacketTooBigOverIPv6) {
  EXPECT_EQ(icmp_error(udp6().frame(), IcmpError::kPacketTooBig, "2001:db8::99", 1400),
            "02000000000102000000000286dd60000000003b3a4020010db800000000000000000000009920010db8000000000000"
            "000000000001"
            "02002ad70000057860000000000b114020010db800000000000000000000000120010db800000000000000000000000"
            "29c400035000b438b616263");
}

struct CodeCase {
  IcmpError error;
  std::uint8_t type4, code4, type6, code6;
};
const CodeCase kCodeCases[] = {
    {IcmpError::kHostUnreachable, 3, 1, 1, 3},
    {IcmpError::kPortUnreachable, 3, 3, 1, 4},
    {IcmpError::kTimeExceeded, 11, 0, 3, 0},
    {IcmpError::kPacketTooBig, 3, 4, 2, 0},
};
TEST(BuildIcmpError, TypesAndCodes) {
  for (const CodeCase& row : kCodeCases) {
    for (const bool four : {true, false}) {
      const Bytes frame = four ? udp4().frame() : udp6().frame();
      Bytes out(kMaxBuiltBytes);
      out.resize(build_icmp_error(out, frame, parse(frame), row.error, ip(four ? "203.0.113.1" : "2001:db8::99")));
      const Parsed answer = parse(out);
      ASSERT_TRUE(answer.ok());
      EXPECT_EQ(answer.icmp_type, four ? row.type4 : row.type6);
      EXPECT_EQ(answer.icmp_code, four ? row.code4 : row.code6);
      EXPECT_TRUE(l4_checksum_ok(out, answer));
      EXPECT_EQ(parse_quoted(out, answer).dst_port, 53);
    }
  }
}

TEST(BuildIcmpError, QuotesUpToTheBound) {
  for (const bool four : {true, false}) {
    const Bytes payload(1400, 'x');
    const Bytes frame = four ? ip4("192.0.2.1", "198.51.100.7").udp(1, 2, payload).frame()
                             : ip6("2001:db8::1", "2001:db8::2").udp(1, 2, payload).frame();
    Bytes out(kMaxBuiltBytes);
    out.resize(build_icmp_error(out, frame, parse(frame), IcmpError::kHostUnreachable,
                                ip(four ? "203.0.113.1" : "2001:db8::99")));
    EXPECT_EQ(out.size(), 14 + (four ? kMaxIcmp4ErrorBytes : kMaxIcmp6ErrorBytes));
    const Parsed answer = parse(out);
    EXPECT_TRUE(answer.ok());
    EXPECT_TRUE(l4_checksum_ok(out, answer));
  }
}

struct SilenceCase {
  const char* name;
  Bytes frame;
};
const SilenceCase kSilenceCases[] = {
    {"about_an_icmp_error", ip4("192.0.2.1", "198.51.100.7").icmp(3, 1, 0, Bytes(28)).frame()},
    {"about_a_redirect", ip4("192.0.2.1", "198.51.100.7").icmp(5, 1, 0, Bytes(28)).frame()},
    {"about_an_icmpv6_error", ip6("2001:db8::1", "2001:db8::2").icmp(1, 0, 0, Bytes(48)).frame()},
    {"about_an_icmpv6_redirect", ip6("2001:db8::1", "2001:db8::2").icmp(137, 0, 0, Bytes(32)).frame()},
    {"about_a_later_fragment", ip4("192.0.2.1", "198.51.100.7").udp(1, 2, Bytes(16)).fragment(800, false).frame()},
    {"to_a_group", ip4("192.0.2.1", "224.0.0.5").udp(1, 2).frame()},
    {"to_broadcast", ip4("192.0.2.1", "255.255.255.255").udp(1, 2).frame()},
    {"to_link_broadcast", udp4().link(kOurs, kBroadcastMac).frame()},
    {"to_a_link_group", udp4().link(kOurs, {{1, 0, 0x5e, 0, 0, 1}}).frame()},
    {"to_an_ip6_group", ip6("2001:db8::1", "ff02::1").udp(1, 2).frame()},
    {"from_unspecified", ip6("::", "2001:db8::2").icmp(128, 0).frame()},
    {"malformed", udp4().set_ip(0, 0x44).frame()},
    {"arp", Bytes(60)},
};
TEST(BuildIcmpError, IsSilentWhereItMustBe) {
  for (const SilenceCase& row : kSilenceCases) {
    const Parsed packet = parse(row.frame);
    EXPECT_FALSE(may_answer_with_icmp_error(row.frame, packet)) << row.name;
    Bytes out(kMaxBuiltBytes);
    const char* src = packet.family == Family::kIp6 ? "2001:db8::99" : "203.0.113.1";
    EXPECT_EQ(build_icmp_error(out, row.frame, packet, IcmpError::kHostUnreachable, ip(src)), 0u) << row.name;
  }
  EXPECT_EQ(icmp_error(udp4().frame(), IcmpError::kTimeExceeded, "2001:db8::99"), "");  // from the other family
}

std::string reset(const Bytes& frame) {
  const Parsed packet = parse(frame);
  return built([&](auto out) { return build_tcp_reset(out, frame, packet); });
}

TEST(BuildTcpReset, OfASynAcknowledgesIt) {
  EXPECT_EQ(reset(ip4("192.0.2.1", "198.51.100.7").tcp(40000, 443, kTcpSyn, 1000).pad(60).frame()),
            "0200000000010200000000020800450000280000400040064e94c6336407c000020101bb9c4000000000000003e95014"
            "000021b00000");
}
TEST(BuildTcpReset, OfAnAckTakesItsNumberAndKeepsTheTag) {
  EXPECT_EQ(reset(ip4("192.0.2.1", "198.51.100.7").vlan(42).tcp(40000, 443, kTcpAck, 1000, 7777, {'x'}).frame()),
            "0200000000010200000000028100002a0800450000280000400040064e94c6336407c000020101bb9c4000001e610000"
            "00005004000007480000");
}
TEST(BuildTcpReset, CountsPayloadAndFin) {
  // A segment of 3 bytes with FIN and without ACK from 1000 ends at 1004.
  EXPECT_EQ(reset(ip6("2001:db8::1", "2001:db8::2").tcp(40000, 443, kTcpFin, 1000, 0, {'a', 'b', 'c'}).frame()),
            "02000000000102000000000286dd600000000014064020010db800000000000000000000000220010db8000000000000"
            "00000000000101bb9c4000000000000003ec50140000b2740000");
}
TEST(BuildTcpReset, NeverAnswersAReset) {
  EXPECT_EQ(reset(ip4("192.0.2.1", "198.51.100.7").tcp(40000, 443, kTcpRst).frame()), "");
  EXPECT_EQ(reset(ip4("192.0.2.1", "198.51.100.7").tcp(40000, 443, kTcpRst | kTcpAck).frame()), "");
  EXPECT_EQ(reset(ip4("192.0.2.1", "224.0.0.1").tcp(40000, 443).frame()), "");
  EXPECT_EQ(reset(udp4().frame()), "");
}

}  // namespace
}  // namespace sluice::net
