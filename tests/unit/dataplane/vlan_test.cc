// VLAN interfaces: frames find the interface of their tags, and what leaves by it has them.
#include "sluice/net/vlan.h"

#include <cstring>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "lab.h"

namespace sluice::dataplane {
namespace {

using telemetry::Drop;
using test::ip4;

constexpr const char* kClient = "192.0.2.7";
constexpr const char* kService = "203.0.113.10";
constexpr const char* kBackend = "198.51.100.11";

// Clients come untagged, the backend is on VLAN 100, another one on 7 inside of 200.
constexpr const char* kConfig = R"(
runtime: { workers: [0], flows: 1024 }
interfaces:
  web: { parent: edge, vlan: 100, addresses: 198.51.100.2/24 }
  edge: { device: net_null0, addresses: 203.0.113.2/25, gateway: 203.0.113.1 }
  deep: { parent: edge, vlan: [200, 7], addresses: 203.0.113.130/25, mtu: 1400 }
neighbors:
  - { interface: edge, address: 203.0.113.1, mac: "02:00:00:00:ff:01" }
  - { interface: web, address: 198.51.100.11, mac: "02:00:00:00:bb:01" }
  - { interface: deep, address: 203.0.113.131, mac: "02:00:00:00:bb:02" }
pools:
  web: { backends: { address: 198.51.100.11, port: 8080 } }
  deep: { backends: { address: 203.0.113.131, port: 8080 } }
services:
  web: { listen: "203.0.113.10:80/tcp", forward: { mode: nat, pool: web } }
  deep: { listen: "203.0.113.11:80/tcp", forward: { mode: nat, pool: deep } }
)";
constexpr std::size_t kDevice = 1;  // `edge` is the second in the file
constexpr net::MacAddress kMac{{2, 0, 0, 0, 0, kDevice + 1}};

Bytes tagged(const Bytes& frame, const net::VlanTags& tags) {
  if (tags.bytes() == 0) return frame;
  Bytes out(tags.bytes());
  out.insert(out.end(), frame.begin(), frame.end());
  net::insert_tags(out, tags);
  return out;
}
constexpr net::VlanTags kWeb{.ids = {100, 0}};
constexpr net::VlanTags kDeep{.ids = {200, 7}, .outer_type = net::EtherType::kVlanService};

Bytes syn_to(const char* service) { return ip4(kClient, service).link(kGatewayMac, kMac).tcp(40000, 80).frame(); }
Bytes echo() { return ip4(kBackend, "198.51.100.2").link(kBackendMac, kMac).icmp(8, 0, 7, {1, 2, 3}).frame(); }
Bytes echo_reply() { return ip4("198.51.100.2", kBackend).link(kMac, kBackendMac).icmp(0, 0, 7, {1, 2, 3}).frame(); }

TEST(Vlan, AFlowLeavesWithTheTagAndComesBack) {
  Lab lab(kConfig);
  const std::vector<Bytes> out = lab.exchange(syn_to(kService), kDevice);
  ASSERT_EQ(out.size(), 1u);
  const net::FoundTags tags = net::find_tags(out[0]);
  EXPECT_EQ(tags.ids, kWeb.ids);
  Bytes plain = out[0];
  net::remove_tags(plain, tags.bytes);
  plain.erase(plain.begin(), plain.begin() + 4);
  const std::uint16_t port = src_port_of(plain);
  EXPECT_EQ(plain, ip4("198.51.100.2", kBackend).link(kMac, kBackendMac).ttl(63).tcp(port, 8080).frame());
  const Bytes answer =
      ip4(kBackend, "198.51.100.2").link(kBackendMac, kMac).tcp(8080, port, net::kTcpSyn | net::kTcpAck, 9, 2).frame();
  const std::vector<Bytes> back = lab.exchange(tagged(answer, kWeb), kDevice);
  ASSERT_EQ(back.size(), 1u);
  EXPECT_EQ(
      back[0],
      ip4(kService, kClient).link(kMac, kGatewayMac).ttl(63).tcp(80, 40000, net::kTcpSyn | net::kTcpAck, 9, 2).frame());
  EXPECT_EQ(lab.drops(), 0u);
}

TEST(Vlan, TwoTagsAreOneInterface) {
  Lab lab(kConfig);
  const std::vector<Bytes> out = lab.exchange(syn_to("203.0.113.11"), kDevice);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(net::find_tags(out[0]).ids, kDeep.ids);
  EXPECT_EQ(Bytes(out[0].begin() + 12, out[0].begin() + 22), test::from_hex("88a8 00c8 8100 0007 0800"));
  EXPECT_EQ(lab.drops(), 0u);
}

TEST(Vlan, ArpIsAnsweredThere) {
  Lab lab(kConfig);
  Bytes request = test::from_hex(
      "ff ff ff ff ff ff 02 00 00 00 bb 01 08 06 00 01 08 00 06 04 00 01 02 00 00 00 bb 01 c6 33 64 0b 00 00 00 00 00 "
      "00 c6 33 64 02");
  EXPECT_TRUE(lab.exchange(request, kDevice).empty()) << "the address is not one of the untagged network";
  EXPECT_EQ(lab.drops(Drop::kArpNotForUs), 1u);
  const std::vector<Bytes> out = lab.exchange(tagged(request, kWeb), kDevice);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(net::find_tags(out[0]).ids, kWeb.ids);
  EXPECT_EQ(Bytes(out[0].begin() + 16, out[0].begin() + 18), test::from_hex("0806"));
}

TEST(Vlan, AnswersGoBackTagged) {
  Lab lab(kConfig);
  const std::vector<Bytes> out = lab.exchange(tagged(echo(), kWeb), kDevice);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0], tagged(echo_reply(), kWeb));
}

