#include "sluice/lb/word_index.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace sluice::lb {
namespace {

constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15u;
constexpr int kTries = 16;

}  // namespace

WordIndex::WordIndex(const std::vector<Entry>& entries)
    : slots_(std::bit_ceil(entries.size() * 8 + 8)),
      multiplier_(kGolden),
      shift_(64 - std::countr_zero(slots_.size())) {
  std::size_t least = std::numeric_limits<std::size_t>::max();
  std::uint64_t best = kGolden;
  for (int attempt = 0; attempt < kTries && least != 0; ++attempt) {
    const std::size_t displaced = fill(entries);
    if (displaced < least) {
      least = displaced;
      best = multiplier_;
    }
    multiplier_ = (multiplier_ + kGolden) * kGolden | 1;
  }
  multiplier_ = best;
  (void)fill(entries);
}

std::size_t WordIndex::fill(const std::vector<Entry>& entries) {
  std::ranges::fill(slots_, Slot{});
  std::size_t displaced = 0;
  for (const auto& [word, value] : entries) {
    std::size_t at = home(word);
    if (slots_[at].word != 0) ++displaced;
    while (slots_[at].word != 0) at = next(at);
    slots_[at] = {word, value};
  }
  return displaced;
}

}  // namespace sluice::lb
