// The worker from burst to burst: who owns a packet, what is refused and why, and that no mbuf is lost on any way.
#include "sluice/dataplane/worker.h"

#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "lab.h"
#include "sluice/base/random.h"
#include "sluice/lb/flow_query.h"
#include "sluice/net/parse.h"

namespace sluice::dataplane {
namespace {

TEST(WorkerNat, AFlowGoesAndComesBack) {
  Lab lab(simple_config());
  const std::vector<Bytes> out = lab.exchange(syn(40000));
  ASSERT_EQ(out.size(), 1u);
  const std::uint16_t nat_port = src_port_of(out[0]);
  const std::vector<Bytes> back =
      lab.exchange(from_backend(ip4(kBackend, kOwn).tcp(8080, nat_port, net::kTcpSyn | net::kTcpAck, 9, 2)));
  ASSERT_EQ(back.size(), 1u);
  Bytes want = ip4(kService, kClient)
                   .link(kOurMac, kGatewayMac)
                   .ttl(63)
                   .tcp(80, 40000, net::kTcpSyn | net::kTcpAck, 9, 2)
                   .frame();
  EXPECT_EQ(back[0], want);
  EXPECT_EQ(lab.counters().flows.read(), 1);
  EXPECT_EQ(lab.counters().tcp_flows_open.read(), 1);
  EXPECT_EQ(lab.counters().services[0].in.packets.read(), 1u);
  EXPECT_EQ(lab.counters().services[0].out.packets.read(), 1u);
  EXPECT_EQ(lab.counters().backends[0].out.packets.read(), 1u);
  EXPECT_EQ(lab.counters().backends[0].in.packets.read(), 1u);
  EXPECT_EQ(lab.drops(), 0u);
}

TEST(WorkerNat, ADuplicateInTheSameBurstJoinsTheFlow) {
  Lab lab(simple_config());
  for (int i = 0; i < 3; ++i) lab.put(syn(40000));
  lab.run();
  const std::vector<Bytes> out = lab.sent();
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(out[0], out[1]);
  EXPECT_EQ(out[0], out[2]);
  EXPECT_EQ(lab.counters().flows_created.read(), 1u);
}

TEST(WorkerNat, AnEndedConnectionMayBeginAnewOnItsTuple) {
  Lab lab(simple_config());
  const std::uint16_t first = src_port_of(lab.exchange(syn(40000))[0]);
  const auto client = [&](std::uint8_t flags) {
    return lab.exchange(from_client(ip4(kClient, kService).tcp(40000, 80, flags, 5, 5)));
  };
  const auto backend = [&](std::uint8_t flags) {
    return lab.exchange(from_backend(ip4(kBackend, kOwn).tcp(8080, first, flags, 5, 5)));
  };
  backend(net::kTcpSyn | net::kTcpAck);
  client(net::kTcpAck);
  client(net::kTcpFin | net::kTcpAck);
  backend(net::kTcpFin | net::kTcpAck);
  EXPECT_EQ(lab.counters().tcp_flows_open.read(), 0);
  const std::vector<Bytes> again = lab.exchange(syn(40000));
  ASSERT_EQ(again.size(), 1u);
  EXPECT_NE(src_port_of(again[0]), first);  // the old port rests
  EXPECT_EQ(lab.counters().flows_created.read(), 2u);
}

TEST(WorkerNat, AUdpFlowLeavesABackendThatIsDownAndATcpFlowStays) {
  Lab lab(edge_config(R"(pools:
  web:
    backends: [ { name: web1, address: 198.51.100.11, port: 8080 }, { name: web2, address: 198.51.100.12, port: 8080 } ]
    health: { tcp: {} }
services:
  web: { listen: ["203.0.113.10:80/tcp", "203.0.113.10:53/udp"], forward: { mode: nat, pool: web } }
)"));
  const auto backend_of = [](const Bytes& frame) { return frame[33]; };  // the last byte of the IPv4 destination
  const Bytes datagram = from_client(ip4(kClient, kService).udp(40000, 53));
  lab.report("web1", lb::Health::kUp);
  EXPECT_EQ(backend_of(lab.exchange(datagram).at(0)), 11);
  const std::uint16_t nat_port = src_port_of(lab.exchange(syn(40001)).at(0));
  (void)lab.exchange(from_backend(ip4(kBackend, kOwn).tcp(8080, nat_port, net::kTcpSyn | net::kTcpAck)));

  lab.report("web2", lb::Health::kUp);
  EXPECT_EQ(backend_of(lab.exchange(datagram).at(0)), 11);  // one that comes up takes nothing away
  lab.report("web1", lb::Health::kDown);
  EXPECT_EQ(backend_of(lab.exchange(datagram).at(0)), 12);
  const Bytes ack = from_client(ip4(kClient, kService).tcp(40001, 80, net::kTcpAck));
  EXPECT_EQ(backend_of(lab.exchange(ack).at(0)), 11);  // its state is there
  EXPECT_EQ(lab.counters().flows.read(), 2);
}

TEST(WorkerNat, AFullTableRefusesTheNewAndKeepsTheOld) {
  Lab lab(simple_config("workers: [0], flows: 1024"));
  std::size_t opened = 0;
  for (std::uint16_t port = 1024; port < 1024 + 1100; ++port) {
    const std::vector<Bytes> out = lab.exchange(syn(port));
    ASSERT_EQ(out.size(), 1u);
    if (out[0][47] == net::kTcpSyn) ++opened;
  }
  EXPECT_EQ(opened, 1024u);
  EXPECT_EQ(lab.drops(Drop::kFlowTableFull), 76u);
  EXPECT_EQ(lab.counters().rst_sent.read(), 76u);
  EXPECT_EQ(lab.counters().services[0].failed.read(), 76u);
  EXPECT_EQ(lab.exchange(from_client(ip4(kClient, kService).tcp(1024, 80, net::kTcpAck, 2, 2)))[0][47], net::kTcpAck);
}

std::string dsr_config() {
  return edge_config(R"(pools:
  web: { backends: [ { address: 198.51.100.11, port: 80 }, { address: 198.51.100.12, port: 80 } ] }
services:
  web: { listen: "203.0.113.10:80", forward: { mode: dsr, pool: web } }
)");
}

// A restart, or another machine that had the flow before: Maglev says alone where it goes.
TEST(WorkerDsr, ASegmentAmidAFlowThatWeHaveNotSeenIsForwarded) {
  Lab lab(dsr_config());
  const Bytes ack = from_client(ip4(kClient, kService).tcp(40001, 80, net::kTcpAck));
  const std::vector<Bytes> out = lab.exchange(ack);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0][4], 0xbb);
  const Bytes want = ip4(kClient, kService).ttl(63).tcp(40001, 80, net::kTcpAck).frame();
  EXPECT_EQ(Bytes(out[0].begin() + 12, out[0].end()), Bytes(want.begin() + 12, want.end()));
  EXPECT_EQ(lab.counters().flows.read(), 1);
}

TEST(WorkerDsr, AFullTableForwardsByTheHash) {
  Lab lab(dsr_config());
  const auto backend_of = [](const Bytes& frame) { return frame[5]; };
  std::vector<std::uint8_t> chosen;
  for (std::uint16_t port = 1024; port < 1024 + 1100; ++port)
    chosen.push_back(backend_of(lab.exchange(syn(port)).at(0)));
  EXPECT_EQ(lab.counters().flows.read(), 1024);
  EXPECT_EQ(lab.counters().forwarded_without_flow.read(), 76u);
  EXPECT_EQ(lab.drops(), 0u);
  for (std::uint16_t port = 1024; port < 1024 + 1100; ++port) {
    const Bytes ack = from_client(ip4(kClient, kService).tcp(port, 80, net::kTcpAck));
    EXPECT_EQ(backend_of(lab.exchange(ack).at(0)), chosen[port - 1024u]);
  }
}

TEST(WorkerNat, WithoutAFreePortNewFlowsAreRefused) {
  Lab lab(simple_config("workers: [0], flows: 4096"), {.port_owners = 250});
  std::set<std::uint16_t> ports;
  std::size_t refused = 0;
  for (std::uint16_t port = 2000; port < 2400; ++port) {
    const std::vector<Bytes> out = lab.exchange(from_client(ip4(kClient, kService).udp(port, 53, {1, 2})));
    ASSERT_EQ(out.size(), 1u);
    if (out[0][23] == 1) {
      ++refused;  // ICMP port unreachable
    } else {
      EXPECT_TRUE(ports.insert(src_port_of(out[0])).second);
    }
    lab.pass(std::chrono::milliseconds(10));  // past the rate limit of ICMP
  }
  EXPECT_EQ(lab.drops(Drop::kNatPortsExhausted), refused);
  EXPECT_EQ(ports.size() + refused, 400u);
  EXPECT_GE(refused, 50u);
  EXPECT_LE(*ports.rbegin() - *ports.begin(), 320);  // one block
}

// A service may stand at a NAT source address: what a backend sends to its port would be taken for a client's packet.
TEST(WorkerNat, PortsOnWhichAServiceListensAreNotTaken) {
  std::string listens;
  for (int port = 1030; port < 1130; ++port) listens += fmt::format("\"{}:{}/tcp\", ", kOwn, port);
  Lab lab(simple_config("workers: [0], flows: 4096") +
              fmt::format("  own: {{ listen: [{}], forward: {{ mode: nat, pool: web }} }}\n", listens),
          {.port_owners = 250});
  std::set<std::uint16_t> ports;
  for (std::uint16_t port = 2000; port < 2200; ++port) {
    const std::vector<Bytes> out = lab.exchange(syn(port));
    ASSERT_EQ(out.size(), 1u);
    ports.insert(src_port_of(out[0]));
    const std::vector<Bytes> back = lab.exchange(
        from_backend(ip4(kBackend, kOwn).tcp(8080, src_port_of(out[0]), net::kTcpSyn | net::kTcpAck, 9, 2)));
    ASSERT_EQ(back.size(), 1u);
    EXPECT_EQ(src_port_of(back[0]), 80) << "reply to port " << src_port_of(out[0]);
  }
  EXPECT_EQ(ports.size(), 200u);
  EXPECT_EQ(lab.drops(), 0u);
}

TEST(WorkerNat, EveryOfManyBackendsHasNatPorts) {
  std::string backends;
  for (int i = 0; i < 1200; ++i) {
    backends += fmt::format("{{ name: b{}, address: 10.0.{}.{}, port: 80 }}, ", i, i / 200, i % 200 + 1);
  }
  Lab lab(fmt::format(R"(
runtime: {{ workers: [0], flows: 4096 }}
interfaces: {{ edge: {{ device: net_null0, addresses: 198.51.100.2/24, gateway: 198.51.100.1 }} }}
neighbors: {{ interface: edge, address: 198.51.100.1, mac: "02:00:00:00:ff:01" }}
pools: {{ web: {{ balance: round_robin, backends: [ {} ] }} }}
services: {{ web: {{ listen: "203.0.113.10:80", forward: {{ mode: nat, pool: web }} }} }}
)",
                      backends));
  for (std::uint16_t port = 2000; port < 3200; ++port) EXPECT_EQ(lab.exchange(syn(port)).size(), 1u);
  EXPECT_EQ(lab.drops(), 0u);
}

