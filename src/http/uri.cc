#include "sluice/http/uri.h"

#include <charconv>
#include <cstring>

#include "chars.h"
#include "sluice/net/address.h"

namespace sluice::http {
namespace {

bool is_name(std::string_view host) noexcept {
  if (host.empty() || host.size() > 253 || host.front() == '.' || host.back() == '.') return false;
  for (std::size_t i = 0; i < host.size(); ++i) {
    if (!kHostChars.has(host[i]) || (host[i] == '.' && host[i - 1] == '.')) return false;
  }
  return true;
}

}  // namespace

std::optional<Authority> parse_authority(std::string_view text) noexcept {
  Authority out;
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    out.host = text.substr(1, end - 1);
    out.is_ipv6 = true;
    // RFC 3986 section 3.2.2; no zone (RFC 6874) and no IPvFuture. net::parse would take an IPv4 address as well.
    if (out.host.find(':') == std::string_view::npos || !net::IpAddress::parse(out.host)) return std::nullopt;
    port = text.substr(end + 1);
  } else {
    const std::size_t colon = text.find(':');
    out.host = text.substr(0, colon);
    port = colon == std::string_view::npos ? std::string_view{} : text.substr(colon);
    if (out.host.ends_with('.')) out.host.remove_suffix(1);
    if (!is_name(out.host)) return std::nullopt;
  }
  if (port.empty()) return out;
  if (port.front() != ':') return std::nullopt;
  port.remove_prefix(1);
  if (port.empty()) return out;  // RFC 3986 section 3.2.3: the port may be empty
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (error != std::errc{} || end != port.data() + port.size() || out.port == 0) return std::nullopt;
  return out;
}

bool is_plain_path(std::string_view path) noexcept {
  char before = '/';
  for (const char c : path.substr(1)) {
    if (c == '%' || (before == '/' && (c == '/' || c == '.'))) return false;
    before = c;
  }
  return true;
}

std::optional<std::string_view> normalise_path(std::string_view path, char* out) noexcept {
  if (is_plain_path(path)) return path;
  // `out` always holds "/a/b/last": `slash` is where the '/' before the last, unfinished segment stands.
  std::size_t size = 0;
  std::size_t slash = 0;
  // RFC 3986 section 5.2.4, on decoded segments: "%2e%2e" is "..", as every server that we stand before reads it. Afterwards a dot
  // segment is gone and the '/' before it is the last byte.
  const auto close_segment = [&]() {
    const std::string_view last(out + slash + 1, size - slash - 1);
    if (last != "." && last != "..") return true;
    if (last == "..") {
      if (slash == 0) return false;  // above the root
      do --slash;
      while (out[slash] != '/');
    }
    size = slash + 1;
    return true;
  };
  out[size++] = '/';
  for (std::size_t i = 1; i < path.size(); ++i) {
    char c = path[i];
    if (c == '%') {
      if (i + 2 >= path.size()) return std::nullopt;
      const int high = hex_value(path[i + 1]);
      const int low = hex_value(path[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      if (c == '\0') return std::nullopt;
      i += 2;
    }
    if (c != '/') {
      out[size++] = c;
      continue;
    }
    if (!close_segment()) return std::nullopt;
    if (out[size - 1] == '/') continue;  // merges slashes
    slash = size;
    out[size++] = '/';
  }
  if (!close_segment()) return std::nullopt;
  return std::string_view(out, size);
}

void append_percent_encoded(std::string& out, std::string_view path) {
  // RFC 3986 section 3.3: pchar and '/'.
  static constexpr ByteSet kPathChars("-._~!$&'()*+,;=:@/", true);
  static constexpr char kHex[] = "0123456789ABCDEF";
  for (const char c : path) {
    if (kPathChars.has(c)) {
      out.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out.append({'%', kHex[byte >> 4], kHex[byte & 15]});
  }
}

}  // namespace sluice::http
