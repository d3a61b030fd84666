// Tunnels from burst to burst: what the golden cases, whose devices and configurations stay as they are, do not show.
#include <cstring>
#include <initializer_list>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "lab.h"
#include "sluice/net/encapsulate.h"

namespace sluice::dataplane {
namespace {

std::string tunnel_config(const std::string& forward = "mode: ipip") {
  return edge_config(R"(pools:
  web:
    backends: [ { name: web1, address: 198.51.100.11 }, { name: web2, address: 198.51.100.12 } ]
    health: { tcp: {}, port: 80 }
services:
  web: { listen: ["203.0.113.10:80/tcp", "203.0.113.10:53/udp"], forward: { )" +
                     forward + ", pool: web } }\n");
}

std::uint8_t backend_of(const Bytes& frame) { return frame[33]; }  // the last byte of the outer IPv4 destination

TEST(Tunnel, FollowsABackendThatGoesDown) {
  Lab lab(tunnel_config());
  lab.report("web1", lb::Health::kUp);
  EXPECT_EQ(backend_of(lab.exchange(query(40000)).at(0)), 11);
  lab.report("web2", lb::Health::kUp);
  EXPECT_EQ(backend_of(lab.exchange(query(40000)).at(0)), 11);
  lab.report("web1", lb::Health::kDown);
  EXPECT_EQ(backend_of(lab.exchange(query(40000)).at(0)), 12);
  EXPECT_EQ(lab.drops(), 0u);
}

// The neighbour is not known when the packet is wrapped: it waits as it is.
TEST(Tunnel, PacketsWaitForTheNeighbourInTheirTunnel) {
  std::string config = tunnel_config();
  config.erase(config.find("  - { interface: edge, address: 198.51.100.11"),
               std::strlen("  - { interface: edge, address: 198.51.100.11, mac: \"02:00:00:00:bb:01\" }\n"));
  Lab lab(config);
  lab.report("web1", lb::Health::kUp);
  const std::vector<Bytes> asked = lab.exchange(query(40000));
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0][13], 0x06);  // ARP
  Bytes reply = asked[0];
  const std::uint8_t mac[] = {2, 0, 0, 0, 0xbb, 1};
  std::memcpy(reply.data(), asked[0].data() + 6, 6);
  std::memcpy(reply.data() + 6, mac, 6);
  reply[21] = 2;
  std::memcpy(reply.data() + 22, mac, 6);
  std::memcpy(reply.data() + 28, asked[0].data() + 38, 4);
  std::memcpy(reply.data() + 32, asked[0].data() + 22, 10);
  const std::vector<Bytes> out = lab.exchange(reply);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(backend_of(out[0]), 11);
  EXPECT_EQ(Bytes(out[0].begin() + 14, out[0].end()).at(9), 4);  // IP in IP
  EXPECT_EQ(lab.exchange(query(40000)).at(0), out[0]);
}

TEST(Tunnel, ABufferWithoutRoomInFrontIsCounted) {
  Lab lab(tunnel_config());
  lab.report("web1", lb::Health::kUp);
  const Bytes frame = query(40000);
  for (const std::uint16_t headroom : std::initializer_list<std::uint16_t>{66, 65, 0}) {
    EXPECT_EQ(lab.exchange_with_headroom(frame, headroom).size(), headroom == 66 ? 1u : 0u) << headroom;
  }
  EXPECT_EQ(lab.drops(Drop::kNoHeadroom), 2u);
}

// As it is inside: one hop on.
Bytes inside(Bytes frame) {
  --frame[21];
  return {frame.begin() + 14, frame.end()};
}

// RFC 2473 section 7.1: what IPv6 counts on passes, whatever the tunnel takes of it.
TEST(Tunnel, Ip6HasItsLeastMtu) {
  struct Row {
    const char *forward, *backend;
    std::size_t behind_ip;
  };
  for (const Row& row : {Row{"mode: ipip", "198.51.100.11", 0}, Row{"mode: ipip", "2001:db8:1::11", 0},
                         Row{"mode: gre", "198.51.100.11", 4}, Row{"mode: gue", "2001:db8:1::11", 8},
                         Row{"mode: vxlan, vxlan: { vni: 100 }", "198.51.100.11", 30}}) {
    const std::string name = std::string(row.forward) + " to " + row.backend;
    Lab lab(narrow_config(row.forward, row.backend));
    const std::vector<Bytes> fragments = lab.exchange(query6(1280));
    ASSERT_EQ(fragments.size(), 2u) << name;
    const Bytes payload = joined_payload(fragments), want = inside(query6(1280));
    ASSERT_EQ(payload.size(), row.behind_ip + want.size()) << name;
    EXPECT_EQ(Bytes(payload.end() - static_cast<std::ptrdiff_t>(want.size()), payload.end()), want) << name;
    EXPECT_EQ(lab.counters().packets_cut.read(), 1u);
    const std::uint32_t first_id = net::parse(fragments[0]).fragment_id;
    EXPECT_NE(net::parse(lab.exchange(query6(1280)).at(0)).fragment_id, first_id) << name;
    EXPECT_EQ(lab.exchange(query6(1000)).size(), 1u) << name;
    EXPECT_EQ(lab.drops(), 0u);

    const std::vector<Bytes> told = lab.exchange(query6(1281));
    ASSERT_EQ(told.size(), 1u) << name;
    EXPECT_EQ(told[0][14 + 40], 2) << "packet too big";
    EXPECT_EQ(word_at(told[0], 14 + 40 + 4), 1280u) << name;
    EXPECT_EQ(lab.drops(Drop::kTooBig), 1u);
  }
}

Bytes large_query(std::uint16_t port, std::size_t bytes) {
  return from_client(ip4(kClient, kService).udp(port, 53, Bytes(bytes - 28)));
}

TEST(Tunnel, APacketThatIsCutIsOnePacketOfItsFlow) {
  Lab lab(tunnel_config());
  lab.report("web1", lb::Health::kUp);
  EXPECT_EQ(lab.exchange(large_query(40000, 1500)).size(), 2u);
  EXPECT_EQ(lab.counters().packets_cut.read(), 1u);
  EXPECT_EQ(lab.counters().services[0].in.packets.read(), 1u);
  EXPECT_EQ(lab.counters().services[0].in.bytes.read(), 1500u);
  EXPECT_EQ(lab.drops(), 0u);
}

TEST(Tunnel, APacketWithoutABufferForEachFragmentIsCounted) {
  Lab lab(tunnel_config());
  lab.report("web1", lb::Health::kUp);
  lab.put(large_query(40000, 1500));
  lab.run_with_buffers(1);
  EXPECT_EQ(lab.sent().size(), 1u);
  EXPECT_EQ(lab.drops(Drop::kNoMbuf), 1u);
  EXPECT_EQ(lab.drops(), 1u);
  EXPECT_EQ(lab.counters().packets_cut.read(), 0u);
}

// RFC 791 section 3.2: less than 68 bytes may hold no more than a header.
TEST(Tunnel, ThatLeavesNoRoomForAFragmentDropsThePacket) {
  for (const bool room : {true, false}) {
    std::string config = tunnel_config();
    config.replace(config.find("net_null0"), 9, room ? "net_null0, mtu: 88" : "net_null0, mtu: 87");
    Lab lab(config);
    lab.report("web1", lb::Health::kUp);
    EXPECT_EQ(lab.exchange(large_query(40000, 88)).size(), room ? 2u : 0u);
    EXPECT_EQ(lab.drops(Drop::kTooBig), room ? 0u : 1u);
  }
}

// A router's error about a backend's answer to the query of that port.
Bytes error_about(std::uint16_t port) {
  return from_client(
      ip4("192.0.2.99", kService).icmp(3, 4, 1400, ip4(kService, kClient).udp(53, port, Bytes(100)).ip_packet()));
}

struct ErrorCase {
  const char* name;
  const char* pool;     // keys of it,
  const char* backend;  // of its first backend,
  const char* forward;  // and of the service
  bool follows;         // where a packet goes from the packet alone
};
const ErrorCase kErrorCases[] = {
    {"maglev", "balance: maglev", "", "mode: ipip", true},
    {"source_hash", "balance: source_hash", "", "mode: gue", true},
    {"a_limit_of_flows", "balance: maglev", ", max_flows: 1", "mode: ipip", true},
    {"no_flow_is_kept", "balance: maglev", "", "mode: ipip, one_packet: true", true},
    {"round_robin", "balance: round_robin", "", "mode: ipip", false},
    {"least_conn", "balance: least_conn", "", "mode: ipip", false},
    {"no_flow_is_kept_and_they_take_turns", "balance: round_robin", "", "mode: ipip, one_packet: true", false},
    {"clients_are_remembered", "balance: maglev", "", "mode: ipip, persist: 60s", false},
};

std::string config_of(const ErrorCase& row) {
  return fmt::format(R"(
runtime: {{ workers: [0, 0, 0], flows: 3072 }}
interfaces:
  edge: {{ device: net_null0, addresses: [198.51.100.2/24], gateway: 198.51.100.1 }}
neighbors:
  - {{ interface: edge, address: 198.51.100.1, mac: "02:00:00:00:ff:01" }}
  - {{ interface: edge, address: 198.51.100.11, mac: "02:00:00:00:bb:01" }}
  - {{ interface: edge, address: 198.51.100.12, mac: "02:00:00:00:bb:02" }}
pools:
  web: {{ {}, backends: [ {{ name: web1, address: 198.51.100.11{} }}, {{ name: web2, address: 198.51.100.12 }} ] }}
services:
  web: {{ listen: "203.0.113.10:53/udp", forward: {{ {}, pool: web }} }}
)",
                     row.pool, row.backend, row.forward);
}

