#include "sluice/esp/replay_window.h"

#include <set>

#include <gtest/gtest.h>

#include "sluice/base/random.h"

namespace sluice::esp {
namespace {

constexpr std::uint64_t kSpace = std::uint64_t{1} << 32;

bool take(ReplayWindow& window, std::uint64_t number) {
  const auto found = window.find(static_cast<std::uint32_t>(number));
  return found && *found == number && window.accept(*found);
}

TEST(ReplayWindow, IsAtLeastAThousandWide) { EXPECT_GE(ReplayWindow::kWidth, 1024u); }

TEST(ReplayWindow, TakesEachNumberOnce) {
  ReplayWindow window(false);
  EXPECT_FALSE(take(window, 0));
  EXPECT_TRUE(take(window, 1));
  EXPECT_FALSE(take(window, 1));
  EXPECT_TRUE(take(window, 3));
  EXPECT_TRUE(take(window, 2));
  EXPECT_FALSE(take(window, 2));
  EXPECT_FALSE(take(window, 3));
  EXPECT_EQ(window.highest(), 3u);
}

TEST(ReplayWindow, EndsAtItsLeftEdge) {
  ReplayWindow window(false);
  ASSERT_TRUE(take(window, 10'000));
  EXPECT_TRUE(take(window, 10'000 - ReplayWindow::kWidth + 1));
  EXPECT_FALSE(take(window, 10'000 - ReplayWindow::kWidth));
  EXPECT_FALSE(take(window, 1));
}

TEST(ReplayWindow, FindRemembersNothing) {
  ReplayWindow window(false);
  EXPECT_TRUE(window.find(5));
  EXPECT_TRUE(window.find(5));
  EXPECT_EQ(window.highest(), 0u);
}

TEST(ReplayWindow, AShortNumberDoesNotWrap) {
  ReplayWindow window(false);
  ASSERT_TRUE(take(window, kSpace - 1));
  EXPECT_FALSE(window.find(0));
  EXPECT_FALSE(window.find(1));
  EXPECT_TRUE(take(window, kSpace - 2));
}

TEST(ReplayWindow, AnExtendedNumberGoesOnBeyondItsLowHalf) {
  ReplayWindow window(true);
  ASSERT_TRUE(window.accept(kSpace - 2));
  EXPECT_TRUE(take(window, kSpace));      // low half 0
  EXPECT_TRUE(take(window, kSpace - 1));  // left of it, of the space before
  EXPECT_FALSE(take(window, kSpace - 2));
  EXPECT_TRUE(take(window, kSpace + 5));
  EXPECT_TRUE(take(window, kSpace - 100));
  EXPECT_EQ(window.highest(), kSpace + 5);
}

TEST(ReplayWindow, BeforeTheFirstSpaceThereIsNothing) {
  ReplayWindow window(true);
  ASSERT_TRUE(take(window, 5));
  EXPECT_FALSE(window.find(0xffffffff)) << "it would be of the space before the first";
}

// RFC 4303 appendix A2.1: what lies left of the window within this space is taken for the next one.
TEST(ReplayWindow, LeftOfTheWindowMeansTheNextSpace) {
  ReplayWindow window(true);
  ASSERT_TRUE(window.accept(7 * kSpace + 1'000'000));
  EXPECT_EQ(window.find(5), 8 * kSpace + 5);
}

// Against a set that forgets nothing, with a window that slides by steps small and large.
TEST(ReplayWindow, AgreesWithASet) {
  for (const bool extended : {false, true}) {
    Random random(7);
    ReplayWindow window(extended);
    std::set<std::uint64_t> seen;
    std::uint64_t top = extended ? 3 * kSpace - 50'000 : 1;
    ASSERT_TRUE(window.accept(top));
    seen.insert(top);
    for (int i = 0; i < 200'000; ++i) {
      const std::uint64_t way = random.next() % 100;
      const std::uint64_t back = random.next() % (ReplayWindow::kWidth + 200);
      const std::uint64_t step = way == 0 ? 5000 : 1 + random.next() % 3;
      const std::uint64_t number = way < 50 ? top + step : back < top ? top - back : 1;
      const bool want = number != 0 && (number > top || top - number < ReplayWindow::kWidth) && !seen.contains(number);
      ASSERT_EQ(take(window, number), want) << number << " at " << top;
      if (want) seen.insert(number);
      top = std::max(top, number);
    }
  }
}

}  // namespace
}  // namespace sluice::esp
