#include "sluice/net/neighbor.h"

#include <string>

#include <gtest/gtest.h>

#include "packets.h"
#include "sluice/net/build.h"

namespace sluice::net {
namespace {

using test::Bytes;
using test::ip6;

constexpr MacAddress kMac{{2, 0, 0, 0, 0, 1}};

Bytes arp_frame(const char* hex) {
  Bytes frame = test::from_hex("ffffffffffff 020000000001 0806");
  const Bytes body = test::from_hex(hex);
  frame.insert(frame.end(), body.begin(), body.end());
  return frame;
}

struct ArpCase {
  const char* name;
  const char* hex;
  bool want;
};
const ArpCase kArpCases[] = {
    {"request", "0001 0800 06 04 0001 020000000001 c0000201 000000000000 c0000202", true},
    {"reply", "0001 0800 06 04 0002 020000000001 c0000201 020000000002 c0000202", true},
    {"probe", "0001 0800 06 04 0001 020000000001 00000000 000000000000 c0000202", true},
    {"other_hardware", "0006 0800 06 04 0001 020000000001 c0000201 000000000000 c0000202", false},
    {"other_protocol", "0001 86dd 06 04 0001 020000000001 c0000201 000000000000 c0000202", false},
    {"hardware_length", "0001 0800 08 04 0001 020000000001 c0000201 000000000000 c0000202", false},
    {"protocol_length", "0001 0800 06 10 0001 020000000001 c0000201 000000000000 c0000202", false},
    {"operation_0", "0001 0800 06 04 0000 020000000001 c0000201 000000000000 c0000202", false},
    {"operation_3", "0001 0800 06 04 0003 020000000001 c0000201 000000000000 c0000202", false},
    {"sender_is_a_group_mac", "0001 0800 06 04 0001 010000000001 c0000201 000000000000 c0000202", false},
    {"sender_without_mac", "0001 0800 06 04 0001 000000000000 c0000201 000000000000 c0000202", false},
    {"sender_is_a_group", "0001 0800 06 04 0001 020000000001 e0000001 000000000000 c0000202", false},
    {"sender_is_broadcast", "0001 0800 06 04 0001 020000000001 ffffffff 000000000000 c0000202", false},
};

TEST(ParseArp, Judges) {
  for (const ArpCase& row : kArpCases) {
    const Bytes frame = arp_frame(row.hex);
    EXPECT_EQ(parse_arp(frame, parse(frame)).has_value(), row.want) << row.name;
  }
}

TEST(ParseArp, Fields) {
  const Bytes frame = arp_frame(kArpCases[1].hex);
  const auto message = parse_arp(frame, parse(frame));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->operation, ArpOperation::kReply);
  EXPECT_EQ(message->sender_mac, kMac);
  EXPECT_EQ(message->sender.text(), "192.0.2.1");
  EXPECT_EQ(message->target.text(), "192.0.2.2");
}

// Type 135 or 136 with 2001:db8::1 as target and the given options.
Bytes body(const char* options = "", const char* target = "20010db8000000000000000000000001") {
  return test::from_hex(std::string(target) + options);
}
auto solicitation(Bytes rest = body("0101 020000000001")) {
  return ip6("2001:db8::2", "ff02::1:ff00:1").ttl(255).icmp(135, 0, 0, std::move(rest));
}
auto advertisement(std::uint32_t flags, Bytes rest = body("0201 020000000001")) {
  return ip6("2001:db8::1", "2001:db8::2").ttl(255).icmp(136, 0, flags, std::move(rest));
}

struct DiscoveryCase {
  const char* name;
  Bytes frame;
  bool want;
};
const DiscoveryCase kDiscoveryCases[] = {
    {"solicitation", solicitation().frame(), true},
    {"solicitation_without_option", solicitation(body()).frame(), true},
    {"solicitation_with_unknown_option", solicitation(body("0e01 010203040506 0101 020000000001")).frame(), true},
    {"hop_limit_254", solicitation().ttl(254).frame(), false},
    {"code_1", ip6("2001:db8::2", "2001:db8::1").ttl(255).icmp(135, 1, 0, body()).frame(), false},
    {"wrong_checksum", solicitation().set(14 + 40 + 30, 9).frame(), false},
    {"too_short", ip6("2001:db8::2", "2001:db8::1").ttl(255).icmp(135, 0, 0, Bytes(15)).frame(), false},
    {"option_of_length_0", solicitation(body("0100 020000000001")).frame(), false},
    {"option_beyond_the_message", solicitation(body("0102 020000000001")).frame(), false},
    {"half_an_option", solicitation(body("01")).frame(), false},
    {"target_is_a_group", solicitation(body("", "ff020000000000000000000000000001")).frame(), false},
    {"group_mac", solicitation(body("0101 330000000001")).frame(), false},
    {"fragmented", solicitation().fragment(0, true).frame(), false},
    {"dad", ip6("::", "ff02::1:ff00:1").ttl(255).icmp(135, 0, 0, body()).frame(), true},
    {"dad_with_option", ip6("::", "ff02::1:ff00:1").ttl(255).icmp(135, 0, 0, body("0101 020000000001")).frame(), false},
    {"dad_to_one_host", ip6("::", "2001:db8::1").ttl(255).icmp(135, 0, 0, body()).frame(), false},
    {"advertisement", advertisement(0x60000000).frame(), true},
    {"advertisement_to_all", ip6("2001:db8::1", "ff02::1").ttl(255).icmp(136, 0, 0x20000000, body()).frame(), true},
    {"solicited_to_all", ip6("2001:db8::1", "ff02::1").ttl(255).icmp(136, 0, 0x60000000, body()).frame(), false},
    {"from_nobody", ip6("::", "ff02::1").ttl(255).icmp(136, 0, 0, body()).frame(), false},
    {"router_advertisement", ip6("2001:db8::1", "ff02::1").ttl(255).icmp(134, 0, 0, Bytes(16)).frame(), false},
    {"echo", ip6("2001:db8::1", "2001:db8::2").ttl(255).icmp(128, 0, 0, Bytes(16)).frame(), false},
};

TEST(ParseNeighborDiscovery, Judges) {
  for (const DiscoveryCase& row : kDiscoveryCases) {
    EXPECT_EQ(parse_neighbor_discovery(row.frame, parse(row.frame)).has_value(), row.want) << row.name;
  }
}

TEST(ParseNeighborDiscovery, Fields) {
  Bytes frame = solicitation().frame();
  auto message = parse_neighbor_discovery(frame, parse(frame));
  ASSERT_TRUE(message);
  EXPECT_TRUE(message->solicitation);
  EXPECT_EQ(message->src.text(), "2001:db8::2");
  EXPECT_EQ(message->target.text(), "2001:db8::1");
  EXPECT_EQ(message->link_layer, kMac);
  frame = advertisement(0x40000000).frame();
  message = parse_neighbor_discovery(frame, parse(frame));
  ASSERT_TRUE(message);
  EXPECT_FALSE(message->solicitation);
  EXPECT_TRUE(message->solicited);
  EXPECT_FALSE(message->override_);
  EXPECT_EQ(message->link_layer, kMac);
  frame = advertisement(0x20000000).frame();
  EXPECT_TRUE(parse_neighbor_discovery(frame, parse(frame))->override_);
}

TEST(NeighborAddresses, AreMadeAsTheRfcsSay) {
  const auto address = *IpAddress::parse("2001:db8::1234:5678");
  EXPECT_EQ(solicited_node_multicast(address).text(), "ff02::1:ff34:5678");
  EXPECT_EQ(multicast_mac(solicited_node_multicast(address)).text(), "33:33:ff:34:56:78");
  EXPECT_EQ(multicast_mac(*IpAddress::parse("239.129.1.2")).text(), "01:00:5e:01:01:02");
  EXPECT_EQ(link_local_address({{0x00, 0x1b, 0x21, 0xaa, 0xbb, 0xcc}}).text(), "fe80::21b:21ff:feaa:bbcc");
  EXPECT_EQ(kAllNodes.text(), "ff02::1");
}

}  // namespace
}  // namespace sluice::net