TEST(WorkerNat, IdleFlowsAreForgotten) {
  Lab lab(simple_config());
  for (std::uint16_t port = 2000; port < 2010; ++port)
    lab.exchange(from_client(ip4(kClient, kService).udp(port, 53, {1})));
  EXPECT_EQ(lab.counters().flows.read(), 10);
  lab.pass(std::chrono::seconds(121));
  for (int turn = 0; turn < 50; ++turn) {
    lab.pass(std::chrono::milliseconds(300));
    lab.run();
  }
  EXPECT_EQ(lab.counters().flows.read(), 0);
  EXPECT_EQ(lab.counters().flows_expired.read(), 10u);
  EXPECT_EQ(lab.counters().nat_ports_used.read(), 0);
}

// RFC 5382 REQ-10: what an error says of a flow is for its ends; the NAT's own memory of it stays as it is.
TEST(WorkerNat, IcmpErrorsNeitherProlongNorEndAFlow) {
  Lab lab(simple_config());
  const Bytes query = lab.exchange(from_client(ip4(kClient, kService).udp(40000, 53, {1}))).at(0);
  const Bytes error = from_backend(ip4(kBackend, kOwn).icmp(3, 3, 0, Bytes(query.begin() + 14, query.end())));
  for (int second = 0; second < 119; second += 7) {
    EXPECT_EQ(lab.exchange(error).size(), 1u);
    lab.pass(std::chrono::seconds(7));
  }
  EXPECT_EQ(lab.counters().icmp_errors_passed.read(), 17u);
  EXPECT_EQ(lab.counters().flows.read(), 1);
  lab.pass(std::chrono::seconds(3));
  EXPECT_TRUE(lab.exchange(error).empty());
  EXPECT_EQ(lab.drops(Drop::kIcmpNoFlow), 1u);
}

