#include "tx_queue.h"

#include <algorithm>
#include <cstring>

namespace sluice::tcp {

bool TxQueue::add_block(BlockPool& pool, std::uint32_t max_blocks) noexcept {
  if (blocks_ >= max_blocks) return false;
  const BlockId id = pool.take();
  if (id == kNoBlock) return false;
  if (tail_ == kNoBlock) {
    head_ = id;
  } else {
    pool.next(tail_) = id;
  }
  tail_ = id;
  ++blocks_;
  return true;
}

std::span<std::uint8_t> TxQueue::reserve(BlockPool& pool, std::size_t wish, std::uint32_t max_blocks) noexcept {
  if (tail_room(pool) < std::min(wish, kUsefulRoom) && !add_block(pool, max_blocks) && tail_room(pool) == 0) return {};
  reserved_ = true;
  const std::size_t room = std::min<std::size_t>(wish, tail_room(pool));
  return {pool.data(tail_) + pool.end(tail_), room};
}

void TxQueue::commit(BlockPool& pool, std::size_t bytes) noexcept {
  reserved_ = false;
  if (bytes == 0) return;
  if (cursor_ == kNoBlock) {
    cursor_ = tail_;
    cursor_offset_ = pool.end(tail_);
  }
  pool.end(tail_) = static_cast<std::uint16_t>(pool.end(tail_) + bytes);
  bytes_ += static_cast<std::uint32_t>(bytes);
}

std::size_t TxQueue::append(BlockPool& pool, std::span<const std::uint8_t> bytes, std::uint32_t max_blocks) noexcept {
  reserved_ = false;
  std::size_t taken = 0;
  while (taken < bytes.size()) {
    if (tail_room(pool) == 0 && !add_block(pool, max_blocks)) break;
    const std::size_t part = std::min<std::size_t>(bytes.size() - taken, tail_room(pool));
    std::memcpy(pool.data(tail_) + pool.end(tail_), bytes.data() + taken, part);
    commit(pool, part);
    taken += part;
  }
  return taken;
}

std::size_t TxQueue::space(BlockPool& pool, std::uint32_t max_blocks) const noexcept {
  const std::uint32_t more = blocks_ < max_blocks ? std::min(max_blocks - blocks_, pool.available()) : 0;
  return tail_room(pool) + std::size_t{more} * kBlockSize;
}

void TxQueue::release(BlockPool& pool, std::uint32_t bytes) noexcept {
  bytes_ -= bytes;
  while (head_ != kNoBlock) {
    const std::uint32_t here = static_cast<std::uint32_t>(pool.end(head_) - pool.begin(head_));
    const std::uint32_t part = std::min(bytes, here);
    pool.begin(head_) = static_cast<std::uint16_t>(pool.begin(head_) + part);
    bytes -= part;
    if (part < here || (head_ == tail_ && reserved_)) break;
    const BlockId done = head_;
    head_ = pool.next(done);
    if (cursor_ == done) {
      cursor_ = head_;
      cursor_offset_ = head_ == kNoBlock ? std::uint16_t{0} : pool.begin(head_);
    }
    pool.give(done);
    --blocks_;
  }
  if (head_ == kNoBlock) tail_ = kNoBlock;
}

void TxQueue::clear(BlockPool& pool) noexcept {
  reserved_ = false;
  release(pool, bytes_);
}

TxCursor TxQueue::copy(BlockPool& pool, TxCursor from, std::span<std::uint8_t> to) noexcept {
  std::size_t done = 0;
  while (done < to.size()) {
    if (from.offset == pool.end(from.block)) {
      from.block = pool.next(from.block);
      from.offset = pool.begin(from.block);
      continue;
    }
    const std::size_t part = std::min<std::size_t>(to.size() - done, pool.end(from.block) - from.offset);
    std::memcpy(to.data() + done, pool.data(from.block) + from.offset, part);
    from.offset = static_cast<std::uint16_t>(from.offset + part);
    done += part;
  }
  return from;
}

TxCursor TxQueue::copy_next(BlockPool& pool, std::span<std::uint8_t> to) noexcept {
  if (to.empty()) return {};
  const TxCursor start = advance(pool, {cursor_, cursor_offset_}, 0, true);
  const TxCursor next = copy(pool, start, to);
  cursor_ = next.block;
  cursor_offset_ = next.offset;
  return start;
}

TxCursor TxQueue::advance(BlockPool& pool, TxCursor from, std::uint32_t bytes, bool more) noexcept {
  if (!more) return {};
  for (;;) {
    const auto here = static_cast<std::uint32_t>(pool.end(from.block) - from.offset);
    if (bytes < here) return {from.block, static_cast<std::uint16_t>(from.offset + bytes)};
    bytes -= here;
    from.block = pool.next(from.block);
    from.offset = pool.begin(from.block);
  }
}

}  // namespace sluice::tcp
