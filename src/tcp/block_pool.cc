#include "block_pool.h"

namespace sluice::tcp {

BlockPool::BlockPool(std::size_t bytes)
    : memory_(bytes / kBlockSize * kBlockSize),
      links_(bytes / kBlockSize + 1),
      size_(static_cast<std::uint32_t>(bytes / kBlockSize)) {}

BlockId BlockPool::pop() noexcept {
  ++used_;
  BlockId id = free_list_;
  if (id != kNoBlock) {
    free_list_ = links_[id].next;
  } else {
    id = fresh_++;
  }
  links_[id] = Link{kNoBlock, 0, 0, kNoBlock};
  return id;
}

void BlockPool::give(BlockId id) noexcept {
  --used_;
  links_[id].next = free_list_;
  free_list_ = id;
}

}  // namespace sluice::tcp