// Whatever stands in the quoted packet, and wherever it is cut off (AddressSanitizer watches).
TEST(WorkerNat, AnyQuotedBytesDoNoHarm) {
  Lab lab(simple_config());
  const Bytes sent = lab.exchange(syn(40000)).at(0);
  const Bytes packet(sent.begin() + 14, sent.end());
  const auto size = static_cast<std::uint32_t>(packet.size());
  Random random(1);
  for (int round = 0; round < 20'000; ++round) {
    Bytes quoted = packet;
    for (std::uint32_t changes = random.below(4); changes > 0; --changes) {
      quoted[random.below(size)] = static_cast<std::uint8_t>(random.next());
    }
    quoted.resize(random.below(size + 8));
    const std::uint8_t types[] = {3, 11, 12};
    const Bytes error = from_backend(
        ip4(kBackend, kOwn).icmp(types[round % 3], static_cast<std::uint8_t>(round % 16), 1400, std::move(quoted)));
    for (const Bytes& out : lab.exchange(error)) {
      ASSERT_EQ(out.size(), error.size());
      ASSERT_TRUE(net::l4_checksum_ok(out, net::parse(out)));
    }
  }
  EXPECT_GT(lab.counters().icmp_errors_passed.read(), 1000u);
  EXPECT_GT(lab.drops(Drop::kIcmpNoFlow), 1000u);
}

