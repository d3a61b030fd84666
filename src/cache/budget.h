// What the store may use, counted in bytes as they are allocated and given back as they are freed.
// Threading: any thread.
// Ownership: lives in the store, which outlives whatever was charged.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace sluice::cache {

inline constexpr std::size_t kAllocationOverhead = 16;  // of malloc, for each block

class Budget {
 public:
  explicit Budget(std::size_t limit) noexcept : limit_(limit) {}

  [[nodiscard]] bool try_charge(std::size_t bytes) noexcept {
    std::size_t used = used_.load(std::memory_order_relaxed);
    do {
      if (bytes > limit_ || used > limit_ - bytes) return false;
    } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
    return true;
  }
  void release(std::size_t bytes) noexcept { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  [[nodiscard]] std::size_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t limit() const noexcept { return limit_; }

  // The mutex that guards a body's waiters: one of a few that live as long as the store, so that a waiter may outlive the body.
  [[nodiscard]] std::mutex& guard_of(const void* body) noexcept {
    return guards_[(reinterpret_cast<std::uintptr_t>(body) >> 6) % guards_.size()].mutex;
  }

 private:
  struct alignas(64) Guard {
    std::mutex mutex;
  };
  const std::size_t limit_;
  alignas(64) std::atomic<std::size_t> used_{0};
  std::array<Guard, 64> guards_;
};

}  // namespace sluice::cache
