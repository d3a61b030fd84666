#include "sluice/http/serialize.h"

#include <charconv>

#include "sluice/http/date.h"

namespace sluice::http {

void append_decimal(std::string& out, std::uint64_t value) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out.append(digits, end);
}

void append_status_line(std::string& out, std::uint16_t status, std::string_view reason) {
  // RFC 9112 section 2.3: a proxy sends its own version.
  out.append("HTTP/1.1 ");
  append_decimal(out, status);
  out.push_back(' ');
  out.append(reason.empty() ? reason_phrase(status) : reason);
  out.append("\r\n");
}

void append_request_line(std::string& out, Method method, std::string_view target, std::uint8_t minor_version) {
  out.append(method_name(method));
  out.push_back(' ');
  out.append(target);
  out.append(minor_version == 0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
}

void append_header(std::string& out, std::string_view name, std::string_view value) {
  out.append(name);
  out.append(": ");
  out.append(value);
  out.append("\r\n");
}

void append_header(std::string& out, std::string_view name, std::uint64_t value) {
  out.append(name);
  out.append(": ");
  append_decimal(out, value);
  out.append("\r\n");
}

void append_error_page(std::string& out, const ErrorPage& page, UnixSeconds now) {
  std::string title;
  append_decimal(title, page.status);
  title.push_back(' ');
  title.append(reason_phrase(page.status));
  std::string body;
  body.append("<!DOCTYPE html>\n<title>").append(title).append("</title>\n<h1>").append(title).append("</h1>\n");

  const bool bodyless = page.status < 200 || page.status == 204 || page.status == 304;  // RFC 9110 section 6.4.1
  append_status_line(out, page.status);
  append_header(out, "Date", view(format_date(now)));
  if (!page.server.empty()) append_header(out, "Server", page.server);
  if (!bodyless) {
    append_header(out, "Content-Type", "text/html; charset=utf-8");
    append_header(out, "Content-Length", body.size());
  }
  if (!page.keep_alive)
    append_header(out, "Connection", "close");
  else if (page.minor_version == 0)
    append_header(out, "Connection", "keep-alive");
  out.append(page.extra_headers);
  append_head_end(out);
  if (!bodyless && !page.head_only) out.append(body);
}

}  // namespace sluice::http