struct UnknownRow {
  const char* name;
  net::VlanTags tags;
};
const UnknownRow kUnknownRows[] = {
    {"no_interface_has_it", {.ids = {101, 0}}},
    {"the_inner_one_is_another", {.ids = {200, 8}, .outer_type = net::EtherType::kVlanService}},
    {"the_inner_one_is_missing", {.ids = {200, 0}}},
    {"one_tag_too_many", {.ids = {100, 7}, .outer_type = net::EtherType::kVlanService}},
};
TEST(Vlan, OthersAreDropped) {
  for (const UnknownRow& row : kUnknownRows) {
    Lab lab(kConfig);
    EXPECT_TRUE(lab.exchange(tagged(echo(), row.tags), kDevice).empty()) << row.name;
    EXPECT_EQ(lab.drops(Drop::kVlanUnknown), 1u) << row.name;
    EXPECT_EQ(lab.drops(), 1u) << row.name;
  }
  Lab lab(kConfig);
  EXPECT_TRUE(lab.exchange(tagged(tagged(echo(), {.ids = {9, 0}}), kDeep), kDevice).empty()) << "a third tag";
  EXPECT_EQ(lab.drops(Drop::kVlanUnknown), 1u);
}

// What a NIC takes off a frame is in the mbuf.
struct StrippedRow {
  const char* name;
  std::uint64_t flags;
  std::uint16_t tci, tci_outer;
  net::VlanTags left;  // in the frame
  bool known;
  net::VlanTags answer;
};
const StrippedRow kStrippedRows[] = {
    {"the_only_one", RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED, 0xe064, 0, {}, true, kWeb},
    {"of_nobody", RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED, 101, 0, {}, false, {}},
    {"the_outer_one", RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED, 200, 0, {.ids = {7, 0}}, true, kDeep},
    {"both", RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_QINQ_STRIPPED, 7, 200, {}, true, kDeep},
    {"reported_and_left_in_the_frame", RTE_MBUF_F_RX_VLAN, 100, 0, kWeb, true, kWeb},
};
TEST(Vlan, TagsThatTheNicTookOffCount) {
  for (const StrippedRow& row : kStrippedRows) {
    Lab lab(kConfig);
    const Bytes frame = tagged(echo(), row.left);
    rte_mbuf* mbuf = lab.pool().alloc();
    std::memcpy(rte_pktmbuf_append(mbuf, static_cast<std::uint16_t>(frame.size())), frame.data(), frame.size());
    mbuf->ol_flags |= row.flags;
    mbuf->vlan_tci = row.tci;
    mbuf->vlan_tci_outer = row.tci_outer;
    lab.device(kDevice).put(mbuf);
    lab.run();
    const std::vector<Bytes> out = lab.sent(kDevice);
    ASSERT_EQ(out.size(), row.known ? 1u : 0u) << row.name;
    EXPECT_EQ(lab.drops(Drop::kVlanUnknown), row.known ? 0u : 1u) << row.name;
    if (row.known) {
      EXPECT_EQ(net::find_tags(out[0]).ids, row.answer.ids) << row.name;
    }
  }
}

TEST(Vlan, HasItsOwnMtu) {
  Lab lab(kConfig);
  const Bytes large = ip4(kClient, "203.0.113.11")
                          .link(kGatewayMac, kMac)
                          .set_ip(6, 0x40)
                          .tcp(1, 80, net::kTcpSyn, 1, 0, Bytes(1400))
                          .frame();
  const std::vector<Bytes> out = lab.exchange(large, kDevice);
  ASSERT_EQ(out.size(), 1u);  // fragmentation needed, to the client
  EXPECT_EQ(out[0][34], 3);
  EXPECT_EQ(out[0][34 + 6] << 8 | out[0][34 + 7], 1400);
  EXPECT_EQ(lab.drops(Drop::kTooBig), 1u);
}

TEST(Vlan, AFrameWithoutHeadroomForItsTagIsDropped) {
  Lab lab(kConfig);
  const Bytes frame = syn_to(kService);
  rte_mbuf* mbuf = lab.pool().alloc();
  mbuf->data_off = 0;
  std::memcpy(rte_pktmbuf_append(mbuf, static_cast<std::uint16_t>(frame.size())), frame.data(), frame.size());
  lab.device(kDevice).put(mbuf);
  lab.run();
  EXPECT_TRUE(lab.sent(kDevice).empty());
  EXPECT_EQ(lab.drops(Drop::kTooBig), 1u);
}

// A frame that one worker hands to another is known there by its interface: its tags are gone.
TEST(Vlan, FramesAreHandedOver) {
  std::string yaml = kConfig;
  yaml.replace(yaml.find("workers: [0]"), 12, "workers: [0, 0, 0]");
  Lab lab(yaml);
  for (std::uint16_t port = 40000; port < 40032; ++port) {
    const Bytes syn = ip4(kClient, kService).link(kGatewayMac, kMac).tcp(port, 80).frame();
    const std::vector<Bytes> out = lab.exchange(syn, kDevice);
    ASSERT_EQ(out.size(), 1u);
    Bytes plain = out[0];
    EXPECT_EQ(net::find_tags(plain).ids, kWeb.ids);
    net::remove_tags(plain, 4);
    plain.erase(plain.begin(), plain.begin() + 4);
    const Bytes answer = ip4(kBackend, "198.51.100.2")
                             .link(kBackendMac, kMac)
                             .tcp(8080, src_port_of(plain), net::kTcpSyn | net::kTcpAck, 9, 2)
                             .frame();
    EXPECT_EQ(lab.exchange(tagged(answer, kWeb), kDevice).size(), 1u);
  }
  EXPECT_EQ(lab.drops(), 0u);
}

}  // namespace
}  // namespace sluice::dataplane
