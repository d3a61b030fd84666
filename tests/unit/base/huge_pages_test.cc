#include "sluice/base/huge_pages.h"

#include <cstdint>
#include <limits>

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(HugeArray, IsZeroedAndAligned) {
  for (const std::size_t count : {std::size_t{1}, std::size_t{1000}, std::size_t{3} << 20}) {
    HugeArray<std::uint64_t> array(count);
    ASSERT_EQ(array.size(), count);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(array.data()) % 64, 0u);
    EXPECT_EQ(array[0], 0u);
    EXPECT_EQ(array[count - 1], 0u);
    array[count - 1] = 7;
    EXPECT_EQ(array.span().back(), 7u);
  }
}

TEST(HugeArray, MovesItsMapping) {
  HugeArray<int> first(10);
  first[3] = 42;
  HugeArray<int> second(std::move(first));
  EXPECT_EQ(second[3], 42);
  HugeArray<int> third;
  third = std::move(second);
  EXPECT_EQ(third[3], 42);
  EXPECT_EQ(third.size(), 10u);
}

TEST(HugeArray, ThrowsWhereTheKernelHasNoRoom) {
  EXPECT_THROW(HugeArray<std::uint8_t>(std::size_t{1} << 60), std::bad_alloc);
}

}  // namespace
}  // namespace sluice
