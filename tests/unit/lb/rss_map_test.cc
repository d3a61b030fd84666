#include "sluice/lb/rss_map.h"

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "sluice/base/random.h"
#include "sluice/lb/nat_ports.h"
#include "sluice/lb/port_plan.h"

namespace sluice::lb {
namespace {

constexpr auto kTcp = net::IpProto::kTcp;
using Key = std::array<std::uint8_t, net::Toeplitz::kKeyBytes>;

Key random_key(std::uint64_t seed) {
  Random random(seed);
  Key key;
  for (std::uint8_t& byte : key) byte = static_cast<std::uint8_t>(random.next());
  return key;
}

Key symmetric_key() {
  Key key;
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = i % 2 == 0 ? 0x6d : 0x5a;
  return key;
}

constexpr RssFields kAll{.tcp4 = true, .udp4 = true, .sctp4 = true, .tcp6 = true, .udp6 = true, .sctp6 = true};

// As drivers fill it: queue after queue.
std::vector<std::uint16_t> table_of(std::size_t entries, std::size_t workers) {
  std::vector<std::uint16_t> out(entries);
  for (std::size_t i = 0; i < entries; ++i) out[i] = static_cast<std::uint16_t>(i % workers);
  return out;
}

net::IpAddress random_address(Random& random, bool v4) {
  if (v4) return net::IpAddress::v4(Be32(static_cast<std::uint32_t>(random.next())));
  return net::IpAddress::from_words({random.next(), random.next()});
}

net::Endpoint random_endpoint(Random& random, bool v4) {
  const net::IpAddress address = random_address(random, v4);
  return {address, static_cast<std::uint16_t>(random.next())};
}

TEST(RssMap, ReadsItsTableAsANicDoes) {
  const Key key = random_key(7);
  const net::Toeplitz toeplitz(key);
  Random random(1);
  for (const std::size_t entries : {2u, 64u, 128u, 512u, 4096u}) {
    std::vector<std::uint16_t> table(entries);
    for (std::uint16_t& worker : table) worker = static_cast<std::uint16_t>(random.below(128));
    const RssMap map(key, kAll, table);
    for (int i = 0; i < 10'000; ++i) {
      const bool v4 = i % 2 == 0;
      const net::Endpoint from = random_endpoint(random, v4), to = random_endpoint(random, v4);
      ASSERT_EQ(map.worker_of(from, to), table[toeplitz.hash(from, to) % entries]);
    }
  }
}

TEST(RssMap, KnowsWhatTheNicSpreadsByPorts) {
  const RssMap map(random_key(1), {.tcp4 = true, .udp6 = true}, table_of(128, 2));
  EXPECT_TRUE(map.knows(kTcp, true));
  EXPECT_FALSE(map.knows(kTcp, false));
  EXPECT_FALSE(map.knows(net::IpProto::kUdp, true));
  EXPECT_TRUE(map.knows(net::IpProto::kUdp, false));
  EXPECT_FALSE(map.knows(net::IpProto::kSctp, true));
  EXPECT_FALSE(map.knows(net::IpProto::kIcmp, true));
}

struct PortCase {
  const char* name;
  Key key;
  std::size_t entries, workers;
};
const PortCase kPortCases[] = {
    {"two_workers", random_key(1), 128, 2},      {"three_workers", random_key(2), 128, 3},
    {"sixteen_workers", random_key(3), 512, 16}, {"small_table", random_key(4), 64, 7},
    {"symmetric_key", symmetric_key(), 128, 4},
};
class RssPortChoice : public ::testing::TestWithParam<PortCase> {};

// What the choice is for: the reply of the backend comes in on a queue of the worker that has the flow.
TEST_P(RssPortChoice, BringsTheReplyToTheWorkerThatTookThePort) {
  const PortCase& with = GetParam();
  const std::vector<std::uint16_t> table = table_of(with.entries, with.workers);
  const RssMap map(with.key, kAll, table);
  const net::Toeplitz toeplitz(with.key);
  const PortPlan plan(with.workers, 0);
  std::vector<NatPorts> ports;
  for (std::size_t worker = 0; worker < with.workers; ++worker) {
    ports.emplace_back(plan.worker_block(worker), Random(worker), 16384);
  }
  Random random(9);
  for (int i = 0; i < 20'000; ++i) {  // half of them IPv6
    const bool v4 = i % 2 == 0;
    const auto worker = static_cast<std::uint16_t>(random.below(static_cast<std::uint32_t>(with.workers)));
    const net::Endpoint backend = random_endpoint(random, v4);
    const net::IpAddress source = random_address(random, v4);
    const RssPorts rss = map.ports(backend, source, worker);
    const std::uint16_t port = ports[worker].take(0, kTcp, backend, Ms{0}, {}, rss);
    ASSERT_NE(port, 0);
    EXPECT_EQ(plan.owner_of(port), (PortOwner{PortOwnerKind::kWorker, static_cast<std::uint8_t>(worker)}));
    ASSERT_EQ(table[toeplitz.hash(backend, {source, port}) % with.entries], worker) << port;
  }
}
INSTANTIATE_TEST_SUITE_P(Nics, RssPortChoice, ::testing::ValuesIn(kPortCases),
                         [](const auto& test) { return std::string(test.param.name); });

class RssNatPorts : public ::testing::Test {
 protected:
  RssNatPorts() : map_(random_key(5), kAll, table_of(128, 2)) {}

