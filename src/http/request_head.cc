#include "request_head.h"

#include <algorithm>
#include <cstring>

#include "chars.h"
#include "head_fields.h"
#include "sluice/http/uri.h"

namespace sluice::http {
namespace {

// Room behind the head for what is derived from it: the decoded path and the host in lower case. Both are parts of the head, so
// room of the head's size is enough for the two.
class Scratch {
 public:
  explicit Scratch(char* room) noexcept : room_(room) {}
  [[nodiscard]] char* here() noexcept { return room_; }
  void keep(std::size_t bytes) noexcept { room_ += bytes; }

 private:
  char* room_;
};

// RFC 9112 section 6: how long the body is. A request that two recipients could frame differently is refused.
Refusal read_framing(RequestHead& head) noexcept {
  const HeaderList& headers = head.headers;
  if (const Refusal refusal = read_content_length(headers, head.content_length)) return refusal;
  head.chunked = false;
  if (!headers.has(HeaderId::kTransferEncoding)) return kAccepted;
  // RFC 9112 section 6.1: both fields "ought to be handled as an error"; a 1.0 sender cannot mean chunked.
  if (head.content_length) return {400, "Transfer-Encoding together with Content-Length"};
  if (head.minor_version == 0) return {400, "Transfer-Encoding in HTTP/1.0"};
  if (headers.count(HeaderId::kTransferEncoding) != 1) return {400, "repeated Transfer-Encoding"};
  const std::string_view coding = headers.value(HeaderId::kTransferEncoding);
  if (equals_ignore_case(coding, "chunked")) {
    head.chunked = true;
    return kAccepted;
  }
  if (!is_token(coding)) {
    // A list. Whatever comes before a final "chunked" is a coding that we do not know; anything else has no known end.
    std::string_view last;
    std::size_t chunked_seen = 0;
    ListCursor list(coding);
    while (const auto element = list.next()) {
      chunked_seen += static_cast<std::size_t>(equals_ignore_case(*element, "chunked"));
      last = *element;
    }
    if (chunked_seen != 1 || !equals_ignore_case(last, "chunked"))
      return {400, "chunked is not the final transfer coding"};
  }
  return {501, "unknown transfer coding"};  // RFC 9112 section 6.1
}

struct Host {
  std::string_view text;  // empty: none
  Authority parts;
};

Refusal parse_host(std::string_view text, const char* malformed, Host& out) noexcept {
  const auto parts = parse_authority(text);
  if (!parts) return {400, malformed};
  out = {text, *parts};
  return kAccepted;
}

Refusal read_host_field(const RequestHead& head, Host& out) noexcept {
  // RFC 9112 section 3.2: none (in HTTP/1.1), more than one, or an invalid one: 400.
  const std::size_t count = head.headers.count(HeaderId::kHost);
  if (count > 1) return {400, "more than one Host"};
  if (count == 0) return head.minor_version == 0 ? kAccepted : Refusal{400, "no Host"};
  return parse_host(head.headers.value(HeaderId::kHost), "malformed Host", out);
}

void set_host(RequestHead& head, const Host& host, Scratch& scratch) noexcept {
  head.authority = host.text;
  head.host = host.parts.host;
  head.port = host.parts.port;
  if (std::ranges::none_of(head.host, [](char c) { return c >= 'A' && c <= 'Z'; })) return;
  char* lower = scratch.here();
  std::ranges::transform(head.host, lower, to_lower);
  head.host = {lower, head.host.size()};
  scratch.keep(head.host.size());
}

// RFC 9112 section 3.2.2: http://authority/path?query. The target's authority wins over Host, also in what goes upstream.
Refusal read_absolute_form(RequestHead& head, std::string_view& rest, Host& host) noexcept {
  const std::string_view target = head.target;
  const std::size_t scheme_end = target.find("://");
  if (scheme_end == std::string_view::npos) return {400, "malformed request target"};
  const std::string_view scheme = target.substr(0, scheme_end);
  head.https = equals_ignore_case(scheme, "https");
  if (!head.https && !equals_ignore_case(scheme, "http")) return {400, "unknown scheme in request target"};
  rest = target.substr(scheme_end + 3);
  const std::size_t authority_end = std::min(rest.find_first_of("/?"), rest.size());
  const std::string_view authority = rest.substr(0, authority_end);
  rest.remove_prefix(authority_end);
  return parse_host(authority, "malformed authority in request target", host);
}

Refusal read_path(RequestHead& head, std::string_view path_and_query, Scratch& scratch) noexcept {
  const std::size_t question = path_and_query.find('?');
  const std::string_view path = path_and_query.substr(0, question);
  head.has_query = question != std::string_view::npos;
  head.query = head.has_query ? path_and_query.substr(question + 1) : std::string_view{};
  const auto normal = normalise_path(path, scratch.here());
  if (!normal) return {400, "malformed path"};
  head.path = *normal;
  if (normal->data() == scratch.here()) scratch.keep(normal->size());
  head.forward_target = path_and_query;
  return kAccepted;
}

// "http://host?q" and "http://host" have an empty path, which goes upstream as "/" (RFC 9112 section 3.2.1).
std::string_view with_slash(std::string_view query, Scratch& scratch) noexcept {
  char* at = scratch.here();
  at[0] = '/';
  std::memcpy(at + 1, query.data(), query.size());
  scratch.keep(query.size() + 1);
  return {at, query.size() + 1};
}

Refusal read_target(RequestHead& head, Scratch& scratch) noexcept {
  const std::string_view target = head.target;
  if (head.method ==
      Method::kConnect) {  // authority-form, RFC 9112 section 3.2.3; we are no tunnel (RFC 9110 section 9.3.6)
    const auto authority = parse_authority(target);
    return authority && authority->port != 0 ? Refusal{501, "CONNECT"} : Refusal{400, "malformed CONNECT target"};
  }
  Host host;
  if (const Refusal refusal = read_host_field(head, host)) return refusal;
  if (target == "*") {  // asterisk-form, RFC 9112 section 3.2.4
    if (head.method != Method::kOptions) return {400, "asterisk target without OPTIONS"};
    head.path = head.forward_target = target;
  } else if (target.front() == '/') {  // origin-form, RFC 9112 section 3.2.1
    if (const Refusal refusal = read_path(head, target, scratch)) return refusal;
  } else {
    std::string_view rest;
    if (const Refusal refusal = read_absolute_form(head, rest, host)) return refusal;
    head.headers.set(header_name(HeaderId::kHost), host.text);
    if (rest.empty() && head.method == Method::kOptions) {
      head.path = head.forward_target = "*";  // RFC 9112 section 3.2.4
    } else {
      if (!rest.starts_with('/')) rest = with_slash(rest, scratch);
      if (const Refusal refusal = read_path(head, rest, scratch)) return refusal;
    }
  }
  if (!host.text.empty()) set_host(head, host, scratch);
  return kAccepted;
}

Refusal read_connection(RequestHead& head) noexcept {
  const HeaderList& headers = head.headers;
  const bool close = list_has(headers, HeaderId::kConnection, "close");
  if (head.minor_version == 0) {  // RFC 9112 section 9.3
    head.keep_alive = !close && list_has(headers, HeaderId::kConnection, "keep-alive");
    return kAccepted;  // Expect and Upgrade mean nothing in HTTP/1.0 (RFC 9110 sections 7.8 and 10.1.1)
  }
  head.keep_alive = !close;
  head.upgrade = headers.has(HeaderId::kUpgrade) && list_has(headers, HeaderId::kConnection, "upgrade");
  if (!headers.has(HeaderId::kExpect)) return kAccepted;
  if (headers.count(HeaderId::kExpect) != 1 || !equals_ignore_case(headers.value(HeaderId::kExpect), "100-continue")) {
    return {417, "unknown expectation"};  // RFC 9110 section 10.1.1
  }
  head.expect_continue = head.has_body();
  return kAccepted;
}

void clear(RequestHead& head) noexcept {
  HeaderList headers = std::move(head.headers);  // keeps its capacity
  head = RequestHead{};
  headers.clear();
  head.headers = std::move(headers);
}

}  // namespace

Refusal read_request_head(HeadBuffer& buffer, const RequestLine& line, RequestHead& head) noexcept {
  clear(head);
  // Twice the target: a path with a slash put before it, and its normal form. The host: at most the head.
  char* room = buffer.scratch(3 * buffer.all().size());
  if (room == nullptr) return {503, "no memory for the request head"};
  Scratch scratch(room);

  head.method = line.method;
  head.target = buffer.all().substr(line.target_begin, line.target_size);
  head.minor_version = line.minor_version;

  HeadFields fields;
  if (const Refusal refusal = split_head(HeadKind::kRequest, buffer, fields, head.headers)) return refusal;
  if (fields.target.data() != head.target.data() || fields.target.size() != head.target.size()) {
    return {400, "malformed request line"};  // llhttp and we must read the same target
  }
  if (const Refusal refusal = read_target(head, scratch)) return refusal;
  if (const Refusal refusal = read_framing(head)) return refusal;
  if (head.method == Method::kTrace && head.has_body()) return {400, "TRACE with a body"};  // RFC 9110 section 9.3.8
  return read_connection(head);
}

}  // namespace sluice::http
