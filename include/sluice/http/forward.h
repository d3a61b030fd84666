// What a proxy takes out of and puts into the fields of a message that it passes on.
// Threading: pure functions.
// Spec:      RFC 9110 section 7.6.1 (Connection), 7.6.3 (Via).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sluice/http/message.h"

namespace sluice::http {

// Connection, Proxy-Connection, Keep-Alive, TE, Transfer-Encoding, Upgrade, Proxy-Authenticate, Proxy-Authorization:
// never passed on. Content-Length stays: who writes the head decides by the body's framing.
[[nodiscard]] bool is_hop_by_hop(HeaderId id) noexcept;

// Which fields of `headers` end here: is_hop_by_hop() and every name listed in its Connection fields, but never one of
// the fields that carry framing, routing or the request's meaning (Host, Content-Length, Content-Type, Cache-Control,
// ...), which a client could otherwise have stripped from its own request behind our back.
//   const HopFilter filter(headers);
//   for (const Header& h : headers) if (filter.passes(h)) append_header(out, h.name, h.value);
class HopFilter {
 public:
  explicit HopFilter(const HeaderList& headers) noexcept
      : headers_(headers), has_connection_(headers.has(HeaderId::kConnection)) {}
  [[nodiscard]] bool passes(const Header& header) const noexcept;

 private:
  const HeaderList& headers_;
  bool has_connection_;
};

// "1.1 sluice" appended to the Via fields that came.
void append_via(std::string& out, const HeaderList& headers, std::uint8_t received_minor,
                std::string_view pseudonym = "sluice");
// X-Forwarded-For with the client's address at the end of what came; X-Forwarded-Proto and X-Real-IP.
void append_forwarded_for(std::string& out, const HeaderList& headers, std::string_view client_address);
void append_forwarded_proto(std::string& out, bool https);
void append_real_ip(std::string& out, std::string_view client_address);

}  // namespace sluice::http
