// The receive buffer of a connection. Bytes lie in a chain of blocks at the place that their sequence number gives
// them, so what comes out of order needs no queue of its own: only a bounded list of the ranges that are there.
// Threading: belongs to its connection.
// Ownership: owns its blocks and a quota of promised ones; clear() gives all back. While there are many ranges their list
//            has a block of its own, beyond the quota.
// Units:     bytes; positions count from the start of the first block.
// Invariant: nothing is stored beyond window(), so redeeming a promise never fails.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "block_pool.h"
#include "segment.h"
#include "seq.h"

namespace sluice::tcp {

class RxQueue {
 public:
  // Ranges beyond a gap that are remembered: a few here, more in a block. A segment that would need one more is dropped:
  // the peer sends it again.
  static constexpr std::size_t kInlineRanges = 4;
  static constexpr std::size_t kMaxRanges = kBlockSize / sizeof(SackBlock);
  static constexpr std::size_t kHotBytes = 24;  // all but the ranges

  [[nodiscard]] bool grow_quota(BlockPool& pool, std::uint32_t blocks) noexcept;  // to so many in all; false: no memory
  void shrink_quota(BlockPool& pool, std::uint32_t blocks) noexcept;              // never below what is in use

  // How far beyond the last in-order byte the quota reaches.
  [[nodiscard]] std::uint32_t window() const noexcept { return quota_ * kBlockSize - head_offset_ - ready_; }

  // The quota that a window needs.
  [[nodiscard]] std::uint32_t blocks_for(std::uint32_t window) const noexcept {
    return (head_offset_ + ready_ + window + kBlockSize - 1) / kBlockSize;
  }

  // Stores bytes that begin `distance` beyond `next`, the next expected sequence number. Returns by how much `next`
  // advances: 0 when they came out of order. `stored` says whether they were kept.
  std::uint32_t store(BlockPool& pool, Seq next, std::uint32_t distance, std::span<const std::uint8_t> bytes,
                      bool& stored) noexcept;

  [[nodiscard]] std::span<const std::uint8_t> peek(BlockPool& pool) const noexcept {
    if (ready_ == 0) return {};
    return {pool.data(head_) + head_offset_, std::min(ready_, kBlockSize - head_offset_)};
  }
  void consume(BlockPool& pool, std::uint32_t bytes) noexcept;
  void clear(BlockPool& pool) noexcept;  // quota too

  // What a SACK option says (RFC 2018 section 4): the range that the last segment went to first, then those before it.
  // With `duplicate`, what has come twice goes before them (RFC 2883 section 4). Returns how many blocks there are.
  [[nodiscard]] std::size_t sack_blocks(BlockPool& pool, bool duplicate, std::span<SackBlock> out) noexcept;
  // Bytes that came twice: the application may have them already, or the last store() beyond a gap found them.
  void set_duplicate(SackBlock twice) noexcept { duplicate_ = twice; }
  [[nodiscard]] const SackBlock& duplicate() const noexcept { return duplicate_; }

  [[nodiscard]] std::uint32_t ready() const noexcept { return ready_; }
  [[nodiscard]] bool has_gap() const noexcept { return range_count_ != 0; }
  [[nodiscard]] std::size_t range_count() const noexcept { return range_count_; }
  [[nodiscard]] std::uint32_t range_blocks() const noexcept { return range_block_ == kNoBlock ? 0 : 1; }
  [[nodiscard]] std::uint32_t blocks() const noexcept { return blocks_; }
  [[nodiscard]] std::uint32_t quota() const noexcept { return quota_; }

 private:
  using Range = SackBlock;
  [[nodiscard]] Range* ranges(BlockPool& pool) noexcept {
    return range_block_ == kNoBlock ? inline_ranges_.data() : reinterpret_cast<Range*>(pool.data(range_block_));
  }
  [[nodiscard]] bool add_range(BlockPool& pool, Seq start, Seq end) noexcept;
  [[nodiscard]] bool make_room_for_range(BlockPool& pool) noexcept;
  [[nodiscard]] Seq take_ranges(BlockPool& pool, Seq next) noexcept;
  void drop_ranges(BlockPool& pool) noexcept;
  void note_recent(const Range& range, Seq seq) noexcept;
  [[nodiscard]] std::size_t find_range(BlockPool& pool, Seq seq) noexcept;
  [[nodiscard]] BlockId block_at(BlockPool& pool, std::uint32_t position) noexcept;
  // Blocks of a chain are numbered, and each one whose number is a multiple of kStride knows the next such one, the others
  // the last: so that a byte far beyond a gap is found in a few hundred steps, whatever the window.
  static constexpr std::uint32_t kStride = 64;
  void extend(BlockPool& pool) noexcept;
  void put(BlockPool& pool, std::uint32_t position, std::span<const std::uint8_t> bytes) noexcept;
  void give_head(BlockPool& pool) noexcept;

  BlockId head_ = kNoBlock;
  BlockId tail_ = kNoBlock;
  BlockId write_ =
      kNoBlock;  // holds the last in-order byte; kNoBlock: the next in-order byte goes to the start of head_
  std::uint32_t ready_ = 0;  // in-order bytes that the application has not consumed
  std::uint16_t head_offset_ = 0;
  std::uint16_t blocks_ = 0;
  std::uint16_t quota_ = 0;  // blocks in use and promised
  std::uint16_t range_count_ = 0;
  static_assert(4 * sizeof(std::uint32_t) + 4 * sizeof(std::uint16_t) == kHotBytes);
  BlockId range_block_ = kNoBlock;
  std::uint32_t recent_count_ = 0;
  std::array<Seq, kMaxSackBlocks> recent_;  // a byte of each of the ranges that were added to last, the last first
  SackBlock duplicate_;
  std::array<Range, kInlineRanges> inline_ranges_;  // sorted, apart from each other
};

}  // namespace sluice::tcp
