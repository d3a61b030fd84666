// What keeps a client or a flow on its backend, and what takes it away: persistence, one-packet scheduling, on_down.
#include <map>
#include <optional>
#include <set>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "lab.h"
#include "sluice/net/checksum.h"
#include "sluice/net/parse.h"

namespace sluice::dataplane {
namespace {

using namespace std::chrono_literals;

std::string two_backends(const std::string& forward, const std::string& listen = "80/tcp", const std::string& pool = "",
                         const std::string& workers = "0") {
  const std::string port = listen.substr(0, listen.find('/'));
  return edge_config(fmt::format(R"(pools:
  web: {{ balance: round_robin, {} backends: [ {{ name: web1, address: 198.51.100.11, port: {} }}, {{ name: web2, address: 198.51.100.12, port: {} }} ] }}
services:
  web: {{ listen: "203.0.113.10:{}", forward: {{ pool: web, {} }} }}
)",
                                 pool, port, port, listen, forward),
                     "workers: [" + workers + "], flows: 4096");
}

Bytes tcp(const char* client, std::uint16_t port, std::uint8_t flags = net::kTcpSyn, std::uint32_t seq = 1,
          std::uint32_t ack = 0) {
  return from_client(ip4(client, kService).tcp(port, 80, flags, seq, ack));
}
int mac_of(const Bytes& frame) { return frame[5]; }  // 1, 2: the backend that a frame goes to

TEST(OnePacket, EachPacketHasATurnOfItsOwn) {
  Lab lab(two_backends("mode: dsr, one_packet: true", "53/udp"));
  std::map<int, int> got;
  for (int i = 0; i < 10; ++i) {
    const std::vector<Bytes> out = lab.exchange(from_client(ip4(kClient, kService).udp(40000, 53)));
    ASSERT_EQ(out.size(), 1u);
    ++got[mac_of(out[0])];
  }
  EXPECT_EQ(got, (std::map<int, int>{{1, 5}, {2, 5}}));
  EXPECT_EQ(lab.counters().flows.read(), 0);
  EXPECT_EQ(lab.counters().one_packet_forwarded.read(), 10u);
  EXPECT_EQ(lab.counters().forwarded_without_flow.read(), 0u);
}

// With several workers a client's flows, of whichever port, belong to one of them.
class Persist : public testing::TestWithParam<const char*> {};

TEST_P(Persist, AClientStaysWhereItsFirstFlowWent) {
  Lab lab(two_backends("mode: nat, persist: 60s", "80/tcp", "", GetParam()), {.mbufs = 8191});
  std::set<int> used;
  for (const char* client : {"192.0.2.7", "192.0.2.8", "192.0.2.9", "192.0.2.10", "192.0.2.11", "192.0.2.12"}) {
    std::set<int> of_client;
    for (std::uint16_t port = 40000; port < 40020; ++port)
      of_client.insert(mac_of(lab.exchange(tcp(client, port)).at(0)));
    EXPECT_EQ(of_client.size(), 1u) << client;
    used.merge(of_client);
  }
  EXPECT_EQ(used.size(), 2u);
}
INSTANTIATE_TEST_SUITE_P(Workers, Persist, testing::Values("0", "0, 0", "0, 1, 1"),
                         [](const auto& row) { return "Case" + std::to_string(row.index); });

TEST(PersistAlone, EndsWithTheTimeoutAndWithTheBackend) {
  Lab lab(two_backends("mode: nat, persist: 60s", "80/tcp", "health: { tcp: {} },"));
  lab.report("web1", lb::Health::kUp);
  std::uint16_t port = 40000;
  const auto next = [&] { return mac_of(lab.exchange(tcp(kClient, ++port)).at(0)); };
  EXPECT_EQ(next(), 1);
  lab.report("web2", lb::Health::kUp);
  for (int i = 0; i < 4; ++i) {
    lab.pass(50s);  // each flow begins the time anew
    EXPECT_EQ(next(), 1);
  }
  lab.pass(61s);
  std::set<int> fresh;
  for (int i = 0; i < 4; ++i) {
    fresh.insert(next());
    lab.pass(61s);
  }
  EXPECT_EQ(fresh.size(), 2u);  // in turn again
  const int now = next();
  lab.report(now == 1 ? "web1" : "web2", lb::Health::kDown);
  EXPECT_EQ(next(), 3 - now);
  lab.report(now == 1 ? "web1" : "web2", lb::Health::kUp);
  EXPECT_EQ(next(), 3 - now);  // it belongs there now
}

class OnDown : public testing::Test {
 protected:
  // One established TCP flow to web1.
  void begin(const std::string& on_down, const std::string& mode = "nat") {
    lab_.emplace(two_backends("mode: " + mode + ", on_down: " + on_down, "80/tcp", "health: { tcp: {} },"));
    lab_->report("web1", lb::Health::kUp);
    port_ = src_port_of(lab_->exchange(tcp(kClient, 40000, net::kTcpSyn, 999)).at(0));
    if (mode == "nat") {
      (void)lab_->exchange(from_backend(ip4(kBackend, kOwn).tcp(80, port_, net::kTcpSyn | net::kTcpAck, 4999, 1000)));
    }
    for (int i = 0; i < 2; ++i) (void)lab_->exchange(tcp(kClient, 40000, net::kTcpAck, 1000, 5000));
    lab_->report("web2", lb::Health::kUp);
  }
  // One association to web1, whose tag is 0x2222; the client's is 0x1111.
  void associate(const std::string& mode, bool answered = true) {
    lab_.emplace(two_backends("mode: " + mode + ", on_down: reset", "80/sctp", "health: { tcp: {} },"));
    lab_->report("web1", lb::Health::kUp);
    const Bytes init{0, 0, 0x11, 0x11, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0};
    const Bytes of_client[] = {sctp(0, 1, init), sctp(0x2222, 10), sctp(0x2222, 0)};
    port_ = src_port_of(lab_->exchange(of_client[0]).at(0));
    if (mode == "nat" && answered) {
      const Bytes ack{0, 0, 0x22, 0x22, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0};
      (void)lab_->exchange(from_backend(ip4(kBackend, kOwn).sctp(80, port_, 0x1111, test::sctp_chunk(2, 0, ack))));
    }
    for (std::size_t i = 1; answered && i < std::size(of_client); ++i) (void)lab_->exchange(of_client[i]);
    lab_->report("web2", lb::Health::kUp);
  }
  static Bytes sctp(std::uint32_t tag, std::uint8_t chunk, Bytes value = {}) {
    return from_client(ip4(kClient, kService).sctp(40000, 80, tag, test::sctp_chunk(chunk, 0, std::move(value))));
  }
  // With which sluice ends it: the tag that a client sends with is the backend's, and is said to be (RFC 9260 section 8.5.1).
  static Bytes abort_to_client() {
    return sent_abort(
        ip4(kService, kClient).link(kOurMac, kGatewayMac).sctp(80, 40000, 0x2222, test::sctp_chunk(6, 1)));
  }
  static Bytes sent_abort(test::PacketBuilder abort) {
    return abort.set_ip(6, 0x40).frame();  // DF
  }
  std::vector<Bytes> fall() {
    lab_->report("web1", lb::Health::kDown);
    lab_->run();
    return lab_->sent();
  }
  std::optional<Lab> lab_;
  std::uint16_t port_ = 0;
};

TEST_F(OnDown, ResetTellsBothEnds) {
  begin("reset");
  const std::vector<Bytes> out = fall();
  ASSERT_EQ(out.size(), 2u);
  net::Parsed to_client;
  net::parse(out[0], to_client);
  EXPECT_TRUE(to_client.ok());
  EXPECT_EQ(to_client.src.text(), kService);
  EXPECT_EQ(to_client.dst.text(), kClient);
  EXPECT_EQ(to_client.src_port, 80);
  EXPECT_EQ(to_client.dst_port, 40000);
  EXPECT_EQ(to_client.tcp_flags, net::kTcpRst | net::kTcpAck);
  EXPECT_TRUE(net::l4_checksum_ok(out[0], to_client));
  EXPECT_EQ(word_at(out[0], 38), 5000u);
  EXPECT_EQ(word_at(out[0], 42), 1000u);
  EXPECT_EQ(src_port_of(out[1]), port_);
  EXPECT_EQ(mac_of(out[1]), 1);
  EXPECT_EQ(out[1][47], net::kTcpRst);
  EXPECT_EQ(word_at(out[1], 38), 1000u);
  EXPECT_EQ(lab_->counters().flows_reset_on_down.read(), 1u);
  EXPECT_EQ(lab_->counters().flows.read(), 0);
  EXPECT_TRUE(fall().empty());
}

TEST_F(OnDown, ResetOfAModeWithoutRepliesTellsTheClient) {
  begin("reset", "dsr");
  const std::vector<Bytes> out = fall();
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0][47], net::kTcpRst | net::kTcpAck);
  EXPECT_EQ(word_at(out[0], 38), 5000u);
  EXPECT_EQ(word_at(out[0], 42), 1000u);
}

