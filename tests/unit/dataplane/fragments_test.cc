// Packets in fragments, through the whole path: forwarded by their flow, answered, put together for a proxy; what waits,
// how long, and what is refused.
#include <algorithm>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include "lab.h"
#include "sluice/net/parse.h"

namespace sluice::dataplane {
namespace {

constexpr std::uint16_t kSize = 1480;  // of all fragments but the last

Bytes numbered(std::size_t size) {
  Bytes bytes(size);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  return bytes;
}

// The fragments of an IPv4 packet as its sender makes them; `frame` is the whole one.
std::vector<Bytes> cut(const Bytes& frame, std::uint16_t id, std::size_t size = kSize) {
  std::vector<Bytes> out;
  const Bytes payload(frame.begin() + 34, frame.end());
  for (std::size_t at = 0; at < payload.size(); at += size) {
    Bytes one(frame.begin(), frame.begin() + 34);
    const std::size_t len = std::min(size, payload.size() - at);
    one.insert(one.end(), payload.begin() + static_cast<std::ptrdiff_t>(at),
               payload.begin() + static_cast<std::ptrdiff_t>(at + len));
    const auto put16 = [&one](std::size_t place, std::size_t value) {
      one[place] = static_cast<std::uint8_t>(value >> 8);
      one[place + 1] = static_cast<std::uint8_t>(value);
    };
    put16(16, 20 + len);
    put16(18, id);
    put16(20, at / 8 | (at + len < payload.size() ? 0x2000u : 0u));
    put16(24, 0);
    put16(24, test::naive_checksum(Bytes(one.begin() + 14, one.begin() + 34)));
    out.push_back(std::move(one));
  }
  return out;
}

// The whole frame again; all fragments must fit together.
Bytes joined(std::vector<Bytes> fragments) {
  const auto offset = [](const Bytes& f) { return ((f[20] & 0x1f) << 8 | f[21]) * 8; };
  std::ranges::sort(fragments, {}, offset);
  Bytes payload;
  for (const Bytes& one : fragments) {
    EXPECT_EQ(static_cast<std::size_t>(offset(one)), payload.size());
    payload.insert(payload.end(), one.begin() + 34, one.end());
  }
  Bytes out(fragments.at(0).begin(), fragments.at(0).begin() + 34);
  out[16] = static_cast<std::uint8_t>((20 + payload.size()) >> 8);
  out[17] = static_cast<std::uint8_t>(20 + payload.size());
  out[20] = out[21] = out[24] = out[25] = 0;
  const std::uint16_t sum = test::naive_checksum(Bytes(out.begin() + 14, out.end()));
  out[24] = static_cast<std::uint8_t>(sum >> 8);
  out[25] = static_cast<std::uint8_t>(sum);
  out.insert(out.end(), payload.begin(), payload.end());
  return out;
}

Bytes query(std::size_t bytes = 4000, std::uint16_t port = 5353) {
  return from_client(ip4(kClient, kService).udp(port, 53, numbered(bytes)));
}
bool is_sound(const Bytes& frame) {
  const net::Parsed parsed = net::parse(frame);
  return parsed.ok() && net::l4_checksum_ok(frame, parsed);
}

class FragmentPaths : public ::testing::TestWithParam<const char*> {};

TEST_P(FragmentPaths, ADatagramGoesAndComesBack) {
  Lab lab(simple_config(GetParam()));
  for (std::uint16_t id = 1; id <= 32; ++id) {
    for (const Bytes& one : cut(query(4000, id), id)) lab.put(one);
    lab.run();
    const std::vector<Bytes> out = lab.sent();
    ASSERT_EQ(out.size(), 3u);
    const Bytes whole = joined(out);
    EXPECT_TRUE(is_sound(whole));
    const std::uint16_t nat_port = src_port_of(whole);
    const net::Parsed parsed = net::parse(whole);
    EXPECT_EQ(parsed.dst, *net::IpAddress::parse(kBackend));
    EXPECT_EQ(parsed.dst_port, 8080);
    EXPECT_EQ(parsed.ttl, 63);

    for (const Bytes& one : cut(from_backend(ip4(kBackend, kOwn).udp(8080, nat_port, numbered(3000))), id))
      lab.put(one);
    lab.run();
    const std::vector<Bytes> back = lab.sent();
    ASSERT_EQ(back.size(), 3u);
    EXPECT_EQ(Bytes(joined(back)).size(), 14u + 20 + 8 + 3000);
    EXPECT_TRUE(is_sound(joined(back)));
    EXPECT_EQ(net::parse(joined(back)).dst_port, id);
    EXPECT_EQ(net::parse(joined(back)).src_port, 53);
  }
  EXPECT_EQ(lab.drops(), 0u);
  std::uint64_t flows = 0, fragments = 0;
  for (std::size_t i = 0; i < lab.assembly().workers(); ++i) {
    flows += lab.counters(i).flows_created.read();
    fragments += lab.counters(i).fragments.read();
  }
  EXPECT_EQ(flows, 32u);
  EXPECT_EQ(fragments, 32u * 6);
}

// RFC 6864 section 5.2: behind one source address no two packets have one identifier, and all fragments of one have it.
TEST_P(FragmentPaths, EachPacketHasAnIdentifierOfItsOwn) {
  Lab lab(simple_config(GetParam()));
  std::set<std::uint32_t> ids;
  for (std::uint16_t port = 1; port <= 32; ++port) {
    for (const Bytes& one : cut(query(4000, port), 77)) lab.put(one);
    lab.run();
    const std::vector<Bytes> out = lab.sent();
    ASSERT_EQ(out.size(), 3u);
    std::set<std::uint32_t> of_packet;
    for (const Bytes& one : out) of_packet.insert(net::parse(one).fragment_id);
    EXPECT_EQ(of_packet.size(), 1u);
    ids.merge(of_packet);
  }
  EXPECT_EQ(ids.size(), 32u);
}

TEST_P(FragmentPaths, InAnyOrder) {
  const std::vector<Bytes> fragments = cut(query(), 1);
  std::vector<std::size_t> order{0, 1, 2};
  do {
    Lab lab(simple_config(GetParam()));
    for (const std::size_t i : order) {
      lab.put(fragments[i]);
      lab.run();
    }
    const std::vector<Bytes> out = lab.sent();
    ASSERT_EQ(out.size(), 3u);
    EXPECT_TRUE(is_sound(joined(out)));
    EXPECT_EQ(lab.drops(), 0u);
  } while (std::ranges::next_permutation(order).found);
}

INSTANTIATE_TEST_SUITE_P(Workers, FragmentPaths,
                         ::testing::Values("workers: [0], flows: 1024", "workers: [0, 0, 0], flows: 3072",
                                           "workers: [0, 1], flows: 2048"),
                         [](const auto& row) { return "case" + std::to_string(row.index); });

TEST(Fragments, OfIp6AreForwarded) {
  std::string yaml = simple_config();
  const auto replace = [&yaml](const std::string& from, const std::string& to) {
    yaml.replace(yaml.find(from), from.size(), to);
  };
  replace("address: 198.51.100.11, port", "address: \"2001:db8:1::11\", port");
  replace("\"203.0.113.10:80/tcp\", \"203.0.113.10:53/udp\"", "\"[2001:db8:5::10]:53/udp\"");
  replace("address: 198.51.100.11, mac", "address: \"2001:db8:1::11\", mac");
  Lab lab(yaml);
  const auto packet = [](std::uint8_t ttl) {
    return ip6("2001:db8:99::7", "2001:db8:5::10").link(kGatewayMac, kOurMac).udp(5353, 53, numbered(2000)).ttl(ttl);
  };
  // The builder makes one header; where a fragment ends is up to its payload.
  const Bytes l4 = [&] {
    const Bytes whole = packet(64).ip_packet();
    return Bytes(whole.begin() + 40, whole.end());
  }();
  const auto fragment = [&](std::size_t from, std::size_t to, bool more) {
    return ip6("2001:db8:99::7", "2001:db8:5::10")
        .link(kGatewayMac, kOurMac)
        .payload(net::IpProto::kUdp,
                 Bytes(l4.begin() + static_cast<std::ptrdiff_t>(from), l4.begin() + static_cast<std::ptrdiff_t>(to)))
        .fragment(static_cast<std::uint16_t>(from), more, 0x12345678)
        .frame();
  };
  lab.put(fragment(1232, l4.size(), false));
  lab.put(fragment(0, 1232, true));
  lab.run();
  std::vector<Bytes> out = lab.sent();
  ASSERT_EQ(out.size(), 2u);
  if (net::parse(out[0]).fragment == net::FragmentKind::kLater) std::swap(out[0], out[1]);
  Bytes whole(out[0].begin(), out[0].begin() + 54);
  whole[18] = static_cast<std::uint8_t>(l4.size() >> 8);
  whole[19] = static_cast<std::uint8_t>(l4.size());
  whole[20] = 17;
  for (const Bytes& one : out) whole.insert(whole.end(), one.begin() + 62, one.end());
  EXPECT_TRUE(is_sound(whole));
  EXPECT_EQ(net::parse(whole).dst, *net::IpAddress::parse("2001:db8:1::11"));
  EXPECT_EQ(net::parse(whole).ttl, 63);
  EXPECT_EQ(lab.drops(), 0u);
  EXPECT_EQ(lab.counters().fragments_waited.read(), 1u);
}

TEST(Fragments, WithoutAFirstOneWaitAndAreDropped) {
  Lab lab(simple_config());
  const std::vector<Bytes> fragments = cut(query(), 1);
  lab.put(fragments[1]);
  lab.put(fragments[2]);
  lab.run();
  EXPECT_EQ(lab.drops(), 0u);
  ASSERT_TRUE(lab.assembly().next_deadline().has_value());
  EXPECT_EQ(*lab.assembly().next_deadline(), lab.now() + std::chrono::seconds(2));
  lab.pass(std::chrono::milliseconds(1999));
  lab.run();
  EXPECT_EQ(lab.drops(), 0u);
  lab.pass(std::chrono::milliseconds(1));
  lab.run();
  EXPECT_EQ(lab.drops(Drop::kFragmentTimeout), 2u);
  EXPECT_FALSE(lab.assembly().next_deadline().has_value());
  lab.put(fragments[0]);  // a new packet by now
  lab.run();
  EXPECT_EQ(lab.sent().size(), 1u);
}

struct RefusalRow {
  const char* name;
  std::vector<std::pair<std::uint16_t, std::uint16_t>> pieces;  // from, to, in units of 8 bytes
  std::uint16_t last;                                           // the piece that says it is the last
  std::size_t passed;
  std::uint64_t overlaps;
};
const RefusalRow kRefusals[] = {
    {"a_copy_goes_alone", {{0, 10}, {10, 20}, {10, 20}, {20, 30}}, 3, 3, 1},
    {"a_copy_of_the_first", {{0, 10}, {0, 10}, {10, 20}}, 2, 2, 1},
    {"inside_of_another", {{0, 10}, {10, 20}, {12, 14}, {20, 30}}, 3, 3, 1},
    {"over_the_end_of_another", {{0, 10}, {10, 20}, {19, 30}, {30, 40}}, 3, 2, 2},
    {"over_the_beginning_of_another", {{0, 10}, {15, 20}, {10, 16}, {20, 30}}, 3, 2, 2},
    {"around_another", {{0, 10}, {20, 21}, {15, 30}}, 2, 2, 1},
    {"a_second_first_one", {{0, 10}, {0, 20}, {20, 30}}, 2, 1, 2},
    {"behind_a_complete_packet", {{0, 10}, {10, 20}, {20, 30}}, 1, 2, 0},
    {"beyond_the_last_that_is_open", {{0, 10}, {20, 30}, {30, 40}, {10, 20}}, 1, 2, 2},
    {"a_last_one_before_the_end", {{0, 10}, {20, 30}, {10, 15}}, 2, 2, 1},
};
// RFC 5722 section 4: what overlaps is no accident, and nothing of that packet goes on.
TEST(Fragments, ThatOverlapAreRefused) {
  for (const RefusalRow& row : kRefusals) {
    Lab lab(simple_config());
    const Bytes whole = query(1000);
    std::size_t number = 0;
    for (const auto& [from, to] : row.pieces) {
      const bool more = number++ != row.last;
      const Bytes payload(whole.begin() + 34 + from * 8, whole.begin() + 34 + to * 8);
      lab.put(from_client(ip4(kClient, kService)
                              .payload(net::IpProto::kUdp, payload)
                              .fragment(static_cast<std::uint16_t>(from * 8), more, 7)));
      lab.run();
    }
    EXPECT_EQ(lab.sent().size(), row.passed) << row.name;
    EXPECT_EQ(lab.drops(Drop::kFragmentOverlap), row.overlaps) << row.name;
  }
}

TEST(Fragments, ThatWaitAreRefusedWithTheirPacket) {
  Lab lab(simple_config());
  const auto piece = [](std::uint16_t offset) {
    return from_client(ip4(kClient, kService).payload(net::IpProto::kUdp, Bytes(16)).fragment(offset, true, 7));
  };
  lab.put(piece(80));
  lab.put(piece(88));
  lab.put(piece(800));
  lab.run();
  EXPECT_EQ(lab.drops(Drop::kFragmentOverlap), 3u);
}

TEST(Fragments, WaitWithinTheirBounds) {
  Lab lab(simple_config() + "fragments: { waiting: 4, packets: 16, timeout: 1s }\n");
  // Five packets of which a later fragment comes first: there is room for four.
  for (std::uint16_t id = 1; id <= 5; ++id) lab.put(cut(query(), id)[1]);
  lab.run();
  EXPECT_EQ(lab.drops(Drop::kFragmentLimit), 1u);
  // The fifth is worth nothing without it.
  lab.put(cut(query(), 5)[0]);
  lab.run();
  EXPECT_TRUE(lab.sent().empty());
  EXPECT_EQ(lab.drops(Drop::kFragmentLimit), 2u);
  // Packets that need no place of those go on.
  for (const Bytes& one : cut(query(), 6)) lab.put(one);
  lab.run();
  EXPECT_EQ(lab.sent().size(), 3u);
}

TEST(Fragments, OfNewPacketsTakeTheOldestPlace) {
  Lab lab(simple_config() + "fragments: { packets: 16 }\n");
  lab.put(cut(query(), 1000)[1]);  // waits
  for (std::uint16_t id = 1; id <= 15; ++id) lab.put(cut(query(), id)[0]);
  lab.run();
  EXPECT_EQ(lab.drops(), 0u);
  lab.put(cut(query(), 16)[0]);
  lab.run();
  EXPECT_EQ(lab.drops(Drop::kFragmentLimit), 1u) << "the one that waited gave way";
  EXPECT_EQ(lab.sent().size(), 16u);
  lab.put(cut(query(), 2)[1]);
  lab.run();
  EXPECT_EQ(lab.sent().size(), 1u) << "a younger one is still known";
}

TEST(Fragments, InTooManyPiecesAreRefused) {
  Lab lab(simple_config());
  lab.put(cut(query(4000), 1, 8)[0]);
  const std::vector<Bytes> fragments = cut(query(4000), 1, 8);
  for (std::size_t i = 0; i < 8; ++i) lab.put(fragments[2 + 2 * i]);
  lab.run();
  EXPECT_EQ(lab.sent().size(), 8u);  // with gaps between them, eight are remembered
  EXPECT_EQ(lab.drops(Drop::kFragmentLimit), 1u);
  lab.put(fragments[1]);
  lab.run();
  EXPECT_EQ(lab.drops(Drop::kFragmentLimit), 2u);
}

TEST(Fragments, GapsAreFilledFromBothSides) {
  Lab lab(simple_config());
  const std::vector<Bytes> fragments = cut(query(1000), 1, 8);
  for (std::size_t i = 0; i < fragments.size(); i += 2) {
    lab.put(fragments[i]);
    if (i >= 2) lab.put(fragments[i - 1]);
  }
  lab.run();
  EXPECT_EQ(lab.sent().size(), fragments.size() - (fragments.size() % 2 == 0 ? 1 : 0));
  EXPECT_EQ(lab.drops(), 0u);
}

// The identifier comes again: what was complete is no more known.
TEST(Fragments, ACompletePacketIsForgotten) {
  Lab lab(simple_config());
  for (std::uint16_t port = 1; port <= 3; ++port) {
    for (const Bytes& one : cut(query(4000, port), 1)) lab.put(one);
    lab.run();
    const std::vector<Bytes> out = lab.sent();
    ASSERT_EQ(out.size(), 3u);
    EXPECT_TRUE(is_sound(joined(out)));
  }
  EXPECT_EQ(lab.counters().flows_created.read(), 3u);
  EXPECT_FALSE(lab.assembly().next_deadline().has_value());
}

TEST(Fragments, OfATcpSegmentFollowTheFlow) {
  Lab lab(simple_config());
  const std::vector<Bytes> opened = lab.exchange(from_client(ip4(kClient, kService).tcp(40000, 80)));
  ASSERT_EQ(opened.size(), 1u);
  const Bytes segment = from_client(ip4(kClient, kService).tcp(40000, 80, net::kTcpAck, 2, 5, numbered(2000)));
  for (const Bytes& one : cut(segment, 9)) lab.put(one);
  lab.run();
  const std::vector<Bytes> out = lab.sent();
  ASSERT_EQ(out.size(), 2u);
  EXPECT_TRUE(is_sound(joined(out)));
  EXPECT_EQ(src_port_of(out[0]), src_port_of(opened[0]));
  // What comes next is a reset, which counts if its sequence number follows all fragments.
  const Bytes reset = from_client(ip4(kClient, kService).tcp(40000, 80, net::kTcpRst | net::kTcpAck, 2002, 5));
  EXPECT_EQ(lab.exchange(reset).size(), 1u);
  EXPECT_EQ(lab.counters().resets_implausible.read(), 0u);
  // Amid a flow that nobody knows: the first one is refused, and the later one gets no reset of its own.
  const Bytes stranger = from_client(ip4(kClient, kService).tcp(40001, 80, net::kTcpAck, 2, 5, numbered(2000)));
  for (const Bytes& one : cut(stranger, 10)) lab.put(one);
  lab.run();
  EXPECT_TRUE(lab.sent().empty());
  EXPECT_EQ(lab.drops(Drop::kNoFlow), 2u);
}

TEST(Fragments, OfAnEchoRequestAreAnswered) {
  for (const bool reversed : {false, true}) {
    Lab lab(simple_config());
    const auto echo = [](std::uint8_t type, const char* from, const char* to) {
      return ip4(from, to).icmp(type, 0, 7 << 16 | 1, numbered(4000));
    };
    std::vector<Bytes> fragments = cut(from_client(echo(8, kClient, kService)), 5);
    if (reversed) std::ranges::reverse(fragments);
    for (const Bytes& one : fragments) lab.put(one);
    lab.run();
    const std::vector<Bytes> out = lab.sent();
    ASSERT_EQ(out.size(), 3u);
    Bytes want = echo(0, kService, kClient).link(kOurMac, kGatewayMac).frame();
    Bytes got = joined(out);
    want[18] = got[18], want[19] = got[19], want[24] = got[24], want[25] = got[25];  // the identifier is the request's
    EXPECT_EQ(got, want);
    EXPECT_EQ(lab.counters().icmp_echo.read(), 1u);
    EXPECT_EQ(lab.drops(), 0u);
  }
}

TEST(Fragments, ToAClosedPortAreRefusedOnce) {
  Lab lab(simple_config());
  for (const Bytes& one : cut(from_client(ip4(kClient, kOwn).udp(5353, 9, numbered(4000))), 1)) lab.put(one);
  lab.run();
  const std::vector<Bytes> out = lab.sent();
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0][34], 3);
  EXPECT_EQ(lab.drops(Drop::kPortClosed), 3u);
}

