// Mode `dnat` through the whole worker: what comes back is known by its backend's endpoint and its client's.
#include <set>

#include <gtest/gtest.h>

#include "lab.h"
#include "sluice/dataplane/worker.h"
#include "sluice/net/parse.h"

namespace sluice::dataplane {
namespace {

std::string config(const std::string& listen, const std::string& runtime = "workers: [0], flows: 1024") {
  return edge_config(R"(pools:
  web: { backends: { name: web1, address: 198.51.100.11, port: 8080 }, health: { tcp: {} } }
  other: { backends: { name: web2, address: 198.51.100.12, port: 8080 } }
services:
  web: { listen: )" + listen +
                         ", forward: { mode: dnat, pool: web } }\n",
                     runtime);
}
constexpr const char* kOne = "\"203.0.113.10:80\"";
constexpr const char* kTwo = "[\"203.0.113.10:80\", \"203.0.113.11:80\"]";

std::unique_ptr<Lab> lab_with(const char* listen, const std::string& runtime = "workers: [0], flows: 1024",
                              const LabOptions& options = {}) {
  auto lab = std::make_unique<Lab>(config(listen, runtime), options);
  lab->report("web1", lb::Health::kUp);
  return lab;
}

Bytes segment(std::uint16_t port, std::uint8_t flags, const char* service = kService) {
  return from_client(ip4(kClient, service).tcp(port, 80, flags, 5, 5));
}
Bytes answer(std::uint16_t port, std::uint8_t flags = net::kTcpSyn | net::kTcpAck) {
  return from_backend(ip4(kBackend, kClient).tcp(8080, port, flags, 9, 2));
}
Bytes returned(std::uint16_t port, const char* service = kService, std::uint8_t flags = net::kTcpSyn | net::kTcpAck) {
  return ip4(service, kClient).link(kOurMac, kGatewayMac).ttl(63).tcp(80, port, flags, 9, 2).frame();
}

std::vector<Bytes> one(Bytes frame) { return std::vector<Bytes>(1, std::move(frame)); }

TEST(WorkerDnat, AFlowGoesAndComesBack) {
  const auto lab = lab_with(kOne);
  const Bytes want =
      ip4(kClient, kBackend).link(kOurMac, kBackendMac).ttl(63).tcp(40000, 8080, net::kTcpSyn, 5, 5).frame();
  EXPECT_EQ(lab->exchange(segment(40000, net::kTcpSyn)), one(want));
  EXPECT_EQ(lab->exchange(answer(40000)), one(returned(40000)));
  telemetry::WorkerCounters& counters = lab->counters();
  EXPECT_EQ(counters.flows.read(), 1);
  EXPECT_EQ(counters.tcp_flows_open.read(), 1);
  EXPECT_EQ(counters.nat_ports_used.read(), 0);
  EXPECT_EQ(counters.services[0].in.packets.read(), 1u);
  EXPECT_EQ(counters.services[0].out.packets.read(), 1u);
  EXPECT_EQ(counters.backends[0].in.packets.read(), 1u);
  EXPECT_EQ(counters.forwarded_without_flow.read(), 0u);
  (void)lab->exchange(segment(40000, net::kTcpFin | net::kTcpAck));
  (void)lab->exchange(answer(40000, net::kTcpFin | net::kTcpAck));
  EXPECT_EQ(counters.tcp_flows_open.read(), 0);  // the end was seen on both ways
  EXPECT_EQ(lab->drops(), 0u);
}

// A restart: the client's next packet opens the flow anew, and what the backend says before that arrives all the same.
TEST(WorkerDnat, FlowsThatWeHaveNotSeenGoOn) {
  const auto lab = lab_with(kOne);
  EXPECT_EQ(lab->exchange(answer(40000, net::kTcpAck)), one(returned(40000, kService, net::kTcpAck)));
  EXPECT_EQ(lab->counters().forwarded_without_flow.read(), 1u);
  EXPECT_EQ(lab->counters().flows.read(), 0);
  EXPECT_EQ(lab->exchange(segment(40000, net::kTcpAck)).size(), 1u);
  EXPECT_EQ(lab->counters().flows.read(), 1);
}

TEST(WorkerDnat, AFullTableForwardsByTheHash) {
  const auto lab = lab_with(kOne);
  for (std::uint16_t port = 2000; port < 3100; ++port) {
    EXPECT_EQ(lab->exchange(segment(port, net::kTcpSyn)).size(), 1u);
    EXPECT_EQ(lab->exchange(answer(port)), one(returned(port)));
  }
  EXPECT_EQ(lab->counters().flows.read(), 1024);
  EXPECT_EQ(lab->counters().forwarded_without_flow.read(), 2 * 76u);
  EXPECT_EQ(lab->drops(), 0u);
}

// Two services before one backend: which of them a reply comes from only the flow says.
TEST(WorkerDnat, ListenersMayShareABackend) {
  const auto lab = lab_with(kTwo);
  const char* other = "203.0.113.11";
  EXPECT_EQ(lab->exchange(segment(40000, net::kTcpSyn)).size(), 1u);
  EXPECT_EQ(lab->exchange(segment(40001, net::kTcpSyn, other)).size(), 1u);
  EXPECT_EQ(lab->exchange(answer(40000)), one(returned(40000)));
  EXPECT_EQ(lab->exchange(answer(40001)), one(returned(40001, other)));
  EXPECT_TRUE(lab->exchange(answer(40002)).empty());
  EXPECT_EQ(lab->drops(Drop::kNatNoReplyFlow), 1u);
  EXPECT_EQ(lab->drops(), 1u);
}

// The backend would see one connection where the client has two.
TEST(WorkerDnat, AClientsPortIsTakenOnceTowardsABackend) {
  const auto lab = lab_with(kTwo);
  const char* other = "203.0.113.11";
  EXPECT_EQ(lab->exchange(segment(40000, net::kTcpSyn)).size(), 1u);
  const std::vector<Bytes> refused = lab->exchange(segment(40000, net::kTcpSyn, other));
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_NE(refused[0][47] & net::kTcpRst, 0);
  EXPECT_EQ(lab->drops(Drop::kDnatTupleTaken), 1u);
  // Once the first has ended the second may begin.
  (void)lab->exchange(segment(40000, net::kTcpRst));
  EXPECT_EQ(lab->exchange(segment(40000, net::kTcpSyn, other)).size(), 1u);
  EXPECT_EQ(lab->exchange(answer(40000)), one(returned(40000, other)));
  EXPECT_EQ(lab->counters().flows.read(), 1);
}

TEST(WorkerDnat, WithSharedBackendsAFullTableRefuses) {
  const auto lab = lab_with(kTwo);
  for (std::uint16_t port = 2000; port < 3100; ++port) (void)lab->exchange(segment(port, net::kTcpSyn));
  EXPECT_EQ(lab->drops(Drop::kFlowTableFull), 76u);
}

TEST(WorkerDnat, WhatElseABackendSendsIsNotForUs) {
  const auto lab = lab_with(kOne);
  const auto gone = [&](test::PacketBuilder packet) { EXPECT_TRUE(lab->exchange(from_backend(packet)).empty()); };
  gone(ip4(kBackend, kClient).tcp(40000, 443));          // a connection of its own
  gone(ip4(kBackend, kClient).udp(8080, 40000));         // another protocol
  gone(ip4("198.51.100.12", kClient).tcp(8080, 40000));  // of a pool of no `dnat` service
  gone(ip4(kBackend, kClient).icmp(8, 0));
  EXPECT_EQ(lab->drops(Drop::kNotForUs), 4u);
  EXPECT_TRUE(lab->exchange(ip4(kBackend, kClient).link(kBackendMac, net::kBroadcastMac).tcp(8080, 1).frame()).empty());
  EXPECT_EQ(lab->drops(Drop::kBadEthernet), 1u);
  EXPECT_EQ(lab->drops(), 5u);
}

TEST(WorkerDnat, ErrorsAboutUnknownFlowsGoNowhere) {
  const auto lab = lab_with(kOne);
  const Bytes sent = lab->exchange(segment(40000, net::kTcpSyn)).at(0);
  const Bytes quoted(sent.begin() + 14, sent.end());
  EXPECT_EQ(lab->exchange(from_backend(ip4(kBackend, kClient).icmp(3, 3, 0, quoted))).size(), 1u);
  const Bytes unknown = ip4(kClient, kBackend).tcp(40001, 8080).ip_packet();
  EXPECT_TRUE(lab->exchange(from_backend(ip4(kBackend, kClient).icmp(3, 3, 0, unknown))).empty());
  EXPECT_EQ(lab->drops(Drop::kIcmpNoFlow), 1u);
  const Bytes foreign = ip4(kClient, "198.51.100.12").tcp(40000, 8080).ip_packet();
  EXPECT_TRUE(lab->exchange(from_backend(ip4(kBackend, kClient).icmp(3, 3, 0, foreign))).empty());
  EXPECT_EQ(lab->drops(Drop::kNotForUs), 1u);
  EXPECT_EQ(lab->drops(), 2u);
}

// Both directions name the same worker, whichever queue they come by.
class WorkerDnatOwners : public ::testing::TestWithParam<const char*> {};
TEST_P(WorkerDnatOwners, AFlowHasOneOwner) {
  const auto lab = lab_with(kOne, std::string(GetParam()) + ", flows: 4096", {.queues = 2});
  for (std::uint16_t port = 3000; port < 3100; ++port) {
    for (std::uint16_t queue = 0; queue < 2; ++queue) lab->put(segment(port, net::kTcpSyn), 0, queue);
    lab->run();
    EXPECT_EQ(lab->sent().size(), 2u);
    for (std::uint16_t queue = 0; queue < 2; ++queue) lab->put(answer(port), 0, queue);
    lab->run();
    EXPECT_EQ(lab->sent(), (std::vector<Bytes>{returned(port), returned(port)}));
    const Bytes quoted = ip4(kClient, kBackend).tcp(port, 8080).ip_packet();
    for (std::uint16_t queue = 0; queue < 2; ++queue)
      lab->put(from_backend(ip4(kBackend, kClient).icmp(3, 3, 0, quoted)), 0, queue);
    lab->run();
    EXPECT_EQ(lab->sent().size(), 2u);
  }
  std::int64_t flows = 0;
  std::uint64_t without = 0;
  for (std::size_t i = 0; i < lab->assembly().workers(); ++i) {
    flows += lab->counters(i).flows.read();
    without += lab->counters(i).forwarded_without_flow.read();
  }
  EXPECT_EQ(flows, 100);
  EXPECT_EQ(without, 0u);
  EXPECT_EQ(lab->drops(), 0u);
}
INSTANTIATE_TEST_SUITE_P(Places, WorkerDnatOwners,
                         ::testing::Values("workers: [0]", "workers: [0, 0]", "workers: [0, 1, 1, 2]"),
                         [](const auto& test) { return "case" + std::to_string(test.index); });

}  // namespace
}  // namespace sluice::dataplane