// Of several machines that announce the service, the error comes to one and the flow to another.
TEST(Tunnel, AnErrorAboutAFlowOfAnotherMachineGoesWhereItsPacketsGo) {
  constexpr std::uint16_t kFirst = 40000, kFlows = 50;
  for (const ErrorCase& row : kErrorCases) {
    SCOPED_TRACE(row.name);
    std::vector<std::uint8_t> flows;
    {
      Lab there(config_of(row));
      for (std::uint16_t i = 0; i < kFlows; ++i) flows.push_back(backend_of(there.exchange(query(kFirst + i)).at(0)));
    }
    Lab here(config_of(row));
    for (std::uint16_t i = 0; i < kFlows; ++i) {
      const std::vector<Bytes> passed = here.exchange(error_about(kFirst + i));
      ASSERT_EQ(passed.size(), row.follows ? 1u : 0u);
      // A limit is this machine's own matter: it does not move what another one has sent to the backend.
      if (row.follows && *row.backend == '\0') {
        EXPECT_EQ(backend_of(passed[0]), flows[i]);
      }
    }
    EXPECT_EQ(here.drops(), row.follows ? 0u : kFlows);
    EXPECT_EQ(here.drops(Drop::kIcmpNoFlow), here.drops());
  }
}

}  // namespace
}  // namespace sluice::dataplane