TEST(WorkerNat, WhileStoppingOldFlowsGoOnAndNewOnesAreRefused) {
  Lab lab(simple_config());
  lab.exchange(syn(40000));
  lab.assembly().worker(0).refuse_new_flows();
  EXPECT_EQ(lab.exchange(from_client(ip4(kClient, kService).tcp(40000, 80, net::kTcpAck, 2, 2)))[0][47], net::kTcpAck);
  EXPECT_EQ(lab.exchange(syn(40001))[0][47], net::kTcpRst | net::kTcpAck);
  EXPECT_EQ(lab.drops(Drop::kShutdown), 1u);
}

// Every flow has one owner, one backend and one port, whichever queue its packets come by and wherever workers run.
class WorkerOwners : public ::testing::TestWithParam<const char*> {};
TEST_P(WorkerOwners, AFlowHasOneOwner) {
  Lab lab(simple_config(std::string(GetParam()) + ", flows: 4096"), {.queues = 2});
  std::set<std::uint16_t> ports;
  for (std::uint16_t port = 3000; port < 3100; ++port) {
    std::set<std::uint16_t> of_flow;
    for (std::uint16_t queue = 0; queue < 2; ++queue) {
      lab.put(syn(port), 0, queue);
      lab.run();
      for (const Bytes& frame : lab.sent()) of_flow.insert(src_port_of(frame));
    }
    ASSERT_EQ(of_flow.size(), 1u) << port;
    EXPECT_TRUE(ports.insert(*of_flow.begin()).second);
    for (std::uint16_t queue = 0; queue < 2; ++queue) {
      lab.put(from_backend(ip4(kBackend, kOwn).tcp(8080, *of_flow.begin(), net::kTcpSyn | net::kTcpAck, 1, 2)), 0,
              queue);
    }
    lab.run();
    EXPECT_EQ(lab.sent().size(), 2u);
  }
  EXPECT_EQ(lab.drops(), 0u);
  std::int64_t flows = 0;
  for (std::size_t i = 0; i < lab.assembly().workers(); ++i) {
    flows += lab.counters(i).flows.read();
    if (lab.assembly().workers() > 1) {
      EXPECT_GT(lab.counters(i).flows.read(), 10);
    }
  }
  EXPECT_EQ(flows, 100);
}
INSTANTIATE_TEST_SUITE_P(Places, WorkerOwners,
                         ::testing::Values("workers: [0]", "workers: [0, 0]", "workers: [0, 1]",
                                           "workers: [0, 1, 1, 2]"),
                         [](const auto& test) { return "case" + std::to_string(test.index); });

