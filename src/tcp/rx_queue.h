// The receive buffer of a connection. Bytes lie in a chain of blocks at the place that their sequence number gives
// them, so what comes out of order needs no queue of its own: only a bounded list of the ranges that are there.
// Threading: belongs to its connection.
// Ownership: owns its blocks and a quota of promised ones; clear() gives all back.
// Units:     bytes; positions count from the start of the first block.
// Invariant: nothing is stored beyond window(), so redeeming a promise never fails.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "block_pool.h"
#include "seq.h"

namespace sluice::tcp {

class RxQueue {
 public:
  // Holes that are remembered. A segment that would need one more is dropped: the peer sends it again.
  static constexpr std::size_t kMaxRanges = 16;
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

  [[nodiscard]] std::uint32_t ready() const noexcept { return ready_; }
  [[nodiscard]] bool has_gap() const noexcept { return range_count_ != 0; }
  [[nodiscard]] std::uint32_t blocks() const noexcept { return blocks_; }
  [[nodiscard]] std::uint32_t quota() const noexcept { return quota_; }

 private:
  struct Range {
    Seq start, end;
  };
  [[nodiscard]] bool add_range(Seq start, Seq end) noexcept;
  [[nodiscard]] Seq take_ranges(Seq next) noexcept;
  [[nodiscard]] BlockId block_at(BlockPool& pool, std::uint32_t position) noexcept;
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
  std::uint8_t range_count_ = 0;
  static_assert(4 * sizeof(std::uint32_t) + 3 * sizeof(std::uint16_t) + 2 == kHotBytes);
  std::array<Range, kMaxRanges> ranges_;  // sorted, apart from each other
};

}  // namespace sluice::tcp
