// What a connection must reach over paths of the simulator.
#include "rates.h"

#include <gtest/gtest.h>

namespace sluice::tcp::test {
namespace {

TEST(Rates, FillALongFatPipe) { EXPECT_GE(long_fat_share(), 0.95); }

TEST(Rates, UnderRandomLossAreCubicsModel) { EXPECT_GE(cubic_model_share(), 1.0); }

// The last flight, of 30 segments and more, loses every third: all holes are mended within one more round trip.
TEST(Rates, ManyHolesAreMendedInOneRoundTrip) {
  constexpr std::uint64_t kBytes = 100 * 1448;
  const Duration whole = time_to_deliver(kBytes, [](std::uint32_t) { return false; });
  const Duration holed = time_to_deliver(kBytes, [](std::uint32_t n) { return n >= 70 && n < 95 && n % 3 == 0; });
  EXPECT_GE(holed, whole + ms(95));
  EXPECT_LE(holed, whole + ms(110));
}

}  // namespace
}  // namespace sluice::tcp::test
