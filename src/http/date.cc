#include "sluice/http/date.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "chars.h"

namespace sluice::http {
namespace {

constexpr std::string_view kDays = "SunMonTueWedThuFriSat";
constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
constexpr std::string_view kLongDays[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
constexpr UnixSeconds kDay = 86400;
constexpr UnixSeconds kEndOf9999 = 253402300799;

void put_two(char* at, unsigned value) noexcept {
  at[0] = static_cast<char>('0' + value / 10);
  at[1] = static_cast<char>('0' + value % 10);
}

// Reads a date's parts one after the other; after the first mismatch everything fails.
class Scanner {
 public:
  explicit Scanner(std::string_view text) noexcept : rest_(text) {}
  bool literal(std::string_view expected) noexcept {
    if (!rest_.starts_with(expected)) return false;
    rest_.remove_prefix(expected.size());
    return true;
  }
  // Exactly `digits` digits; `blank_first`: a space may stand for a leading zero (asctime).
  bool number(std::size_t digits, int& out, bool blank_first = false) noexcept {
    if (rest_.size() < digits) return false;
    out = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      const char c = i == 0 && blank_first && rest_[0] == ' ' ? '0' : rest_[i];
      if (!is_digit(c)) return false;
      out = out * 10 + (c - '0');
    }
    rest_.remove_prefix(digits);
    return true;
  }
  bool name(std::string_view names, int& out) noexcept {  // three letters of a table
    if (rest_.size() < 3) return false;
    for (std::size_t i = 0; i < names.size(); i += 3) {
      if (rest_.starts_with(names.substr(i, 3))) {
        out = static_cast<int>(i / 3);
        rest_.remove_prefix(3);
        return true;
      }
    }
    return false;
  }
  bool long_day() noexcept {
    return std::ranges::any_of(kLongDays, [this](std::string_view day) { return literal(day); });
  }
  [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }

 private:
  std::string_view rest_;
};

struct Parts {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
};

bool scan_time(Scanner& scan, Parts& p) noexcept {
  return scan.number(2, p.hour) && scan.literal(":") && scan.number(2, p.minute) && scan.literal(":") &&
         scan.number(2, p.second);
}

bool scan_imf(Scanner scan, Parts& p) noexcept {  // Sun, 06 Nov 1994 08:49:37 GMT
  int weekday = 0;
  return scan.name(kDays, weekday) && scan.literal(", ") && scan.number(2, p.day) && scan.literal(" ") &&
         scan.name(kMonths, p.month) && scan.literal(" ") && scan.number(4, p.year) && scan.literal(" ") &&
         scan_time(scan, p) && scan.literal(" GMT") && scan.at_end();
}

bool scan_rfc850(Scanner scan, Parts& p, UnixSeconds now) noexcept {  // Sunday, 06-Nov-94 08:49:37 GMT
  if (!(scan.long_day() && scan.literal(", ") && scan.number(2, p.day) && scan.literal("-") &&
        scan.name(kMonths, p.month) && scan.literal("-") && scan.number(2, p.year) && scan.literal(" ") &&
        scan_time(scan, p) && scan.literal(" GMT") && scan.at_end())) {
    return false;
  }
  // RFC 9110 section 5.6.7: a date that appears to be more than 50 years in the future is the most recent past year with these digits.
  using namespace std::chrono;
  const int this_year = static_cast<int>(year_month_day(sys_days(days(now / kDay))).year());
  p.year += this_year / 100 * 100;
  if (p.year > this_year + 50) p.year -= 100;
  return true;
}

bool scan_asctime(Scanner scan, Parts& p) noexcept {  // Sun Nov  6 08:49:37 1994
  int weekday = 0;
  return scan.name(kDays, weekday) && scan.literal(" ") && scan.name(kMonths, p.month) && scan.literal(" ") &&
         scan.number(2, p.day, true) && scan.literal(" ") && scan_time(scan, p) && scan.literal(" ") &&
         scan.number(4, p.year) && scan.at_end();
}

}  // namespace

DateText format_date(UnixSeconds at) noexcept {
  using namespace std::chrono;
  at = std::clamp<UnixSeconds>(at, 0, kEndOf9999);
  const sys_days day{days(at / kDay)};
  const year_month_day date(day);
  const unsigned seconds = static_cast<unsigned>(at % kDay);
  DateText out;
  std::memcpy(out.data(), "Sun, 06 Nov 1994 08:49:37 GMT", kDateLength);
  std::memcpy(out.data(), kDays.data() + 3 * weekday(day).c_encoding(), 3);
  put_two(out.data() + 5, static_cast<unsigned>(date.day()));
  std::memcpy(out.data() + 8, kMonths.data() + 3 * (static_cast<unsigned>(date.month()) - 1), 3);
  const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
  put_two(out.data() + 12, year / 100);
  put_two(out.data() + 14, year % 100);
  put_two(out.data() + 17, seconds / 3600);
  put_two(out.data() + 20, seconds / 60 % 60);
  put_two(out.data() + 23, seconds % 60);
  return out;
}

std::optional<UnixSeconds> parse_date(std::string_view text, UnixSeconds now) noexcept {
  using namespace std::chrono;
  Parts p;
  const Scanner scan(text);
  if (!scan_imf(scan, p) && !scan_rfc850(scan, p, now) && !scan_asctime(scan, p)) return std::nullopt;
  const year_month_day date(year(p.year), month(static_cast<unsigned>(p.month) + 1), day(static_cast<unsigned>(p.day)));
  if (!date.ok() || p.hour > 23 || p.minute > 59 || p.second > 60) return std::nullopt;  // 60: a leap second
  return sys_days(date).time_since_epoch().count() * kDay + p.hour * 3600 + p.minute * 60 + p.second;
}

}  // namespace sluice::http