TEST(Worker, AFullInboxOfTheOwnerIsCounted) {
  Lab lab(simple_config("workers: [0, 1], flows: 1024"), {.mbufs = 8191});
  // Only the first worker's loop turns: what belongs to the second piles up.
  for (std::uint16_t i = 0; i < 6000; ++i) lab.put(from_client(ip4(kClient, kService).tcp(i, 80, net::kTcpAck)));
  while (lab.assembly().loops()[0]->turn(lab.now())) (void)lab.sent();
  EXPECT_GT(lab.drops(Drop::kHandoffFull), 0u);
}

TEST(Worker, WithoutASnapshotPacketsAreDropped) {
  Lab lab(simple_config(), {.publish = false});
  EXPECT_TRUE(lab.exchange(syn(1)).empty());
  EXPECT_EQ(lab.drops(Drop::kShutdown), 1u);
}

TEST(Worker, AnAnswerThatFindsNoMbufIsCounted) {
  Lab lab(simple_config(), {.mbufs = 64});
  for (std::uint16_t i = 0; i < 32; ++i) lab.put(from_client(ip4(kClient, kService).tcp(i, 80, net::kTcpAck)));
  for (std::uint16_t i = 0; i < 32; ++i) lab.put(from_client(ip4(kClient, "203.0.113.99").tcp(i, 80)));
  lab.run();
  // A reset needs an mbuf of its own, and all of them were packets.
  EXPECT_GT(lab.drops(Drop::kNoMbuf), 0u);
  EXPECT_EQ(lab.drops(Drop::kNoFlow), 32u);
  (void)lab.sent();
}

TEST(Worker, EchoIsRateLimited) {
  Lab lab(simple_config());
  for (int burst = 0; burst < 11; ++burst) {
    for (int i = 0; i < 100; ++i) lab.put(from_client(ip4(kClient, kOwn).icmp(8, 0, 7, {1, 2, 3})));
    lab.run();
    (void)lab.sent();
  }
  EXPECT_EQ(lab.counters().icmp_echo.read(), 1000u);
  EXPECT_EQ(lab.drops(Drop::kIcmpRateLimited), 100u);
  lab.pass(std::chrono::milliseconds(10));
  EXPECT_EQ(lab.exchange(from_client(ip4(kClient, kOwn).icmp(8, 0, 7, {1}))).size(), 1u);
}

