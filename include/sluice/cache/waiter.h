// Who wants to be told that something in the cache changed.
// Threading: wake() is called by any thread, with a lock of the cache held: it may only put something on a queue that
// leads to the
//            waiter's own thread. It must not call the cache. It comes once for each registration, and may come for
//            nothing: look again. Everything else is called by the waiter's own thread.
// Ownership: the waiter is embedded in its owner; destroying it ends its registration. When cancel() (or the
// destructor) returns, no
//            wake() is running and none will come.
#pragma once

#include <mutex>

namespace sluice::cache {

class WaitList;

class Waiter {
 public:
  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  virtual void wake() noexcept = 0;
  void cancel() noexcept;

 protected:
  ~Waiter() { cancel(); }

 private:
  friend class WaitList;
  std::mutex* guard_ = nullptr;  // of the list it was last registered in; outlives the registration. Own thread: rw
  Waiter* next_ = nullptr;       // guarded by *guard_
  Waiter* previous_ = nullptr;   // guarded by *guard_
  bool linked_ = false;          // guarded by *guard_
};

// The waiters of one thing. Every call with the guard held.
class WaitList {
 public:
  WaitList() noexcept { head_.next_ = head_.previous_ = &head_; }
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;
  void add(Waiter& waiter, std::mutex& guard) noexcept;  // not registered anywhere
  void wake_all() noexcept;
  [[nodiscard]] bool empty() const noexcept { return head_.next_ == &head_; }

 private:
  friend class Waiter;
  static void unlink(Waiter& waiter) noexcept;
  struct Anchor final : Waiter {
    void wake() noexcept override {}
  };
  Anchor head_;
};

}  // namespace sluice::cache
