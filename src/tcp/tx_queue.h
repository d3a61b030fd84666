// The send buffer of a connection: a chain of blocks holding what was written and is not acknowledged yet, and a cursor
// at the next byte to be sent.
// Threading: belongs to its connection.
// Ownership: owns its blocks, clear() gives them back.
// Units:     bytes; offsets are within a block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "block_pool.h"

namespace sluice::tcp {

// Where a byte lies in the send buffer. Valid until the byte is released.
struct TxCursor {
  BlockId block = kNoBlock;
  std::uint16_t offset = 0;
};

class TxQueue {
 public:
  // A reservation no shorter than the wish or than this is given while there are blocks; a shorter rest of the last
  // block is left unused rather than handed out.
  static constexpr std::size_t kUsefulRoom = 1024;

  [[nodiscard]] std::span<std::uint8_t> reserve(BlockPool& pool, std::size_t wish, std::uint32_t max_blocks) noexcept;
  void commit(BlockPool& pool, std::size_t bytes) noexcept;
  std::size_t append(BlockPool& pool, std::span<const std::uint8_t> bytes, std::uint32_t max_blocks) noexcept;
  // So much append() would take now.
  [[nodiscard]] std::size_t space(BlockPool& pool, std::uint32_t max_blocks) const noexcept;

  // The first `bytes` were acknowledged: their blocks are given back.
  void release(BlockPool& pool, std::uint32_t bytes) noexcept;
  void clear(BlockPool& pool) noexcept;

  // Copies from the cursor on and moves it. Returns where the first byte lies, so that it can be copied again.
  TxCursor copy_next(BlockPool& pool, std::span<std::uint8_t> to) noexcept;
  // The same from any byte on; returns where the next one lies.
  static TxCursor copy_again(BlockPool& pool, TxCursor from, std::span<std::uint8_t> to) noexcept {
    return copy(pool, from, to);
  }
  // Where the byte `bytes` further on lies; kNoBlock when nothing is there (`more` is false).
  [[nodiscard]] static TxCursor advance(BlockPool& pool, TxCursor from, std::uint32_t bytes, bool more) noexcept;

  [[nodiscard]] std::uint32_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::uint32_t blocks() const noexcept { return blocks_; }

 private:
  [[nodiscard]] bool add_block(BlockPool& pool, std::uint32_t max_blocks) noexcept;
  [[nodiscard]] std::uint32_t tail_room(BlockPool& pool) const noexcept {
    return tail_ == kNoBlock ? 0 : kBlockSize - pool.end(tail_);
  }
  static TxCursor copy(BlockPool& pool, TxCursor from, std::span<std::uint8_t> to) noexcept;

  std::uint32_t bytes_ = 0;
  BlockId head_ = kNoBlock;
  BlockId tail_ = kNoBlock;
  BlockId cursor_ = kNoBlock;  // kNoBlock: everything was sent; the next byte committed is the next to send
  std::uint16_t cursor_offset_ = 0;
  std::uint16_t blocks_ = 0;
  bool reserved_ = false;  // someone may be writing into the last block: it must not be given back
};

}  // namespace sluice::tcp
