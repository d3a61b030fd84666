#include "sluice/dataplane/topology.h"

#include <array>
#include <optional>

#include <gtest/gtest.h>

#include "sluice/config/load.h"

namespace sluice::dataplane {
namespace {

net::IpAddress address(const char* text) { return *net::IpAddress::parse(text); }

constexpr const char* kConfig = R"(
runtime: { workers: [0] }
interfaces:
  edge: { device: net_null0, addresses: [198.51.100.2/24, 198.51.100.3/24, "2001:db8:1::2/64"], gateway: 198.51.100.1 }
  inside: { device: net_null1, addresses: [192.0.2.130/25] }
routes:
  - { prefix: 203.0.113.128/25, via: 192.0.2.129 }
pools:
  web: { backends: [ { address: 192.0.2.131, port: 80 } ] }
services:
  on_link: { listen: "198.51.100.80:80", forward: { mode: nat, pool: web, source: 192.0.2.200 } }
  routed: { listen: "203.0.113.10:80", forward: { mode: nat, pool: web } }
  announced: { listen: "203.0.113.11:80", announce: inside, forward: { mode: nat, pool: web } }
)";

class TopologyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto config = config::load_text(kConfig, "topology.yaml");
    ASSERT_TRUE(config.has_value()) << config::text(config.error());
    const std::array<net::MacAddress, 2> macs{{{{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 2}}}};
    topology_.emplace(*config, macs);
  }
  std::optional<Topology> topology_;
};

TEST_F(TopologyTest, KnowsItsOwnAddresses) {
  for (const char* own : {"198.51.100.2", "198.51.100.3", "2001:db8:1::2", "192.0.2.130", "192.0.2.200",
                          "fe80::ff:fe00:1", "fe80::ff:fe00:2"}) {
    EXPECT_TRUE(topology_->is_own(address(own))) << own;
  }
  EXPECT_FALSE(topology_->is_own(address("198.51.100.80")));
  EXPECT_TRUE(topology_->is_service(address("198.51.100.80")));
}

TEST_F(TopologyTest, KnowsWhichNeighboursItNeeds) {
  for (const char* needed : {"198.51.100.1", "192.0.2.129", "192.0.2.131"}) {
    EXPECT_TRUE(topology_->is_needed(address(needed))) << needed;
  }
  for (const char* other : {"198.51.100.2", "198.51.100.77", "203.0.113.1"}) {
    EXPECT_FALSE(topology_->is_needed(address(other))) << other;
  }
}

struct AnswerRow {
  const char* name;
  InterfaceId interface;
  const char* target;
  bool answers;
};
const AnswerRow kAnswerRows[] = {
    {"own", 0, "198.51.100.2", true},
    {"own_of_the_other_interface", 1, "198.51.100.2", false},
    {"service_on_link", 0, "198.51.100.80", true},
    {"service_on_link_elsewhere", 1, "198.51.100.80", false},
    {"service_that_is_routed_to_us", 0, "203.0.113.10", false},
    {"service_that_is_announced", 1, "203.0.113.11", true},
    {"nat_source_on_link", 1, "192.0.2.200", true},
    {"link_local", 0, "fe80::ff:fe00:1", true},
    {"a_neighbour", 0, "198.51.100.77", false},
};
TEST_F(TopologyTest, AnswersForAddressesOfTheLink) {
  for (const AnswerRow& row : kAnswerRows) {
    EXPECT_EQ(topology_->answers_for(row.interface, address(row.target)), row.answers) << row.name;
  }
}

TEST_F(TopologyTest, ChoosesTheSourceByTheWayOut) {
  EXPECT_EQ(topology_->source_for(address("198.51.100.77")), address("198.51.100.2"));
  EXPECT_EQ(topology_->source_for(address("203.0.113.1")), address("198.51.100.2"));   // by the gateway
  EXPECT_EQ(topology_->source_for(address("203.0.113.200")), address("192.0.2.130"));  // by the static route
  EXPECT_EQ(topology_->source_for(address("2001:db8:1::77")), address("2001:db8:1::2"));
  EXPECT_EQ(topology_->source_for(address("2001:db8:1::77"), true), address("198.51.100.2"));  // in a tunnel over IPv6
  EXPECT_EQ(topology_->source_for(address("198.51.100.77"), false), address("2001:db8:1::2"));
  EXPECT_EQ(topology_->source_for(address("2001:db8:2::1")), std::nullopt);
}

}  // namespace
}  // namespace sluice::dataplane
