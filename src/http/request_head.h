// The validator: turns the bytes of a complete request head into a RequestHead, or refuses it.
// Threading: pure.
// Ownership: the head's views lie in the buffer (and in the scratch room behind its bytes).
// Spec:      RFC 9112 sections 3.2 (targets, Host), 6 (framing), 9.3 (persistence).
#pragma once

#include "refusal.h"
#include "sluice/http/head_buffer.h"
#include "sluice/http/message.h"
#include "sluice/http/request_line.h"

namespace sluice::http {

// `line` is the buffer's first line; the buffer is complete.
[[nodiscard]] Refusal read_request_head(HeadBuffer& buffer, const RequestLine& line, RequestHead& head) noexcept;

}  // namespace sluice::http