TEST_F(OnDown, ResetAbortsAnAssociation) {
  associate("nat");
  const std::vector<Bytes> out = fall();
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0], abort_to_client());
  EXPECT_EQ(out[1],
            sent_abort(ip4(kOwn, kBackend).link(kOurMac, kBackendMac).sctp(port_, 80, 0x2222, test::sctp_chunk(6, 0))));
  EXPECT_EQ(lab_->counters().flows_reset_on_down.read(), 1u);
  EXPECT_EQ(lab_->counters().rst_sent.read(), 2u);
  EXPECT_EQ(lab_->counters().flows.read(), 0);
}

// SHUTDOWN, and a fragment that is not the first, do not change the tag.
TEST_F(OnDown, ResetOfAModeWithoutRepliesAbortsTheClient) {
  associate("dsr");
  (void)lab_->exchange(from_client(
      ip4(kClient, kService).fragment(0, true).sctp(40000, 80, 0x2222, test::sctp_chunk(0, 3, Bytes(16, 1)))));
  EXPECT_EQ(
      lab_->exchange(from_client(ip4(kClient, kService).fragment(32, false).payload(net::IpProto::kSctp, Bytes(8, 1))))
          .size(),
      1u);
  (void)lab_->exchange(sctp(0x2222, 7, Bytes(4, 0)));
  const std::vector<Bytes> out = fall();
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0], abort_to_client());
}

