// Flows that are ended by hand.
#include <gtest/gtest.h>

#include "lab.h"

namespace sluice::dataplane {
namespace {

std::string config_of(const std::string& mode) {
  std::string text = simple_config();
  text.replace(text.find("mode: nat"), 9, "mode: " + mode);
  text.replace(text.find(", port: 8080"), 12, "");
  return text;
}

// A connection whose client has sent up to 1101 and acknowledged up to 5001; gives the port that the backend sees.
std::uint16_t connect(Lab& lab) {
  const auto syn = lab.exchange(from_client(ip4(kClient, kService).tcp(40000, 80, net::kTcpSyn, 1000)));
  const std::uint16_t port = src_port_of(syn.at(0));
  (void)lab.exchange(from_backend(ip4(kBackend, kOwn).tcp(8080, port, net::kTcpSyn | net::kTcpAck, 5000, 1001)));
  (void)lab.exchange(from_client(ip4(kClient, kService).tcp(40000, 80, net::kTcpAck, 1001, 5001, Bytes(100))));
  (void)lab.exchange(from_client(ip4(kClient, kService).tcp(40000, 80, net::kTcpAck, 1101, 5001)));
  return port;
}

std::uint64_t kill(Lab& lab, const lb::FlowFilter& filter) {
  lb::FlowQuery query(filter, lb::FlowAction::kEnd);
  EXPECT_TRUE(lab.assembly().worker(0).queries().post(query));
  lab.run();
  EXPECT_TRUE(query.done());
  return query.matched();
}

TEST(FlowEnd, BothEndsOfATcpFlowAreReset) {
  Lab lab(simple_config());
  const std::uint16_t port = connect(lab);
  EXPECT_EQ(kill(lab, {}), 1u);
  const auto sent = lab.sent();
  ASSERT_EQ(sent.size(), 2u);
  // Checksums, addresses and all: what is built elsewhere.
  const Bytes client = ip4(kService, kClient)
                           .link(kOurMac, kGatewayMac)
                           .tcp(80, 40000, net::kTcpRst | net::kTcpAck, 5001, 1101)
                           .tcp_window(0)
                           .frame();
  EXPECT_EQ(Bytes(sent[0].begin() + 26, sent[0].end()), Bytes(client.begin() + 26, client.end()));
  EXPECT_EQ(src_port_of(sent[1]), port);
  EXPECT_EQ(word_at(sent[1], 38), 1101u);
  EXPECT_EQ(sent[1][47], net::kTcpRst);
  EXPECT_EQ(lab.counters().flows.read(), 0);
  EXPECT_EQ(lab.counters().flows_killed.read(), 1u);
  EXPECT_EQ(lab.counters().rst_sent.read(), 2u);
}

TEST(FlowEnd, WhereTheBackendIsNotSeenTheClientAloneIsReset) {
  Lab lab(config_of("dsr"));
  (void)lab.exchange(from_client(ip4(kClient, kService).tcp(40000, 80, net::kTcpSyn, 1000)));
  (void)lab.exchange(from_client(ip4(kClient, kService).tcp(40000, 80, net::kTcpAck, 1001, 5001)));
  EXPECT_EQ(kill(lab, {}), 1u);
  const auto sent = lab.sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(word_at(sent[0], 38), 5001u);
  EXPECT_EQ(word_at(sent[0], 42), 1001u);
}

TEST(FlowEnd, FlowsThatDoNotMatchStay) {
  Lab lab(simple_config());
  (void)connect(lab);
  (void)lab.exchange(from_client(ip4("192.0.2.2", kService).udp(40000, 53, {1})));
  EXPECT_EQ(kill(lab, {.service = {}, .backend = {}, .client = net::IpAddress::parse("192.0.2.2")}), 1u);
  EXPECT_TRUE(lab.sent().empty());  // UDP has nothing that says so
  EXPECT_EQ(lab.counters().flows.read(), 1);
  EXPECT_EQ(lab.exchange(from_client(ip4(kClient, kService).tcp(40000, 80, net::kTcpAck, 1101, 5001))).size(), 1u);
}

TEST(FlowEnd, ManyFlowsEndOverManyTurns) {
  Lab lab(simple_config("workers: [0], flows: 4096"), {.mbufs = 4095});
  for (std::uint16_t port = 2000; port < 2500; ++port) {
    (void)lab.exchange(from_client(ip4(kClient, kService).tcp(port, 80, net::kTcpSyn, 1000)));
  }
  lb::FlowQuery query({}, lb::FlowAction::kEnd);
  ASSERT_TRUE(lab.assembly().worker(0).queries().post(query));
  std::int64_t left = lab.counters().flows.read();
  EXPECT_EQ(left, 500);
  int turns = 0;
  for (; !query.done() && turns < 1000; ++turns) {
    (void)lab.assembly().loops()[0]->turn(lab.now());
    const std::int64_t now = lab.counters().flows.read();
    EXPECT_LE(left - now, static_cast<std::int64_t>(lb::FlowQuery::kEndsPerStep));
    left = now;
  }
  EXPECT_EQ(query.matched(), 500u);
  EXPECT_GT(turns, 15);
}

}  // namespace
}  // namespace sluice::dataplane
