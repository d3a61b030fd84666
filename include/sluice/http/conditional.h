// Conditional requests and ranges, judged against a representation (a static file, a cached object).
// Threading: pure functions.
// Spec:      RFC 9110 sections 8.8.3 (entity tags), 13 (preconditions), 14 (ranges).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sluice/base/time.h"
#include "sluice/http/message.h"

namespace sluice::http {

struct Validators {
  std::string_view etag{};  // with quotes and W/; empty: none
  std::optional<UnixSeconds> last_modified{};
};

[[nodiscard]] bool etag_weak_equal(std::string_view a, std::string_view b) noexcept;
[[nodiscard]] bool etag_strong_equal(std::string_view a, std::string_view b) noexcept;

enum class Precondition : std::uint8_t { kNone, kNotModified, kFailed };  // go on; 304; 412
// In the order of RFC 9110 section 13.2.2: If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since.
[[nodiscard]] Precondition check_preconditions(Method method, const HeaderList& request, const Validators& of) noexcept;

struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;  // inclusive
  [[nodiscard]] std::uint64_t length() const noexcept { return last - first + 1; }
};
enum class RangeOutcome : std::uint8_t { kWhole, kPartial, kUnsatisfiable };  // 200; 206; 416
struct RangeResult {
  RangeOutcome outcome = RangeOutcome::kWhole;
  ByteRange range{};
};
// What to answer to a GET: the Range field, unless If-Range says that the representation changed. Several ranges, other
// units and bad syntax mean the whole (section 14.2 lets a server ignore the field).
[[nodiscard]] RangeResult select_range(Method method, const HeaderList& request, std::uint64_t size,
                                       const Validators& of) noexcept;
void append_content_range(std::string& out, const RangeResult& range,
                          std::uint64_t size);  // the header line, for 206 and 416

}  // namespace sluice::http
