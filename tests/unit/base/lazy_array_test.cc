#include "sluice/base/lazy_array.h"

#include <cstdint>

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(LazyArray, IsZeroedAndKeepsWhatIsWritten) {
  LazyArray<std::uint64_t> array(std::size_t{1} << 32);  // 32 GiB of address space, of which two pages are used
  EXPECT_EQ(array.size(), std::size_t{1} << 32);
  EXPECT_EQ(array[12345], 0u);
  array[0] = 1;
  array[array.size() - 1] = 2;
  EXPECT_EQ(array[0], 1u);
  EXPECT_EQ(array[array.size() - 1], 2u);
}

TEST(LazyArray, MovesItsMapping) {
  LazyArray<int> from(1000);
  from[7] = 42;
  LazyArray<int> to(std::move(from));
  EXPECT_EQ(to[7], 42);
  LazyArray<int> other;
  other = std::move(to);
  EXPECT_EQ(other[7], 42);
  EXPECT_EQ(other.size(), 1000u);
}

}  // namespace
}  // namespace sluice
