// Packets on their way to a proxy and back: which proxy, what it sees of them, and how what it builds leaves.
#include "sluice/dataplane/proxy_role.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lab.h"
#include "sluice/net/checksum.h"
#include "sluice/net/parse.h"

namespace sluice::dataplane {
namespace {

class FakeHost final : public PacketHost {
 public:
  std::vector<Bytes> packets, quotes;
  std::vector<std::uint8_t> icmp_types;
  bool busy = false;

  std::size_t bursts = 0;

  void receive(std::span<const tcp::Received> burst, Instant /*now*/) noexcept override {
    ++bursts;
    for (const tcp::Received& one : burst) packets.emplace_back(one.packet.begin(), one.packet.end());
  }
  void receive_icmp_error(const tcp::IcmpMessage& message, Instant /*now*/) noexcept override {
    quotes.emplace_back(message.quoted.begin(), message.quoted.end());
    icmp_types.push_back(message.type);
  }
  bool poll(Instant /*now*/, UnixSeconds /*wall*/) noexcept override { return busy; }
  [[nodiscard]] std::optional<Instant> next_deadline() const noexcept override { return {}; }
};

// Sends a packet as the stack of the first proxy would: where the sink completes checksums, with the sum of the pseudo header.
void commit(Lab& lab, Bytes packet) {
  tcp::PacketSink& sink = lab.assembly().sink(0);
  if (sink.offloads().tx_checksum) {
    const net::Parsed parsed = net::parse_ip(packet);
    net::ChecksumSum sum;
    sum.add_pseudo_header(parsed.src, parsed.dst, net::IpProto::kTcp, packet.size() - parsed.l4_offset);
    net::header_at<net::TcpHeader>(std::span(packet), parsed.l4_offset).checksum = Be16::from_raw(sum.folded());
  }
  const std::span<std::uint8_t> room = sink.reserve(packet.size());
  ASSERT_EQ(room.size(), packet.size());
  std::ranges::copy(packet, room.begin());
  sink.commit(packet.size());
  lab.run();
}

std::string proxy_config(const std::string& cpus) {
  return "runtime: { " + cpus + R"(, flows: 1024 }
interfaces:
  edge: { device: net_null0, addresses: [198.51.100.2/24], gateway: 198.51.100.1 }
neighbors:
  - { interface: edge, address: 198.51.100.1, mac: "02:00:00:00:ff:01" }
services:
  site:
    listen: ["203.0.113.10:80", "[2001:db8:5::10]:80"]
    proxy: { routes: [ { respond: { status: 200, body: hello } } ] }
)";
}

class ProxyPath : public ::testing::TestWithParam<const char*> {
 protected:
  ProxyPath() : lab_(proxy_config(GetParam())) {
    for (std::size_t i = 0; i < lab_.assembly().proxies(); ++i) lab_.assembly().attach(i, hosts_[i]);
  }
  std::size_t received() {
    std::size_t sum = 0;
    for (const FakeHost& host : hosts_) sum += host.packets.size();
    return sum;
  }
  FakeHost hosts_[2];
  Lab lab_;
};

TEST_P(ProxyPath, AFlowGoesToOneProxyAsAnIpPacketWithoutPadding) {
  for (std::uint16_t port = 1000; port < 1064; ++port) {
    const auto packet = ip4("192.0.2.7", "203.0.113.10").tcp(port, 80);
    for (int i = 0; i < 2; ++i) {
      lab_.put(from_client(test::PacketBuilder(packet).pad(60)));
      lab_.run();
    }
    bool found = false;
    for (FakeHost& host : hosts_) {
      if (host.packets.empty()) continue;
      EXPECT_FALSE(found) << "both proxies got some of it";
      found = true;
      ASSERT_EQ(host.packets.size(), 2u);
      EXPECT_EQ(host.packets[0], packet.ip_packet());
      host.packets.clear();
    }
    EXPECT_TRUE(found);
  }
  for (std::size_t i = 0; i < lab_.assembly().proxies(); ++i) {
    EXPECT_GT(lab_.assembly().proxy_counters(i).rx.packets.read(), 20u);
  }
  EXPECT_EQ(lab_.drops(), 0u);
}

TEST_P(ProxyPath, WhatCameTogetherIsReceivedTogether) {
  std::vector<Bytes> sent;
  for (std::uint32_t i = 0; i < 20; ++i) {
    const auto packet = ip4("192.0.2.7", "203.0.113.10").tcp(1000, 80, net::kTcpAck, i + 1);
    sent.push_back(packet.ip_packet());
    lab_.put(from_client(packet));
  }
  lab_.run();
  const FakeHost& host = hosts_[0].packets.empty() ? hosts_[1] : hosts_[0];
  EXPECT_EQ(host.packets, sent);
  EXPECT_EQ(host.bursts, 1u);
}

TEST_P(ProxyPath, RepliesFindTheProxyByItsPorts) {
  const lb::PortPlan ports(lab_.assembly().workers(), lab_.assembly().proxies());
  for (std::size_t i = 0; i < lab_.assembly().proxies(); ++i) {
    const std::uint16_t port = ports.proxy_block(i).first;
    lab_.put(from_client(ip4("192.0.2.99", "198.51.100.2").tcp(80, port, net::kTcpSyn | net::kTcpAck)));
    lab_.run();
    EXPECT_EQ(hosts_[i].packets.size(), 1u);
    // A proxy speaks TCP alone.
    lab_.put(from_client(ip4("192.0.2.99", "198.51.100.2").udp(80, port)));
    lab_.run();
    EXPECT_EQ(hosts_[i].packets.size(), 1u);
    EXPECT_EQ(lab_.drops(Drop::kPortClosed), i + 1);
  }
}

TEST_P(ProxyPath, IcmpErrorsReachWhoSentThePacket) {
  const lb::PortPlan ports(lab_.assembly().workers(), lab_.assembly().proxies());
  const Bytes upstream = ip4("198.51.100.2", "192.0.2.99").tcp(ports.proxy_block(0).first, 80).ip_packet();
  lab_.put(from_client(ip4("192.0.2.1", "198.51.100.2").icmp(3, 1, 0, upstream)));
  lab_.run();
  ASSERT_EQ(hosts_[0].quotes.size(), 1u);
  EXPECT_EQ(hosts_[0].quotes[0], upstream);
  EXPECT_EQ(hosts_[0].icmp_types[0], 3);
  // One that says another way is no error of the way that was taken.
  lab_.put(from_client(ip4("192.0.2.1", "198.51.100.2").icmp(5, 1, 0, upstream)));
  lab_.run();
  EXPECT_EQ(hosts_[0].quotes.size(), 1u);
  EXPECT_EQ(lab_.drops(Drop::kIcmpUnhandled), 1u);
  // About what was sent to a client: the proxy that has the client's flow.
  lab_.put(from_client(ip4("192.0.2.7", "203.0.113.10").tcp(1234, 80)));
  lab_.run();
  const std::size_t owner = hosts_[0].packets.empty() ? 1 : 0;
  hosts_[0].quotes.clear();
  const Bytes answer = ip4("203.0.113.10", "192.0.2.7").tcp(80, 1234).ip_packet();
  lab_.put(from_client(ip4("192.0.2.1", "203.0.113.10").icmp(3, 4, 1400, answer)));
  lab_.run();
  ASSERT_EQ(hosts_[owner].quotes.size(), 1u);
  EXPECT_EQ(hosts_[owner].quotes[0], answer);
}

TEST_P(ProxyPath, WhatTheProxyBuildsLeavesByRouteAndNeighbour) {
  const Bytes packet = ip4("203.0.113.10", "192.0.2.7").tcp(80, 1234, net::kTcpAck).ip_packet();
  for (std::size_t i = 0; i < lab_.assembly().proxies(); ++i) {
    tcp::PacketSink& sink = lab_.assembly().sink(i);
    const std::span<std::uint8_t> room = sink.reserve(1460);
    ASSERT_GE(room.size(), packet.size());
    std::ranges::copy(packet, room.begin());
    sink.commit(packet.size());
    lab_.run();
    const std::vector<Bytes> sent = lab_.sent();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0], ip4("203.0.113.10", "192.0.2.7").link(kOurMac, kGatewayMac).tcp(80, 1234, net::kTcpAck).frame());
    EXPECT_EQ(lab_.assembly().proxy_counters(i).tx.packets.read(), 1u);
  }
}

