// The request line: judged as soon as its bytes arrive, so that what is no HTTP is refused before a whole head is
// waited for.
// Threading: pure.
// Spec:      RFC 9112 section 3.
#pragma once

#include <cstdint>
#include <string_view>

#include "refusal.h"
#include "sluice/http/request_line.h"

namespace sluice::http {

inline constexpr std::size_t kLongestMethod = 32;
inline constexpr std::size_t kLongestVersion = 16;  // " HTTP/1.1" CR LF, and some more to call it malformed

// What the bytes so far, whole line or not, already prove wrong: a method that is none, or a target that is too long. The answer for a
// prefix is the answer for everything that begins with it.
[[nodiscard]] Refusal judge_line_start(std::string_view so_far, std::uint32_t max_target_bytes) noexcept;
// A whole line, with its CR LF, that passed judge_line_start().
[[nodiscard]] Refusal parse_request_line(std::string_view line, RequestLine& out) noexcept;

}  // namespace sluice::http
