#include "sluice/esp/replay_window.h"

#include <algorithm>

namespace sluice::esp {

// RFC 4303 appendix A2.1: the number is that with this low half which lies in the window or less than 2^32 right of it.
std::uint64_t ReplayWindow::extend(std::uint32_t low) const noexcept {
  if (!extended_) return low;
  const auto top_low = static_cast<std::uint32_t>(top_);
  const std::uint64_t top_high = top_ >> 32;
  const std::uint32_t bottom =
      top_low - static_cast<std::uint32_t>(kWidth - 1);  // wraps where the window spans two spaces
  std::uint64_t high = top_high;
  if (top_low >= kWidth - 1) {
    if (low < bottom) ++high;
  } else if (low >= bottom) {
    if (top_high == 0) return 0;  // before the first number
    --high;
  }
  return high << 32 | low;
}

bool ReplayWindow::is_fresh(std::uint64_t number) const noexcept {
  if (number == 0) return false;  // the first is 1 (RFC 4303 section 3.3.3)
  if (number > top_) return true;
  if (top_ - number >= kWidth) return false;
  return (seen_[number / 64 % kWords] >> number % 64 & 1) == 0;
}

std::optional<std::uint64_t> ReplayWindow::find(std::uint32_t low) const noexcept {
  const std::uint64_t number = extend(low);
  if (!is_fresh(number)) return std::nullopt;
  return number;
}

bool ReplayWindow::accept(std::uint64_t number) noexcept {
  if (!is_fresh(number)) return false;
  if (number > top_) {
    const std::uint64_t words = std::min<std::uint64_t>(number / 64 - top_ / 64, kWords);
    for (std::uint64_t i = 1; i <= words; ++i) seen_[(top_ / 64 + i) % kWords] = 0;
    top_ = number;
  }
  seen_[number / 64 % kWords] |= std::uint64_t{1} << number % 64;
  return true;
}

}  // namespace sluice::esp
