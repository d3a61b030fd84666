// What a connection must reach over paths of the simulator.
#include "rates.h"

#include <gtest/gtest.h>

namespace sluice::tcp::test {
namespace {

TEST(Rates, FillALongFatPipe) { EXPECT_GE(long_fat_share(), 0.95); }

TEST(Rates, UnderRandomLossAreCubicsModel) { EXPECT_GE(cubic_model_share(), 1.0); }

// A router whose queue holds what 50 ms are for the line, and that marks what finds more than a fifth of that: nothing is lost.
TEST(Rates, MarksKeepQueuesShortWithoutLosses) {
  constexpr double kLink = 12'500'000;
  for (const CongestionControl algorithm : {CongestionControl::kCubic, CongestionControl::kReno}) {
    Path path{.faults = {}, .settle = ms(4000), .measure = ms(8000), .congestion = algorithm, .ecn = Ecn::kOn};
    path.faults.delay = ms(10);
    path.faults.bytes_per_second = static_cast<std::uint64_t>(kLink);
    path.faults.queue_bytes = static_cast<std::size_t>(kLink / 20);
    path.faults.mark_above = path.faults.queue_bytes / 5;
    const Rate rate = measure_rate(path);
    EXPECT_GE(rate.bytes_per_second / 1448 * 1500, 0.95 * kLink);
    EXPECT_GT(rate.sender.ecn_reductions, 5u);
    EXPECT_EQ(rate.sender.retransmits, 0u);
    path.ecn = Ecn::kOff;
    EXPECT_GT(measure_rate(path).sender.retransmits, 10u);
  }
}

struct ReorderCase {
  const char* name;
  unsigned per_mille;
  Duration by;
  std::size_t queue_bytes;
};
const ReorderCase kReorderCases[] = {
    {"a_tenth_by_5_ms", 100, ms(5), 16 << 20},
    {"half_by_20_ms", 500, ms(20), 16 << 20},
    {"a_third_by_a_round_trip", 300, ms(50), 16 << 20},
    {"all_by_5_ms", 1000, ms(5), 16 << 20},
    {"a_tenth_by_5_ms_and_losses_at_the_queue", 100, ms(5), 1 << 20},
    {"half_by_5_ms_and_losses_at_the_queue", 500, ms(5), 1 << 20},
};
class Reordering : public ::testing::TestWithParam<ReorderCase> {};

// 100 Mbit/s at 50 ms, and segments overtake each other: what looks like a loss is undone, and the window of RACK widens.
TEST_P(Reordering, DoesNotSlowDown) {
  constexpr double kLink = 12'500'000;
  Path path{.faults = {}, .settle = ms(4000), .measure = ms(4000), .seed = 3};
  path.faults.delay = ms(25);
  path.faults.bytes_per_second = static_cast<std::uint64_t>(kLink);
  path.faults.queue_bytes = GetParam().queue_bytes;
  path.faults.reorder = GetParam().per_mille;
  path.faults.reorder_by = GetParam().by;
  const Rate rate = measure_rate(path);
  EXPECT_GE(rate.bytes_per_second / 1448 * 1500, 0.95 * kLink);
  EXPECT_GT(rate.sender.spurious_recoveries, 0u);
  EXPECT_EQ(rate.sender.timeouts, 0u);
}
INSTANTIATE_TEST_SUITE_P(Tcp, Reordering, ::testing::ValuesIn(kReorderCases),
                         [](const auto& param_info) { return param_info.param.name; });

// The last flight, of 30 segments and more, loses every third: all holes are mended within one more round trip.
TEST(Rates, ManyHolesAreMendedInOneRoundTrip) {
  constexpr std::uint64_t kBytes = 100 * 1448;
  const Duration whole = time_to_deliver(kBytes, [](std::uint32_t) { return false; });
  const Duration holed = time_to_deliver(kBytes, [](std::uint32_t n) { return n >= 70 && n < 95 && n % 3 == 0; });
  EXPECT_LE(holed, whole + ms(110));
}

}  // namespace
}  // namespace sluice::tcp::test