struct DropRow {
  const char* name;
  test::PacketBuilder packet;
  Drop want;
};
const DropRow kDropRows[] = {
    {"ip6_extensions_beyond_the_bound", ip6("2001:db8:99::7", "2001:db8:1::2").extension(60, Bytes(262, 0)).udp(1, 2),
     Drop::kIpOptions},
    {"error_about_a_nat_flow", ip4(kClient, kOwn).icmp(3, 1, 0, ip4(kOwn, kBackend).tcp(30000, 8080).ip_packet()),
     Drop::kIcmpNoFlow},
    {"error_about_a_packet_of_another", ip4(kClient, kOwn).icmp(3, 1, 0, ip4(kService, kClient).tcp(80, 1).ip_packet()),
     Drop::kIcmpNoFlow},
    {"error_about_a_port_of_nobody", ip4(kClient, kOwn).icmp(3, 1, 0, ip4(kOwn, kBackend).tcp(22, 8080).ip_packet()),
     Drop::kIcmpNoFlow},
    {"error_about_nothing", ip4(kClient, kOwn).icmp(3, 1, 0, {1, 2, 3}), Drop::kIcmpUnhandled},
    {"source_is_our_own", ip4(kOwn, kService).tcp(40000, 80), Drop::kBadIpAddress},
    {"echo_reply", ip4(kClient, kOwn).icmp(0, 0), Drop::kIcmpUnhandled},
    {"to_a_proxys_port_where_there_is_none", ip4(kClient, kOwn).payload(net::IpProto{99}, {1}), Drop::kProtocolUnknown},
};
TEST(Worker, DropsHaveTheirReason) {
  for (const DropRow& row : kDropRows) {
    Lab lab(simple_config());
    EXPECT_TRUE(lab.exchange(from_client(row.packet)).empty()) << row.name;
    EXPECT_EQ(lab.drops(row.want), 1u) << row.name;
    EXPECT_EQ(lab.drops(), 1u) << row.name;
  }
}

struct MarkRow {
  const char* name;
  std::uint64_t marks;
  Drop want;
};
const MarkRow kMarkRows[] = {
    {"nothing_known", 0, Drop::kNone},
    {"both_good", RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD, Drop::kNone},
    {"none_in_the_packet", RTE_MBUF_F_RX_IP_CKSUM_NONE | RTE_MBUF_F_RX_L4_CKSUM_NONE, Drop::kNone},
    {"bad_in_the_ip_header", RTE_MBUF_F_RX_IP_CKSUM_BAD | RTE_MBUF_F_RX_L4_CKSUM_GOOD, Drop::kBadIpChecksum},
    {"bad_in_layer_4", RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_BAD, Drop::kBadChecksum},
};
TEST(Worker, WhatTheDeviceSaysOfChecksumsIsBelieved) {
  for (const MarkRow& row : kMarkRows) {
    Lab lab(simple_config());
    lab.put(syn(40000), 0, 0, row.marks);
    lab.run();
    EXPECT_EQ(lab.sent().size(), row.want == Drop::kNone ? 1u : 0u) << row.name;
    EXPECT_EQ(lab.drops(row.want), row.want == Drop::kNone ? 0u : 1u) << row.name;
    EXPECT_EQ(lab.drops(), row.want == Drop::kNone ? 0u : 1u) << row.name;
  }
}

