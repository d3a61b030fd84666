#include "sluice/lb/nat_ports.h"

#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::lb {
namespace {

constexpr auto kTcp = net::IpProto::kTcp;
constexpr auto kUdp = net::IpProto::kUdp;

net::Endpoint backend(std::uint32_t n) { return {net::IpAddress::v4(Be32(0xc6336400u + n)), 8080}; }

TEST(NatPorts, GivesEveryPortOfTheBlockOnceThenNone) {
  NatPorts ports({2048, 128}, Random(1));
  std::set<std::uint16_t> got;
  for (int i = 0; i < 128; ++i) {
    const std::uint16_t port = ports.take(0, kTcp, backend(1), Ms{0});
    EXPECT_GE(port, 2048);
    EXPECT_LT(port, 2048 + 128);
    got.insert(port);
  }
  EXPECT_EQ(got.size(), 128u);
  EXPECT_EQ(ports.take(0, kTcp, backend(1), Ms{0}), 0);
  EXPECT_EQ(ports.stats().exhausted, 1u);
  EXPECT_EQ(ports.stats().taken, 128u);
}

TEST(NatPorts, EachBackendSourceAndProtocolHasTheWholeBlock) {
  NatPorts ports({2048, 4}, Random(1));
  for (int i = 0; i < 4; ++i) {
    EXPECT_NE(ports.take(0, kTcp, backend(1), Ms{0}), 0);
    EXPECT_NE(ports.take(0, kUdp, backend(1), Ms{0}), 0);
    EXPECT_NE(ports.take(1, kTcp, backend(1), Ms{0}), 0);
    EXPECT_NE(ports.take(0, kTcp, backend(2), Ms{0}), 0);
    EXPECT_NE(ports.take(0, kTcp, {backend(1).address, 8081}, Ms{0}), 0);
  }
  EXPECT_EQ(ports.take(0, kTcp, backend(1), Ms{0}), 0);
  EXPECT_EQ(ports.taken_at(0), 16u);
  EXPECT_EQ(ports.taken_at(1), 4u);
}

TEST(NatPorts, BeginsAtARandomPort) {
  std::set<std::uint16_t> first;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    NatPorts ports({1024, 60000}, Random(seed));
    first.insert(ports.take(0, kTcp, backend(1), Ms{0}));
  }
  EXPECT_GT(first.size(), 45u);
}

