#include "head_fields.h"

#include <bit>
#include <charconv>
#include <cstring>
#include <new>

#include <llhttp/llhttp.h>

#include "chars.h"

namespace sluice::http {
namespace {

struct Collector {
  HeadFields& fields;
  HeaderList& headers;
  bool stray_value = false;  // a value without a name before it
};

Collector& collector(llhttp_t* parser) noexcept { return *static_cast<Collector*>(parser->data); }

int on_url(llhttp_t* parser, const char* at, std::size_t length) {
  collector(parser).fields.target = {at, length};
  return 0;
}

int on_status(llhttp_t* parser, const char* at, std::size_t length) {
  collector(parser).fields.reason = {at, length};
  return 0;
}

int on_header_field(llhttp_t* parser, const char* at, std::size_t length) {
  collector(parser).headers.add(std::string_view(at, length), {});
  return 0;
}

int on_header_value(llhttp_t* parser, const char* at, std::size_t length) {
  Collector& into = collector(parser);
  if (into.headers.empty()) {
    into.stray_value = true;
    return 0;
  }
  into.headers[into.headers.size() - 1].value = trim({at, length});
  return 0;
}

int on_headers_complete(llhttp_t*) { return HPE_PAUSED; }  // bodies are not llhttp's: see ChunkedDecoder

constexpr llhttp_settings_t make_settings() {
  llhttp_settings_t settings{};
  settings.on_url = on_url;
  settings.on_status = on_status;
  settings.on_header_field = on_header_field;
  settings.on_header_value = on_header_value;
  settings.on_headers_complete = on_headers_complete;
  return settings;
}
constexpr llhttp_settings_t kSettings = make_settings();

constexpr std::uint64_t repeat(std::uint8_t byte) noexcept { return 0x0101010101010101u * byte; }

// Of eight bytes, how many are control bytes other than HTAB: 0x00..0x1f and 0x7f without 0x09.
std::size_t count_controls(std::uint64_t word) noexcept {
  constexpr std::uint64_t kHigh = repeat(0x80);
  const std::uint64_t low = word & ~kHigh;  // no carry from byte to byte below
  const std::uint64_t above_1f = low + repeat(0x80 - 0x20);
  const std::uint64_t is_del = low + repeat(1);                         // 0x7f alone reaches the high bit
  const std::uint64_t is_tab = ~((low ^ repeat('\t')) + repeat(0x7f));  // zero alone does not
  return static_cast<std::size_t>(std::popcount(((~above_1f & ~is_tab) | is_del) & ~word & kHigh));
}

// A head that holds just the CR LF of its lines has two control bytes for each line.
std::size_t count_controls(std::string_view bytes) noexcept {
  std::size_t count = 0;
  std::uint64_t word = 0;
  std::size_t at = 0;
  for (; at + sizeof word <= bytes.size(); at += sizeof word) {
    std::memcpy(&word, bytes.data() + at, sizeof word);
    count += count_controls(word);
  }
  word = repeat(' ');
  std::memcpy(&word, bytes.data() + at, bytes.size() - at);
  return count + count_controls(word);
}

}  // namespace

Refusal split_head(HeadKind kind, const HeadBuffer& buffer, HeadFields& out, HeaderList& headers) noexcept {
  const std::string_view all = buffer.all();
  // RFC 9112 section 2.2, RFC 9110 section 5.5: no bare CR, no NUL, no control characters, wherever they stand.
  if (count_controls(all) != 2 * buffer.lines()) return {400, "control character in head"};

  headers.clear();
  const std::size_t fields = buffer.lines() - 2;  // without first and empty line
  try {
    headers.reserve(fields + 1);  // so that nothing allocates, and throws, inside llhttp
  } catch (const std::bad_alloc&) {
    return {503, "no memory for header fields"};
  }
  Collector into{out, headers};
  llhttp_t parser;
  llhttp_init(&parser, kind == HeadKind::kRequest ? HTTP_REQUEST : HTTP_RESPONSE, &kSettings);
  parser.data = &into;
  if (llhttp_execute(&parser, all.data(), all.size()) != HPE_PAUSED) return {400, "malformed head"};
  out.status = parser.status_code;

  // What llhttp lets pass: folded lines (RFC 9112 section 5.2) and empty names. Each line must have given exactly one field, which
  // begins where the line does and is followed by its colon.
  if (headers.size() != fields || into.stray_value) return {400, "folded or nameless header field"};
  for (const Header& header : headers) {
    if (header.name.empty()) return {400, "nameless header field"};
    if (header.name.data()[-1] != '\n' || header.name.data()[header.name.size()] != ':')
      return {400, "malformed header field"};
  }
  return kAccepted;
}

Refusal read_content_length(const HeaderList& headers, std::optional<std::uint64_t>& out) noexcept {
  out.reset();
  const Header* header = headers.find(HeaderId::kContentLength);
  if (header == nullptr) return kAccepted;
  if (headers.count(HeaderId::kContentLength) != 1) return {400, "repeated Content-Length"};
  std::uint64_t value = 0;
  const char* end = header->value.data() + header->value.size();
  const auto [parsed, error] =
      std::from_chars(header->value.data(), end, value);  // takes no sign for unsigned, no space
  if (error != std::errc{} || parsed != end) return {400, "malformed Content-Length"};
  if (value > INT64_MAX) return {400, "Content-Length out of range"};
  out = value;
  return kAccepted;
}

}  // namespace sluice::http
