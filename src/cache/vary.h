// The secondary key of a stored response: what its request had in the fields that Vary names.
// Threading: pure functions.
// Spec:      RFC 9111 section 4.1. Fields of one name are joined in their order; white space around them does not count.
#pragma once

#include <string>
#include <string_view>

#include "sluice/http/headers.h"

namespace sluice::cache {

// The names of all Vary fields of a response, comma separated.
void append_vary_names(std::string& out, const http::HeaderList& response);
// What the request has for these names, in a form that no two different requests share.
void append_vary_values(std::string& out, std::string_view names, const http::HeaderList& request);
// Whether append_vary_values() of this request would give `values`, without writing it.
[[nodiscard]] bool vary_matches(std::string_view names, std::string_view values,
                                const http::HeaderList& request) noexcept;

}  // namespace sluice::cache
