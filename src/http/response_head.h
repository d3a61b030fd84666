// Turns the bytes of a complete response head into a ResponseHead, or refuses it (always 502 towards the client).
// Threading: pure.
// Ownership: the head's views lie in the buffer.
// Spec:      RFC 9112 sections 4 (status line), 6.3 (length of the body), 9.3 (persistence).
#pragma once

#include "refusal.h"
#include "sluice/http/head_buffer.h"
#include "sluice/http/message.h"

namespace sluice::http {

// A prefix that cannot begin a status line is refused before the line is whole.
[[nodiscard]] Refusal judge_status_line_start(std::string_view so_far) noexcept;
[[nodiscard]] Refusal read_response_head(const HeadBuffer& buffer, Method request_method, ResponseHead& head) noexcept;

}  // namespace sluice::http
