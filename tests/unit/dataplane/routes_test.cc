#include "sluice/dataplane/routes.h"

#include <gtest/gtest.h>

namespace sluice::dataplane {
namespace {

net::Prefix prefix(const char* text) { return *net::Prefix::parse(text); }
net::IpAddress address(const char* text) { return *net::IpAddress::parse(text); }

Routes table() {
  Routes routes;
  routes.add({.prefix = prefix("0.0.0.0/0"), .interface = 0, .gateway = address("198.51.100.1")});
  routes.add({.prefix = prefix("198.51.100.2/24"), .interface = 0, .gateway = {}});
  routes.add({.prefix = prefix("198.51.100.128/25"), .interface = 1, .gateway = {}});
  routes.add({.prefix = prefix("192.0.2.7/32"), .interface = 2, .gateway = address("198.51.100.9")});
  routes.add({.prefix = prefix("2001:db8:1::2/64"), .interface = 3, .gateway = {}});
  routes.add({.prefix = prefix("2001:db8::/32"), .interface = 4, .gateway = address("2001:db8:1::9")});
  return routes;
}

struct Row {
  const char* name;
  const char* destination;
  int interface;  // -1: no route
  const char* gateway;
};
const Row kRows[] = {
    {"default", "203.0.113.1", 0, "198.51.100.1"},
    {"on_link", "198.51.100.77", 0, "::"},
    {"longer_prefix_wins", "198.51.100.200", 1, "::"},
    {"host_route", "192.0.2.7", 2, "198.51.100.9"},
    {"beside_the_host_route", "192.0.2.8", 0, "198.51.100.1"},
    {"ip6_on_link", "2001:db8:1::77", 3, "::"},
    {"ip6_by_gateway", "2001:db8:2::1", 4, "2001:db8:1::9"},
    {"ip6_without_a_default", "2001:db9::1", -1, "::"},
};
class RoutesFind : public ::testing::TestWithParam<Row> {};
TEST_P(RoutesFind, TakesTheLongestPrefix) {
  const Routes routes = table();
  const Route* route = routes.find(address(GetParam().destination));
  if (GetParam().interface < 0) {
    EXPECT_EQ(route, nullptr);
    return;
  }
  ASSERT_NE(route, nullptr);
  EXPECT_EQ(route->interface, GetParam().interface);
  EXPECT_EQ(route->gateway, address(GetParam().gateway));
}
INSTANTIATE_TEST_SUITE_P(Destinations, RoutesFind, ::testing::ValuesIn(kRows),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Routes, AnIp6DefaultIsNoWayToIp4) {
  Routes routes;
  routes.add({.prefix = prefix("::/0"), .interface = 0, .gateway = address("2001:db8::1")});
  EXPECT_EQ(routes.find(address("192.0.2.1")), nullptr);
  EXPECT_NE(routes.find(address("2001:db9::1")), nullptr);
}

}  // namespace
}  // namespace sluice::dataplane
