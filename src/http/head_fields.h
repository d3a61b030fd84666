// Splits the bytes of a complete head into fields: llhttp first, then what llhttp lets pass.
// Threading: pure.
// Ownership: the fields are views into the buffer.
// Spec:      RFC 9112 sections 2.2 and 5.
#pragma once

#include <string_view>

#include "refusal.h"
#include "sluice/http/head_buffer.h"
#include "sluice/http/headers.h"

namespace sluice::http {

struct HeadFields {
  std::string_view target;  // requests
  unsigned status = 0;      // responses
  std::string_view reason;  // responses
};
enum class HeadKind : std::uint8_t { kRequest, kResponse };

// `headers` gets every field in order, values trimmed.
[[nodiscard]] Refusal split_head(HeadKind kind, const HeadBuffer& buffer, HeadFields& out,
                                 HeaderList& headers) noexcept;

// The one Content-Length of a message: digits only, once (RFC 9112 section 6.3 rule 5 permits equal repetitions; we do not).
[[nodiscard]] Refusal read_content_length(const HeaderList& headers, std::optional<std::uint64_t>& out) noexcept;

}  // namespace sluice::http
