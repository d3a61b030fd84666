#include "sluice/base/random.h"

#include <array>

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(Random, SameSeedSameNumbers) {
  Random a(7), b(7), c(8);
  const std::uint64_t first = a.next();
  EXPECT_EQ(first, b.next());
  EXPECT_NE(first, c.next());
}

TEST(Random, BelowStaysBelowAndIsEven) {
  Random random(1);
  std::array<int, 10> seen{};
  for (int i = 0; i < 100'000; ++i) {
    const std::uint32_t value = random.below(10);
    ASSERT_LT(value, 10u);
    ++seen[value];
  }
  for (const int count : seen) EXPECT_NEAR(count, 10'000, 500);
}

}  // namespace
}  // namespace sluice
