#include "sluice/http/forward.h"

#include "sluice/http/serialize.h"

namespace sluice::http {
namespace {

// Fields that Connection cannot take away: they carry where a message goes, how long it is, what it means or who may read it. A client
// that lists one of them would otherwise let a backend see another request than we did (RFC 9110 section 7.6.1 forbids senders to).
bool is_protected(HeaderId id) noexcept {
  switch (id) {
    case HeaderId::kHost:
    case HeaderId::kContentLength:
    case HeaderId::kContentType:
    case HeaderId::kContentEncoding:
    case HeaderId::kContentRange:
    case HeaderId::kCacheControl:
    case HeaderId::kAuthorization:
    case HeaderId::kCookie:
    case HeaderId::kSetCookie:
    case HeaderId::kOrigin:
    case HeaderId::kRange:
    case HeaderId::kVary:
    case HeaderId::kVia:
    case HeaderId::kForwarded:
    case HeaderId::kXForwardedFor:
    case HeaderId::kXForwardedProto:
    case HeaderId::kXRealIp:
      return true;
    default:
      return false;
  }
}

}  // namespace

bool is_hop_by_hop(HeaderId id) noexcept {
  switch (id) {
    case HeaderId::kConnection:
    case HeaderId::kProxyConnection:
    case HeaderId::kKeepAlive:
    case HeaderId::kTe:
    case HeaderId::kTransferEncoding:
    case HeaderId::kUpgrade:
    case HeaderId::kTrailer:
    case HeaderId::kProxyAuthenticate:
    case HeaderId::kProxyAuthorization:
      return true;
    default:
      return false;
  }
}

bool HopFilter::passes(const Header& header) const noexcept {
  if (is_hop_by_hop(header.id)) return false;
  if (!has_connection_ || is_protected(header.id)) return true;
  return !list_has(headers_, HeaderId::kConnection, header.name);
}

namespace {

void append_list(std::string& out, const HeaderList& headers, HeaderId id) {
  for (const Header& header : headers) {
    if (header.id != id || header.value.empty()) continue;
    out.append(header.value);
    out.append(", ");
  }
}

}  // namespace

void append_via(std::string& out, const HeaderList& headers, std::uint8_t received_minor, std::string_view pseudonym) {
  out.append("Via: ");
  append_list(out, headers, HeaderId::kVia);
  out.append(received_minor == 0 ? "1.0 " : "1.1 ");
  out.append(pseudonym);
  out.append("\r\n");
}

void append_forwarded_for(std::string& out, const HeaderList& headers, std::string_view client_address) {
  out.append("X-Forwarded-For: ");
  append_list(out, headers, HeaderId::kXForwardedFor);
  out.append(client_address);
  out.append("\r\n");
}

void append_forwarded_proto(std::string& out, bool https) {
  append_header(out, "X-Forwarded-Proto", https ? "https" : "http");
}

void append_real_ip(std::string& out, std::string_view client_address) {
  append_header(out, "X-Real-IP", client_address);
}

}  // namespace sluice::http
