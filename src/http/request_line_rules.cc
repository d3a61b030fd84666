#include "request_line_rules.h"

#include <algorithm>

#include "chars.h"

namespace sluice::http {

Refusal judge_line_start(std::string_view so_far, std::uint32_t max_target_bytes) noexcept {
  std::size_t at = 0;
  while (at < so_far.size() && so_far[at] != ' ') {
    if (!kTokenChars.has(so_far[at])) return {400, "malformed method"};
    if (++at > kLongestMethod) return {501, "method too long"};  // RFC 9112 section 3
  }
  if (at == so_far.size()) return kAccepted;
  if (at == 0) return {400, "no method"};
  const std::string_view rest = so_far.substr(at + 1);
  const std::size_t target_bytes = std::min(rest.find(' '), rest.size());
  if (target_bytes > max_target_bytes) return {414, "request target too long"};  // RFC 9112 section 3
  return kAccepted;
}

Refusal parse_request_line(std::string_view line, RequestLine& out) noexcept {
  line.remove_suffix(2);
  // method SP request-target SP HTTP-version: single spaces, nothing else (RFC 9112 section 3; it lets a recipient split on any
  // white space, and names the danger).
  const std::size_t method_end = line.find(' ');
  if (method_end == std::string_view::npos) return {400, "malformed request line"};
  const std::string_view rest = line.substr(method_end + 1);
  const std::size_t target_end = rest.find(' ');
  if (target_end == std::string_view::npos) return {400, "no HTTP version"};  // HTTP/0.9
  const std::string_view method = line.substr(0, method_end);
  const std::string_view version = rest.substr(target_end + 1);
  const std::string_view target = rest.substr(0, target_end);
  if (target.empty() || !kTargetChars.has_all(target)) return {400, "malformed request target"};
  out.target_begin = static_cast<std::uint32_t>(method_end + 1);
  out.target_size = static_cast<std::uint32_t>(target_end);

  // RFC 9112 section 2.3: the name is case-sensitive, one digit each. Other versions are refused as what
  // they are behind this port: garbage, or somebody's attempt at a second protocol.
  if (version.size() != 8 || !version.starts_with("HTTP/") || !is_digit(version[5]) || version[6] != '.' ||
      !is_digit(version[7])) {
    return {400, "malformed HTTP version"};
  }
  if (version[5] != '1' || version[7] > '1') return {400, "HTTP version not supported"};
  out.minor_version = static_cast<std::uint8_t>(version[7] - '0');

  out.method = find_method(method);
  if (out.method == Method::kUnknown) return {501, "unknown method"};  // RFC 9110 section 9.1
  return kAccepted;
}

}  // namespace sluice::http
