#include "sluice/dataplane/poll_loop.h"

#include <thread>

#include <gtest/gtest.h>

#include "sluice/dataplane/tx.h"

namespace sluice::dataplane {
namespace {

using namespace std::chrono_literals;

// Works for some turns, then is idle, and ends its loop.
class CountingRole final : public Role {
 public:
  CountingRole(int busy, int turns) : busy_(busy), turns_(turns) {}
  PollLoop* loop = nullptr;
  int polls = 0;
  std::optional<Instant> deadline;

  bool poll(Instant now) noexcept override {
    EXPECT_GE(now, last_);
    last_ = now;
    if (++polls == turns_ && loop != nullptr) loop->request_stop();
    return polls <= busy_;
  }
  [[nodiscard]] std::optional<Instant> next_deadline() const noexcept override { return deadline; }

 private:
  int busy_, turns_;
  Instant last_{};
};

class PollLoopTest : public ::testing::Test {
 protected:
  dpdk::Qsbr qsbr_ = *dpdk::Qsbr::create();
  DropCounters drops_;
  Tx tx_{{}, drops_};
};

TEST_F(PollLoopTest, ATurnPollsEveryRoleAndSaysWhetherAnyWorked) {
  PollLoop loop(0, config::PollMode::kBusy, qsbr_, tx_);
  CountingRole idle(0, 100), busy(1, 100);
  loop.add(idle);
  loop.add(busy);
  EXPECT_TRUE(loop.turn(Instant(1s)));
  EXPECT_FALSE(loop.turn(Instant(2s)));
  EXPECT_EQ(idle.polls, 2);
  EXPECT_EQ(busy.polls, 2);
  EXPECT_EQ(loop.counters().turns.read(), 2u);
  EXPECT_EQ(loop.counters().busy_turns.read(), 1u);
}

TEST_F(PollLoopTest, TheEarliestDeadlineIsTheLoops) {
  PollLoop loop(0, config::PollMode::kBusy, qsbr_, tx_);
  CountingRole a(0, 100), b(0, 100), c(0, 100);
  for (CountingRole* role : {&a, &b, &c}) loop.add(*role);
  EXPECT_EQ(loop.next_deadline(), std::nullopt);
  b.deadline = Instant(5s);
  c.deadline = Instant(3s);
  EXPECT_EQ(loop.next_deadline(), Instant(3s));
}

class PollLoopRuns : public PollLoopTest, public ::testing::WithParamInterface<config::PollMode> {};
TEST_P(PollLoopRuns, OnAThreadUntilStoppedAndLetsMemoryBeReclaimed) {
  PollLoop loop(0, GetParam(), qsbr_, tx_);
  CountingRole role(10, 200);
  role.loop = &loop;
  loop.add(role);
  std::thread([&] { loop.run(); }).join();
  EXPECT_EQ(role.polls, 200);
  EXPECT_EQ(loop.counters().busy_turns.read(), 10u);
  EXPECT_EQ(loop.counters().sleeps.read() > 0, GetParam() == config::PollMode::kAdaptive);
  EXPECT_TRUE(qsbr_.passed(qsbr_.start()));  // it has gone
}
INSTANTIATE_TEST_SUITE_P(Modes, PollLoopRuns, ::testing::Values(config::PollMode::kBusy, config::PollMode::kAdaptive),
                         [](const auto& test) { return test.index == 0 ? "busy" : "adaptive"; });

}  // namespace
}  // namespace sluice::dataplane
