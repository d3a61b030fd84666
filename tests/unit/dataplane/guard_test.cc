// The guard: lists, ACL rules, bogons, checksums and rates, each with the counter of what it drops.
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "lab.h"

namespace sluice::dataplane {
namespace {

// A list in a file that goes with the test.
class ListFile {
 public:
  explicit ListFile(const std::string& text) {
    char name[] = "/tmp/sluice-list-XXXXXX";
    ::close(::mkstemp(name));
    path_ = name;
    std::ofstream(path_) << text;
  }
  ~ListFile() { std::remove(path_.c_str()); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string with(const std::string& defence, const std::string& of_service = "",
                 const std::string& runtime = "workers: [0], flows: 1024") {
  std::string out = simple_config(runtime);
  if (!of_service.empty()) out.insert(out.rfind("forward:"), of_service + ", ");
  return out + (defence.empty() ? "" : "defence: " + defence + "\n");
}
bool passes(Lab& lab, const test::PacketBuilder& packet) { return !lab.exchange(from_client(packet)).empty(); }
test::PacketBuilder syn(const char* source, std::uint16_t port = 40000) { return ip4(source, kService).tcp(port, 80); }

TEST(Guard, DenyListsAndTheirExceptions) {
  const ListFile deny("192.0.2.0/24\n198.18.0.0/15 # a network\n"), allow("192.0.2.7\n");
  Lab lab(with(fmt::format("{{ deny: {}, allow: {} }}", deny.path(), allow.path())));
  EXPECT_TRUE(passes(lab, syn("192.0.2.7")));
  EXPECT_FALSE(passes(lab, syn("192.0.2.8")));
  EXPECT_FALSE(passes(lab, syn("198.19.1.1")));
  EXPECT_FALSE(passes(lab, ip4("192.0.2.8", "198.51.100.2").icmp(8, 0, 7, {1})));  // our own address too
  EXPECT_TRUE(passes(lab, syn("198.20.0.1")));
  EXPECT_EQ(lab.drops(Drop::kDenied), 3u);
  EXPECT_EQ(lab.drops(), 3u);
}

TEST(Guard, ListsOfAService) {
  const ListFile deny("0.0.0.0/0\n"), allow("192.0.2.7\n");
  Lab lab(with("", fmt::format("deny: {}, allow: {}", deny.path(), allow.path())));
  EXPECT_TRUE(passes(lab, syn("192.0.2.7")));
  EXPECT_FALSE(passes(lab, syn("192.0.2.8")));
  EXPECT_TRUE(passes(lab, ip4("192.0.2.8", "198.51.100.2").icmp(8, 0, 7, {1})));  // is not the service
  EXPECT_EQ(lab.drops(Drop::kDenied), 1u);
}

// What a backend answers is not from outside, whatever the lists say of its network.
TEST(Guard, BackendsAreNotAsked) {
  const ListFile deny("198.51.100.0/24\n");
  Lab lab(with(fmt::format("{{ deny: {}, bogons: true }}", deny.path())));
  const std::vector<Bytes> out = lab.exchange(from_client(ip4("8.8.8.8", kService).tcp(40000, 80)));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(lab
                .exchange(from_backend(
                    ip4("198.51.100.11", "198.51.100.2").tcp(8080, src_port_of(out[0]), net::kTcpSyn | net::kTcpAck)))
                .size(),
            1u);
}

TEST(Guard, Bogons) {
  Lab lab(with("{ bogons: true }"));
  for (const char* bogon :
       {"10.1.2.3", "100.64.0.1", "169.254.1.1", "172.31.0.1", "192.168.1.1", "192.0.2.7", "240.0.0.1"})
    EXPECT_FALSE(passes(lab, syn(bogon))) << bogon;
  EXPECT_FALSE(passes(lab, ip6("fd00::1", "2001:db8:1::2").icmp(128, 0, 7, {1})));
  EXPECT_TRUE(passes(lab, ip6("2a00::1", "2001:db8:1::2").icmp(128, 0, 7, {1})));
  for (const char* real : {"8.8.8.8", "100.128.0.1", "172.32.0.1"}) EXPECT_TRUE(passes(lab, syn(real))) << real;
  EXPECT_EQ(lab.drops(Drop::kBogon), 8u);
  EXPECT_EQ(lab.drops(), 8u);
}

TEST(Guard, AclRulesInOrder) {
  Lab lab(with(R"({ acl: [
    { action: allow, src: 192.0.2.7/32 },
    { action: deny, src: 192.0.2.0/24, protocol: tcp, dst_ports: 80 },
    { action: deny, protocol: udp, src_ports: 0-1023 },
    { action: deny, src: 198.18.0.0/15, dst: 203.0.113.0/24 },
    { action: deny, src: "2001:db8:bad::/48" } ] })"));
  EXPECT_TRUE(passes(lab, syn("192.0.2.7")));
  EXPECT_FALSE(passes(lab, syn("192.0.2.8")));
  EXPECT_TRUE(passes(lab, ip4("192.0.2.8", kService).udp(5353, 53, {1})));
  EXPECT_FALSE(passes(lab, ip4("192.0.2.8", kService).udp(53, 53, {1})));
  EXPECT_FALSE(passes(lab, syn("198.19.0.1")));
  EXPECT_TRUE(passes(lab, ip4("198.19.0.1", "198.51.100.2").icmp(8, 0, 7, {1})));
  EXPECT_FALSE(passes(lab, ip6("2001:db8:bad::1", "2001:db8:1::2").icmp(128, 0, 7, {1})));
  EXPECT_TRUE(passes(lab, ip6("2001:db8:baa::1", "2001:db8:1::2").icmp(128, 0, 7, {1})));
  EXPECT_EQ(lab.drops(Drop::kAclDenied), 4u);
  EXPECT_EQ(lab.drops(), 4u);
}

TEST(Guard, AclRulesOfAService) {
  Lab lab(with("", "acl: [ { action: allow, src: 192.0.2.0/24 }, { action: deny } ]"));
  EXPECT_TRUE(passes(lab, syn("192.0.2.7")));
  EXPECT_FALSE(passes(lab, syn("198.18.0.1")));
  EXPECT_TRUE(passes(lab, ip4("198.18.0.1", "198.51.100.2").icmp(8, 0, 7, {1})));
  EXPECT_EQ(lab.drops(Drop::kAclDenied), 1u);
}

TEST(Guard, ChecksumsInSoftware) {
  Lab lab(with("{ checksums: verify }"));
  Bytes wrong = from_client(syn("192.0.2.7"));
  wrong[50] ^= 1;
  EXPECT_TRUE(lab.exchange(wrong).empty());
  EXPECT_TRUE(passes(lab, syn("192.0.2.7")));
  EXPECT_EQ(lab.drops(Drop::kBadChecksum), 1u);
  lab.put(wrong, 0, 0, RTE_MBUF_F_RX_L4_CKSUM_GOOD);  // the device has looked, and is believed
  lab.run();
  EXPECT_EQ(lab.sent().size(), 1u);
}

TEST(Guard, PacketsOfASource) {
  const ListFile allow("192.0.2.200\n");
  Lab lab(with(fmt::format("{{ allow: {}, source_limits: {{ packets: 10, prefix4: 25 }} }}", allow.path())));
  const auto passed = [&](const char* source, int packets) {
    int count = 0;
    for (int i = 0; i < packets; ++i) count += passes(lab, syn(source));
    return count;
  };
  EXPECT_EQ(passed("192.0.2.7", 8), 8);
  EXPECT_EQ(passed("192.0.2.8", 8), 2);      // of the same /25
  EXPECT_EQ(passed("192.0.2.128", 8), 8);    // of another
  EXPECT_EQ(passed("192.0.2.200", 30), 30);  // is allowed anything
  lab.pass(std::chrono::milliseconds(500));
  EXPECT_EQ(passed("192.0.2.7", 8), 5);
  lab.pass(std::chrono::hours(1));
  EXPECT_EQ(passed("192.0.2.7", 20), 10);
  EXPECT_EQ(lab.drops(Drop::kSourcePackets), 19u);
  EXPECT_EQ(lab.drops(), 19u);
}

TEST(Guard, BitsOfASource) {
  Lab lab(with("{ source_limits: { bits: 16k } }"));
  int passed = 0;
  for (int i = 0; i < 10; ++i)
    passed += passes(lab, ip4("192.0.2.7", kService).udp(5353, 53, Bytes(472, 'x')));  // 500 B
  EXPECT_EQ(passed, 4);
  EXPECT_EQ(lab.drops(Drop::kSourceBits), 6u);
}

TEST(Guard, NewFlowsOfASource) {
  Lab lab(with("{ source_limits: { flows: 3 } }"));
  int passed = 0;
  for (std::uint16_t port = 1000; port < 1010; ++port) passed += passes(lab, syn("192.0.2.7", port));
  EXPECT_EQ(passed, 3);
  EXPECT_TRUE(passes(lab, syn("192.0.2.7", 1000)));  // an old one
  EXPECT_TRUE(passes(lab, syn("192.0.2.8", 1000)));  // another's
  EXPECT_EQ(lab.drops(Drop::kSourceFlows), 7u);
  EXPECT_EQ(lab.drops(), 7u);
}

TEST(Guard, LimitsOfAService) {
  Lab lab(with("", "limits: { packets: 20, bits: 8k, flows: 5, burst: 1s }"));
  int passed = 0;
  for (std::uint16_t i = 0; i < 10; ++i) passed += passes(lab, syn("192.0.2.7", static_cast<std::uint16_t>(1000 + i)));
  EXPECT_EQ(passed, 5);
  EXPECT_EQ(lab.drops(Drop::kServiceFlows), 5u);
  EXPECT_FALSE(passes(lab, ip4("192.0.2.7", kService).tcp(1000, 80, net::kTcpAck, 1, 1, Bytes(1000, 'x'))));
  EXPECT_EQ(lab.drops(Drop::kServiceBits), 1u);
  for (int i = 0; i < 20; ++i) (void)passes(lab, ip4("192.0.2.8", kService).tcp(1000, 80, net::kTcpRst));
  EXPECT_GE(lab.drops(Drop::kServicePackets), 1u);
}

test::PacketBuilder first(const char* source, std::uint32_t id, const char* to = kService) {
  return ip4(source, to).udp(5353, 53, Bytes(64, 'x')).fragment(0, true, id);
}
test::PacketBuilder later(const char* source, std::uint32_t id, const char* to = kService) {
  return ip4(source, to).payload(net::IpProto::kUdp, Bytes(64, 'y')).fragment(72, false, id);
}

// A first fragment has ports and all: what stops a whole packet stops it, and the others with it.
TEST(Guard, FragmentsAreJudgedByTheirFirst) {
  const ListFile deny("192.0.2.0/24\n");
  struct Row {
    const char* name;
    std::string defence, of_service;
    Drop want;
  };
  const Row rows[] = {
      {"deny", fmt::format("{{ deny: {} }}", deny.path()), "", Drop::kDenied},
      {"deny_of_the_service", "", fmt::format("deny: {}", deny.path()), Drop::kDenied},
      {"bogon", "{ bogons: true }", "", Drop::kBogon},
      {"acl_of_a_port", "{ acl: [ { action: deny, protocol: udp, dst_ports: 53 } ] }", "", Drop::kAclDenied},
      {"acl_of_the_service", "", "acl: [ { action: allow, protocol: udp, dst_ports: 54 }, { action: deny } ]",
       Drop::kAclDenied},
  };
  for (const Row& row : rows) {
    Lab lab(with(row.defence, row.of_service));
    EXPECT_FALSE(passes(lab, first("192.0.2.7", 1))) << row.name;
    EXPECT_EQ(lab.drops(row.want), 1u) << row.name;
    EXPECT_FALSE(passes(lab, later("192.0.2.7", 1))) << row.name;
    lab.pass(std::chrono::seconds(5));
    lab.run();
    EXPECT_EQ(lab.drops(row.want) + lab.drops(Drop::kFragmentTimeout), 2u) << row.name;
  }
}

TEST(Guard, LaterFragmentsNeedNoRuleOfTheirOwn) {
  Lab lab(with("{ acl: [ { action: allow, protocol: udp, dst_ports: 53 }, { action: deny } ], checksums: verify }"));
  EXPECT_TRUE(passes(lab, first("192.0.2.7", 1)));
  EXPECT_TRUE(passes(lab, later("192.0.2.7", 1)));
  EXPECT_EQ(lab.drops(), 0u);
}

TEST(Guard, FragmentsToOurselvesAreJudged) {
  Lab lab(with("{ bogons: true }"));
  EXPECT_FALSE(passes(lab, ip4("192.0.2.7", kOwn).icmp(8, 0, 7, Bytes(64)).fragment(0, true, 1)));  // an echo
  EXPECT_FALSE(passes(lab, first("192.0.2.7", 2, kOwn)));                                           // a closed port
  EXPECT_EQ(lab.drops(Drop::kBogon), 2u);
}

TEST(Guard, FragmentsCountForTheirSource) {
  Lab lab(with("{ source_limits: { packets: 5 } }"));
  int passed = 0;
  for (std::uint32_t id = 1; id <= 10; ++id) {
    passed += passes(lab, first("192.0.2.7", id));
    passed += passes(lab, later("192.0.2.7", id));
  }
  EXPECT_EQ(passed, 5);
  EXPECT_EQ(lab.drops(Drop::kSourcePackets), 15u);
  EXPECT_TRUE(passes(lab, first("192.0.2.8", 1)));
}

TEST(Guard, FragmentsBeginFlows) {
  Lab lab(with("{ source_limits: { flows: 1 } }"));
  EXPECT_TRUE(passes(lab, first("192.0.2.7", 1)));
  EXPECT_FALSE(passes(lab, ip4("192.0.2.7", kService).udp(5354, 53, Bytes(64)).fragment(0, true, 2)));
  EXPECT_EQ(lab.drops(Drop::kSourceFlows), 1u);
}

// Whether they come behind their first one or before it.
TEST(Guard, FragmentsCountForTheirService) {
  for (const bool early : {false, true}) {
    Lab lab(with("", "limits: { packets: 5 }"));
    std::size_t passed = 0;
    for (std::uint32_t id = 1; id <= 5; ++id) {
      lab.put(from_client(early ? later("192.0.2.7", id) : first("192.0.2.7", id)));
      lab.put(from_client(early ? first("192.0.2.7", id) : later("192.0.2.7", id)));
      lab.run();
      passed += lab.sent().size();
    }
    EXPECT_EQ(passed, 5u) << early;
    EXPECT_GE(lab.drops(Drop::kServicePackets), 3u) << early;
  }
}

// To the address from which we speak to backends: an answer, perhaps.
TEST(Guard, FragmentsOfBackendsAreNotAsked) {
  const ListFile deny("198.51.100.0/24\n");
  Lab lab(with(fmt::format("{{ deny: {}, bogons: true }}", deny.path())));
  const std::vector<Bytes> out = lab.exchange(from_client(ip4("8.8.8.8", kService).udp(5353, 53, {1})));
  ASSERT_EQ(out.size(), 1u);
  const auto answer = ip4(kBackend, kOwn).udp(8080, src_port_of(out[0]), Bytes(64)).fragment(0, true, 7);
  EXPECT_EQ(lab.exchange(from_backend(answer)).size(), 1u);
  EXPECT_EQ(lab.exchange(from_backend(later(kBackend, 7, kOwn))).size(), 1u);
  EXPECT_EQ(lab.drops(), 0u);
}

// A rate is shared: a worker has its part, whatever the others use.
TEST(Guard, WorkersShareARate) {
  Lab lab(with("{ source_limits: { packets: 10 } }", "", "workers: [0, 0], flows: 1024"));
  int passed = 0;
  for (int i = 0; i < 20; ++i) passed += passes(lab, syn("192.0.2.7"));
  EXPECT_EQ(passed, 5);
}

// More sources than the table holds: the quiet ones make room, the one that floods stays known.
TEST(Guard, TheTableOfSourcesIsBounded) {
  Lab lab(with("{ source_limits: { packets: 10, entries: 64 } }"));
  int passed = 0;
  for (int i = 0; i < 2000; ++i) {
    lab.pass(std::chrono::milliseconds(1));
    passed += passes(lab, syn("192.0.2.7"));
    (void)passes(lab, syn(fmt::format("100.64.{}.{}", i / 250, i % 250).c_str()));
  }
  EXPECT_LE(passed, 10 + 20 + 30);
}

}  // namespace
}  // namespace sluice::dataplane
