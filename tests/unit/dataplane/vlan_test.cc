// VLAN interfaces: frames find the interface of their tags, and what leaves by it has them. All of it twice: over a device
// that takes a tag off and puts one on, and over one that does not.
#include "sluice/net/vlan.h"

#include <algorithm>
#include <cstring>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rte_ether.h>

#include "lab.h"

namespace sluice::dataplane {
namespace {

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
constexpr net::VlanTags kPriority{.ids = {0x1000, 0}};  // the identifier is 0, and a bit that is not of it
constexpr net::VlanTags kDeep{.ids = {200, 7}, .outer_type = net::EtherType::kVlanService};

Bytes syn_to(const char* service) { return ip4(kClient, service).link(kGatewayMac, kMac).tcp(40000, 80).frame(); }
Bytes echo() { return ip4(kBackend, "198.51.100.2").link(kBackendMac, kMac).icmp(8, 0, 7, {1, 2, 3}).frame(); }
Bytes echo_reply() { return ip4("198.51.100.2", kBackend).link(kMac, kBackendMac).icmp(0, 0, 7, {1, 2, 3}).frame(); }

class Vlan : public ::testing::TestWithParam<bool> {
 protected:
  [[nodiscard]] static LabOptions options() { return {.vlan_offloads = GetParam()}; }
};
INSTANTIATE_TEST_SUITE_P(Tags, Vlan, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "ByTheDevice" : "InSoftware"; });

TEST_P(Vlan, AFlowLeavesWithTheTagAndComesBack) {
  Lab lab(kConfig, options());
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

TEST_P(Vlan, TwoTagsAreOneInterface) {
  Lab lab(kConfig, options());
  const std::vector<Bytes> out = lab.exchange(syn_to("203.0.113.11"), kDevice);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(net::find_tags(out[0]).ids, kDeep.ids);
  EXPECT_EQ(Bytes(out[0].begin() + 12, out[0].begin() + 22), test::from_hex("88a8 00c8 8100 0007 0800"));
  EXPECT_EQ(lab.drops(), 0u);
}

TEST_P(Vlan, ArpIsAnsweredThere) {
  Lab lab(kConfig, options());
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

TEST_P(Vlan, AnswersGoBackTagged) {
  Lab lab(kConfig, options());
  const std::vector<Bytes> out = lab.exchange(tagged(echo(), kWeb), kDevice);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0], tagged(echo_reply(), kWeb));
}

// A tag of VLAN 0 says a priority and nothing else: the frame is the untagged network's.
TEST_P(Vlan, APriorityTagIsTakenOff) {
  Lab lab(kConfig, options());
  Bytes frame = syn_to(kService);
  const Bytes priority = test::from_hex("8100 e000");
  frame.insert(frame.begin() + 12, priority.begin(), priority.end());
  const std::vector<Bytes> out = lab.exchange(frame, kDevice);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(net::find_tags(out[0]).ids, kWeb.ids);
  EXPECT_EQ(lab.drops(), 0u);
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
TEST_P(Vlan, OthersAreDropped) {
  for (const UnknownRow& row : kUnknownRows) {
    Lab lab(kConfig, options());
    EXPECT_TRUE(lab.exchange(tagged(echo(), row.tags), kDevice).empty()) << row.name;
    EXPECT_EQ(lab.drops(Drop::kVlanUnknown), 1u) << row.name;
    EXPECT_EQ(lab.drops(), 1u) << row.name;
  }
  Lab lab(kConfig, options());
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
    {"the_outer_one_and_both_reported", RTE_MBUF_F_RX_QINQ_STRIPPED, 7, 200, {.ids = {7, 0}}, true, kDeep},
    {"the_outer_one_of_nobody", RTE_MBUF_F_RX_QINQ_STRIPPED, 7, 201, {.ids = {7, 0}}, false, {}},
    {"a_priority_in_front_of_one", RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED, 0xe000, 0, kWeb, true, kWeb},
    {"the_outer_one_of_three", RTE_MBUF_F_RX_VLAN_STRIPPED, 200, 0, {.ids = {7, 9}}, false, {}},
    {"two_of_three", RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_QINQ_STRIPPED, 7, 200, {.ids = {9, 0}}, false, {}},
    {"the_outer_one_of_nobody_and_a_priority", RTE_MBUF_F_RX_QINQ_STRIPPED, 0, 201, kPriority, false, {}},
};
TEST(VlanOfADevice, TagsThatItTookOffCount) {
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

TEST_P(Vlan, HasItsOwnMtu) {
  Lab lab(kConfig, options());
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

TEST_P(Vlan, AFrameWithoutHeadroomForItsTagIsDropped) {
  Lab lab(kConfig, options());
  EXPECT_TRUE(lab.exchange_with_headroom(syn_to(kService), 0, kDevice).empty());
  EXPECT_EQ(lab.drops(Drop::kTooBig), 1u);
}

// What is asked of a device that puts tags on: one tag, its identifier in the mbuf, and the frame as it is without.
TEST(VlanOfADevice, PutsTheTagOn) {
  Lab lab(kConfig, {.vlan_offloads = true});
  lab.put(tagged(echo(), kWeb), kDevice);
  lab.put(tagged(echo(), kDeep), kDevice);
  lab.run();
  const std::vector<rte_mbuf*> sent = lab.device(kDevice).take_sent();
  ASSERT_EQ(sent.size(), 2u);
  const auto bytes_of = [](const rte_mbuf* mbuf) {
    const auto* at = rte_pktmbuf_mtod(mbuf, const std::uint8_t*);
    return Bytes(at, at + rte_pktmbuf_data_len(mbuf));
  };
  constexpr std::uint64_t kRxTags = RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
  EXPECT_EQ(sent[0]->ol_flags & (RTE_MBUF_F_TX_VLAN | kRxTags), RTE_MBUF_F_TX_VLAN);
  EXPECT_EQ(sent[0]->vlan_tci, 100);
  EXPECT_EQ(bytes_of(sent[0]), echo_reply());
  // Two tags: the outer one is of another type than devices write.
  EXPECT_EQ(sent[1]->ol_flags & (RTE_MBUF_F_TX_VLAN | RTE_MBUF_F_TX_QINQ), 0u);
  EXPECT_EQ(bytes_of(sent[1]), tagged(echo_reply(), kDeep));
  for (rte_mbuf* mbuf : sent) rte_pktmbuf_free(mbuf);
}

// Each fragment that we make has the tag.
TEST_P(Vlan, FragmentsLeaveWithTheTag) {
  std::string yaml = kConfig;
  const std::string web = "web: { parent: edge, vlan: 100, ";
  yaml.replace(yaml.find(web), web.size(), web + "mtu: 700, ");
  Lab lab(yaml, options());
  const std::vector<Bytes> out = lab.exchange(
      ip4(kClient, kService).link(kGatewayMac, kMac).tcp(1, 80, net::kTcpSyn, 1, 0, Bytes(1400)).frame(), kDevice);
  EXPECT_EQ(out.size(), 3u);
  for (const Bytes& frame : out) {
    EXPECT_EQ(net::find_tags(frame).ids, kWeb.ids);
    EXPECT_EQ(net::find_tags(frame).bytes, 4u);
    EXPECT_LE(frame.size(), 18u + 700u);
  }
  EXPECT_EQ(lab.drops(), 0u);
}

// A device that takes frames in one piece gets them so, with their tag.
TEST_P(Vlan, AChainedFrameLeavesWithTheTag) {
  DropCounters drops{};
  MemoryDevice device(kMac);
  dpdk::Mempool pool = *dpdk::Mempool::create({.name = "chained", .mbufs = 63, .cache = 0, .mtu = 1500});
  std::vector<TxRoute> routes(2);
  routes[0].device = &device;
  routes[1] = {.parent = InterfaceId{0}, .tags = kWeb, .inserted = GetParam()};
  Bytes sent;
  {
    Tx tx(std::move(routes), drops);
    rte_mbuf *head = pool.alloc(), *tail = pool.alloc();
    const Bytes frame = echo_reply();
    std::memcpy(rte_pktmbuf_append(head, 20), frame.data(), 20);
    const auto rest = static_cast<std::uint16_t>(frame.size() - 20);
    std::memcpy(rte_pktmbuf_append(tail, rest), frame.data() + 20, rest);
    ASSERT_EQ(rte_pktmbuf_chain(head, tail), 0);
    tx.queue(1, head);
    (void)tx.flush();
    std::vector<rte_mbuf*> mbufs = device.take_sent();
    ASSERT_EQ(mbufs.size(), 1u);
    EXPECT_EQ(mbufs[0]->nb_segs, 1);
    EXPECT_EQ((mbufs[0]->ol_flags & RTE_MBUF_F_TX_VLAN) != 0, GetParam());
    if (GetParam()) {
      ASSERT_EQ(rte_vlan_insert(mbufs.data()), 0);
    }
    const auto* at = rte_pktmbuf_mtod(mbufs[0], const std::uint8_t*);
    sent.assign(at, at + rte_pktmbuf_data_len(mbufs[0]));
    rte_pktmbuf_free(mbufs[0]);
  }
  EXPECT_EQ(sent, tagged(echo_reply(), kWeb));
  EXPECT_EQ(pool.in_use(), 0u);
}

// A frame that one worker hands to another is known there by its interface: its tags are gone.
// And what it sends goes through the ring of a CPU with a queue.
TEST_P(Vlan, FramesAreHandedOver) {
  std::string yaml = kConfig;
  yaml.replace(yaml.find("workers: [0]"), 12, "workers: [0, 1, 0]");
  Lab lab(yaml, options());
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