TEST_P(ProxyPath, AReservationThatIsNotUsedIsNotLost) {
  (void)lab_.assembly().sink(0).reserve(100);
  (void)lab_.assembly().sink(0).reserve(200);
  EXPECT_TRUE(lab_.assembly().sink(0).reserve(100'000).empty());
}  // ~Lab looks at the pool

INSTANTIATE_TEST_SUITE_P(Places, ProxyPath,
                         ::testing::Values("workers: [0], proxies: [0, 0]", "workers: [0], proxies: [1, 1]",
                                           "workers: [0, 1], proxies: [0, 1]"),
                         [](const auto& test) { return "case" + std::to_string(test.index); });

TEST(ProxySink, GivesNoRoomWhenThePoolIsEmpty) {
  Lab lab(proxy_config("workers: [0], proxies: [0]"), {.mbufs = 64});
  std::vector<rte_mbuf*> taken;
  while (rte_mbuf* mbuf = lab.pool().alloc()) taken.push_back(mbuf);
  EXPECT_TRUE(lab.assembly().sink(0).reserve(100).empty());
  EXPECT_EQ(lab.drops(Drop::kNoMbuf), 1u);
  rte_pktmbuf_free_bulk(taken.data(), static_cast<unsigned>(taken.size()));
  EXPECT_FALSE(lab.assembly().sink(0).reserve(100).empty());
}

// A proxy reads whole packets: fragments are put together, whatever their order, and passed over once.
TEST_P(ProxyPath, FragmentsArriveAsOnePacket) {
  const Bytes data(3000, 'x');
  const auto packet = [&data](const char* from, const char* to) {
    return test::PacketBuilder(from, to).link(kGatewayMac, kOurMac).tcp(1234, 80, net::kTcpAck, 1, 1, data);
  };
  for (const bool v4 : {true, false}) {
    const char* from = v4 ? "192.0.2.7" : "2001:db8:99::7";
    const char* to = v4 ? "203.0.113.10" : "2001:db8:5::10";
    const Bytes whole = packet(from, to).ip_packet();
    const Bytes segment(whole.begin() + (v4 ? 20 : 40), whole.end());
    std::vector<Bytes> fragments;
    for (std::size_t at = 0; at < segment.size(); at += 1400) {
      const std::size_t end = std::min(at + 1400, segment.size());
      fragments.push_back(test::PacketBuilder(from, to)
                              .link(kGatewayMac, kOurMac)
                              .payload(net::IpProto::kTcp, Bytes(segment.begin() + static_cast<std::ptrdiff_t>(at),
                                                                 segment.begin() + static_cast<std::ptrdiff_t>(end)))
                              .fragment(static_cast<std::uint16_t>(at), end < segment.size(), 77)
                              .frame());
    }
    for (const std::vector<std::size_t>& order : {std::vector<std::size_t>{0, 1, 2}, {2, 0, 1}, {1, 2, 0}}) {
      for (const std::size_t i : order) {
        EXPECT_EQ(received(), 0u);
        lab_.put(fragments[i]);
        lab_.run();
      }
      ASSERT_EQ(received(), 1u);
      Bytes got = hosts_[0].packets.empty() ? hosts_[1].packets[0] : hosts_[0].packets[0];
      if (v4) got[4] = got[5] = 0, got[10] = whole[10], got[11] = whole[11];  // the identifier is the fragments'
      EXPECT_EQ(got, whole);
      for (FakeHost& host : hosts_) host.packets.clear();
    }
  }
  EXPECT_EQ(lab_.drops(), 0u);
  std::uint64_t reassembled = 0;
  for (std::size_t i = 0; i < lab_.assembly().workers(); ++i) reassembled += lab_.counters(i).reassembled.read();
  EXPECT_EQ(reassembled, 6u);
}

TEST_P(ProxyPath, FragmentsThatDoNotBecomeAPacketAreDropped) {
  const auto piece = [](std::uint16_t offset, bool more) {
    return from_client(
        ip4("192.0.2.7", "203.0.113.10").tcp(1234, 80, net::kTcpAck, 1, 1, Bytes(100)).fragment(offset, more, 77));
  };
  lab_.put(piece(0, true));
  lab_.put(piece(400, false));
  lab_.run();
  lab_.pass(std::chrono::seconds(2));
  lab_.run();
  EXPECT_EQ(received(), 0u);
  EXPECT_EQ(lab_.drops(Drop::kFragmentTimeout), 2u);
  // With its header it would be longer than an IP packet can be.
  for (std::uint32_t at = 0; at + 120 <= 65520; at += 1400) {
    const Bytes part(std::min<std::size_t>(1400, 65520 - at));
    auto packet = ip4("192.0.2.7", "203.0.113.10").payload(net::IpProto::kTcp, part);
    if (at == 0) packet.set_l4(12, 0x50).set_l4(13, net::kTcpAck).set_l4(2, 0).set_l4(3, 80);
    lab_.put(from_client(packet.fragment(static_cast<std::uint16_t>(at), at + 1400 < 65520, 78)));
    lab_.run();
  }
  EXPECT_EQ(received(), 0u);
  EXPECT_EQ(lab_.drops(Drop::kTooBig), 47u);
}

// The tags are the device's affair, or ours.
class ProxyRoleOfVlan : public ::testing::TestWithParam<bool> {};
TEST_P(ProxyRoleOfVlan, IsAWayInAndOut) {
  std::string yaml = proxy_config("workers: [0], proxies: [0]");
  const std::string edge = "  edge: { device: net_null0, ";
  yaml.replace(yaml.find(edge), edge.size(), "  wire: { device: net_null0 }\n  edge: { parent: wire, vlan: 100, ");
  Lab lab(yaml, {.vlan_offloads = GetParam()});
  FakeHost host;
  lab.assembly().attach(0, host);
  const auto tagged = [](Bytes frame) {
    const std::uint8_t tag[] = {0x81, 0x00, 0x00, 100};
    frame.insert(frame.begin() + 12, std::begin(tag), std::end(tag));
    return frame;
  };
  const auto packet = ip4("192.0.2.7", "203.0.113.10").tcp(1234, 80);
  EXPECT_TRUE(lab.exchange(tagged(from_client(packet))).empty());
  ASSERT_EQ(host.packets.size(), 1u);
  EXPECT_EQ(host.packets[0], packet.ip_packet());
  const Bytes answer = ip4("203.0.113.10", "192.0.2.7").tcp(80, 1234, net::kTcpAck).ip_packet();
  std::ranges::copy(answer, lab.assembly().sink(0).reserve(1460).begin());
  lab.assembly().sink(0).commit(answer.size());
  lab.run();
  const auto sent = lab.sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0],
            tagged(ip4("203.0.113.10", "192.0.2.7").link(kOurMac, kGatewayMac).tcp(80, 1234, net::kTcpAck).frame()));
}
INSTANTIATE_TEST_SUITE_P(Tags, ProxyRoleOfVlan, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "ByTheDevice" : "InSoftware"; });

