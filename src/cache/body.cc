#include "body.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "sluice/cache/store.h"

namespace sluice::cache {
namespace {

constexpr std::size_t kFirstChunk =
    4096 - sizeof(Body::Chunk) - kAllocationOverhead;  // of a body whose length is not known
constexpr std::size_t kLargestChunk = 256 * 1024;

constexpr std::size_t chunk_cost(std::uint64_t capacity) noexcept {
  return sizeof(Body::Chunk) + static_cast<std::size_t>(capacity) + kAllocationOverhead;
}

}  // namespace

std::size_t Body::cost(std::optional<std::uint64_t> length) noexcept {
  const std::size_t fixed = sizeof(Body) + kAllocationOverhead;
  if (!length) return fixed + chunk_cost(kFirstChunk);
  const std::uint64_t whole = *length / kLargestChunk;
  const std::uint64_t rest = *length % kLargestChunk;
  return fixed + static_cast<std::size_t>(whole) * chunk_cost(kLargestChunk) + (rest == 0 ? 0 : chunk_cost(rest));
}

Body::Body(Budget& budget, std::optional<std::uint64_t> length) noexcept
    : budget_(budget),
      length_(length),
      reserved_(cost(length) - sizeof(Body) - kAllocationOverhead),
      charged_(cost(length)) {}

Body::~Body() {
  {
    const std::lock_guard lock(guard());
    waiting_readers_.forget();
    waiting_filler_.forget();
  }
  while (Chunk* chunk = first_) {
    first_ = chunk->next;
    free_chunk(chunk);
  }
  budget_.release(reserved_ + sizeof(Body) + kAllocationOverhead);
}

Body::Chunk* Body::add_chunk(std::size_t capacity, std::size_t charged) noexcept {
  void* memory = std::malloc(sizeof(Chunk) + capacity);
  if (memory == nullptr) return nullptr;
  auto* chunk = new (memory) Chunk{.next = nullptr, .capacity = capacity, .charged = charged};
  (last_ == nullptr ? first_ : last_->next) = chunk;
  last_ = chunk;
  last_used_ = 0;
  return chunk;
}

void Body::free_chunk(Chunk* chunk) noexcept {
  if (chunk->charged != 0) budget_.release(chunk->charged);
  std::free(chunk);
}

std::size_t Body::next_capacity() const noexcept {
  if (!length_) return last_ == nullptr ? kFirstChunk : std::min(kLargestChunk, last_->capacity * 2);
  return static_cast<std::size_t>(
      std::min<std::uint64_t>(kLargestChunk, *length_ - size_.load(std::memory_order_relaxed)));
}

std::size_t Body::copy_in(std::span<const std::uint8_t> bytes) noexcept {
  if (last_ == nullptr) return 0;
  const std::size_t count = std::min(bytes.size(), last_->capacity - last_used_);
  if (count == 0) return 0;
  std::memcpy(last_->bytes() + last_used_, bytes.data(), count);
  last_used_ += count;
  publish(size_.load(std::memory_order_relaxed) + count);
  return count;
}

void Body::publish(std::uint64_t size) noexcept {
  size_.store(size, std::memory_order_release);
  const std::lock_guard lock(guard());
  waiting_readers_.wake_all();
}

void Body::close(State state) noexcept {
  // A body that is shorter than was promised is not complete.
  if (state == State::kComplete && length_ && size() != *length_) state = State::kFailed;
  state_.store(state, std::memory_order_release);
  const std::lock_guard lock(guard());
  waiting_readers_.wake_all();
}

std::size_t Body::pipe_space() const noexcept {
  const std::uint64_t behind = size_.load(std::memory_order_relaxed) - consumed_.load(std::memory_order_acquire);
  return behind >= kPipeWindow ? 0 : static_cast<std::size_t>(kPipeWindow - behind);
}

std::size_t Body::append_piped(std::span<const std::uint8_t> bytes) noexcept {
  std::size_t left = std::min(bytes.size(), pipe_space());
  std::size_t taken = 0;
  while (left != 0) {
    const std::size_t copied = copy_in(bytes.subspan(taken, left));
    taken += copied;
    left -= copied;
    if (left == 0) break;
    const std::lock_guard lock(guard());  // the reader may be dropping chunks
    if (add_chunk(kPipeWindow / 4, 0) == nullptr) break;
  }
  return taken;
}

bool Body::wait_space(Waiter& waiter) noexcept {
  waiter.cancel();
  const std::lock_guard lock(guard());
  if (!is_pipe() || pipe_space() != 0 || !has_readers()) return false;
  waiting_filler_.add(waiter, guard());
  return true;
}

void Body::reader_left() noexcept {
  readers_.fetch_sub(1, std::memory_order_acq_rel);
  if (!is_pipe()) return;
  const std::lock_guard lock(guard());
  waiting_filler_.wake_all();
}

Body::Front Body::front() noexcept {
  if (!is_pipe()) return {first_, 0};
  const std::lock_guard lock(guard());
  return {first_, first_start_};
}

void Body::passed(const Chunk* chunk, std::uint64_t position) noexcept {
  consumed_.store(position, std::memory_order_release);
  if (!is_pipe()) return;
  const std::lock_guard lock(guard());
  while (first_ != chunk) {
    Chunk* gone = first_;
    first_ = gone->next;
    first_start_ += gone->capacity;
    free_chunk(gone);
  }
  waiting_filler_.wake_all();
}

}  // namespace sluice::cache
