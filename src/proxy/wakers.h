// Brings a wake-up of the cache, which comes on any thread and under a lock, to the port of the coroutine that waits.
// Threading: wake() on any thread; all else on the proxy's. A wake-up from another thread travels through the inbox by number, so that
//            one that arrives late finds nobody instead of a port that is gone.
// Ownership: a CacheWaiter is part of what waits.
#pragma once

#include <cstdint>
#include <memory>
#include <thread>
#include <unordered_map>
#include <utility>

#include "sluice/base/task.h"
#include "sluice/cache/waiter.h"
#include "sluice/proxy/inbox.h"

namespace sluice::proxy {

// The ports that may be woken from another thread, by number.
class Wakers {
 public:
  explicit Wakers(std::shared_ptr<Inbox> inbox) : inbox_(std::move(inbox)) {}
  Wakers(const Wakers&) = delete;
  Wakers& operator=(const Wakers&) = delete;

  [[nodiscard]] std::uint64_t new_number() noexcept { return ++last_; }
  void add(std::uint64_t number, EventPort& port) { ports_.emplace(number, &port); }
  void remove(std::uint64_t number) noexcept { ports_.erase(number); }
  void deliver(std::uint64_t number) noexcept;
  [[nodiscard]] Inbox& inbox() noexcept { return *inbox_; }  // from any thread, while a waiter is registered

 private:
  const std::shared_ptr<Inbox> inbox_;
  std::unordered_map<std::uint64_t, EventPort*> ports_;
  std::uint64_t last_ = 0;
};

class CacheWaiter final : public cache::Waiter {
 public:
  CacheWaiter(Wakers& wakers, EventPort& port) noexcept
      : wakers_(wakers), port_(port), number_(wakers.new_number()), thread_(std::this_thread::get_id()) {}
  ~CacheWaiter();

  void wake() noexcept override;
  // After it was registered with the cache, in the same turn: a wake-up by inbox cannot be delivered before that turn ends.
  void registered();

 private:
  Wakers& wakers_;
  EventPort& port_;
  const std::uint64_t number_;
  const std::thread::id thread_;
  bool known_ = false;  // number_ stands in wakers_
};

}  // namespace sluice::proxy
