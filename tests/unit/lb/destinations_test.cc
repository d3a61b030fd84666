#include "sluice/lb/destinations.h"

#include <set>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::lb {
namespace {

constexpr std::array<std::uint64_t, 4> kSecret{1, 2, 3, 4};
constexpr ListenerId kListener{3, 1};

Destination to(const char* address, std::uint16_t port, ListenerId listener = kListener) {
  return {.address = *net::IpAddress::parse(address), .listener = listener, .port = port};
}

TEST(Destinations, HaveANumberWhileFlowsHaveThem) {
  Destinations all(10, kSecret);
  const Destination one = to("203.0.113.10", 80);
  EXPECT_EQ(all.find(one), ListenerId{});
  const auto number = all.hold(one);
  ASSERT_TRUE(number);
  EXPECT_TRUE(Destinations::is_number(*number));
  EXPECT_EQ(all.find(one), *number);
  EXPECT_EQ(all.hold(one), *number);  // a second flow
  EXPECT_EQ(all.get(*number), one);
  all.release(*number);
  EXPECT_EQ(all.find(one), *number);
  all.release(*number);
  EXPECT_EQ(all.find(one), ListenerId{});
  EXPECT_EQ(all.size(), 0u);
}

TEST(Destinations, DifferInEveryField) {
  Destinations all(10, kSecret);
  const Destination rows[] = {to("203.0.113.10", 80), to("203.0.113.11", 80), to("203.0.113.10", 81),
                              to("203.0.113.10", 80, {3, 2}), to("2001:db8::1", 80)};
  std::set<std::pair<std::uint16_t, std::uint16_t>> numbers;
  for (const Destination& row : rows) {
    const auto number = all.hold(row);
    ASSERT_TRUE(number);
    EXPECT_TRUE(numbers.emplace(number->index, number->generation).second);
  }
  for (const Destination& row : rows) EXPECT_EQ(all.get(all.find(row)), row);
}

TEST(Destinations, AreNoListenerAndNoDefault) {
  EXPECT_FALSE(Destinations::is_number({}));
  EXPECT_FALSE(Destinations::is_number({kMaxListeners - 1, 0xffff}));
}

TEST(Destinations, RefuseBeyondTheirCapacityAndTakeAgain) {
  constexpr std::size_t kMany = 70'000;  // more than an index has bits for
  Destinations all(kMany, kSecret);
  std::vector<ListenerId> numbers;
  const auto nth = [](std::size_t n) {
    Destination out = to("2001:db8::", static_cast<std::uint16_t>(n >> 16));
    out.address = net::IpAddress::from_words({out.address.words()[0], n});
    return out;
  };
  for (std::size_t n = 0; n < kMany; ++n) {
    const auto number = all.hold(nth(n));
    ASSERT_TRUE(number) << n;
    numbers.push_back(*number);
  }
  EXPECT_FALSE(all.hold(to("203.0.113.10", 80)));
  for (std::size_t n = 0; n < kMany; ++n) ASSERT_EQ(all.get(numbers[n]), nth(n));
  for (std::size_t n = 0; n < kMany; n += 2) all.release(numbers[n]);
  EXPECT_EQ(all.size(), kMany / 2);
  for (std::size_t n = 1; n < kMany; n += 2) ASSERT_EQ(all.find(nth(n)), numbers[n]);
  EXPECT_TRUE(all.hold(to("203.0.113.10", 80)));
}

}  // namespace
}  // namespace sluice::lb
