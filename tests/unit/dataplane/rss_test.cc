// Several workers behind NICs that spread packets over their queues: the NIC here computes with DPDK's rte_softrss, so that
// what sluice expects of it is compared with something else than its own code.
#include <algorithm>
#include <array>
#include <numeric>

#include <fmt/format.h>
#include <rte_ethdev.h>
#include <rte_thash.h>

#include "lab.h"
#include "sluice/base/random.h"
#include "sluice/net/parse.h"

namespace sluice::dataplane {
namespace {

constexpr std::uint64_t kByAddresses = RTE_ETH_RSS_IP;
constexpr std::uint64_t kByPorts = kByAddresses | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_SCTP;
constexpr std::size_t kFlows = 300;
constexpr std::uint16_t kFirstClientPort = 20000;

dpdk::Rss nic(std::uint16_t queues, std::uint64_t types = kByPorts, std::size_t entries = 128) {
  dpdk::Rss rss{.types = types, .key = std::vector<std::uint8_t>(52), .queues = std::vector<std::uint16_t>(entries)};
  Random random(11);
  for (std::uint8_t& byte : rss.key) byte = static_cast<std::uint8_t>(random.next());
  for (std::size_t i = 0; i < entries; ++i) rss.queues[i] = static_cast<std::uint16_t>(i % queues);
  return rss;
}

// Which of its queues the NIC gives a frame to: what is no whole TCP, UDP or SCTP goes by its addresses alone.
std::uint16_t queue_of(const dpdk::Rss& rss, const Bytes& frame) {
  const net::Parsed packet = net::parse(frame);
  if (!packet.ok() || packet.family == net::Family::kArp) return 0;
  const bool v4 = packet.family == net::Family::kIp4;
  std::array<std::uint32_t, 9> tuple{};
  std::uint32_t words = 0;
  for (const net::IpAddress& address : {packet.src, packet.dst}) {
    for (std::size_t i = v4 ? 12 : 0; i < 16; i += 4) {
      const auto& bytes = address.bytes();
      tuple[words++] =
          static_cast<std::uint32_t>(bytes[i] << 24 | bytes[i + 1] << 16 | bytes[i + 2] << 8 | bytes[i + 3]);
    }
  }
  std::uint64_t type = 0;
  if (packet.proto == net::IpProto::kTcp) type = v4 ? RTE_ETH_RSS_NONFRAG_IPV4_TCP : RTE_ETH_RSS_NONFRAG_IPV6_TCP;
  if (packet.proto == net::IpProto::kUdp) type = v4 ? RTE_ETH_RSS_NONFRAG_IPV4_UDP : RTE_ETH_RSS_NONFRAG_IPV6_UDP;
  if (packet.fragment == net::FragmentKind::kWhole && (rss.types & type) != 0) {
    tuple[words++] = std::uint32_t{packet.src_port} << 16 | packet.dst_port;
  }
  return rss.queues[rte_softrss(tuple.data(), words, rss.key.data()) % rss.queues.size()];
}

std::string config_of(const std::string& workers) {
  return fmt::format(R"(
runtime: {{ workers: {}, flows: 8192 }}
interfaces:
  edge: {{ device: net_null0, addresses: [198.51.100.2/24, "2001:db8:1::2/64"], gateway: [198.51.100.1, "2001:db8:1::1"] }}
neighbors:
  - {{ interface: edge, address: 198.51.100.1, mac: "02:00:00:00:ff:01" }}
  - {{ interface: edge, address: "2001:db8:1::1", mac: "02:00:00:00:ff:01" }}
  - {{ interface: edge, address: 198.51.100.11, mac: "02:00:00:00:bb:01" }}
  - {{ interface: edge, address: "2001:db8:1::b", mac: "02:00:00:00:bb:01" }}
pools:
  web4: {{ backends: [ {{ name: web4, address: 198.51.100.11, port: 8080 }} ] }}
  web6: {{ backends: [ {{ name: web6, address: "2001:db8:1::b", port: 8080 }} ] }}
services:
  web4: {{ listen: ["203.0.113.10:80/tcp", "203.0.113.10:53/udp"], forward: {{ mode: nat, pool: web4 }} }}
  web6: {{ listen: ["[2001:db8:2::10]:80/tcp", "[2001:db8:2::10]:53/udp"], forward: {{ mode: nat, pool: web6 }} }}
)",
                     workers);
}

class RssLab {
 public:
  RssLab(const std::string& workers, const dpdk::Rss& says, std::uint16_t queues)
      : lab(config_of(workers), {.mbufs = 4095, .queues = queues, .rss = says}) {}

