#include "sluice/base/frame_pool.h"

#include <new>

namespace sluice {

namespace {

#ifdef SLUICE_SANITIZE
constexpr bool kPooled = false;
#else
constexpr bool kPooled = true;
#endif

constexpr std::size_t class_of(std::size_t bytes) noexcept { return bytes == 0 ? 0 : (bytes - 1) / FramePool::kGrain; }

}  // namespace

FramePool& FramePool::of_this_thread() noexcept {
  thread_local FramePool pool;
  return pool;
}

FramePool::~FramePool() {
  for (SizeClass& size_class : classes_) {
    while (size_class.head != nullptr) {
      Block* block = size_class.head;
      size_class.head = block->next;
      ::operator delete(block);
    }
  }
}

void* FramePool::allocate(std::size_t bytes) {
  const std::size_t index = class_of(bytes);
  if (kPooled && index < kClasses) {
    SizeClass& size_class = classes_[index];
    if (Block* block = size_class.head; block != nullptr) [[likely]] {
      size_class.head = block->next;
      --size_class.count;
      ++live_;
      return block;
    }
    bytes = (index + 1) * kGrain;
  }
  void* block = ::operator new(bytes);
  ++live_;
  return block;
}

void FramePool::release(void* block, std::size_t bytes) noexcept {
  --live_;
  const std::size_t index = class_of(bytes);
  if (kPooled && index < kClasses && classes_[index].count < kKeepPerClass) [[likely]] {
    SizeClass& size_class = classes_[index];
    size_class.head = ::new (block) Block{size_class.head};
    ++size_class.count;
    return;
  }
  ::operator delete(block);
}

std::size_t FramePool::idle() const noexcept {
  std::size_t total = 0;
  for (const SizeClass& size_class : classes_) total += size_class.count;
  return total;
}

}  // namespace sluice