// Three ways out: a device that may complete checksums, a VLAN of it, and a device that does not.
struct ChecksumCase {
  const char* name;
  std::vector<bool> devices;  // which of them completes
  bool vlan_offloads;
};
const ChecksumCase kChecksumCases[] = {
    {"no_device_does", {false, false, false}, false},
    {"one_does", {true, false, false}, false},
    {"one_does_and_puts_on_the_tag", {true, false, false}, true},
    {"the_other_does", {false, false, true}, false},
};
class ProxyChecksum : public ::testing::TestWithParam<ChecksumCase> {};
TEST_P(ProxyChecksum, IsRightOnEveryWayOut) {
  Lab lab(R"(
runtime: { workers: [0], proxies: [0], flows: 1024 }
interfaces:
  edge: { device: net_null0, addresses: [198.51.100.2/24, "2001:db8:1::2/64"] }
  vlan: { parent: edge, vlan: 100, addresses: 192.0.2.2/24 }
  plain: { device: net_null1, addresses: 203.0.113.2/24 }
neighbors:
  - { interface: edge, address: 198.51.100.7, mac: "02:00:00:00:ff:01" }
  - { interface: edge, address: "2001:db8:1::7", mac: "02:00:00:00:ff:01" }
  - { interface: vlan, address: 192.0.2.7, mac: "02:00:00:00:ff:01" }
  - { interface: plain, address: 203.0.113.7, mac: "02:00:00:00:ff:01" }
services:
  site: { listen: "203.0.113.10:80", proxy: { routes: [ { respond: { status: 200, body: hello } } ] } }
)",
          {.tcp_checksums = GetParam().devices, .vlan_offloads = GetParam().vlan_offloads});
  EXPECT_EQ(lab.assembly().sink(0).offloads().tx_checksum, std::ranges::count(GetParam().devices, true) > 0);
  FakeHost host;
  lab.assembly().attach(0, host);
  const struct {
    const char *from, *to;
    std::size_t device;
    bool tag;
  } ways[] = {{"203.0.113.10", "198.51.100.7", 0, false},
              {"2001:db8:5::10", "2001:db8:1::7", 0, false},
              {"203.0.113.10", "192.0.2.7", 0, true},
              {"203.0.113.10", "203.0.113.7", 2, false}};
  for (const auto& way : ways) {
    const net::MacAddress mac{{2, 0, 0, 0, 0, static_cast<std::uint8_t>(way.device + 1)}};
    auto packet = way.from[4] == ':' ? ip6(way.from, way.to) : ip4(way.from, way.to);
    packet.link(mac, kGatewayMac).tcp(80, 1234, net::kTcpAck, 5, 6, {1, 2, 3, 4, 5});
    if (way.tag) packet.vlan(100);
    commit(lab, packet.ip_packet());
    const std::vector<Bytes> sent = lab.sent(way.device);
    ASSERT_EQ(sent.size(), 1u) << way.to;
    EXPECT_EQ(sent[0], packet.frame()) << way.to;
  }
  EXPECT_EQ(lab.drops(), 0u);
}
INSTANTIATE_TEST_SUITE_P(Devices, ProxyChecksum, ::testing::ValuesIn(kChecksumCases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(ProxyRole, WithoutAProxyPacketsAreDropped) {
  Lab lab(proxy_config("workers: [0], proxies: [0]"));
  EXPECT_TRUE(lab.exchange(from_client(ip4("192.0.2.7", "203.0.113.10").tcp(1, 80))).empty());
  EXPECT_EQ(lab.drops(Drop::kShutdown), 1u);
}

// Health checks of backends that have the service's address go the way of its packets.
struct ProbeCase {
  const char* name;
  const char* forward;
  std::size_t header;  // in front of the probe
};
const ProbeCase kProbeCases[] = {
    {"dsr", "mode: dsr", 0},
    {"ipip", "mode: ipip", 20},
    {"gre", "mode: gre", 24},
    {"gue", "mode: gue", 28},
    {"vxlan", "mode: vxlan, vxlan: { vni: 7 }", 20 + 8 + 8 + 14},
};

class ProbingHost final : public PacketHost {
 public:
  lb::ProbePaths paths;
  void receive(std::span<const tcp::Received> /*burst*/, Instant /*now*/) noexcept override {}
  void receive_icmp_error(const tcp::IcmpMessage& /*message*/, Instant /*now*/) noexcept override {}
  bool poll(Instant /*now*/, UnixSeconds /*wall*/) noexcept override { return false; }
  [[nodiscard]] std::optional<Instant> next_deadline() const noexcept override { return {}; }
  [[nodiscard]] const lb::ProbePaths* probe_paths() const noexcept override { return &paths; }
};

// Whoever completes checksums, a probe has its own: it may be in a tunnel.
class ProbePath : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Checksums, ProbePath, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "ByTheDevice" : "InSoftware"; });
TEST_P(ProbePath, LeadsThroughTheServicesTunnel) {
  for (const ProbeCase& row : kProbeCases) {
    Lab lab(edge_config(R"(pools:
  web: { backends: [ { name: web1, address: 198.51.100.11 } ] }
services:
  web: { listen: "203.0.113.10:80", forward: { pool: web, )" +
                            std::string(row.forward) + " } }\n",
                        "workers: [0], proxies: [0], flows: 1024"),
            {.tcp_checksums = {GetParam()}});
    ProbingHost host;
    lab.assembly().attach(0, host);
    const net::Endpoint service{*net::IpAddress::parse("203.0.113.10"), 80};
    const lb::Listener* listener = lab.snapshot().find_listener(service.address, 80, net::IpProto::kTcp);
    ASSERT_NE(listener, nullptr);
    host.paths.set(40000, service, {listener->id, lab.snapshot().id_of(0)});
    const auto send = [&](std::uint16_t port) {
      const Bytes packet = ip4("198.51.100.2", "203.0.113.10").tcp(port, 80).ip_packet();
      commit(lab, packet);
      std::vector<Bytes> out = lab.sent();
      EXPECT_EQ(out.size(), 1u) << row.name;
      if (out.empty()) return;
      const bool to_backend = port == 40000;
      EXPECT_EQ(out[0][4], to_backend ? 0xbb : 0xff) << row.name;
      ASSERT_EQ(out[0].size(), 14 + (to_backend ? row.header : 0) + packet.size()) << row.name;
      EXPECT_TRUE(std::equal(packet.begin(), packet.end(), out[0].end() - static_cast<std::ptrdiff_t>(packet.size())))
          << row.name;
    };
    send(40000);
    send(40001);
    host.paths.clear(40000, service);
    EXPECT_EQ(host.paths.find(40000, service), nullptr);
  }
}

}  // namespace
}  // namespace sluice::dataplane