  // As the NIC delivers it; `how` may be another than it says.
  std::vector<Bytes> exchange(const Bytes& frame, const dpdk::Rss& how) {
    lab.put(frame, 0, queue_of(how, frame));
    lab.run();
    return lab.sent();
  }

  // A request and its answer, of as many flows, each of another client.
  void exchange_flows(const dpdk::Rss& how, bool tcp = true) {
    for (std::size_t i = 0; i < kFlows; ++i) {
      const bool v4 = i % 2 == 0;
      const auto client = v4 ? fmt::format("192.0.2.{}", i % 250 + 1) : fmt::format("2001:db8:c::{:x}", i);
      const auto port = static_cast<std::uint16_t>(kFirstClientPort + i * 7);
      auto request = v4 ? ip4(client.c_str(), "203.0.113.10") : ip6(client.c_str(), "2001:db8:2::10");
      std::vector<Bytes> out = exchange(from_client(tcp ? request.tcp(port, 80) : request.udp(port, 53)), how);
      ASSERT_EQ(out.size(), 1u) << i;
      const std::uint16_t nat_port = net::parse(out[0]).src_port;
      auto answer = v4 ? ip4("198.51.100.11", "198.51.100.2") : ip6("2001:db8:1::b", "2001:db8:1::2");
      out = exchange(from_backend(tcp ? answer.tcp(8080, nat_port, net::kTcpSyn | net::kTcpAck, 7, 2)
                                      : answer.udp(8080, nat_port)),
                     how);
      ASSERT_EQ(out.size(), 1u) << i;
      EXPECT_EQ(net::parse(out[0]).dst, *net::IpAddress::parse(client));
      EXPECT_EQ(net::parse(out[0]).dst_port, port);
    }
  }

  std::uint64_t sum(telemetry::Counter telemetry::WorkerCounters::* counter) {
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < lab.assembly().workers(); ++i) total += (lab.counters(i).*counter).read();
    return total;
  }
  // Workers that have flows.
  std::size_t busy_workers() {
    std::size_t busy = 0;
    for (std::size_t i = 0; i < lab.assembly().workers(); ++i) busy += lab.counters(i).flows.read() > 0 ? 1 : 0;
    return busy;
  }

  Lab lab;
};

constexpr auto kHandedOver = &telemetry::WorkerCounters::handed_over;
constexpr auto kRepliesHandedOver = &telemetry::WorkerCounters::replies_handed_over;
constexpr auto kHome = &telemetry::WorkerCounters::nat_ports_home;
constexpr auto kAstray = &telemetry::WorkerCounters::nat_ports_astray;

struct Places {
  const char* name;
  const char* workers;
  std::uint16_t queues;
};
class RssWorkers : public ::testing::TestWithParam<Places> {};

TEST_P(RssWorkers, NothingIsHandedOverWhereTheNicSaysHowItSpreads) {
  for (const bool tcp : {true, false}) {
    const dpdk::Rss rss = nic(GetParam().queues);
    RssLab it(GetParam().workers, rss, GetParam().queues);
    it.exchange_flows(rss, tcp);
    EXPECT_EQ(it.sum(kHandedOver), 0u);
    EXPECT_EQ(it.sum(kRepliesHandedOver), 0u);
    EXPECT_EQ(it.sum(kHome), kFlows);
    EXPECT_EQ(it.sum(kAstray), 0u);
    EXPECT_EQ(it.busy_workers(), it.lab.assembly().workers());
  }
}
INSTANTIATE_TEST_SUITE_P(Places, RssWorkers,
                         ::testing::Values(Places{"two", "[0, 1]", 2}, Places{"three", "[0, 1, 2]", 3},
                                           Places{"two_on_one_cpu", "[0, 0]", 2},
                                           Places{"more_queues_than_workers", "[0, 1]", 8}),
                         [](const auto& test) { return std::string(test.param.name); });

// Software does all of it where the NIC says nothing, or not enough.
TEST(Rss, WithoutItPacketsAreHandedOver) {
  const dpdk::Rss does = nic(2);
  dpdk::Rss no_key = does, no_table = does, odd_table = does;
  no_key.key.clear();
  no_table.queues.clear();
  odd_table.queues.resize(100);
  for (const dpdk::Rss& says : {dpdk::Rss{}, no_key, no_table, odd_table}) {
    RssLab it("[0, 1]", says, 2);
    it.exchange_flows(does);
    EXPECT_GT(it.sum(kRepliesHandedOver), kFlows / 4);
    EXPECT_GT(it.sum(kHandedOver), it.sum(kRepliesHandedOver));
    EXPECT_EQ(it.sum(kHome) + it.sum(kAstray), 0u);
    EXPECT_EQ(it.busy_workers(), 2u);
  }
}