  std::uint16_t take(Ms now) { return ports_.take(0, kTcp, backend_, now, {}, rss_); }
  void give_back(std::uint16_t port, Ms now) { ports_.give_back(0, kTcp, backend_, port, now); }

  const net::Endpoint backend_ = *net::Endpoint::parse("198.51.100.11:8080");
  RssMap map_;
  RssPorts rss_ = map_.ports(backend_, *net::IpAddress::parse("198.51.100.2"), 0);
  NatPorts ports_{{2048, 256}, Random(1)};
};

TEST_F(RssNatPorts, TakesTheOthersWhenThoseThatLeadHomeAreUsed) {
  std::set<std::uint16_t> got;
  std::size_t home = 0;
  for (int i = 0; i < 256; ++i) {
    const std::uint16_t port = take(Ms{0});
    ASSERT_NE(port, 0);
    got.insert(port);
    if (!rss_.leads_home(port)) continue;
    EXPECT_EQ(home++, static_cast<std::size_t>(i)) << "one that leads home came late";
  }
  EXPECT_EQ(got.size(), 256u);
  EXPECT_NEAR(static_cast<double>(home), 128, 40);
  EXPECT_EQ(take(Ms{0}), 0);
  EXPECT_EQ(ports_.taken_at(0), 256u);
}

TEST_F(RssNatPorts, EachPortGoesBackToWhereItBelongs) {
  std::vector<std::uint16_t> taken;
  for (int i = 0; i < 256; ++i) taken.push_back(take(Ms{0}));
  for (const std::uint16_t port : taken) give_back(port, Ms{1});
  EXPECT_EQ(ports_.stats().taken, 0u);
  const Ms rested{1 + NatPorts::kQuarantineMs};
  const auto home = std::ranges::count_if(taken, [&](std::uint16_t port) { return rss_.leads_home(port); });
  for (std::ptrdiff_t i = 0; i < home; ++i) EXPECT_TRUE(rss_.leads_home(take(rested)));
  EXPECT_FALSE(rss_.leads_home(take(rested)));
  EXPECT_EQ(ports_.stats().early_reuses, 0u);
}

// A port of the other kind that was never used does less harm than one that the backend may still remember.
TEST_F(RssNatPorts, ARestedPortThatLeadsAstrayComesBeforeOneThatStillRests) {
  std::vector<std::uint16_t> home;
  for (std::uint16_t port = take(Ms{0}); rss_.leads_home(port); port = take(Ms{0})) home.push_back(port);
  give_back(home[0], Ms{0});
  EXPECT_FALSE(rss_.leads_home(take(Ms{30'000})));
  EXPECT_EQ(ports_.stats().early_reuses, 0u);
  while (ports_.stats().taken < 255) EXPECT_FALSE(rss_.leads_home(take(Ms{30'000})));
  EXPECT_EQ(take(Ms{30'000}), home[0]);
  EXPECT_EQ(ports_.stats().early_reuses, 1u);
}

TEST(RssMap, WithoutOnePortsAreTakenInOrder) {
  NatPorts ports({2048, 64}, Random(1));
  const net::Endpoint backend = *net::Endpoint::parse("198.51.100.11:8080");
  std::uint16_t last = ports.take(0, kTcp, backend, Ms{0});
  for (int i = 1; i < 64; ++i) {
    const std::uint16_t port = ports.take(0, kTcp, backend, Ms{0});
    EXPECT_EQ(port, last == 2111 ? 2048 : last + 1);
    last = port;
  }
}

TEST(RssMap, SaysWhichWorkersItReaches) {
  const RssMap map(random_key(1), kAll, table_of(128, 3));
  EXPECT_TRUE(map.reaches(2));
  EXPECT_FALSE(map.reaches(3));
}

}  // namespace
}  // namespace sluice::lb
