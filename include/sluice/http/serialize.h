// Writes message heads, and short error pages, into a string that the caller reuses.
// Threading: pure functions over the caller's string.
// Errors:    none; what is written was validated when it was parsed or configured.
// Spec:      RFC 9112 sections 3 and 4.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sluice/base/time.h"
#include "sluice/http/message.h"

namespace sluice::http {

[[nodiscard]] std::string_view reason_phrase(std::uint16_t status) noexcept;  // "Unknown" for a status without one

void append_status_line(std::string& out, std::uint16_t status,
                        std::string_view reason = {});  // HTTP/1.1; {}: the usual reason
void append_request_line(std::string& out, Method method, std::string_view target, std::uint8_t minor_version = 1);
void append_header(std::string& out, std::string_view name, std::string_view value);
void append_header(std::string& out, std::string_view name, std::uint64_t value);
inline void append_head_end(std::string& out) { out.append("\r\n"); }
void append_decimal(std::string& out, std::uint64_t value);

// A whole response: status line, Date, Server, Content-Type, Content-Length, Connection, extra header lines ("Name:
// value\r\n...") and a short HTML body (left out for HEAD, 204 and 304).
struct ErrorPage {
  std::uint16_t status = 500;
  bool keep_alive = false;
  bool head_only = false;
  std::uint8_t minor_version = 1;  // of the request: an HTTP/1.0 client that may stay is told keep-alive
  std::string_view server = "sluice";
  std::string_view extra_headers{};
};
void append_error_page(std::string& out, const ErrorPage& page, UnixSeconds now);

}  // namespace sluice::http