TEST(NatPorts, PortsNeverUsedComeBeforeThoseThatRest) {
  NatPorts ports({2048, 3}, Random(1));
  const std::uint16_t first = ports.take(0, kTcp, backend(1), Ms{0});
  ports.give_back(0, kTcp, backend(1), first, Ms{0});
  const std::uint16_t second = ports.take(0, kTcp, backend(1), Ms{30'000});
  const std::uint16_t third = ports.take(0, kTcp, backend(1), Ms{30'000});
  EXPECT_NE(second, first);
  EXPECT_NE(third, first);
  EXPECT_EQ(ports.stats().early_reuses, 0u);
  EXPECT_EQ(ports.take(0, kTcp, backend(1), Ms{30'000}), first);
  EXPECT_EQ(ports.stats().early_reuses, 1u);
}

TEST(NatPorts, APortThatHasRestedLongEnoughComesFirst) {
  NatPorts ports({2048, 100}, Random(1));
  const std::uint16_t first = ports.take(0, kTcp, backend(1), Ms{0});
  ports.give_back(0, kTcp, backend(1), first, Ms{0});
  EXPECT_EQ(ports.take(0, kTcp, backend(1), Ms{NatPorts::kQuarantineMs}), first);
  EXPECT_EQ(ports.stats().early_reuses, 0u);
}

TEST(NatPorts, TheOneThatRestsLongestIsNextAndNoneBeforeTheMinimum) {
  NatPorts ports({2048, 3}, Random(1));
  std::vector<std::uint16_t> taken;
  for (int i = 0; i < 3; ++i) taken.push_back(ports.take(0, kTcp, backend(1), Ms{0}));
  const std::uint32_t order[] = {1, 2, 0};
  for (const std::uint32_t i : order) ports.give_back(0, kTcp, backend(1), taken[i], Ms{100 + i});
  EXPECT_EQ(ports.take(0, kTcp, backend(1), Ms{101 + NatPorts::kMinimumRestMs - 1}), 0);
  for (const std::uint32_t i : order) {
    EXPECT_EQ(ports.take(0, kTcp, backend(1), Ms{102 + NatPorts::kMinimumRestMs}), taken[i]);
  }
  EXPECT_EQ(ports.stats().early_reuses, 3u);
}

TEST(NatPorts, TakesASetThatIsNoLongerUsedForANewBackend) {
  NatPorts ports({2048, 8}, Random(1), 2);
  const std::uint16_t one = ports.take(0, kTcp, backend(1), Ms{0});
  EXPECT_NE(ports.take(0, kTcp, backend(2), Ms{0}), 0);
  EXPECT_EQ(ports.take(0, kTcp, backend(3), Ms{0}), 0);
  ports.give_back(0, kTcp, backend(1), one, Ms{10});
  EXPECT_EQ(ports.take(0, kTcp, backend(3), Ms{20}), 0);  // a port of it still rests
  EXPECT_NE(ports.take(0, kTcp, backend(3), Ms{10 + NatPorts::kQuarantineMs}), 0);
  EXPECT_EQ(ports.take(0, kTcp, backend(1), Ms{10 + NatPorts::kQuarantineMs}), 0);
}

TEST(NatPorts, AnEmptyBlockGivesNone) {
  NatPorts ports({}, Random(1));
  EXPECT_EQ(ports.take(0, kTcp, backend(1), Ms{0}), 0);
}

// Random use of a few backends: no port is ever given twice, and all come back.
TEST(NatPorts, NeverGivesAPortThatIsTaken) {
  NatPorts ports({1024, 64}, Random(1));
  Random random(2);
  std::set<std::pair<std::uint32_t, std::uint16_t>> taken;
  std::uint32_t now = 0;
  for (int step = 0; step < 200'000; ++step) {
    now += random.below(100);
    const std::uint32_t to = random.below(3);
    if (random.below(2) == 0) {
      const std::uint16_t port = ports.take(0, kTcp, backend(to), Ms{now});
      if (port != 0) {
        ASSERT_TRUE(taken.emplace(to, port).second);
      }
    } else if (!taken.empty()) {
      const auto at = taken.lower_bound({to, static_cast<std::uint16_t>(1024 + random.below(64))});
      if (at == taken.end()) continue;
      ports.give_back(0, kTcp, backend(at->first), at->second, Ms{now});
      taken.erase(at);
    }
    ASSERT_EQ(ports.stats().taken, taken.size());
  }
}

// A port on which a service listens is never given; it comes into use once the service is gone.
TEST(NatPorts, PassesOverPortsOnWhichAServiceListens) {
  NatPorts ports({2048, 8}, Random(1));
  const std::uint16_t listened[] = {80, 2049, 2050, 2055, 9000};
  std::set<std::uint16_t> got;
  Ms now{0};
  for (int round = 0; round < 3; ++round) {  // fresh ones first, then those that have rested
    for (int i = 0; i < 5; ++i) got.insert(ports.take(0, kTcp, backend(1), now, listened));
    EXPECT_EQ(ports.take(0, kTcp, backend(1), now, listened), 0);
    EXPECT_EQ(got, (std::set<std::uint16_t>{2048, 2051, 2052, 2053, 2054}));
    EXPECT_EQ(ports.stats().taken, 5u);
    for (const std::uint16_t port : got) ports.give_back(0, kTcp, backend(1), port, now);
    now = Ms{static_cast<std::uint32_t>(now) + (round == 0 ? 2'000u : 70'000u)};
  }
  for (int i = 0; i < 8; ++i) got.insert(ports.take(0, kTcp, backend(1), now));
  EXPECT_EQ(got.size(), 8u);
}

}  // namespace
}  // namespace sluice::lb
