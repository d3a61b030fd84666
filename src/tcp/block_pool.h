// The memory of all send and receive buffers of a stack: blocks of 4 KiB, and promises of blocks. A promise is made
// when a receive window is advertised, so that what a peer sends into its window always finds a block.
// Threading: one pool per stack.
// Ownership: a block belongs to who took it, until give().
// Units:     blocks. Untouched blocks cost no memory: they are handed out in order of first use.
// Invariant: promised() <= free(): a promised block is there when it is redeemed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sluice/base/huge_pages.h"

namespace sluice::tcp {

using BlockId = std::uint32_t;
inline constexpr BlockId kNoBlock = 0;
inline constexpr std::uint32_t kBlockSize = 4096;

class BlockPool {
 public:
  explicit BlockPool(std::size_t bytes);  // the only allocation

  // A block that nobody was promised; kNoBlock: there is none.
  [[nodiscard]] BlockId take() noexcept { return available() == 0 ? kNoBlock : pop(); }
  void give(BlockId id) noexcept;

  // Promises: made, redeemed for a block, renewed when a redeemed block comes back, withdrawn.
  [[nodiscard]] bool promise(std::uint32_t blocks) noexcept {
    if (available() < blocks) return false;
    promised_ += blocks;
    return true;
  }
  [[nodiscard]] BlockId redeem() noexcept {
    --promised_;
    return pop();
  }
  void give_and_promise(BlockId id) noexcept {
    give(id);
    ++promised_;
  }
  void withdraw(std::uint32_t blocks) noexcept { promised_ -= blocks; }

  [[nodiscard]] std::uint8_t* data(BlockId id) noexcept { return &memory_[std::size_t{id - 1} * kBlockSize]; }
  [[nodiscard]] BlockId& next(BlockId id) noexcept { return links_[id].next; }
  // Of a receive buffer: its number in the chain, and another block further on or back (rx_queue.h).
  [[nodiscard]] std::uint16_t& number(BlockId id) noexcept { return links_[id].begin; }
  [[nodiscard]] BlockId& far(BlockId id) noexcept { return links_[id].far; }
  [[nodiscard]] std::uint16_t& begin(BlockId id) noexcept { return links_[id].begin; }
  [[nodiscard]] std::uint16_t& end(BlockId id) noexcept { return links_[id].end; }

  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint32_t free() const noexcept { return size_ - used_; }
  [[nodiscard]] std::uint32_t used() const noexcept { return used_; }
  [[nodiscard]] std::uint32_t promised() const noexcept { return promised_; }
  [[nodiscard]] std::uint32_t available() const noexcept { return size_ - used_ - promised_; }

 private:
  struct Link {  // of the chain that a block is in; begin and end bound a send block's bytes
    BlockId next;
    std::uint16_t begin;
    std::uint16_t end;
    BlockId far;
  };
  static_assert(sizeof(Link) == 12);

  [[nodiscard]] BlockId pop() noexcept;

  HugeArray<std::uint8_t> memory_;
  HugeArray<Link> links_;
  std::uint32_t size_;
  std::uint32_t used_ = 0;
  std::uint32_t promised_ = 0;
  std::uint32_t fresh_ = 1;       // the first block that was never used
  BlockId free_list_ = kNoBlock;  // of blocks that came back, last in first out: still in the cache
};

}  // namespace sluice::tcp
