// The heads of requests and responses as the rest of sluice sees them: parsed, validated, normalised.
// Threading: values of one owner.
// Ownership: views into the parser that made the head; valid until that parser's next message (RequestParser::next())
//            or its end.
// Spec:      RFC 9112 (HTTP/1.1), RFC 9110 (semantics), RFC 3986 (URI).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "sluice/http/headers.h"

namespace sluice::http {

// X(enumerator, name): every method that is passed on. Any other token is answered 501 (RFC 9110 section 9.1).
#define SLUICE_HTTP_METHODS(X) \
  X(kGet, "GET")               \
  X(kHead, "HEAD")             \
  X(kPost, "POST")             \
  X(kPut, "PUT")               \
  X(kDelete, "DELETE")         \
  X(kConnect, "CONNECT")       \
  X(kOptions, "OPTIONS")       \
  X(kTrace, "TRACE")           \
  X(kPatch, "PATCH")           \
  X(kPropfind, "PROPFIND")     \
  X(kProppatch, "PROPPATCH")   \
  X(kMkcol, "MKCOL")           \
  X(kCopy, "COPY")             \
  X(kMove, "MOVE")             \
  X(kLock, "LOCK")             \
  X(kUnlock, "UNLOCK")         \
  X(kSearch, "SEARCH")         \
  X(kReport, "REPORT")         \
  X(kMkcalendar, "MKCALENDAR") \
  X(kPurge, "PURGE")

enum class Method : std::uint8_t {
#define SLUICE_HTTP_METHOD_ID(id, name) id,
  SLUICE_HTTP_METHODS(SLUICE_HTTP_METHOD_ID)
#undef SLUICE_HTTP_METHOD_ID
      kUnknown,
};
[[nodiscard]] std::string_view method_name(Method method) noexcept;
[[nodiscard]] Method find_method(std::string_view name) noexcept;  // case-sensitive; kUnknown
[[nodiscard]] constexpr bool is_safe(Method method) noexcept {     // RFC 9110 section 9.2.1
  return method == Method::kGet || method == Method::kHead || method == Method::kOptions || method == Method::kTrace ||
         method == Method::kPropfind || method == Method::kSearch || method == Method::kReport;
}
[[nodiscard]] constexpr bool is_idempotent(Method method) noexcept {  // RFC 9110 section 9.2.2: may be sent again
  return is_safe(method) || method == Method::kPut || method == Method::kDelete || method == Method::kMkcol;
}

// Bounds of what a peer may send; each has its answer.
struct Limits {
  std::uint32_t target_bytes = 8192;  // request target: 414
  std::uint32_t head_bytes = 32768;   // everything after the first line, and all trailers: 431
  std::uint32_t headers = 100;        // number of fields: 431
};

struct RequestHead {
  Method method = Method::kUnknown;
  std::uint8_t minor_version = 1;               // HTTP/1.minor, 0 or 1
  bool chunked = false;                         // the body comes in chunks, its length is not known
  bool keep_alive = true;                       // the client wants another exchange on this connection
  bool expect_continue = false;                 // HTTP/1.1 and Expect: 100-continue: send 100 before reading the body
  bool upgrade = false;                         // HTTP/1.1, Connection: upgrade and an Upgrade field
  bool https = false;                           // absolute-form target with https://; else the listener knows
  std::uint16_t port = 0;                       // of the authority; 0 when it names none
  std::optional<std::uint64_t> content_length;  // as sent; nullopt: no Content-Length field

  std::string_view target;  // as received
  std::string_view
      forward_target;  // what goes upstream: origin-form (or "*"), path and query as the client encoded them
  // For choosing a route and a file: percent-decoded once, "//" merged, dot segments removed; always begins with '/'
  // and never holds NUL or a ".." segment ("*" for OPTIONS *). Decoded bytes: may hold CR, LF or quotes; encode before
  // it goes into a header.
  std::string_view path;
  std::string_view query;  // as received, without '?'; has_query tells "" from none
  bool has_query = false;
  // Host of the target, lower case, without port, final dot and without the brackets of an IPv6 literal; empty only in
  // HTTP/1.0.
  std::string_view host;
  std::string_view
      authority;  // host and port as they go into Host upstream; the target's own when it is absolute (RFC 9112, 3.2.2)
  HeaderList headers;  // Host already replaced by authority

  [[nodiscard]] bool has_body() const noexcept { return chunked || content_length.value_or(0) > 0; }
};

struct ResponseHead {
  std::uint16_t status = 0;
  std::uint8_t minor_version = 1;
  bool chunked = false;
  bool until_close = false;  // the body ends where the connection does
  bool no_body = false;      // HEAD, 1xx, 204, 304: nothing follows, whatever the fields say
  bool keep_alive = true;    // the connection may be used again after the body
  std::optional<std::uint64_t> content_length;
  std::string_view reason;  // as received, may be empty
  HeaderList headers;
};

}  // namespace sluice::http
