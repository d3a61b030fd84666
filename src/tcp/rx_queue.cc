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

void RxQueue::extend(BlockPool& pool) noexcept {
  const BlockId added = pool.redeem();
  ++blocks_;
  if (tail_ == kNoBlock) {
    head_ = tail_ = added;
    return;
  }
  const std::uint16_t last = pool.number(tail_);
  const auto chain = static_cast<std::uint16_t>(last - pool.number(head_));
  // The last multiple of the stride, if it is still there.
  const BlockId mark = last % kStride == 0 ? tail_ : last % kStride <= chain ? pool.far(tail_) : kNoBlock;
  const auto number = static_cast<std::uint16_t>(last + 1);
  pool.number(added) = number;
  if (number % kStride != 0) {
    pool.far(added) = mark;
  } else if (mark != kNoBlock) {
    pool.far(mark) = added;
  }
  pool.next(tail_) = added;
  tail_ = added;
}

// The block of a position at or beyond the in-order end; the chain is extended up to it.
BlockId RxQueue::block_at(BlockPool& pool, std::uint32_t position) noexcept {
  const std::uint32_t in_order_end = head_offset_ + ready_;
  if (head_ == kNoBlock) extend(pool);
  std::uint32_t index = write_ == kNoBlock ? 0 : (in_order_end - 1) / kBlockSize;
  BlockId block = write_ == kNoBlock ? head_ : write_;
  const std::uint32_t wanted = position / kBlockSize;
  while (index < wanted) {
    if (wanted - index >= kStride && pool.number(block) % kStride == 0 && pool.far(block) != kNoBlock) {
      block = pool.far(block);
      index += kStride;
      continue;
    }
    if (pool.next(block) == kNoBlock) extend(pool);
    block = pool.next(block);
    ++index;
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
    stored = add_range(pool, next + distance, next + distance + len);
    if (stored) put(pool, head_offset_ + ready_ + distance, bytes);
    return 0;
  }
  put(pool, head_offset_ + ready_, bytes);
  const Seq end = range_count_ == 0 ? next + len : take_ranges(pool, next + len);
  const std::uint32_t advance = end - next;
  write_ = block_at(pool, head_offset_ + ready_ + advance - 1);
  ready_ += advance;
  return advance;
}

// The first range that ends at `seq` or later.
std::size_t RxQueue::find_range(BlockPool& pool, Seq seq) noexcept {
  const Range* all = ranges(pool);
  return static_cast<std::size_t>(
      std::lower_bound(all, all + range_count_, seq, [](const Range& r, Seq at) { return seq_lt(r.end, at); }) - all);
}

bool RxQueue::make_room_for_range(BlockPool& pool) noexcept {
  if (range_count_ != kInlineRanges || range_block_ != kNoBlock) return range_count_ < kMaxRanges;
  const BlockId block = pool.take();
  if (block == kNoBlock) return false;
  std::ranges::copy(inline_ranges_, reinterpret_cast<Range*>(pool.data(block)));
  range_block_ = block;
  return true;
}

bool RxQueue::add_range(BlockPool& pool, Seq start, Seq end) noexcept {
  const Seq seq = start;
  duplicate_ = {};
  const std::size_t first = find_range(pool, start);  // the first range that touches or lies beyond [start, end)
  std::size_t last = first;                           // one past the last range that touches it
  for (const Range* all = ranges(pool); last < range_count_ && seq_le(all[last].start, end); ++last) {
    const Range twice{seq_max(seq, all[last].start), seq_min(end, all[last].end)};
    if (duplicate_ == SackBlock{} && seq_lt(twice.start, twice.end)) duplicate_ = twice;
    start = seq_min(start, all[last].start);
    end = seq_max(end, all[last].end);
  }
  if (first == last) {
    if (!make_room_for_range(pool)) return false;
    Range* all = ranges(pool);
    std::copy_backward(all + first, all + range_count_, all + range_count_ + 1);
    ++range_count_;
  } else {
    Range* all = ranges(pool);
    std::copy(all + last, all + range_count_, all + first + 1);
    range_count_ = static_cast<std::uint16_t>(range_count_ - (last - first - 1));
  }
  ranges(pool)[first] = Range{start, end};
  note_recent(Range{start, end}, seq);
  return true;
}

void RxQueue::note_recent(const Range& range, Seq seq) noexcept {
  std::array<Seq, kMaxSackBlocks> now;
  now[0] = seq;
  std::uint32_t count = 1;
  for (std::uint32_t i = 0; i < recent_count_ && count < now.size(); ++i) {
    if (seq_lt(recent_[i], range.start) || seq_ge(recent_[i], range.end)) now[count++] = recent_[i];
  }
  recent_ = now;
  recent_count_ = count;
}

std::size_t RxQueue::sack_blocks(BlockPool& pool, bool duplicate, std::span<SackBlock> out) noexcept {
  std::size_t count = 0;
  if (duplicate) out[count++] = duplicate_;
  if (range_count_ == 0) return count;
  for (std::uint32_t i = 0; i < recent_count_ && count < out.size(); ++i) {
    const std::size_t at = find_range(pool, recent_[i] + 1);
    if (at == range_count_ || seq_gt(ranges(pool)[at].start, recent_[i])) continue;  // in order by now
    out[count++] = ranges(pool)[at];
  }
  for (std::size_t at = 0; at < range_count_ && count < out.size(); ++at) {
    const Range& range = ranges(pool)[at];
    if (std::ranges::find(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(count), range) ==
        out.begin() + static_cast<std::ptrdiff_t>(count)) {
      out[count++] = range;
    }
  }
  return count;
}

// The in-order end has come to `next`: ranges that it touches become part of it.
Seq RxQueue::take_ranges(BlockPool& pool, Seq next) noexcept {
  Range* all = ranges(pool);
  std::size_t taken = 0;
  while (taken < range_count_ && seq_le(all[taken].start, next)) {
    next = seq_max(next, all[taken].end);
    ++taken;
  }
  std::copy(all + taken, all + range_count_, all);
  range_count_ = static_cast<std::uint16_t>(range_count_ - taken);
  if (range_count_ == 0) drop_ranges(pool);
  return next;
}

void RxQueue::drop_ranges(BlockPool& pool) noexcept {
  if (range_block_ != kNoBlock) pool.give(range_block_);
  range_block_ = kNoBlock;
  range_count_ = 0;
  recent_count_ = 0;
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
  drop_ranges(pool);
  ready_ = 0;
  head_offset_ = 0;
  while (head_ != kNoBlock) give_head(pool);
  shrink_quota(pool, 0);
}

}  // namespace sluice::tcp
