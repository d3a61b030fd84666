// Header fields as they are in a message: an ordered list of name and value views, with the names that sluice acts on
// known by id.
// Threading: a list belongs to one owner; a const list may be read by many threads.
// Ownership: views only. Names and values lie in an arena of the owner (a parser's head buffer, a cached object, a
//            string), which must outlive the list. Adding allocates only until the list has had its largest size once.
// Spec:      RFC 9110 section 5 (fields), 5.6.1 (lists), 5.6.2 (tokens).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace sluice::http {

// X(enumerator, canonical spelling): the names that some rule of sluice looks at.
#define SLUICE_HTTP_HEADERS(X)                  \
  X(kAccept, "Accept")                          \
  X(kAcceptEncoding, "Accept-Encoding")         \
  X(kAcceptLanguage, "Accept-Language")         \
  X(kAcceptRanges, "Accept-Ranges")             \
  X(kAge, "Age")                                \
  X(kAllow, "Allow")                            \
  X(kAuthorization, "Authorization")            \
  X(kCacheControl, "Cache-Control")             \
  X(kCacheStatus, "Cache-Status")               \
  X(kConnection, "Connection")                  \
  X(kContentEncoding, "Content-Encoding")       \
  X(kContentLength, "Content-Length")           \
  X(kContentLocation, "Content-Location")       \
  X(kContentRange, "Content-Range")             \
  X(kContentType, "Content-Type")               \
  X(kCookie, "Cookie")                          \
  X(kDate, "Date")                              \
  X(kEtag, "ETag")                              \
  X(kExpect, "Expect")                          \
  X(kExpires, "Expires")                        \
  X(kForwarded, "Forwarded")                    \
  X(kHost, "Host")                              \
  X(kIfMatch, "If-Match")                       \
  X(kIfModifiedSince, "If-Modified-Since")      \
  X(kIfNoneMatch, "If-None-Match")              \
  X(kIfRange, "If-Range")                       \
  X(kIfUnmodifiedSince, "If-Unmodified-Since")  \
  X(kKeepAlive, "Keep-Alive")                   \
  X(kLastModified, "Last-Modified")             \
  X(kLocation, "Location")                      \
  X(kOrigin, "Origin")                          \
  X(kPragma, "Pragma")                          \
  X(kProxyAuthenticate, "Proxy-Authenticate")   \
  X(kProxyAuthorization, "Proxy-Authorization") \
  X(kProxyConnection, "Proxy-Connection")       \
  X(kRange, "Range")                            \
  X(kReferer, "Referer")                        \
  X(kServer, "Server")                          \
  X(kSetCookie, "Set-Cookie")                   \
  X(kTe, "TE")                                  \
  X(kTrailer, "Trailer")                        \
  X(kTransferEncoding, "Transfer-Encoding")     \
  X(kUpgrade, "Upgrade")                        \
  X(kUserAgent, "User-Agent")                   \
  X(kVary, "Vary")                              \
  X(kVia, "Via")                                \
  X(kXForwardedFor, "X-Forwarded-For")          \
  X(kXForwardedProto, "X-Forwarded-Proto")      \
  X(kXRealIp, "X-Real-IP")

enum class HeaderId : std::uint8_t {
  kOther,  // a name that no rule looks at
#define SLUICE_HTTP_HEADER_ID(id, name) id,
  SLUICE_HTTP_HEADERS(SLUICE_HTTP_HEADER_ID)
#undef SLUICE_HTTP_HEADER_ID
      kCount,
};
static_assert(static_cast<int>(HeaderId::kCount) <= 64, "HeaderList keeps the ids it holds in one 64-bit mask");

[[nodiscard]] HeaderId header_id(std::string_view name) noexcept;  // any case
[[nodiscard]] std::string_view header_name(HeaderId id) noexcept;  // canonical spelling; empty for kOther

struct Header {
  std::string_view name;   // as received
  std::string_view value;  // without surrounding white space
  HeaderId id = HeaderId::kOther;
};

class HeaderList {
 public:
  void add(std::string_view name, std::string_view value) { add({name, value, header_id(name)}); }
  void add(HeaderId id, std::string_view value) { add({header_name(id), value, id}); }
  void add(const Header& header) {
    present_ |= bit(header.id);
    fields_.push_back(header);
  }
  // The first of that name gets the value, further ones go; added at the end when there was none.
  void set(std::string_view name, std::string_view value);
  void remove(HeaderId id) noexcept;
  void remove(std::string_view name) noexcept;
  void clear() noexcept {  // keeps the capacity
    fields_.clear();
    present_ = 0;
  }
  void release() noexcept;  // gives the capacity back: for connections that go idle

  [[nodiscard]] bool has(HeaderId id) const noexcept { return (present_ & bit(id)) != 0; }
  // The first field of that name; nullptr when there is none (by id: without looking, for kOther always).
  [[nodiscard]] const Header* find(HeaderId id) const noexcept;
  [[nodiscard]] const Header* find(std::string_view name) const noexcept;
  [[nodiscard]] std::string_view value(HeaderId id) const noexcept;  // of the first; empty when there is none
  [[nodiscard]] std::size_t count(HeaderId id) const noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return fields_.size(); }
  [[nodiscard]] bool empty() const noexcept { return fields_.empty(); }
  [[nodiscard]] auto begin() const noexcept { return fields_.begin(); }
  [[nodiscard]] auto end() const noexcept { return fields_.end(); }
  [[nodiscard]] const Header& operator[](std::size_t index) const noexcept { return fields_[index]; }
  [[nodiscard]] Header& operator[](std::size_t index) noexcept { return fields_[index]; }
  [[nodiscard]] std::size_t capacity_bytes() const noexcept { return fields_.capacity() * sizeof(Header); }
  void reserve(std::size_t fields) { fields_.reserve(fields); }

 private:
  [[nodiscard]] static constexpr std::uint64_t bit(HeaderId id) noexcept {
    return id == HeaderId::kOther ? 0 : std::uint64_t{1} << static_cast<unsigned>(id);
  }
  std::vector<Header> fields_;
  std::uint64_t present_ = 0;  // a bit for each known id in fields_: asking for an absent header costs no scan
};

[[nodiscard]] bool equals_ignore_case(std::string_view a, std::string_view b) noexcept;  // ASCII
[[nodiscard]] std::string_view trim(std::string_view text) noexcept;                     // SP and HTAB at both ends
[[nodiscard]] bool is_token(std::string_view text) noexcept;  // RFC 9110 section 5.6.2, not empty

// Walks a comma-separated list (RFC 9110 section 5.6.1): trims elements, skips empty ones, keeps commas inside quoted
// strings.
//   for (ListCursor list(value); auto element = list.next();) ...
class ListCursor {
 public:
  explicit constexpr ListCursor(std::string_view list) noexcept : rest_(list) {}
  [[nodiscard]] std::optional<std::string_view> next() noexcept;

 private:
  std::string_view rest_;
};

// Whether any field of that id lists the token (any case): list_has(headers, HeaderId::kConnection, "close").
[[nodiscard]] bool list_has(const HeaderList& headers, HeaderId id, std::string_view token) noexcept;

}  // namespace sluice::http
