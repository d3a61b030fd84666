// The bytes of a stored response: chunks that one filler appends to and readers follow.
// Threading: append(), finish(), fail(), wait_space(): the filler's thread. view(), passed(), wait(): readers, each on its own thread.
//            A chunk is filled up before the next one begins; whatever lies below size() is immutable, and published by the release
//            store of size_. Waiters, and everything once the body is a pipe, are guarded by guard().
// Ownership: reference counted. Chunks are charged to the budget, except those of a pipe.
// Invariant: a body is only turned into a pipe while at most one reader can know it.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>

#include "budget.h"
#include "sluice/cache/waiter.h"

namespace sluice::cache {

class Body {
 public:
  enum class State : std::uint8_t { kFilling, kComplete, kFailed };
  struct Chunk {
    Chunk* next = nullptr;     // published by size_
    std::size_t capacity = 0;  // bytes behind this header
    std::size_t charged = 0;
    [[nodiscard]] std::uint8_t* bytes() noexcept { return reinterpret_cast<std::uint8_t*>(this + 1); }
    [[nodiscard]] const std::uint8_t* bytes() const noexcept { return reinterpret_cast<const std::uint8_t*>(this + 1); }
  };

  // What a body of that length costs; without a length: what it costs to begin with.
  [[nodiscard]] static std::size_t cost(std::optional<std::uint64_t> length) noexcept;
  // cost(length) has been charged and belongs to the body now.
  Body(Budget& budget, std::optional<std::uint64_t> length) noexcept;
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;

  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
  [[nodiscard]] bool is_shared() const noexcept { return references_.load(std::memory_order_acquire) > 1; }

  // Filler. `more_memory(bytes)` charges the budget; false, or `limit` reached: the body becomes a pipe.
  template <typename MoreMemory>
  std::size_t append(std::span<const std::uint8_t> bytes, std::uint64_t limit, MoreMemory more_memory) noexcept;
  void close(State state) noexcept;  // kComplete or kFailed
  [[nodiscard]] bool wait_space(Waiter& waiter) noexcept;
  [[nodiscard]] bool is_pipe() const noexcept { return pipe_.load(std::memory_order_acquire); }
  [[nodiscard]] bool has_readers() const noexcept { return readers_.load(std::memory_order_acquire) != 0; }

  [[nodiscard]] std::optional<std::uint64_t> length() const noexcept { return length_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_.load(std::memory_order_acquire); }
  [[nodiscard]] State state() const noexcept { return state_.load(std::memory_order_acquire); }
  [[nodiscard]] std::size_t charged() const noexcept { return charged_; }  // filler, or once complete

  // Readers.
  void reader_came() noexcept { readers_.fetch_add(1, std::memory_order_acq_rel); }
  void reader_left() noexcept;
  [[nodiscard]] std::mutex& guard() noexcept { return budget_.guard_of(this); }
  [[nodiscard]] WaitList& waiting_readers() noexcept { return waiting_readers_; }  // guard() held
  // The first chunk and the position of its first byte. A pipe drops chunks that its reader has left: then they are not those at 0.
  struct Front {
    const Chunk* chunk;
    std::uint64_t start;
  };
  [[nodiscard]] Front front() noexcept;
  // Only one reader can know the body, and it may still become a pipe: it has to tell how far it is.
  [[nodiscard]] bool may_be_pipe() const noexcept { return !length_ && state() == State::kFilling; }
  // That reader has consumed everything before `position`, which lies in `chunk` or at its end.
  void passed(const Chunk* chunk, std::uint64_t position) noexcept;

 private:
  ~Body();
  [[nodiscard]] Chunk* add_chunk(std::size_t capacity, std::size_t charged) noexcept;
  [[nodiscard]] std::size_t next_capacity() const noexcept;
  std::size_t copy_in(std::span<const std::uint8_t> bytes) noexcept;
  std::size_t append_piped(std::span<const std::uint8_t> bytes) noexcept;
  void become_pipe() noexcept { pipe_.store(true, std::memory_order_release); }
  void publish(std::uint64_t size) noexcept;
  void free_chunk(Chunk* chunk) noexcept;
  [[nodiscard]] std::size_t pipe_space() const noexcept;

  std::atomic<std::uint32_t> references_{1};
  std::atomic<std::uint32_t> readers_{0};
  std::atomic<State> state_{State::kFilling};  // filler: w, readers: r
  std::atomic<bool> pipe_{false};              // filler: w, reader: r
  std::atomic<std::uint64_t> size_{0};         // filler: w, readers: r
  std::atomic<std::uint64_t> consumed_{0};     // of a pipe. reader: w, filler: r
  Budget& budget_;
  const std::optional<std::uint64_t> length_;
  Chunk* first_ = nullptr;         // filler until the first publish(); a pipe's: guard()
  std::uint64_t first_start_ = 0;  // of a pipe: guard()
  Chunk* last_ = nullptr;          // filler
  std::size_t last_used_ = 0;      // filler
  std::size_t reserved_ = 0;       // charged, not yet chunks. filler
  std::size_t charged_ = 0;        // all of it while it is no pipe, for the owner's books. filler
  WaitList waiting_readers_;       // guard()
  WaitList waiting_filler_;        // guard()
};

template <typename MoreMemory>
std::size_t Body::append(std::span<const std::uint8_t> bytes, std::uint64_t limit, MoreMemory more_memory) noexcept {
  std::size_t taken = 0;
  while (taken < bytes.size() && !is_pipe()) {
    if (const std::size_t copied = copy_in(bytes.subspan(taken)); copied != 0) {
      taken += copied;
      continue;
    }
    const std::size_t capacity = next_capacity();
    if (capacity == 0) return bytes.size();  // beyond the length that was promised: dropped
    const std::size_t cost = sizeof(Chunk) + capacity + kAllocationOverhead;
    const bool is_reserved = reserved_ >= cost;
    const bool fits = size_.load(std::memory_order_relaxed) + capacity <= limit || is_reserved;
    if (!fits || (!is_reserved && !more_memory(cost))) {
      become_pipe();
      break;
    }
    if (is_reserved)
      reserved_ -= cost;
    else
      charged_ += cost;
    if (add_chunk(capacity, cost) == nullptr) {
      budget_.release(cost);
      charged_ -= cost;
      become_pipe();
    }
  }
  if (is_pipe()) taken += append_piped(bytes.subspan(taken));
  return taken;
}

}  // namespace sluice::cache
