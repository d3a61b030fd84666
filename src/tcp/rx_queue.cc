#include "rx_queue.h"

#include <cstring>

namespace sluice::tcp {

bool RxQueue::grow_quota(BlockPool& pool, std::uint32_t blocks) noexcept {
  if (blocks <= quota_) return true;
  if (!pool.promise(blocks - quota_)) return false;
  quota_ = static_cast<std::uint16_t>(blocks);
  return true;
}

void RxQueue::shrink_quota(BlockPool& pool, std::uint32_t blocks) noexcept {
  const std::uint32_t target = std::max<std::uint32_t>(blocks, blocks_);
  if (target >= quota_) return;
  pool.withdraw(quota_ - target);
  quota_ = static_cast<std::uint16_t>(target);
}

// The block of a position at or beyond the in-order end; the chain is extended up to it.
BlockId RxQueue::block_at(BlockPool& pool, std::uint32_t position) noexcept {
  const std::uint32_t in_order_end = head_offset_ + ready_;
  std::uint32_t index = write_ == kNoBlock ? 0 : (in_order_end - 1) / kBlockSize;
  BlockId block = write_ == kNoBlock ? head_ : write_;
  const std::uint32_t wanted = position / kBlockSize;
  while (block == kNoBlock || index < wanted) {
    BlockId next = block == kNoBlock ? kNoBlock : pool.next(block);
    if (next == kNoBlock) {
      next = pool.redeem();
      ++blocks_;
      if (tail_ == kNoBlock) {
        head_ = next;
      } else {
        pool.next(tail_) = next;
      }
      tail_ = next;
    }
    if (block != kNoBlock) ++index;
    block = next;
  }
  return block;
}

void RxQueue::put(BlockPool& pool, std::uint32_t position, std::span<const std::uint8_t> bytes) noexcept {
  BlockId block = block_at(pool, position);
  for (;;) {
    const std::uint32_t offset = position % kBlockSize;
    const std::size_t part = std::min<std::size_t>(bytes.size(), kBlockSize - offset);
    std::memcpy(pool.data(block) + offset, bytes.data(), part);
    bytes = bytes.subspan(part);
    if (bytes.empty()) return;
    position += static_cast<std::uint32_t>(part);
    block = pool.next(block) != kNoBlock ? pool.next(block) : block_at(pool, position);
  }
}

std::uint32_t RxQueue::store(BlockPool& pool, Seq next, std::uint32_t distance, std::span<const std::uint8_t> bytes,
                             bool& stored) noexcept {
  const auto len = static_cast<std::uint32_t>(bytes.size());
  stored = true;
  if (distance != 0) {
    stored = add_range(next + distance, next + distance + len);
    if (stored) put(pool, head_offset_ + ready_ + distance, bytes);
    return 0;
  }
  put(pool, head_offset_ + ready_, bytes);
  const Seq end = range_count_ == 0 ? next + len : take_ranges(next + len);
  const std::uint32_t advance = end - next;
  write_ = block_at(pool, head_offset_ + ready_ + advance - 1);
  ready_ += advance;
  return advance;
}

bool RxQueue::add_range(Seq start, Seq end) noexcept {
  std::size_t first = 0;  // the first range that touches or lies beyond [start, end)
  while (first < range_count_ && seq_lt(ranges_[first].end, start)) ++first;
  std::size_t last = first;  // one past the last range that touches it
  while (last < range_count_ && seq_le(ranges_[last].start, end)) {
    start = seq_min(start, ranges_[last].start);
    end = seq_max(end, ranges_[last].end);
    ++last;
  }
  if (first == last) {
    if (range_count_ == kMaxRanges) return false;
    for (std::size_t i = range_count_; i > first; --i) ranges_[i] = ranges_[i - 1];
    ++range_count_;
  } else {
    const std::size_t merged = last - first - 1;
    for (std::size_t i = last; i < range_count_; ++i) ranges_[i - merged] = ranges_[i];
    range_count_ = static_cast<std::uint8_t>(range_count_ - merged);
  }
  ranges_[first] = Range{start, end};
  return true;
}

// The in-order end has come to `next`: ranges that it touches become part of it.
Seq RxQueue::take_ranges(Seq next) noexcept {
  std::size_t taken = 0;
  while (taken < range_count_ && seq_le(ranges_[taken].start, next)) {
    next = seq_max(next, ranges_[taken].end);
    ++taken;
  }
  for (std::size_t i = taken; i < range_count_; ++i) ranges_[i - taken] = ranges_[i];
  range_count_ = static_cast<std::uint8_t>(range_count_ - taken);
  return next;
}

void RxQueue::give_head(BlockPool& pool) noexcept {
  const BlockId done = head_;
  head_ = pool.next(done);
  if (head_ == kNoBlock) tail_ = kNoBlock;
  if (write_ == done) write_ = kNoBlock;
  pool.give_and_promise(done);
  --blocks_;
}

void RxQueue::consume(BlockPool& pool, std::uint32_t bytes) noexcept {
  ready_ -= bytes;
  std::uint32_t offset = head_offset_ + bytes;
  while (offset >= kBlockSize) {
    give_head(pool);
    offset -= kBlockSize;
  }
  if (ready_ == 0 && range_count_ == 0) {  // empty: begin anew at the start of a block
    while (head_ != kNoBlock) give_head(pool);
    offset = 0;
  }
  head_offset_ = static_cast<std::uint16_t>(offset);
}

void RxQueue::clear(BlockPool& pool) noexcept {
  range_count_ = 0;
  ready_ = 0;
  head_offset_ = 0;
  while (head_ != kNoBlock) give_head(pool);
  shrink_quota(pool, 0);
}

}  // namespace sluice::tcp
