// Coroutines of one thread: Task<T> is a piece of work that reads from top to bottom, EventPort is what it waits on,
// ReadyList is the loop's list of ports whose coroutine has something to look at.
// Threading: everything belongs to the thread of the ReadyList; no atomics. Frames come from that thread's FramePool.
// Ownership: a Task owns its frame. Destroying a suspended Task destroys its locals as if it had returned there,
//            children first.
// Waiting:   a coroutine suspends in one place only, `co_await port.next_event()`. Whoever has news posts bits to the
//            port; bits add up until they are taken, so none is lost and posting twice resumes once. A coroutine is
//            resumed only from ReadyList::run(), never from inside post(): so post() may be called from any depth.
// Compilers: g++ 12 miscompiles temporaries in an awaited expression: name what you await, take parameters that outlive
//            the first suspension by value, create lambdas outside, no co_await inside ?:, && or ||.
// Errors:    an exception that leaves a coroutine ends the process (std::terminate).
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <utility>

#include "sluice/base/frame_pool.h"

namespace sluice {

template <typename T>
class Task;

namespace detail {

class PromiseBase {
 public:
  static void* operator new(std::size_t bytes) { return FramePool::of_this_thread().allocate(bytes); }
  static void operator delete(void* frame, std::size_t bytes) noexcept {
    FramePool::of_this_thread().release(frame, bytes);
  }

  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }

  struct FinalAwaiter {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <typename P>
    [[nodiscard]] std::coroutine_handle<> await_suspend(std::coroutine_handle<P> self) const noexcept {
      // While the parent still stands in await_suspend() it goes on by itself: a loop over children that end at once
      // uses no stack.
      PromiseBase& promise = self.promise();
      if (promise.parent_waits_) return promise.parent_;
      return std::noop_coroutine();
    }
    void await_resume() const noexcept {}
  };
  [[nodiscard]] FinalAwaiter final_suspend() const noexcept { return {}; }

  [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }

  void set_parent(std::coroutine_handle<> parent) noexcept { parent_ = parent; }
  void parent_waits() noexcept { parent_waits_ = true; }

 private:
  std::coroutine_handle<> parent_;
  bool parent_waits_ = false;  // the child suspended at least once before its end: its end resumes the parent
};

template <typename T>
class Promise : public PromiseBase {
 public:
  Task<T> get_return_object() noexcept;
  template <typename U>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  [[nodiscard]] T take() { return std::move(*value_); }

 private:
  std::optional<T> value_;
};

template <>
class Promise<void> : public PromiseBase {
 public:
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void take() const noexcept {}
};

}  // namespace detail

template <typename T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() noexcept = default;
  explicit Task(Handle handle) noexcept : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      reset();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  ~Task() { reset(); }

  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(handle_); }
  [[nodiscard]] bool done() const noexcept { return !handle_ || handle_.done(); }
  // Runs a root task up to its first suspension. A child is started by `co_await`.
  void start() { handle_.resume(); }
  // What a finished root task returned; once.
  [[nodiscard]] T take() { return handle_.promise().take(); }
  void reset() noexcept {
    if (handle_) std::exchange(handle_, {}).destroy();
  }

  class Awaiter {
   public:
    explicit Awaiter(Handle child) noexcept : child_(child) {}
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    [[nodiscard]] bool await_suspend(std::coroutine_handle<> parent) noexcept {
      const Handle child = child_;
      child.promise().set_parent(parent);
      child.resume();
      if (child.done()) return false;
      child.promise().parent_waits();
      return true;
    }
    T await_resume() { return child_.promise().take(); }

   private:
    Handle child_;
  };
  [[nodiscard]] Awaiter operator co_await() const noexcept { return Awaiter(handle_); }

 private:
  Handle handle_;
};

template <typename T>
Task<T> detail::Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> detail::Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

class ReadyList;

// What one coroutine waits on. The bits mean what its owner says; they say "look", not "so many".
class EventPort {
 public:
  using Bits = std::uint32_t;
  using AfterResume = void (*)(void* owner) noexcept;

  explicit EventPort(ReadyList& ready) noexcept : ready_(&ready) {}
  ~EventPort();
  EventPort(const EventPort&) = delete;
  EventPort& operator=(const EventPort&) = delete;

  // Called each time the coroutine has been resumed and has suspended again or ended; may destroy the port.
  void set_after_resume(AfterResume after, void* owner) noexcept {
    after_ = after;
    owner_ = owner;
  }

  void post(Bits bits) noexcept;
  [[nodiscard]] Bits pending() const noexcept { return pending_; }
  [[nodiscard]] Bits take() noexcept { return std::exchange(pending_, 0); }
  [[nodiscard]] bool waiting() const noexcept { return static_cast<bool>(waiter_); }

  // `const EventPort::Bits bits = co_await port.next_event();` At once if bits are pending.
  struct NextEvent {
    EventPort& port;
    [[nodiscard]] bool await_ready() const noexcept { return port.pending_ != 0; }
    void await_suspend(std::coroutine_handle<> self) const noexcept { port.waiter_ = self; }
    [[nodiscard]] Bits await_resume() const noexcept { return port.take(); }
  };
  [[nodiscard]] NextEvent next_event() noexcept { return NextEvent{*this}; }
  // Forgets the coroutine and its news: before the Task that waits here is destroyed.
  void forget() noexcept;

 private:
  friend class ReadyList;
  void unlink() noexcept;
  void resume() noexcept;

  ReadyList* ready_;
  std::coroutine_handle<> waiter_;
  Bits pending_ = 0;
  EventPort* previous_ = nullptr;
  EventPort* next_ = nullptr;
  bool queued_ = false;
  AfterResume after_ = nullptr;
  void* owner_ = nullptr;
};

// The ports with news and a waiting coroutine, in the order of their first news.
class ReadyList {
 public:
  ReadyList() = default;
  ReadyList(const ReadyList&) = delete;
  ReadyList& operator=(const ReadyList&) = delete;

  // Resumes what was ready when it was called; what becomes ready meanwhile waits for the next run. Returns how many.
  std::size_t run() noexcept;
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  friend class EventPort;
  void push(EventPort& port) noexcept;

  EventPort* head_ = nullptr;
  EventPort* tail_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace sluice
