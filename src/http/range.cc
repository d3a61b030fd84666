#include <algorithm>
#include <charconv>

#include "sluice/http/conditional.h"
#include "sluice/http/date.h"
#include "sluice/http/serialize.h"

namespace sluice::http {
namespace {

bool read_number(std::string_view text, std::uint64_t& out) noexcept {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size();
}

// RFC 9110 section 13.1.5: a strong tag that is the same, or exactly the same date.
bool if_range_holds(const HeaderList& request, const Validators& of) noexcept {
  if (!request.has(HeaderId::kIfRange)) return true;
  const std::string_view value = request.value(HeaderId::kIfRange);
  if (value.starts_with('"') || value.starts_with("W/")) return etag_strong_equal(value, of.etag);
  const auto date = parse_date(value);
  return date && of.last_modified && *date == *of.last_modified;
}

}  // namespace

RangeResult select_range(Method method, const HeaderList& request, std::uint64_t size, const Validators& of) noexcept {
  static constexpr RangeResult kWhole{};
  if (method != Method::kGet || !request.has(HeaderId::kRange)) return kWhole;  // RFC 9110 section 14.2: only GET
  if (request.count(HeaderId::kRange) != 1 || !if_range_holds(request, of)) return kWhole;
  std::string_view spec = request.value(HeaderId::kRange);
  if (spec.size() < 6 || !equals_ignore_case(spec.substr(0, 6), "bytes=")) return kWhole;
  spec = trim(spec.substr(6));
  const std::size_t dash = spec.find('-');
  if (dash == std::string_view::npos || spec.find(',') != std::string_view::npos) return kWhole;
  const std::string_view first_text = spec.substr(0, dash);
  const std::string_view last_text = spec.substr(dash + 1);

  // RFC 9110 section 14.1.2.
  std::uint64_t first = 0;
  std::uint64_t last = size == 0 ? 0 : size - 1;
  if (first_text.empty()) {  // the last N bytes
    std::uint64_t count = 0;
    if (!read_number(last_text, count)) return kWhole;
    if (count == 0 || size == 0) return {RangeOutcome::kUnsatisfiable, {}};
    first = size - std::min(count, size);
  } else {
    std::uint64_t asked_last = 0;
    if (!read_number(first_text, first)) return kWhole;
    if (!last_text.empty()) {
      if (!read_number(last_text, asked_last) || asked_last < first) return kWhole;
      last = std::min(last, asked_last);
    }
    if (first >= size) return {RangeOutcome::kUnsatisfiable, {}};
  }
  return {RangeOutcome::kPartial, {first, last}};
}

void append_content_range(std::string& out, const RangeResult& range, std::uint64_t size) {
  out.append("Content-Range: bytes ");
  if (range.outcome == RangeOutcome::kUnsatisfiable) {
    out.push_back('*');
  } else {
    append_decimal(out, range.range.first);
    out.push_back('-');
    append_decimal(out, range.range.last);
  }
  out.push_back('/');
  append_decimal(out, size);
  out.append("\r\n");
}

}  // namespace sluice::http
