#include "response_head.h"

#include "chars.h"
#include "head_fields.h"

namespace sluice::http {
namespace {

Refusal read_status_line(std::string_view line, ResponseHead& head) noexcept {
  line.remove_suffix(2);
  // HTTP-version SP 3DIGIT SP [ reason ] (RFC 9112 section 4). The last space is often forgotten with an empty reason: accepted, as
  // there is nothing after it to read differently.
  if (line.size() < 12 || !line.starts_with("HTTP/1.") || (line[7] != '0' && line[7] != '1') || line[8] != ' ') {
    return {502, "malformed status line"};
  }
  for (std::size_t i = 9; i < 12; ++i) {
    if (!is_digit(line[i])) return {502, "malformed status"};
  }
  if (line.size() > 12 && line[12] != ' ') return {502, "malformed status line"};
  head.minor_version = static_cast<std::uint8_t>(line[7] - '0');
  head.status = static_cast<std::uint16_t>((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
  if (head.status < 100 || head.status > 599) return {502, "status out of range"};
  head.reason = line.size() > 13 ? line.substr(13) : std::string_view{};
  return kAccepted;
}

// RFC 9112 section 6.3, in its order.
Refusal read_framing(Method request_method, ResponseHead& head) noexcept {
  const HeaderList& headers = head.headers;
  if (read_content_length(headers, head.content_length)) return {502, "malformed or repeated Content-Length"};
  const bool interim = head.status < 200;
  head.no_body = interim || head.status == 204 || head.status == 304 || request_method == Method::kHead;
  if (headers.has(HeaderId::kTransferEncoding)) {
    if (interim || head.status == 204)
      return {502, "Transfer-Encoding with 1xx or 204"};  // RFC 9112 section 6.1: MUST NOT
    if (head.content_length) return {502, "Transfer-Encoding together with Content-Length"};
    if (head.minor_version == 0) return {502, "Transfer-Encoding in HTTP/1.0"};
    if (headers.count(HeaderId::kTransferEncoding) != 1 ||
        !equals_ignore_case(headers.value(HeaderId::kTransferEncoding), "chunked")) {
      return {502, "unknown transfer coding"};
    }
    head.chunked = true;
  }
  head.until_close = !head.no_body && !head.chunked && !head.content_length;
  return kAccepted;
}

}  // namespace

Refusal judge_status_line_start(std::string_view so_far) noexcept {
  static constexpr std::string_view kStart = "HTTP/1.";
  const std::size_t count = std::min(so_far.size(), kStart.size());
  return so_far.substr(0, count) == kStart.substr(0, count) ? kAccepted : Refusal{502, "no HTTP/1 status line"};
}

Refusal read_response_head(const HeadBuffer& buffer, Method request_method, ResponseHead& head) noexcept {
  HeaderList headers = std::move(head.headers);  // keeps its capacity
  head = ResponseHead{};
  head.headers = std::move(headers);
  if (const Refusal refusal = read_status_line(buffer.first_line(), head)) return refusal;

  HeadFields fields;
  if (const Refusal refusal = split_head(HeadKind::kResponse, buffer, fields, head.headers))
    return {502, refusal.reason};
  if (fields.status != head.status) return {502, "malformed status line"};  // llhttp and we must read the same
  if (const Refusal refusal = read_framing(request_method, head)) return refusal;

  const bool close = list_has(head.headers, HeaderId::kConnection, "close");
  const bool stays = head.minor_version == 1 || list_has(head.headers, HeaderId::kConnection, "keep-alive");
  head.keep_alive = stays && !close && !head.until_close;
  return kAccepted;
}

}  // namespace sluice::http
