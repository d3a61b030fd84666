// A wake-up of the cache reaches the port that waits, from any thread, and never one that is gone.
#include "wakers.h"

#include <thread>

#include "events.h"
#include "gtest/gtest.h"

namespace sluice::proxy {
namespace {

TEST(Wakers, FromItsOwnThreadAtOnce) {
  Wakers wakers(std::make_shared<Inbox>([] {}));
  ReadyList ready;
  EventPort port(ready);
  CacheWaiter waiter(wakers, port);
  waiter.wake();
  EXPECT_EQ(port.take(), events::kCache);
  EXPECT_FALSE(wakers.inbox().has_mail());
}

TEST(Wakers, FromAnotherThreadByMail) {
  int woken = 0;
  Wakers wakers(std::make_shared<Inbox>([&woken] { ++woken; }));
  ReadyList ready;
  EventPort port(ready);
  {
    CacheWaiter waiter(wakers, port);
    waiter.registered();
    std::thread([&waiter] { waiter.wake(); }).join();
    EXPECT_EQ(woken, 1);
    EXPECT_EQ(port.take(), 0u);
    EXPECT_EQ(wakers.inbox().drain(), 1u);
    EXPECT_EQ(port.take(), events::kCache);

    std::thread([&waiter] { waiter.wake(); }).join();
  }
  EXPECT_EQ(wakers.inbox().drain(), 1u);  // it came too late
  EXPECT_EQ(port.take(), 0u);
}

TEST(InboxTest, TakesNothingOnceClosed) {
  int woken = 0;
  Inbox inbox([&woken] { ++woken; });
  int ran = 0;
  inbox.post([&ran] { ++ran; });
  inbox.post([&ran, &inbox] {
    ++ran;
    inbox.post([&ran] { ++ran; });  // for the next time
  });
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(inbox.drain(), 2u);
  EXPECT_EQ(ran, 2);
  EXPECT_TRUE(inbox.has_mail());
  inbox.close();
  EXPECT_EQ(inbox.drain(), 0u);
  inbox.post([&ran] { ++ran; });
  EXPECT_EQ(inbox.drain(), 0u);
  EXPECT_EQ(ran, 2);
}

}  // namespace
}  // namespace sluice::proxy
