// Parts of request targets: authorities, and paths in the one form that routes and files are chosen by.
// Threading: pure functions.
// Ownership: results are views of the input or of the caller's buffer.
// Spec:      RFC 3986 sections 3.2.2, 5.2.4, 2.1; RFC 9110 section 4.2.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::http {

struct Authority {
  std::string_view host;   // as written, without brackets and final dot
  std::uint16_t port = 0;  // 0: none was given
  bool is_ipv6 = false;
};
// host [":" port]. The host is a name of letters, digits, '-', '_' and single dots, an IPv4 address or a bracketed IPv6
// address; no user information, no percent-encoding, nothing empty.
[[nodiscard]] std::optional<Authority> parse_authority(std::string_view text) noexcept;

// Percent-decodes once, merges slashes, removes dot segments. `path` begins with '/', `out` has room for path.size()
// bytes and may be null when is_plain_path(path). nullopt: a bad percent-encoding, NUL, or a ".." above the root.
[[nodiscard]] std::optional<std::string_view> normalise_path(std::string_view path, char* out) noexcept;
// The path is its own normal form: no '%', no "//", no segment that begins with '.'.
[[nodiscard]] bool is_plain_path(std::string_view path) noexcept;

void append_percent_encoded(std::string& out, std::string_view path);  // a decoded path, for Location: keeps '/'

}  // namespace sluice::http