// Until the backend has answered nobody knows its tag.
TEST_F(OnDown, ResetForgetsAnAssociationWithoutATag) {
  associate("nat", false);
  EXPECT_TRUE(fall().empty());
  EXPECT_EQ(lab_->counters().flows_reset_on_down.read(), 0u);
  EXPECT_EQ(lab_->counters().flows_moved_on_down.read(), 1u);
  EXPECT_EQ(lab_->counters().flows.read(), 0);
  EXPECT_EQ(mac_of(lab_->exchange(sctp(0, 1, Bytes(16, 1))).at(0)), 2);
}

TEST_F(OnDown, RehashMovesAFlowWithItsNextPacket) {
  begin("rehash", "dsr");
  EXPECT_TRUE(fall().empty());
  EXPECT_EQ(lab_->counters().flows_moved_on_down.read(), 1u);
  EXPECT_EQ(mac_of(lab_->exchange(tcp(kClient, 40000, net::kTcpAck, 1000, 5000)).at(0)), 2);
}

// It has no state there that another backend, or another port of ours, could go on with.
TEST_F(OnDown, RehashOfNatAnswersTheNextPacketWithAReset) {
  begin("rehash");
  EXPECT_TRUE(fall().empty());
  const std::vector<Bytes> out = lab_->exchange(tcp(kClient, 40000, net::kTcpAck, 1000, 5000));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0][47] & net::kTcpRst, net::kTcpRst);
  EXPECT_EQ(lab_->drops(Drop::kNoFlow), 1u);
}

TEST_F(OnDown, KeepKeeps) {
  begin("keep");
  EXPECT_TRUE(fall().empty());
  EXPECT_EQ(lab_->counters().flows.read(), 1);
  EXPECT_EQ(mac_of(lab_->exchange(tcp(kClient, 40000, net::kTcpAck, 1000, 5000)).at(0)), 1);
}

TEST_F(OnDown, ResetsAreSpreadOverTurns) {
  begin("reset", "dsr");
  lab_->report("web2", lb::Health::kDown);
  for (std::uint16_t port = 41000; port < 41500; ++port) {
    for (int i = 0; i < 3; ++i) (void)lab_->exchange(tcp(kClient, port, i == 0 ? net::kTcpSyn : net::kTcpAck, 7, 8));
  }
  lab_->report("web1", lb::Health::kDown);
  std::size_t resets = 0;
  for (int turn = 0; turn < 100; ++turn) {
    for (const auto& loop : lab_->assembly().loops()) (void)loop->turn(lab_->now());
    const std::size_t now = lab_->sent().size();
    EXPECT_LE(now, 32u);
    resets += now;
  }
  EXPECT_EQ(resets, 501u);
  EXPECT_EQ(lab_->counters().flows.read(), 0);
}

}  // namespace
}  // namespace sluice::dataplane
