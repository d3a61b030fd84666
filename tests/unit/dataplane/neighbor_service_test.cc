// Neighbours as the packet path sees them: who is asked, who gives way when there are too many, what is announced.
#include <algorithm>
#include <map>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "lab.h"
#include "sluice/net/build.h"

namespace sluice::dataplane {
namespace {

constexpr const char* kBackend11 = "10.0.0.11";

// RFC 4861 section 7.3.3: who does not answer at its old MAC is looked for anew, without a pause.
TEST(NeighborService, ANeighbourThatMovedIsAskedForByAllAtOnce) {
  Lab lab(R"(
runtime: { workers: [0], flows: 1024 }
interfaces: { edge: { device: net_null0, addresses: 198.51.100.2/24, gateway: 198.51.100.1 } }
pools: { web: { backends: { address: 198.51.100.11, port: 8080 } } }
services: { web: { listen: "203.0.113.10:80", forward: { mode: nat, pool: web } } }
)");
  const auto is_question = [](const Bytes& frame) {
    return frame[12] == 0x08 && frame[13] == 0x06 && frame[0] == 0xff;
  };
  const auto answer_from = [&](const net::MacAddress& mac) {
    Bytes frame(net::kArpFrameBytes);
    net::ArpMessage question;
    question.sender_mac = kOurMac;
    question.sender = *net::IpAddress::parse(kOwn);
    EXPECT_NE(net::build_arp_reply(frame, {mac, *net::IpAddress::parse(kBackend)}, question), 0u);
    return lab.exchange(frame);
  };
  EXPECT_TRUE(is_question(lab.exchange(syn(40000)).at(0)));
  EXPECT_EQ(answer_from(kBackendMac).size(), 1u);  // what waited goes there
  for (int second = 0; second < 35; ++second) {
    lab.pass(std::chrono::seconds(1));
    lab.run();
  }
  (void)lab.sent();  // three questions to the old MAC
  EXPECT_TRUE(is_question(lab.exchange(syn(40000)).at(0)));
  const net::MacAddress moved{{2, 0, 0, 0, 0xbb, 2}};
  EXPECT_EQ(answer_from(moved).at(0)[5], 2);
  EXPECT_EQ(lab.drops(), 0u);
}

// Flows keep the link header towards their next hop: not beyond a change of the neighbour's MAC, and not for another address.
TEST(NeighborService, RunningFlowsFollowANeighbourThatMoves) {
  Lab lab(R"(
runtime: { workers: [0], flows: 1024 }
interfaces: { edge: { device: net_null0, addresses: 198.51.100.2/24, gateway: 198.51.100.1 } }
pools: { web: { balance: round_robin, backends: [ { address: 198.51.100.11, port: 8080 }, { address: 198.51.100.12, port: 8080 } ] } }
services: { web: { listen: "203.0.113.10:80", forward: { mode: nat, pool: web } } }
)");
  const auto says = [&](const char* address, std::uint8_t mac) {
    Bytes frame(net::kArpFrameBytes);
    net::ArpMessage question;
    question.sender_mac = kOurMac;
    question.sender = *net::IpAddress::parse(kOwn);
    EXPECT_NE(net::build_arp_reply(frame, {{{2, 0, 0, 0, 0xbb, mac}}, *net::IpAddress::parse(address)}, question), 0u);
    return lab.exchange(frame);
  };
  const auto mac_of = [&](std::uint16_t port) -> int {
    const std::vector<Bytes> out = lab.exchange(syn(port));
    return out.size() == 1 && out[0][13] == 0x00 ? out[0][5] : -1;
  };
  (void)lab.exchange(syn(40000));
  (void)lab.exchange(syn(40001));
  (void)says("198.51.100.11", 1);
  (void)says("198.51.100.12", 2);
  const bool first_is_11 = mac_of(40000) == 1;
  const std::uint16_t to_11 = first_is_11 ? 40000 : 40001, to_12 = first_is_11 ? 40001 : 40000;
  for (std::uint8_t mac = 3; mac < 20; ++mac) {
    EXPECT_EQ(mac_of(to_12), 2);
    (void)says("198.51.100.11", mac);
    EXPECT_EQ(mac_of(to_11), mac);
    EXPECT_EQ(mac_of(to_11), mac);
  }
  for (int second = 0; second < 35; ++second) {  // nobody answers any more
    lab.pass(std::chrono::seconds(1));
    lab.run();
  }
  (void)lab.sent();
  EXPECT_EQ(mac_of(to_11), -1) << "a question first";
  EXPECT_EQ(lab.drops(), 0u);
}

// Sources of an on-link network that nobody has: their entries give way, and the packets that wait for them are bounded.
TEST(NeighborService, SilentNeighboursDoNotFillTheTable) {
  Lab lab(R"(
runtime: { workers: [0], flows: 16384 }
interfaces: { edge: { device: net_null0, addresses: 10.0.0.2/8 } }
neighbors: { interface: edge, address: 10.0.0.11, mac: "02:00:00:00:bb:01" }
pools: { web: { backends: { address: 10.0.0.11, port: 8080 } } }
services: { web: { listen: "203.0.113.10:80", forward: { mode: nat, pool: web } } }
)",
          {.mbufs = 4095});
  for (int i = 0; i < 10'000; ++i) {
    const std::string client = fmt::format("10.1.{}.{}", i / 200, i % 200 + 1);
    const std::vector<Bytes> out = lab.exchange(from_client(ip4(client.c_str(), kService).tcp(40000, 80)));
    ASSERT_EQ(out.size(), 1u) << i;
    const std::vector<Bytes> asked = lab.exchange(
        from_backend(ip4(kBackend11, "10.0.0.2").tcp(8080, src_port_of(out[0]), net::kTcpSyn | net::kTcpAck, 9, 2)));
    ASSERT_EQ(asked.size(), 1u) << "no question for client " << i;
    EXPECT_EQ(asked[0][13], 0x06);  // ARP
    ASSERT_LE(lab.pool().in_use(), 1024u);
  }
}

TEST(NeighborService, AFloodOfMadeUpNeighboursKeepsNobodyOut) {
  Lab lab(simple_config("workers: [0], proxies: [0], flows: 1024"));
  const auto own = net::IpAddress::parse("2001:db8:1::2")->bytes();
  const Bytes link_layer = {1, 1, 2, 0, 0, 0, 0, 99};  // option: the source's link-layer address
  Bytes body(own.begin(), own.end());
  body.insert(body.end(), link_layer.begin(), link_layer.end());
  for (unsigned i = 0; i < 20'000; ++i) {
    const std::string from = fmt::format("2001:db8:1::{:x}:{:x}", 1 + i / 1000, 1 + i % 1000);
    ASSERT_EQ(lab.exchange(from_client(ip6(from.c_str(), "2001:db8:1::2").ttl(255).icmp(135, 0, 0, body))).size(), 1u);
  }
  // Whom we send to is asked for, whatever the flood has filled.
  for (unsigned host = 0; host < 64; ++host) {
    const std::string to = fmt::format("2001:db8:1::aaaa:{:x}", host + 1);
    const Bytes packet = ip6("2001:db8:1::2", to.c_str()).tcp(80, 9).ip_packet();
    tcp::PacketSink& sink = lab.assembly().sink(0);
    std::ranges::copy(packet, sink.reserve(packet.size()).begin());
    sink.commit(packet.size());
    lab.run();
    EXPECT_EQ(lab.sent().size(), 1u) << to;  // a solicitation
  }
  EXPECT_EQ(lab.drops(), 0u);
}

// Clients of the link that answer, and that we send to: they keep out neither a backend nor clients of another interface.
TEST(NeighborService, AFloodOfNeighboursInUseKeepsOutNobodyWhoIsNeeded) {
  std::string backends;
  for (int i = 20; i < 84; ++i) backends += fmt::format("{{ address: 10.0.0.{}, port: 8080 }}, ", i);
  Lab lab(fmt::format(R"(
runtime: {{ workers: [0], flows: 32768 }}
interfaces:
  edge: {{ device: net_null0, addresses: 10.0.0.2/8 }}
  inside: {{ device: net_null1, addresses: 172.16.0.2/16 }}
neighbors: {{ interface: edge, address: 10.0.0.11, mac: "02:00:00:00:bb:01" }}
pools:
  web: {{ backends: {{ address: 10.0.0.11, port: 8080 }} }}
  many: {{ balance: round_robin, backends: [ {} ] }}
services:
  web: {{ listen: "203.0.113.10:80", forward: {{ mode: nat, pool: web }} }}
  many: {{ listen: "203.0.113.11:80", forward: {{ mode: nat, pool: many }} }}
)",
                      backends),
          {.mbufs = 4095});
  // Opens a flow; true: the client is asked for its MAC.
  const auto is_asked_for = [&](const std::string& client, std::size_t interface) {
    const Bytes packet = ip4(client.c_str(), kService)
                             .link(kGatewayMac, {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(interface + 1)}})
                             .tcp(40000, 80)
                             .frame();
    lab.put(packet, interface);
    lab.run();
    const std::vector<Bytes> out = lab.sent(0);
    lab.put(
        from_backend(ip4(kBackend11, "10.0.0.2").tcp(8080, src_port_of(out.at(0)), net::kTcpSyn | net::kTcpAck, 9, 2)));
    lab.run();
    const std::vector<Bytes> asked = lab.sent(interface);
    return asked.size() == 1 && asked[0][13] == 0x06;
  };
  net::ArpMessage question;
  question.sender_mac = kOurMac;
  question.sender = *net::IpAddress::parse("10.0.0.2");
  for (int i = 0; i < 16'000; ++i) {
    const std::string client = fmt::format("10.1.{}.{}", i / 200, i % 200 + 1);
    if (!is_asked_for(client, 0)) continue;
    Bytes answer(net::kArpFrameBytes);
    ASSERT_NE(net::build_arp_reply(answer, {kGatewayMac, *net::IpAddress::parse(client)}, question), 0u);
    ASSERT_EQ(lab.exchange(answer).size(), 1u);  // what waited
  }
  EXPECT_GT(lab.drops(Drop::kNeighborPending), 0u);  // it was more than there is room for
  for (int i = 0; i < 64; ++i) {
    EXPECT_TRUE(is_asked_for(fmt::format("172.16.1.{}", i + 1), 1)) << i;
    const std::vector<Bytes> out =
        lab.exchange(from_client(ip4("10.0.0.9", "203.0.113.11").tcp(static_cast<std::uint16_t>(2000 + i), 80)));
    ASSERT_EQ(out.size(), 1u) << "no question for a backend";
    EXPECT_EQ(out[0][13], 0x06);
  }
}

