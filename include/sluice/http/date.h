// HTTP dates.
// Threading: pure functions.
// Units:     UnixSeconds.
// Spec:      RFC 9110 section 5.6.7: IMF-fixdate is written; it, RFC 850 dates and asctime dates are read.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "sluice/base/time.h"

namespace sluice::http {

inline constexpr std::size_t kDateLength = 29;  // "Sun, 06 Nov 1994 08:49:37 GMT"
using DateText = std::array<char, kDateLength>;
[[nodiscard]] DateText format_date(UnixSeconds at) noexcept;  // years 1970 to 9999; clamped outside
[[nodiscard]] inline std::string_view view(const DateText& text) noexcept { return {text.data(), text.size()}; }
// `now` resolves the two-digit years of RFC 850 (more than 50 years ahead means the past).
[[nodiscard]] std::optional<UnixSeconds> parse_date(std::string_view text, UnixSeconds now = 0) noexcept;

// The text of the current second: formats only when the second changes. One per thread.
class DateCache {
 public:
  [[nodiscard]] std::string_view at(UnixSeconds now) noexcept {
    if (now != second_) {
      text_ = format_date(now);
      second_ = now;
    }
    return view(text_);
  }

 private:
  UnixSeconds second_ = -1;
  DateText text_{};
};

}  // namespace sluice::http