// IEEE 802.1Q section 6.9: a tag of VLAN 0 says the priority alone.
TEST(Worker, PriorityTagsAreTakenOff) {
  Lab lab(simple_config());
  const auto tagged = [](Bytes frame) {
    const std::uint8_t tag[] = {0x81, 0x00, 0xa0, 0x00};
    frame.insert(frame.begin() + 12, std::begin(tag), std::end(tag));
    return frame;
  };
  const std::vector<Bytes> out = lab.exchange(tagged(syn(40000)));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0], lab.exchange(syn(40000)).at(0));
  const Bytes ping = from_client(ip4(kClient, kOwn).icmp(8, 0, 7, {1, 2, 3}));
  EXPECT_EQ(lab.exchange(tagged(ping)), lab.exchange(ping));
  const Bytes closed = from_client(ip4(kClient, kOwn).tcp(1, 22));
  EXPECT_EQ(lab.exchange(tagged(closed)), lab.exchange(closed));
}

struct LinkRow {
  const char* name;
  net::MacAddress from, to;
};
// Neither forwarded nor answered: an answer would go to everybody, or forwarding would make copies of one packet.
const LinkRow kLinkRows[] = {
    {"to_all", kGatewayMac, net::kBroadcastMac},
    {"to_a_group", kGatewayMac, {{1, 0, 0x5e, 0, 0, 1}}},
    {"from_all", net::kBroadcastMac, kOurMac},
    {"to_another", kGatewayMac, {{2, 0, 0, 0, 0, 9}}},
};
TEST(Worker, FramesThatAreNotForThisStationAreDropped) {
  for (const LinkRow& row : kLinkRows) {
    Lab lab(simple_config());
    EXPECT_TRUE(lab.exchange(ip4(kClient, kService).link(row.from, row.to).tcp(40000, 80).frame()).empty()) << row.name;
    EXPECT_TRUE(lab.exchange(ip4(kClient, kOwn).link(row.from, row.to).udp(40000, 9).frame()).empty()) << row.name;
    EXPECT_EQ(lab.drops(Drop::kBadEthernet), 2u) << row.name;
  }
}

TEST(Worker, WhatTheDeviceRefusesIsCountedOnceTheBacklogIsFull) {
  Lab lab(simple_config(), {.mbufs = 4095});
  lab.device().refuse_sends_after(0);
  for (std::uint16_t i = 0; i < 600; ++i) lab.put(syn(static_cast<std::uint16_t>(2000 + i)));
  for (int turn = 0; turn < 40; ++turn) (void)lab.assembly().loops()[0]->turn(lab.now());
  EXPECT_EQ(lab.drops(Drop::kTxFull), 600u - Tx::kBacklog);
}

TEST(Worker, AnswersQuestionsAboutItsFlowsInSlices) {
  Lab lab(simple_config("workers: [0], flows: 4096"));
  for (std::uint16_t port = 2000; port < 2020; ++port) lab.exchange(syn(port));
  lb::FlowQuery query({}, 100);
  ASSERT_TRUE(lab.assembly().worker(0).queries().post(query));
  int turns = 0;
  for (; !query.done() && turns < 1000; ++turns) {
    EXPECT_TRUE(lab.assembly().loops()[0]->turn(lab.now()));  // work to do: an idle loop would sleep between the slices
  }
  EXPECT_GT(turns, 1);
  ASSERT_TRUE(query.done());
  EXPECT_EQ(query.rows().size(), 20u);
}

TEST(Worker, ManyBurstsLeakNothing) {
  Lab lab(simple_config("workers: [0, 1], flows: 1024"), {.queues = 2});
  std::uint16_t port = 1;
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < 40; ++i) {
      const auto queue = static_cast<std::uint16_t>(i & 1);
      lab.put(syn(port), 0, queue);
      lab.put(from_backend(ip4(kBackend, kOwn).udp(8080, port, {1})), 0, queue);
      lab.put(from_client(ip4(kClient, kOwn).tcp(port, port)), 0, queue);
      lab.put(from_client(ip4(kClient, kService).ttl(1).udp(port, 53)), 0, queue);
      port = static_cast<std::uint16_t>(port + 7);
    }
    lab.pass(std::chrono::milliseconds(1));
    lab.run();
    (void)lab.sent();
  }
}  // ~Lab looks at the pool

}  // namespace
}  // namespace sluice::dataplane
