// The window as a function of acknowledgments, without a network: CUBIC's curve, HyStart++, rate reduction.
#include "congestion.h"

#include <cmath>

#include <gtest/gtest.h>

namespace sluice::tcp {
namespace {

constexpr std::uint32_t kMss = 1000;

// A connection whose window is always used: a window of segments is acknowledged in each round trip.
class Rounds {
 public:
  Rounds(CongestionControl algorithm, std::uint32_t segments, Ticks rtt) : rtt_(rtt) {
    start_window(c, algorithm, segments * kMss, 0);
  }
  void run(Ticks duration) {
    for (const Ticks end = now_ + duration; now_ < end;) {
      round(rtt_ * 1000);
    }
  }
  void round(std::uint32_t rtt_us) {
    const std::uint32_t segments = c.window / kMss;
    for (std::uint32_t i = 1; i <= segments; ++i) {
      una_ += kMss;
      grow_window(c, {.acked = kMss,
                      .flight = c.window,
                      .mss = kMss,
                      .una = una_,
                      .max = una_ + c.window,
                      .rtt_us = rtt_us,
                      .srtt = rtt_,
                      .now = now_ + rtt_ * i / segments});
    }
    now_ += rtt_;
  }
  void lose() {
    take_congestion(c, CongestionSignal::kLoss, c.window, kMss);
    c.window = c.threshold;
  }
  [[nodiscard]] double segments() const { return static_cast<double>(c.window) / kMss; }

  Congestion c;

 private:
  Ticks rtt_;
  Ticks now_ = 1000;
  Seq una_ = 0;
};

// RFC 9438 section 4.2: K = cbrt(W_max 0.3 / 0.4) seconds after a loss the window is what it was.
TEST(Cubic, IsBackAfterKAndThenProbes) {
  Rounds flow(CongestionControl::kCubic, 1000, 100);
  flow.lose();
  EXPECT_NEAR(flow.segments(), 700, 1);
  const double k = std::cbrt(1000 * 0.3 / 0.4);  // 9.1 s
  flow.run(static_cast<Ticks>(k * 500));
  const double half = 1000 - 0.4 * std::pow(k / 2, 3);
  EXPECT_NEAR(flow.segments(), half, 10) << "concave: most of the way is done in half of the time";
  flow.run(static_cast<Ticks>(k * 500));
  EXPECT_NEAR(flow.segments(), 1000, 10);
  flow.run(5000);
  EXPECT_NEAR(flow.segments(), 1000 + 0.4 * std::pow(5, 3), 15) << "convex beyond";
}

// Section 4.7: a second loss below the first one's window makes room for others.
TEST(Cubic, ConvergesFast) {
  Rounds flow(CongestionControl::kCubic, 1000, 100);
  flow.lose();
  EXPECT_NEAR(flow.c.cubic.w_max, 1000, 1);
  flow.lose();
  EXPECT_NEAR(flow.c.cubic.w_max, 700 * 0.85, 1);
}

// Section 4.3: where Reno would be faster (short round trips), at least as fast as it: 0.53 segments a round trip until
// it is where it was, then one.
TEST(Cubic, IsAtLeastRenoFriendly) {
  Rounds flow(CongestionControl::kCubic, 40, 10);
  flow.lose();
  EXPECT_NEAR(flow.segments(), 28, 0.1);
  flow.run(100);
  EXPECT_NEAR(flow.segments(), 28 + 10 * 0.53, 0.5);
  flow.run(300);
  EXPECT_GT(flow.segments(), 40 + 10);
}

TEST(Reno, GrowsByASegmentARoundAndHalves) {
  Rounds flow(CongestionControl::kReno, 40, 100);
  flow.lose();
  EXPECT_EQ(flow.segments(), 20);
  flow.run(1000);
  EXPECT_NEAR(flow.segments(), 30, 1);
}

TEST(Congestion, UnusedWindowsDoNotGrow) {
  for (const CongestionControl algorithm : {CongestionControl::kCubic, CongestionControl::kReno}) {
    Congestion c;
    start_window(c, algorithm, 10 * kMss, 0);
    const AckSample half{
        .acked = kMss, .flight = 4 * kMss, .mss = kMss, .una = 1, .max = 2, .rtt_us = 0, .srtt = 10, .now = 1};
    grow_window(c, half);
    EXPECT_EQ(c.window, 10 * kMss) << "slow start";
    c.threshold = 5 * kMss;
    for (int i = 0; i < 100; ++i) grow_window(c, half);
    EXPECT_EQ(c.window, 10 * kMss) << "congestion avoidance";
  }
}

// RFC 9406 section 4.2: a round trip that has become an eighth longer ends the doubling, five rounds later slow start
// itself, with no loss.
TEST(HyStart, LeavesSlowStartWhenTheDelayGrows) {
  Rounds flow(CongestionControl::kCubic, 10, 100);
  for (int i = 0; i < 5; ++i) flow.round(100'000);
  EXPECT_NEAR(flow.segments(), 320, 1);
  flow.round(113'000);  // more than 12.5 ms longer: known after eight samples
  EXPECT_GT(flow.segments(), 320 * 1.25 - 1);
  EXPECT_LT(flow.segments(), 320 * 1.3);
  for (int i = 0; i < 4; ++i) flow.round(113'000);
  EXPECT_EQ(flow.c.threshold, kNoThreshold);
  flow.round(113'000);
  EXPECT_NE(flow.c.threshold, kNoThreshold);
  EXPECT_LT(flow.segments(), 320 * std::pow(1.25, 6) * 1.1);
  const double before = flow.segments();
  flow.round(113'000);
  EXPECT_LT(flow.segments(), before * 1.05);
}

TEST(HyStart, GoesOnWhenItWasOnlyABurst) {
  Rounds flow(CongestionControl::kCubic, 10, 100);
  for (int i = 0; i < 3; ++i) flow.round(100'000);
  flow.round(120'000);
  const double before = flow.segments();
  flow.round(100'000);
  EXPECT_GT(flow.segments(), before * 1.8);
  EXPECT_EQ(flow.c.threshold, kNoThreshold);
}

// RFC 6937 section 3: from 100 to 70 segments over one round trip, 7 for each 10 that arrive.
TEST(RateReduction, ComesDownInProportion) {
  Congestion c;
  start_window(c, CongestionControl::kCubic, 100 * kMss, 0);
  RateReduction r;
  start_reduction(c, r, CongestionSignal::kLoss, 100 * kMss, kMss);
  std::uint32_t pipe = 96 * kMss;  // one lost, three have arrived
  std::uint32_t sent = 0;
  for (int i = 0; i < 96; ++i) {
    reduce_rate(c, r, kMss, pipe, false, i == 0, kMss);
    while (pipe + kMss <= c.window) {
      pipe += kMss;
      r.out += kMss;
      ++sent;
    }
    pipe -= kMss;
  }
  EXPECT_NEAR(sent, 67, 2);
  EXPECT_NEAR(static_cast<double>(pipe) / kMss, 70, 2);
}

}  // namespace
}  // namespace sluice::tcp
