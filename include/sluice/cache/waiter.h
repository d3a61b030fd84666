// Who wants to be told that something in the cache changed.
// Threading: wake() is called by any thread, with a lock of the cache held: it may only put something on a queue that
//            leads to the waiter's own thread. It must not call the cache. It comes once for each registration, and may
//            come for nothing: look again. Everything else is called by the waiter's own thread.
// Ownership: the waiter is embedded in its owner; destroying it ends its registration. When cancel() (or the
//            destructor) returns, no wake() is running and none will come. It must not outlive the store. A derived
//            class calls cancel() in its destructor.
#pragma once

#include <cstdint>
#include <mutex>

namespace sluice::cache {

class WaitList;

// What a waiter was woken for.
struct Wake {
  enum class Cause : std::uint8_t {
    kChanged,      // look again
    kUncacheable,  // what was fetched may not be stored: waiting is of no use
    kFailed,       // the backend gave no answer: `status` says how
  };
  Cause cause = Cause::kChanged;
  std::uint16_t status = 0;  // of kFailed: 502, 503 or 504
};

class Waiter {
 public:
  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  virtual void wake() noexcept = 0;
  void cancel() noexcept;
  // The last wake-up since it was registered. After cancel().
  [[nodiscard]] const Wake& last_wake() const noexcept { return wake_; }

 protected:
  ~Waiter() { cancel(); }

 private:
  friend class WaitList;
  std::mutex* guard_ =
      nullptr;              // of the list it was last registered in; the store's, so it never dangles. Own thread: rw
  Waiter* next_ = nullptr;  // guarded by *guard_
  Waiter* previous_ = nullptr;  // guarded by *guard_
  WaitList* list_ = nullptr;    // guarded by *guard_; nullptr: not registered
  Wake wake_{};                 // guarded by *guard_ while registered
};

// The waiters of one thing. Every call with the guard held; empty before it is destroyed.
class WaitList {
 public:
  WaitList() = default;
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;
  void add(Waiter& waiter, std::mutex& guard) noexcept;  // after waiter.cancel()
  void wake_all(const Wake& wake = {}) noexcept;
  void forget() noexcept;  // as wake_all(), without waking
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

 private:
  friend class Waiter;
  Waiter* take_first() noexcept;
  void unlink(Waiter& waiter) noexcept;
  Waiter* first_ = nullptr;
};

}  // namespace sluice::cache
