// Where coroutine frames live: blocks by size, kept for the next frame of that size, so that starting an exchange costs
// a few ns.
// Threading: one pool per thread, reached by of_this_thread(); a block may be released on another thread (it stays
//            there).
// Ownership: a block belongs to the frame in it; the pool owns the blocks that wait for reuse, and frees them when the
//            thread ends.
// Sanitizer: with SLUICE_SANITIZE nothing is kept, or the pool would hide a use after free from ASan.
#pragma once

#include <array>
#include <cstddef>

namespace sluice {

class FramePool {
 public:
  static constexpr std::size_t kGrain = 64;           // sizes are rounded up to this
  static constexpr std::size_t kClasses = 64;         // frames up to 4 KiB are pooled, larger ones come from the heap
  static constexpr std::size_t kKeepPerClass = 1024;  // more than so many idle blocks of a size go back to the heap

  FramePool() = default;
  ~FramePool();
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;

  [[nodiscard]] static FramePool& of_this_thread() noexcept;

  [[nodiscard]] void* allocate(std::size_t bytes);  // throws std::bad_alloc
  void release(void* block, std::size_t bytes) noexcept;

  // Frames that exist now. A block released on another thread is counted there, so only the sum over threads is exact.
  [[nodiscard]] std::ptrdiff_t live() const noexcept { return live_; }
  [[nodiscard]] std::size_t idle() const noexcept;  // blocks that wait for reuse

 private:
  struct Block {
    Block* next;
  };
  struct SizeClass {
    Block* head = nullptr;
    std::size_t count = 0;
  };

  std::array<SizeClass, kClasses> classes_{};
  std::ptrdiff_t live_ = 0;
};

}  // namespace sluice