// The checksum of SCTP can follow new ports in a whole packet alone; a mode that rewrites none takes its fragments too.
TEST(Fragments, OfSctpPassWhereNothingIsRewritten) {
  for (const char* mode : {"nat", "dnat", "dsr"}) {
    std::string yaml = simple_config();
    yaml.replace(yaml.find("53/udp"), 6, "80/sctp");
    yaml.replace(yaml.find("mode: nat"), 9, std::string("mode: ") + mode);
    if (std::string_view(mode) == "dsr") yaml.erase(yaml.find(", port: 8080"), 12);
    Lab lab(yaml);
    Bytes init(408);
    init[0] = init[2] = 0, init[1] = 9, init[3] = 80;  // ports
    init[12] = 1, init[14] = 1, init[15] = 0x8c;       // INIT, to the packet's end
    const auto packet = [&init](std::size_t from, std::size_t to) {
      return ip4(kClient, kService)
          .payload(net::IpProto::kSctp, Bytes(init.begin() + static_cast<std::ptrdiff_t>(from),
                                              init.begin() + static_cast<std::ptrdiff_t>(to)))
          .fragment(static_cast<std::uint16_t>(from), to < init.size(), 3);
    };
    lab.put(from_client(packet(0, 200)));
    lab.put(from_client(packet(200, 408)));
    lab.run();
    const bool passes = std::string_view(mode) == "dsr";
    EXPECT_EQ(lab.sent().size(), passes ? 2u : 0u) << mode;
    EXPECT_EQ(lab.drops(Drop::kFragmentUnsupported), passes ? 0u : 2u) << mode;
  }
}