// What the NIC does is never relied on: it says one thing here, and does another.
TEST(Rss, ANicThatSpreadsOtherwiseThanItSaysCostsOnlyTheHandOver) {
  const dpdk::Rss says = nic(2);
  dpdk::Rss does = says;
  std::ranges::reverse(does.key);
  RssLab it("[0, 1]", says, 2);
  it.exchange_flows(does);
  EXPECT_GT(it.sum(kRepliesHandedOver), 0u);
  EXPECT_EQ(it.sum(kHome), kFlows);
  EXPECT_EQ(it.lab.drops(), 0u);
}

TEST(Rss, WhatTheNicDoesNotSpreadByPortsIsHandedOver) {
  const dpdk::Rss only_tcp = nic(2, kByAddresses | RTE_ETH_RSS_TCP);
  RssLab it("[0, 1]", only_tcp, 2);
  it.exchange_flows(only_tcp, true);
  EXPECT_EQ(it.sum(kHandedOver), 0u);
  it.exchange_flows(only_tcp, false);
  EXPECT_GT(it.sum(kHandedOver), 0u);
  EXPECT_EQ(it.sum(kHome), kFlows);  // of TCP
  EXPECT_EQ(it.lab.drops(), 0u);
}

// The NIC has too few queues: the flows are spread over all workers all the same.
TEST(Rss, AWorkerWithoutAQueueHasFlowsToo) {
  const dpdk::Rss rss = nic(2);
  RssLab it("[0, 1, 2, 3]", rss, 2);
  it.exchange_flows(rss);
  EXPECT_EQ(it.busy_workers(), 4u);
  EXPECT_EQ(it.lab.drops(), 0u);
  EXPECT_GT(it.sum(kHome), kFlows / 4);  // of the workers that have one
  EXPECT_LT(it.sum(kHome), kFlows * 3 / 4);
}

// They come in where their addresses say, not where their flow's packets do.
TEST(Rss, IcmpErrorsAndFragmentsReachTheWorkerOfTheFlow) {
  const dpdk::Rss rss = nic(2);
  RssLab it("[0, 1]", rss, 2);
  for (std::uint16_t i = 0; i < 64; ++i) {
    const auto client = fmt::format("192.0.2.{}", i + 1);
    const auto port = static_cast<std::uint16_t>(kFirstClientPort + i);
    const std::vector<Bytes> request = it.exchange(from_client(ip4(client.c_str(), "203.0.113.10").udp(port, 53)), rss);
    ASSERT_EQ(request.size(), 1u);
    const Bytes quoted(request[0].begin() + 14, request[0].end());
    const std::vector<Bytes> to_client =
        it.exchange(from_backend(ip4("198.51.100.11", "198.51.100.2").icmp(3, 3, 0, quoted)), rss);
    ASSERT_EQ(to_client.size(), 1u);
    EXPECT_EQ(net::parse(to_client[0]).dst, *net::IpAddress::parse(client));

    const Bytes answered = ip4("203.0.113.10", client.c_str()).udp(53, port).ip_packet();
    const std::vector<Bytes> to_backend =
        it.exchange(from_client(ip4(client.c_str(), "203.0.113.10").icmp(3, 1, 0, answered)), rss);
    ASSERT_EQ(to_backend.size(), 1u);
    EXPECT_EQ(net::parse(to_backend[0]).dst, *net::IpAddress::parse("198.51.100.11"));

    const Bytes whole = ip4(client.c_str(), "203.0.113.10").udp(port, 53, Bytes(2000)).ip_packet();
    const Bytes l4(whole.begin() + 20, whole.end());
    std::size_t parts = 0;
    for (const std::size_t from : {std::size_t{0}, std::size_t{1480}}) {
      const std::size_t to = std::min<std::size_t>(from + 1480, l4.size());
      const Bytes part(l4.begin() + static_cast<std::ptrdiff_t>(from), l4.begin() + static_cast<std::ptrdiff_t>(to));
      parts += it.exchange(from_client(ip4(client.c_str(), "203.0.113.10")
                                           .payload(net::IpProto::kUdp, part)
                                           .fragment(static_cast<std::uint16_t>(from), to < l4.size(), i)),
                           rss)
                   .size();
    }
    EXPECT_EQ(parts, 2u);
  }
  EXPECT_EQ(it.lab.drops(), 0u);
  EXPECT_EQ(it.sum(kRepliesHandedOver), 0u);
  EXPECT_GT(it.sum(kHandedOver), 0u);
  EXPECT_EQ(it.busy_workers(), 2u);
}

}  // namespace
}  // namespace sluice::dataplane
