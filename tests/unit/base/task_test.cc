// Task, EventPort and ReadyList: who is resumed when, and that no frame outlives its Task.
#include "sluice/base/task.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;

struct Noted {  // says when it is destroyed
  std::vector<std::string>* log;
  std::string name;
  Noted(std::vector<std::string>& to, std::string what) : log(&to), name(std::move(what)) {}
  ~Noted() { log->push_back("~" + name); }
  Noted(const Noted&) = delete;
  Noted& operator=(const Noted&) = delete;
};

class TaskTest : public ::testing::Test {
 protected:
  TaskTest() : frames_before_(FramePool::of_this_thread().live()) {}
  ~TaskTest() override { EXPECT_EQ(FramePool::of_this_thread().live(), frames_before_); }

  std::ptrdiff_t frames_before_;
  ReadyList ready_;
  EventPort port_{ready_};
  std::vector<std::string> log_;
};

Task<> wait_twice(EventPort& port, std::vector<std::string>& log) {
  for (int i = 0; i < 2; ++i) {
    const EventPort::Bits bits = co_await port.next_event();
    log.push_back("got " + std::to_string(bits));
  }
}

TEST_F(TaskTest, PostNeverResumesByItself) {
  Task<> task = wait_twice(port_, log_);
  EXPECT_TRUE(log_.empty());
  task.start();
  port_.post(1);
  port_.post(4);
  EXPECT_TRUE(log_.empty());
  EXPECT_EQ(ready_.run(), 1u);
  EXPECT_THAT(log_, ElementsAre("got 5"));
  EXPECT_EQ(ready_.run(), 0u);
  port_.post(2);
  EXPECT_EQ(ready_.run(), 1u);
  EXPECT_TRUE(task.done());
}

TEST_F(TaskTest, NewsBeforeTheWaitIsTakenWithoutSuspending) {
  port_.post(8);
  Task<> task = wait_twice(port_, log_);
  task.start();
  EXPECT_THAT(log_, ElementsAre("got 8"));
  EXPECT_TRUE(ready_.empty());
}

Task<int> value_after(EventPort& port, int value) {
  if (value < 0) co_return value;
  static_cast<void>(co_await port.next_event());
  co_return value;
}

Task<int> sum(EventPort& port) {
  Task<int> one = value_after(port, 40);
  const int a = co_await one;
  Task<int> two = value_after(port, -2);
  const int b = co_await two;
  Task<int> three = value_after(port, 4);
  const int c = co_await three;
  co_return a + b + c;
}

TEST_F(TaskTest, ChildrenGiveTheirValuesWhetherOrNotTheySuspend) {
  Task<int> task = sum(port_);
  task.start();
  port_.post(1);
  ready_.run();
  EXPECT_FALSE(task.done());
  port_.post(1);
  ready_.run();
  ASSERT_TRUE(task.done());
  EXPECT_EQ(task.take(), 42);
}

Task<int> at_once(int value) { co_return value; }

Task<long> loop_over(int count) {
  long total = 0;
  for (int i = 0; i < count; ++i) {
    Task<int> child = at_once(1);
    const int got = co_await child;
    total += got;
  }
  co_return total;
}

TEST_F(TaskTest, MillionChildrenThatEndAtOnceUseNoStack) {
  Task<long> task = loop_over(1'000'000);
  task.start();
  ASSERT_TRUE(task.done());
  EXPECT_EQ(task.take(), 1'000'000);
}

Task<> inner(EventPort& port, std::vector<std::string>& log) {
  const Noted local(log, "inner");
  static_cast<void>(co_await port.next_event());
}
Task<> outer(EventPort& port, std::vector<std::string>& log) {
  const Noted local(log, "outer");
  Task<> child = inner(port, log);
  co_await child;
}

TEST_F(TaskTest, DestroyingASuspendedTaskUnwindsChildrenFirst) {
  {
    Task<> task = outer(port_, log_);
    task.start();
    port_.post(1);
    port_.forget();
  }
  EXPECT_THAT(log_, ElementsAre("~inner", "~outer"));
  EXPECT_EQ(ready_.run(), 0u);
}

TEST_F(TaskTest, WhatBecomesReadyDuringARunWaitsForTheNext) {
  EventPort other(ready_);
  Task<> first = wait_twice(port_, log_);
  first.start();
  struct Chain {
    static Task<> run(EventPort& mine, EventPort& next) {
      static_cast<void>(co_await mine.next_event());
      next.post(7);
    }
  };
  Task<> second = Chain::run(other, port_);
  second.start();
  other.post(1);
  EXPECT_EQ(ready_.run(), 1u);
  EXPECT_TRUE(log_.empty());
  EXPECT_EQ(ready_.run(), 1u);
  EXPECT_THAT(log_, ElementsAre("got 7"));
}

TEST_F(TaskTest, APortThatGoesAwayLeavesTheList) {
  Task<> kept = wait_twice(port_, log_);
  kept.start();
  {
    EventPort gone(ready_);
    Task<> task = wait_twice(gone, log_);
    task.start();
    gone.post(1);
    port_.post(2);
    EXPECT_EQ(ready_.size(), 2u);
  }
  EXPECT_EQ(ready_.run(), 1u);
  EXPECT_THAT(log_, ElementsAre("got 2"));
}

TEST_F(TaskTest, TheOwnerHearsAfterEachResume) {
  struct Owner {
    Task<> task;
    int resumed = 0;
    bool ended = false;
  } owner;
  owner.task = wait_twice(port_, log_);
  port_.set_after_resume(
      [](void* raw) noexcept {
        auto& self = *static_cast<Owner*>(raw);
        ++self.resumed;
        self.ended = self.task.done();
      },
      &owner);
  owner.task.start();
  port_.post(1);
  ready_.run();
  EXPECT_EQ(owner.resumed, 1);
  EXPECT_FALSE(owner.ended);
  port_.post(1);
  ready_.run();
  EXPECT_TRUE(owner.ended);
}

TEST(FramePoolTest, ABlockIsReusedForTheNextFrameOfItsSize) {
  FramePool pool;
  void* first = pool.allocate(200);
  EXPECT_EQ(pool.live(), 1);
  pool.release(first, 200);
  EXPECT_EQ(pool.live(), 0);
#ifndef SLUICE_SANITIZE
  EXPECT_EQ(pool.idle(), 1u);
  void* second = pool.allocate(250);  // the same class of 256 bytes
  EXPECT_EQ(second, first);
  pool.release(second, 250);
#endif
  void* large = pool.allocate(FramePool::kGrain * FramePool::kClasses + 1);
  pool.release(large, FramePool::kGrain * FramePool::kClasses + 1);
  EXPECT_LE(pool.idle(), 1u);
}

}  // namespace
}  // namespace sluice