TEST(NeighborService, AnnouncesItsAddressesTwice) {
  Lab lab(simple_config(), {.announce = true});
  lab.run();
  const std::vector<Bytes> first = lab.sent();
  EXPECT_EQ(first.size(), 3u);  // 198.51.100.2, 2001:db8:1::2 and the link-local address
  EXPECT_EQ(lab.counters().arp_out.read(), 1u);
  EXPECT_EQ(lab.counters().nd_out.read(), 2u);
  lab.pass(std::chrono::seconds(2));
  lab.run();
  EXPECT_EQ(lab.sent(), first);
  lab.pass(std::chrono::seconds(2));
  lab.run();
  EXPECT_TRUE(lab.sent().empty());
}

// More addresses than the transmit queue's backlog holds, and a device that is not ready yet.
TEST(NeighborService, AnnouncesManyAddressesAFewAtATime) {
  constexpr int kServices = 1200;
  std::string services;
  for (int i = 0; i < 6; ++i) {
    std::string few;
    for (int j = 0; j < kServices / 6; ++j) few += fmt::format("\"10.0.{}.{}:80\", ", i + 1, j + 1);
    services += fmt::format("  s{}: {{ listen: [{}], forward: {{ mode: nat, pool: web }} }}\n", i, few);
  }
  Lab lab(R"(
runtime: { workers: [0], flows: 1024 }
interfaces: { edge: { device: net_null0, addresses: 10.0.0.2/8 } }
pools: { web: { backends: { address: 10.1.0.11, port: 8080 } } }
services:
)" + services,
          {.mbufs = 4095, .announce = true});
  lab.device().refuse_sends_after(0);
  for (int turn = 0; turn < 100; ++turn) (void)lab.assembly().loops()[0]->turn(lab.now());
  EXPECT_EQ(lab.drops(), 0u);
  lab.device().refuse_sends_after(~std::size_t{0});
  std::map<std::string, int> seen;  // how often a frame was sent
  for (int ms = 0; ms < 3000; ++ms) {
    lab.run();
    const std::vector<Bytes> sent = lab.sent();
    EXPECT_LE(sent.size(), 64u);
    for (const Bytes& frame : sent) ++seen[std::string(frame.begin(), frame.end())];
    lab.pass(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(seen.size(), kServices + 2u);  // with the own address and the link-local one
  for (const auto& [frame, times] : seen) ASSERT_EQ(times, 2);
  EXPECT_EQ(lab.drops(), 0u);
}

}  // namespace
}  // namespace sluice::dataplane
