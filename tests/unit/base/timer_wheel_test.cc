// TimerWheel: fires in time at every distance, never early; timers may be moved, cancelled and destroyed from anywhere.
#include "sluice/base/timer_wheel.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "sluice/base/random.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

struct Probe {
  Timer timer{[](void* raw) noexcept { ++static_cast<Probe*>(raw)->fired; }, this};
  int fired = 0;
};

constexpr Duration kTick{1 << 20};

TEST(TimerWheel, FiresAtEveryDistanceAndNeverEarly) {
  for (const Instant from : {Instant(12'345'678'901ns), Instant(13 * 24h)})
    for (const Duration distance : {Duration(0), Duration(1), Duration(1ms), Duration(63ms), Duration(64ms),
                                    Duration(68ms), Duration(1s), Duration(75s), Duration(24h), Duration(30 * 24h)}) {
      const Instant start = from;
      TimerWheel wheel(start);
      Probe probe;
      wheel.arm(probe.timer, start + distance);
      Instant now = start;
      for (int turns = 0; probe.fired == 0 && turns < 10'000; ++turns) {
        const auto next = wheel.next_deadline();
        ASSERT_TRUE(next.has_value()) << distance.count();
        now = std::max(now, *next);
        wheel.advance(now);
      }
      EXPECT_EQ(probe.fired, 1) << distance.count();
      EXPECT_GE(now, start + distance);
      EXPECT_LE(now, start + distance + 2 * kTick);
      EXPECT_FALSE(probe.timer.armed());
      EXPECT_EQ(wheel.next_deadline(), std::nullopt);
    }
}

TEST(TimerWheel, AMovedTimerFiresAtItsLastDeadline) {
  const Instant start{5s};
  TimerWheel wheel(start);
  Probe probe;
  wheel.arm(probe.timer, start + 100ms);
  wheel.arm(probe.timer, start + 500ms);  // later: stays in its slot
  wheel.advance(start + 300ms);
  EXPECT_EQ(probe.fired, 0);
  EXPECT_TRUE(probe.timer.armed());
  wheel.arm(probe.timer, start + 350ms);  // earlier
  wheel.advance(start + 352ms);
  EXPECT_EQ(probe.fired, 1);
}

TEST(TimerWheel, ATimerMayRearmCancelAndDestroyOthersWhileItFires) {
  struct Owner {
    explicit Owner(TimerWheel& its_wheel) : wheel(its_wheel) {}
    TimerWheel& wheel;
    std::unique_ptr<Probe> same_slot = std::make_unique<Probe>();
    Probe cancelled;
    int fired = 0;
    Timer timer{[](void* raw) noexcept {
                  auto& self = *static_cast<Owner*>(raw);
                  self.same_slot.reset();
                  self.cancelled.timer.cancel();
                  if (++self.fired < 3) self.wheel.arm(self.timer, self.timer.deadline());
                },
                this};
  };
  const Instant start{1s};
  TimerWheel wheel(start);
  Owner owner(wheel);
  wheel.arm(owner.timer, start + 10ms);
  wheel.arm(owner.same_slot->timer, start + 10ms);
  wheel.arm(owner.cancelled.timer, start + 10ms);
  for (int i = 0; i < 20; ++i) wheel.advance(start + 10ms + i * kTick);
  EXPECT_EQ(owner.fired, 3);
  EXPECT_EQ(owner.cancelled.fired, 0);
}

TEST(TimerWheel, ManyRandomTimersFireInsideTheirWindow) {
  struct Watched {
    Timer timer{[](void* raw) noexcept {
                  auto& self = *static_cast<Watched*>(raw);
                  self.fired_at = *self.clock;
                },
                this};
    const Instant* clock = nullptr;
    Instant wanted{};
    Instant fired_at{};
  };
  Random random(7);
  Instant now{3'000'000'017ns};
  TimerWheel wheel(now);
  std::vector<Watched> timers(2000);
  for (Watched& watched : timers) {
    watched.clock = &now;
    watched.wanted = now + Duration(random.below(2'000'000'000)) * 5;
    wheel.arm(watched.timer, watched.wanted);
  }
  const Instant end = now + 11s;
  while (now < end) {
    now += Duration(random.below(7'000'000));
    wheel.advance(now);
  }
  for (const Watched& watched : timers) {
    EXPECT_GE(watched.fired_at, watched.wanted);
    EXPECT_LE(watched.fired_at, watched.wanted + 7ms + 2 * kTick);
  }
}

}  // namespace
}  // namespace sluice