TEST(Fragments, OfAServiceThatKeepsNoFlowAreDropped) {
  std::string yaml = simple_config();
  yaml.replace(yaml.find("\"203.0.113.10:80/tcp\", "), 23, "");
  yaml.replace(yaml.find("mode: nat"), 9, "mode: dsr, one_packet: true");
  yaml.erase(yaml.find(", port: 8080"), 12);
  Lab lab(yaml);
  EXPECT_EQ(lab.exchange(query(100)).size(), 1u);
  for (const Bytes& one : cut(query(), 1)) lab.put(one);
  lab.run();
  EXPECT_TRUE(lab.sent().empty());
  EXPECT_EQ(lab.drops(Drop::kFragmentUnsupported), 3u);
}

struct StrangeRow {
  const char* name;
  test::PacketBuilder first;
  Drop want;
};
const StrangeRow kStrange[] = {
    {"an_icmp_error", ip4(kClient, kService).icmp(3, 1, 0, Bytes(400)), Drop::kIcmpUnhandled},
    {"an_echo_reply", ip4(kClient, kService).icmp(0, 0, 0, Bytes(400)), Drop::kIcmpUnhandled},
    {"another_protocol", ip4(kClient, kService).payload(net::IpProto{99}, Bytes(400)), Drop::kProtocolUnknown},
    {"neighbour_discovery", ip6("2001:db8:1::7", "2001:db8:1::2").icmp(135, 0, 0, Bytes(400)), Drop::kIcmpUnhandled},
};
TEST(Fragments, OfWhatNobodyHereReadsAreDropped) {
  for (const StrangeRow& row : kStrange) {
    Lab lab(simple_config());
    EXPECT_TRUE(lab.exchange(from_client(test::PacketBuilder(row.first).fragment(0, true, 3))).empty()) << row.name;
    EXPECT_TRUE(lab.exchange(from_client(test::PacketBuilder(row.first).fragment(408, false, 3))).empty()) << row.name;
    EXPECT_EQ(lab.drops(row.want), 2u) << row.name;
  }
}

