#include "sluice/lb/maglev.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "sluice/base/random.h"

namespace sluice::lb {
namespace {

class Backends {
 public:
  explicit Backends(std::size_t count, std::uint32_t weight = 1) {
    for (std::size_t i = 0; i < count; ++i) names_.push_back("web" + std::to_string(i));
    for (std::size_t i = 0; i < count; ++i) list.push_back({names_[i], static_cast<BackendIndex>(i), weight});
  }
  std::vector<MaglevBackend> list;

 private:
  std::vector<std::string> names_;
};

std::map<BackendIndex, std::size_t> shares(const MaglevTable& table) {
  std::map<BackendIndex, std::size_t> out;
  for (const BackendIndex backend : table.slots()) ++out[backend];
  return out;
}

TEST(Maglev, EqualWeightsGetTheFloorOrTheCeilingOfTheirShare) {
  for (const std::uint32_t slots : {251u, 65537u}) {
    for (const std::size_t count : {1u, 2u, 3u, 7u, 100u}) {
      const Backends backends(count);
      const MaglevTable table(backends.list, slots);
      const auto share = shares(table);
      ASSERT_EQ(share.size(), count);
      for (const auto& [backend, got] : share) {
        EXPECT_GE(got, slots / count) << backend;
        EXPECT_LE(got, slots / count + 1) << backend;
      }
    }
  }
}

TEST(Maglev, SharesFollowTheWeights) {
  Backends backends(5);
  const std::uint32_t weights[] = {1, 2, 3, 10, 0};
  for (std::size_t i = 0; i < 5; ++i) backends.list[i].weight = weights[i];
  const MaglevTable table(backends.list, 65537);
  const auto share = shares(table);
  EXPECT_FALSE(share.contains(4));
  for (std::size_t i = 0; i < 4; ++i) {
    const double want = 65537.0 * weights[i] / 16;
    EXPECT_NEAR(static_cast<double>(share.at(static_cast<BackendIndex>(i))), want, want * 0.01);
  }
}

TEST(Maglev, LargeWeightsOfOddProportions) {
  Backends backends(3);
  const std::uint32_t weights[] = {1000, 999, 1};
  for (std::size_t i = 0; i < 3; ++i) backends.list[i].weight = weights[i];
  const auto share = shares(MaglevTable(backends.list, 65537));
  for (std::size_t i = 0; i < 3; ++i) {
    const double want = 65537.0 * weights[i] / 2000;
    EXPECT_NEAR(static_cast<double>(share.at(static_cast<BackendIndex>(i))), want, want * 0.01 + 1);
  }
}

// The heaviest takes one slot a round, so that the lightest has its turn in the last rounds of a long walk.
TEST(Maglev, WeightsFromOneToTheLargest) {
  Backends backends(4);
  const std::uint32_t weights[] = {65535, 1, 6553, 65};
  for (std::size_t i = 0; i < 4; ++i) backends.list[i].weight = weights[i];
  auto share = shares(MaglevTable(backends.list, 65537));
  for (std::size_t i = 0; i < 4; ++i) {
    const double want = 65537.0 * weights[i] / (65535 + 1 + 6553 + 65);
    EXPECT_NEAR(static_cast<double>(share[static_cast<BackendIndex>(i)]), want, 1.0) << i;
  }
}

TEST(Maglev, EqualWeightsAreWeightsOfOne) {
  EXPECT_TRUE(std::ranges::equal(MaglevTable(Backends(7, 65535).list, 251).slots(),
                                 MaglevTable(Backends(7, 1).list, 251).slots()));
}

TEST(Maglev, DoesNotDependOnTheOrder) {
  Backends backends(20);
  for (std::size_t i = 0; i < 20; ++i) backends.list[i].weight = static_cast<std::uint32_t>(1 + i % 4);
  const MaglevTable table(backends.list, 65537);
  Random random(5);
  for (int round = 0; round < 5; ++round) {
    for (std::size_t i = 19; i > 0; --i)
      std::swap(backends.list[i], backends.list[random.below(static_cast<std::uint32_t>(i) + 1)]);
    EXPECT_TRUE(std::ranges::equal(MaglevTable(backends.list, 65537).slots(), table.slots()));
  }
}

// Every machine and every version must send a flow the same way: these values are a contract.
TEST(Maglev, IsTheSameEverywhere) {
  const Backends backends(3);
  const MaglevTable table(backends.list, 251);
  std::string first;
  for (std::size_t i = 0; i < 32; ++i) first += std::to_string(table.slots()[i]);
  EXPECT_EQ(first, "11121202111100221120020211022220");
  EXPECT_EQ(maglev_hash(*net::Endpoint::parse("192.0.2.1:40000"), *net::Endpoint::parse("203.0.113.10:443"),
                        net::IpProto::kTcp),
            12060979907838379848u);
}

TEST(Maglev, WeightedIsTheSameEverywhere) {
  Backends backends(3);
  for (std::size_t i = 0; i < 3; ++i) backends.list[i].weight = static_cast<std::uint32_t>(3 - i);
  const MaglevTable table(backends.list, 251);
  std::string first;
  for (std::size_t i = 0; i < 32; ++i) first += std::to_string(table.slots()[i]);
  EXPECT_EQ(first, "11110200111000201120020010021200");
}

struct PartsCase {
  const char* name;
  config::FlowHash parts;
  bool client_port, service_address, service_port, proto, client;  // whether the hash depends on it
};
const PartsCase kPartsCases[] = {
    {"tuple", config::FlowHash::kTuple, true, true, true, true, true},
    {"source", config::FlowHash::kSource, false, false, false, false, true},
    {"source_and_service", config::FlowHash::kSourceAndService, false, true, true, true, true},
    {"destination_port", config::FlowHash::kDestinationPort, false, false, true, false, false},
};

TEST(FlowHash, DependsOnWhatItsKindSays) {
  const auto hash = [](config::FlowHash parts, const char* client, const char* service, net::IpProto proto) {
    return flow_hash(parts, *net::Endpoint::parse(client), *net::Endpoint::parse(service), proto);
  };
  constexpr auto kTcp = net::IpProto::kTcp;
  for (const PartsCase& row : kPartsCases) {
    const std::uint64_t base = hash(row.parts, "192.0.2.1:40000", "203.0.113.10:443", kTcp);
    EXPECT_EQ(base != hash(row.parts, "192.0.2.1:40001", "203.0.113.10:443", kTcp), row.client_port) << row.name;
    EXPECT_EQ(base != hash(row.parts, "192.0.2.2:40000", "203.0.113.10:443", kTcp), row.client) << row.name;
    EXPECT_EQ(base != hash(row.parts, "192.0.2.1:40000", "203.0.113.11:443", kTcp), row.service_address) << row.name;
    EXPECT_EQ(base != hash(row.parts, "192.0.2.1:40000", "203.0.113.10:444", kTcp), row.service_port) << row.name;
    EXPECT_EQ(base != hash(row.parts, "192.0.2.1:40000", "203.0.113.10:443", net::IpProto::kUdp), row.proto)
        << row.name;
  }
}

// Section 5.3 of the paper: besides the flows of the backend that left, few move.
TEST(Maglev, RemovingOneOfManyMovesFewOthers) {
  for (const std::size_t count : {3u, 10u, 100u}) {
    Backends backends(count);
    const MaglevTable before(backends.list, 65537);
    const BackendIndex gone = backends.list[count / 2].index;
    backends.list.erase(backends.list.begin() + static_cast<std::ptrdiff_t>(count / 2));
    const MaglevTable after(backends.list, 65537);
    std::size_t moved = 0;
    for (std::size_t i = 0; i < 65537; ++i) {
      moved += before.slots()[i] != gone && before.slots()[i] != after.slots()[i];
    }
    EXPECT_LT(static_cast<double>(moved) / 65537, 0.05) << count;
  }
}

TEST(Maglev, EmptyWithoutABackendThatTakesNewFlows) {
  EXPECT_EQ(MaglevTable().find(1), kNoBackend);
  EXPECT_EQ(MaglevTable({}, 251).find(1), kNoBackend);
  const Backends off(3, 0);
  EXPECT_EQ(MaglevTable(off.list, 251).find(1), kNoBackend);
}

TEST(Maglev, HashesOfDifferentFlowsSpreadOverTheSlots) {
  const Backends backends(4);
  const MaglevTable table(backends.list, 65537);
  std::map<BackendIndex, int> got;
  const auto service = *net::Endpoint::parse("203.0.113.10:443");
  for (std::uint16_t port = 1024; port < 21024; ++port) {
    const net::Endpoint client{*net::IpAddress::parse("192.0.2.1"), port};
    ++got[table.find(maglev_hash(client, service, net::IpProto::kTcp))];
  }
  for (const auto& [backend, count] : got) EXPECT_NEAR(count, 5000, 250) << backend;
}

TEST(IsPrime, KnowsPrimes) {
  for (const std::uint32_t prime : {2u, 3u, 251u, 65537u, 655373u}) EXPECT_TRUE(is_prime(prime)) << prime;
  for (const std::uint32_t other : {0u, 1u, 4u, 65536u, 655361u * 3}) EXPECT_FALSE(is_prime(other)) << other;
}

}  // namespace
}  // namespace sluice::lb
