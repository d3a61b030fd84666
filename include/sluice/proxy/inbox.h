// How other threads reach a proxy thread: pieces of work that it runs in its next turn (a file was read, a cache fill
// has news).
// Threading: post() from any thread; drain() and close() by the proxy thread. A mutex around a vector swap; a turn
//            without mail costs one relaxed load.
// Ownership: shared by the proxy and by whoever may still post, so that a late answer finds a closed inbox rather than
//            no inbox. Work posted after close() is destroyed without being run, on the poster's thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <mutex>
#include <vector>

namespace sluice::proxy {

class Inbox {
 public:
  using Work = std::move_only_function<void()>;
  // `wake` is called by post() when there was no mail before; it must make a sleeping poll loop run its next turn.
  explicit Inbox(std::function<void()> wake) : wake_(std::move(wake)) {}
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  void post(Work work);
  [[nodiscard]] bool has_mail() const noexcept { return has_mail_.load(std::memory_order_relaxed); }
  // Runs what had been posted when it was called; returns how much.
  std::size_t drain();
  // Destroys what is there; from now on nothing is taken and nobody is woken.
  void close();

 private:
  std::atomic<bool> has_mail_{false};
  std::mutex mutex_;
  std::vector<Work> mail_;      // under mutex_
  bool closed_ = false;         // under mutex_
  std::vector<Work> opened_;    // proxy thread: the mail that drain() runs; its memory is used again
  std::function<void()> wake_;  // called under mutex_, so that close() ends its use
};

}  // namespace sluice::proxy
