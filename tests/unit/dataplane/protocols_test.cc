// Services on every port and on prefixes, forwarded echoes, SCTP and QUIC through the whole worker: what golden cases do not
// show, as tables that are full, ports that run short, and several workers.
#include <set>

#include <gtest/gtest.h>

#include "lab.h"
#include "sluice/net/parse.h"

namespace sluice::dataplane {
namespace {

std::string config(const std::string& runtime) {
  return edge_config(R"(pools:
  exact: { backends: { name: web1, address: 198.51.100.11, port: 8080 } }
  any: { backends: { name: any1, address: 198.51.100.11 } }
services:
  exact: { listen: ["203.0.113.10:80/udp", "203.0.113.10:80/sctp"], forward: { mode: nat, pool: exact, icmp: forward } }
  any: { listen: ["203.0.113.11:*/udp", "203.0.113.64/26:*/udp"], forward: { mode: nat, pool: any } }
  straight: { listen: "203.0.113.12:*/udp", forward: { mode: dsr, pool: any } }
)",
                     runtime);
}

Bytes question(const char* service, std::uint16_t client_port, std::uint16_t port) {
  return from_client(ip4("192.0.2.7", service).udp(client_port, port, {1, 2, 3}));
}
net::Parsed only(const std::vector<Bytes>& frames) {
  EXPECT_EQ(frames.size(), 1u);
  return frames.size() == 1 ? net::parse(frames[0]) : net::Parsed{};
}

// Flows of both services go to one port of one backend, and a reply is known by its port of ours alone.
TEST(WorkerWildcards, SharedPortsAreOnesThatNobodyElseHasThere) {
  Lab lab(config("workers: [0], flows: 1024"), {.port_owners = 250});  // some 258 ports
  std::set<std::uint16_t> ports;
  for (std::uint16_t client = 1; client <= 90; ++client) {
    for (const bool exact : {true, false}) {
      const net::Parsed sent =
          only(lab.exchange(exact ? question("203.0.113.10", client, 80) : question("203.0.113.11", client, 8080)));
      EXPECT_EQ(sent.dst_port, 8080);
      EXPECT_TRUE(ports.insert(sent.src_port).second) << sent.src_port;
      const Bytes answer = from_backend(ip4(kBackend, kOwn).udp(8080, sent.src_port, {9}));
      const net::Parsed returned = only(lab.exchange(answer));
      EXPECT_EQ(returned.src, *net::IpAddress::parse(exact ? "203.0.113.10" : "203.0.113.11"));
      EXPECT_EQ(returned.src_port, exact ? 80 : 8080);
      EXPECT_EQ(returned.dst_port, client);
    }
  }
  EXPECT_EQ(lab.drops(), 0u);
}

TEST(WorkerWildcards, DestinationsEndWithTheirFlows) {
  Lab lab(config("workers: [0], flows: 1024"));
  for (int round = 0; round < 3; ++round) {
    const auto base = static_cast<std::uint16_t>(1 + round * 2000);
    for (std::uint16_t n = 0; n < 1024; ++n) {
      const auto port = static_cast<std::uint16_t>(base + n);
      ASSERT_EQ(only(lab.exchange(question("203.0.113.70", 40000, port))).dst_port, port);
    }
    EXPECT_EQ(lab.counters().flows.read(), 1024);
    (void)lab.exchange(question("203.0.113.70", 40000, 60000));
    EXPECT_EQ(lab.drops(Drop::kFlowTableFull), static_cast<std::uint64_t>(round) + 1);
    // What is known goes on, each by its own flow.
    EXPECT_EQ(only(lab.exchange(question("203.0.113.70", 40000, base))).dst_port, base);
    lab.pass(std::chrono::minutes(3));
    for (int turn = 0; turn < 100; ++turn) {
      lab.pass(std::chrono::seconds(1));
      lab.run();
    }
    EXPECT_EQ(lab.counters().flows.read(), 0);
  }
}

TEST(WorkerWildcards, AFullTableStopsNoPacketThatNeedsNoEntry) {
  Lab lab(config("workers: [0], flows: 1024"));
  for (std::uint16_t port = 1; port <= 1100; ++port) {
    EXPECT_EQ(only(lab.exchange(question("203.0.113.12", 40000, port))).dst_port, port);
  }
  EXPECT_EQ(lab.drops(), 0u);
  EXPECT_EQ(lab.counters().flows.read(), 1024);
  EXPECT_EQ(lab.counters().forwarded_without_flow.read(), 76u);
}

TEST(WorkerWildcards, EveryWorkerSeesTheSameOwner) {
  Lab lab(config("workers: [0, 0, 0], flows: 3072"), {.queues = 3});
  for (std::uint16_t n = 1; n <= 60; ++n) {
    const auto queue = static_cast<std::uint16_t>(n % 3);
    lab.put(question("203.0.113.99", 40000, n), 0, queue);
    lab.run();
    const net::Parsed sent = only(lab.sent());
    lab.put(from_backend(ip4(kBackend, kOwn).udp(n, sent.src_port, {9})), 0, static_cast<std::uint16_t>((n + 1) % 3));
    lab.run();
    const net::Parsed returned = only(lab.sent());
    EXPECT_EQ(returned.src, *net::IpAddress::parse("203.0.113.99"));
    EXPECT_EQ(returned.src_port, n);
  }
  std::int64_t flows = 0;
  for (std::size_t worker = 0; worker < 3; ++worker) flows += lab.counters(worker).flows.read();
  EXPECT_EQ(flows, 60);
}

TEST(WorkerEcho, EveryWorkerSeesTheSameOwner) {
  Lab lab(config("workers: [0, 0, 0], flows: 3072"), {.queues = 3});
  for (std::uint32_t n = 1; n <= 60; ++n) {
    lab.put(from_client(ip4("192.0.2.7", "203.0.113.10").icmp(8, 0, n << 16 | 1, {1, 2})), 0,
            static_cast<std::uint16_t>(n % 3));
    lab.run();
    const net::Parsed sent = only(lab.sent());
    EXPECT_EQ(sent.dst, *net::IpAddress::parse(kBackend));
    lab.put(from_backend(ip4(kBackend, kOwn).icmp(0, 0, std::uint32_t{sent.dst_port} << 16 | 1, {1, 2})), 0,
            static_cast<std::uint16_t>((n + 1) % 3));
    lab.run();
    const net::Parsed returned = only(lab.sent());
    EXPECT_EQ(returned.src, *net::IpAddress::parse("203.0.113.10"));
    EXPECT_EQ(returned.dst_port, n);
  }
  for (std::size_t worker = 0; worker < 3; ++worker) EXPECT_EQ(lab.counters(worker).icmp_echo.read(), 0u);
}

TEST(WorkerEcho, IsNoFlowOfOurOwnAddress) {
  Lab lab(config("workers: [0], flows: 1024"));
  EXPECT_EQ(only(lab.exchange(from_client(ip4("192.0.2.7", kOwn).icmp(8, 0, 7u << 16, {1})))).icmp_type, 0);
  EXPECT_EQ(lab.counters().icmp_echo.read(), 1u);
  EXPECT_EQ(lab.counters().flows.read(), 0);
}

// INIT, then nothing: a flow that opens ends soon, one that is established does not.
TEST(WorkerSctp, AnAssociationIsOpenedByItsHandshake) {
  Lab lab(config("workers: [0], flows: 1024"));
  const auto client = [](std::uint8_t chunk, Bytes value = {}) {
    return from_client(
        ip4("192.0.2.7", "203.0.113.10").sctp(40000, 80, 1, test::sctp_chunk(chunk, 0, std::move(value))));
  };
  const std::uint16_t port = only(lab.exchange(client(1, Bytes(16, 1)))).src_port;
  EXPECT_EQ(lab.counters().tcp_flows_open.read(), 1);
  const auto answer = [port](std::uint8_t chunk) {
    return from_backend(ip4(kBackend, kOwn).sctp(8080, port, 1, test::sctp_chunk(chunk, 0, Bytes(16, 1))));
  };
  (void)only(lab.exchange(answer(2)));
  (void)only(lab.exchange(client(10)));
  lab.pass(std::chrono::minutes(100));
  EXPECT_EQ(only(lab.exchange(client(0))).src_port, port);
  (void)only(lab.exchange(client(7)));
  (void)only(lab.exchange(answer(8)));
  EXPECT_EQ(lab.counters().tcp_flows_open.read(), 0);
  EXPECT_EQ(lab.counters().flows_closed.read(), 1u);
  (void)only(lab.exchange(client(14)));
  EXPECT_EQ(lab.drops(), 0u);
}

}  // namespace
}  // namespace sluice::dataplane
