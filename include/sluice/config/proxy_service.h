// What `proxy:` of a service asks for: TLS, the routes of HTTP requests, and the limits on what a client may send.
// Threading: values; copy, compare or share as const.
// Ownership: no pointers into anything; a route's pool is a name, which find_pool() looks up.
// Units:     durations are nanoseconds (Duration), sizes are bytes (the name says so).
// Spec:      docs/configuration.md says what each key means to a user; HTTP: RFC 9110, caching: RFC 9111.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "sluice/base/time.h"
#include "sluice/config/tcp_options.h"
#include "sluice/config/template.h"

namespace sluice::config {

using namespace std::chrono_literals;  // defaults below read like the file: 30s, 500ms

struct Certificate {  // PEM files; the first certificate of a service answers unknown names
  std::string cert;   // leaf first, then its chain; absolute path
  std::string key;    // absolute path
  bool operator==(const Certificate&) const = default;
};

enum class TlsVersion : std::uint8_t { kTls12, kTls13 };
enum class TlsCrypto : std::uint8_t { kIpsecMb, kOpenSsl };  // who does AES-GCM

struct Tls {
  std::vector<Certificate> certificates;  // 1 or more; chosen by SNI
  TlsVersion min_version = TlsVersion::kTls12;
  TlsVersion max_version = TlsVersion::kTls13;
  std::vector<std::string> ciphers;  // OpenSSL's names, TLS 1.3 ones ("TLS_...") among them; empty: sluice's own order
  std::vector<std::string> alpn{"http/1.1"};  // in the order of preference
  TlsCrypto crypto = TlsCrypto::kIpsecMb;
  bool operator==(const Tls&) const = default;
};

struct Header {
  std::string name;  // a token (RFC 9110 section 5.6.2); spelling of the file kept
  Template value;
  bool operator==(const Header&) const = default;
};

struct HeaderRules {  // applied in this order; names compare without case
  std::vector<std::string> remove;
  std::vector<Header> set;  // replaces every header of that name
  [[nodiscard]] bool empty() const noexcept { return remove.empty() && set.empty(); }
  bool operator==(const HeaderRules&) const = default;
};

struct StaticFiles {
  std::string alias;                 // absolute path; what follows the matched path is looked up below it
  std::string index = "index.html";  // what a path that ends in '/' means; one file name
  std::optional<Duration> expires;   // adds Expires and Cache-Control: max-age; whole seconds
  std::vector<Header> headers;       // added to answers 200, 206 and 304 (a Cache-Control joins the max-age)
  bool operator==(const StaticFiles&) const = default;
};

struct ToPool {
  std::string pool;
  bool operator==(const ToPool&) const = default;
};

struct Respond {               // a fixed answer
  std::uint16_t status = 200;  // 200..599
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";  // of a body that is not empty
  bool operator==(const Respond&) const = default;
};

struct Redirect {
  std::uint16_t status = 301;  // 301 | 302 | 303 | 307 | 308
  Template location;           // "https://${request.host}${request.target}"
  bool operator==(const Redirect&) const = default;
};

enum class ClientControl : std::uint8_t { kIgnore, kObey };

struct RouteCache {
  ClientControl client_control = ClientControl::kIgnore;  // Cache-Control of requests, but for only-if-cached
  bool operator==(const RouteCache&) const = default;
};

struct HttpRoute {
  // Matching: the first route of the service whose host and path both match. A host pattern is a name in lower case
  // without port, or "*.example.com" (one or more labels in front). No host: any. A path is a prefix of whole segments:
  // "/api/" matches "/api/x", "/api" matches "/api" and "/api/x" but not "/apiary". "/" matches all.
  std::vector<std::string> hosts;
  std::string path = "/";
  std::variant<ToPool, StaticFiles, Respond, Redirect> action;
  std::optional<RouteCache> cache;  // store what the origin allows (RFC 9111); with ToPool only
  HeaderRules request_headers;      // towards the backend, after X-Forwarded-*, X-Real-IP and Via were added
  HeaderRules response_headers;     // towards the client; also on answers out of the cache
  bool operator==(const HttpRoute&) const = default;
};

struct HttpLimits {
  std::uint32_t header_bytes = 32u << 10;  // request line and headers together; else 431
  std::uint32_t uri_bytes = 8u << 10;      // request target; else 414
  std::uint32_t headers = 100;             // number of header lines; else 431
  std::uint64_t body_bytes = 1ull << 30;   // request body; else 413
  Duration header_timeout = 10s;           // from the first byte of a request to the end of its headers; else 408
  Duration body_timeout = 30s;             // longest silence inside a request body; else 408
  Duration send_timeout = 60s;             // longest time without progress of a response; then reset
  Duration idle_timeout = 75s;             // a kept connection without a request is closed
  std::uint32_t requests = 1000;           // per connection, then Connection: close
  bool operator==(const HttpLimits&) const = default;
};

struct SourceConnections {        // of each source prefix
  std::uint32_t connections = 0;  // complete ones at a time, all proxies together; 0: no limit. One more is reset
  std::uint8_t prefix4 = 32, prefix6 = 64;
  bool operator==(const SourceConnections&) const = default;
};

struct ProxyService {             // layer 7
  std::optional<Tls> tls;         // without: plain HTTP
  std::vector<HttpRoute> routes;  // 1 or more; no match: 404
  HttpLimits limits;
  SourceConnections source_limits;
  TcpOptions tcp;  // of the clients' connections
  bool operator==(const ProxyService&) const = default;
};

}  // namespace sluice::config
