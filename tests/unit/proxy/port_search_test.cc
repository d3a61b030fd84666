// The search for a local port: what it finds, and what it costs.
#include "port_search.h"

#include <set>

#include <gtest/gtest.h>

namespace sluice::proxy {
namespace {

using namespace std::chrono_literals;

struct Ports {
  explicit Ports(std::uint32_t count, std::uint32_t first = 0) : search(count, first) {}
  std::optional<std::uint32_t> take() {
    const auto found = search.find(now, [this](std::uint32_t offset) {
      ++asked;
      return !in_use.contains(offset);
    });
    if (found) in_use.insert(*found);
    return found;
  }

  PortSearch search;
  std::set<std::uint32_t> in_use;
  std::size_t asked = 0;
  Instant now{100s};
};

TEST(PortSearch, GivesEachPortInTurn) {
  for (const std::uint32_t count : {1u, 2u, 63u, 64u, 65u, 128u, 130u}) {
    SCOPED_TRACE(count);
    Ports ports(count, 7);
    EXPECT_EQ(ports.take(), 7 % count);
    for (std::uint32_t i = 1; i < count; ++i) EXPECT_TRUE(ports.take().has_value());
    EXPECT_EQ(ports.in_use.size(), count);
    EXPECT_EQ(ports.take(), std::nullopt);
  }
}

TEST(PortSearch, OfNoPortsFindsNone) { EXPECT_EQ(Ports(0).take(), std::nullopt); }

// All in use: that is found out once, and costs nothing afterwards.
TEST(PortSearch, SayingNoIsCheap) {
  constexpr std::uint32_t kCount = 28'000;
  Ports ports(kCount);
  while (ports.take()) {
  }
  const std::size_t before = ports.asked;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(ports.take(), std::nullopt);
  EXPECT_EQ(ports.asked, before);
  ports.now += 1s;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(ports.take(), std::nullopt);
  EXPECT_EQ(ports.asked, before + kCount);
}

TEST(PortSearch, FindsTheLastFreeOne) {
  for (const std::uint32_t last : {0u, 63u, 64u, 500u, 999u}) {
    SCOPED_TRACE(last);
    Ports ports(1000, 600);
    while (ports.take()) {
    }
    ports.in_use.erase(last);
    ports.search.released(last);
    EXPECT_EQ(ports.take(), last) << "at once, when it is told";
    ports.in_use.erase(last);
    EXPECT_EQ(ports.take(), last) << "nobody has found it in use since";
    EXPECT_EQ(ports.take(), std::nullopt);
    ports.in_use.erase(last);
    EXPECT_EQ(ports.take(), std::nullopt) << "it is not told";
    ports.now += 1s;
    EXPECT_EQ(ports.take(), last);
  }
}

TEST(PortSearch, ReleasingWhatIsNotKnownDoesNothing) {
  Ports ports(10);
  ports.search.released(3);
  ports.search.released(10);
  EXPECT_EQ(ports.take(), 0u);
}

}  // namespace
}  // namespace sluice::proxy
