#include "port_search.h"

#include <algorithm>

namespace sluice::proxy {

void PortSearch::released(std::uint32_t offset) noexcept {
  if (offset >= count_ || marks_.empty()) return;
  std::uint64_t& word = marks_[offset / kWord];
  const std::uint64_t bit = std::uint64_t{1} << (offset % kWord);
  if ((word & bit) == 0) return;
  word &= ~bit;
  --in_use_;
}

std::uint32_t PortSearch::next_candidate() const noexcept {
  if (marks_.empty()) return next_;
  std::uint64_t behind = ~std::uint64_t{0} << (next_ % kWord);  // of the first word, the ports from next_ on
  for (std::size_t at = next_ / kWord;; at = (at + 1) % marks_.size()) {
    const std::uint64_t unmarked = ~marks_[at] & behind;
    behind = ~std::uint64_t{0};
    if (unmarked == 0) continue;
    const auto offset = static_cast<std::uint32_t>(at * kWord + static_cast<std::size_t>(std::countr_zero(unmarked)));
    if (offset < count_) return offset;
  }
}

void PortSearch::mark(std::uint32_t offset) {
  if (marks_.empty()) marks_.assign((count_ + kWord - 1) / kWord, 0);
  marks_[offset / kWord] |= std::uint64_t{1} << (offset % kWord);
  ++in_use_;
}

void PortSearch::forget() noexcept {
  std::ranges::fill(marks_, 0);
  in_use_ = 0;
}

}  // namespace sluice::proxy
