#include "sluice/esp/association.h"

#include <algorithm>

namespace sluice::esp {

KeyUse::KeyUse(std::size_t workers, std::uint64_t used, std::uint64_t reserved)
    : lines_(std::make_unique<Line[]>(workers)), workers_(workers), reserved_(reserved) {
  for (std::size_t i = 0; i < workers; ++i) lines_[i].last.store(used, std::memory_order_relaxed);
}

std::uint64_t KeyUse::used() const noexcept {
  std::uint64_t used = 0;
  for (std::size_t i = 0; i < workers_; ++i) used = std::max(used, lines_[i].last.load(std::memory_order_relaxed));
  return used;
}

}  // namespace sluice::esp