TEST(Fragments, ThatCameAsABroadcastAreDropped) {
  Lab lab(simple_config());
  const auto packet = ip4(kClient, kService).link(kGatewayMac, net::kBroadcastMac).udp(1, 53, Bytes(400));
  EXPECT_TRUE(lab.exchange(test::PacketBuilder(packet).fragment(0, true, 3).frame()).empty());
  EXPECT_EQ(lab.drops(Drop::kBadEthernet), 1u);
}

// RFC 791 section 3.2: larger than the way out and not forbidden to be cut.
TEST(Fragments, AreMadeWhereTheWayOutIsSmaller) {
  std::string yaml = simple_config();
  yaml.replace(yaml.find("net_null0"), 9, "net_null0, mtu: 2000");
  yaml.replace(yaml.find("neighbors:"), 0, "  small: { device: net_null1, mtu: 600, addresses: 192.0.2.130/25 }\n");
  yaml.replace(yaml.find("interface: edge, address: 198.51.100.11"), 39, "interface: small, address: 192.0.2.131");
  yaml.replace(yaml.find("address: 198.51.100.11, port"), 22, "address: 192.0.2.131");
  Lab lab(yaml);
  lab.put(query(1400));
  lab.run();
  const std::vector<Bytes> out = lab.sent(1);
  ASSERT_EQ(out.size(), 3u);
  for (const Bytes& one : out) EXPECT_LE(one.size(), 614u);
  EXPECT_TRUE(is_sound(joined(out)));
  EXPECT_EQ(lab.counters().packets_cut.read(), 1u);
  EXPECT_EQ(lab.drops(), 0u);

  lab.put(query(1400));  // no buffer for the second piece
  lab.run_with_buffers(1);
  EXPECT_EQ(lab.sent(1).size(), 1u);
  EXPECT_EQ(lab.drops(Drop::kNoMbuf), 1u);
  EXPECT_EQ(lab.counters().packets_cut.read(), 1u);
}

TEST(Fragments, WhatWaitsAtTheEndIsNotLost) {
  Lab lab(simple_config());
  lab.put(cut(query(), 1)[1]);
  lab.run();
}  // ~Lab looks at the pool

}  // namespace
}  // namespace sluice::dataplane
