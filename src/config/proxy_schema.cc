// services.*.proxy: TLS, routes and their actions, limits.
#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>

#include "schema.h"
#include "values.h"

namespace sluice::config {
namespace {

constexpr std::size_t kMaxCertificates = 10'000;
constexpr std::size_t kMaxRoutes = 10'000;
constexpr std::uint32_t kKiB = 1u << 10;
constexpr std::uint32_t kMiB = 1u << 20;
constexpr std::uint64_t kTiB = 1ull << 40;

// What OpenSSL 3.0 offers with forward secrecy and an AEAD (RFC 9325 section 4.2).
constexpr std::array<std::string_view, 9> kCiphers{
    "TLS_AES_128_GCM_SHA256",        "TLS_AES_256_GCM_SHA384",        "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",   "ECDHE-RSA-AES256-GCM-SHA384",   "ECDHE-RSA-CHACHA20-POLY1305"};

// Header fields that frame a message or belong to one hop (RFC 9110 section 7.6.1): sluice sets them, no rule may.
constexpr std::array<std::string_view, 8> kOwnHeaders{
    "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool check_header_name(Reader& reader, const Node& node) {
  constexpr std::string_view kWanted = "a header name";
  const std::string* found = scalar_text(reader, node, kWanted);
  if (found == nullptr) return false;
  if (!is_token(*found) || found->size() > 256) {
    reader.mismatch(node, kWanted);
    return false;
  }
  if (std::ranges::find(kOwnHeaders, lower(*found)) != kOwnHeaders.end()) {
    reader.error(node, fmt::format("header '{}' belongs to sluice itself and cannot be changed", *found));
    return false;
  }
  return true;
}

Codec<std::string> header_name() {
  return {[](Reader& reader, const Node& node, std::string& out) {
    if (check_header_name(reader, node)) out = node.scalar;
  }};
}

// { X-Real-IP: "${client.address}", Cache-Control: public }
Codec<std::vector<Header>> headers() {
  auto read = [value = text_template()](Reader& reader, const Node& node, std::vector<Header>& out) {
    if (!node.is_map()) return reader.mismatch(node, "a mapping of header names to values");
    std::map<std::string, Mark> seen;
    for (std::size_t i = 0; i < node.keys.size(); ++i) {
      const Node& key = node.keys[i];
      const Reader::Scope scope(reader, printable(key.scalar), "*", node.items[i].mark);
      if (!check_header_name(reader, key)) continue;
      const auto [first, fresh] = seen.try_emplace(lower(key.scalar), key.mark);
      if (!fresh) {
        reader.error(key, twice(first->second));
        continue;
      }
      Header& header = out.emplace_back();
      header.name = key.scalar;
      value.read(reader, node.items[i], header.value);
    }
  };
  return {read, [](const std::string& path, KeyList& out) { out.insert(path); }};
}

const Section<HeaderRules>& header_rules_schema() {
  static const Section<HeaderRules> table = Section<HeaderRules>()
                                                .optional("set", &HeaderRules::set, headers())
                                                .optional("remove", &HeaderRules::remove, list(header_name(), 0, 256))
                                                .not_yet({"add", "replace"});
  return table;
}

const Section<Certificate>& certificate_schema() {
  static const Section<Certificate> table = Section<Certificate>()
                                                .required("cert", &Certificate::cert, absolute_path())
                                                .required("key", &Certificate::key, absolute_path())
                                                .not_yet({"ocsp", "chain"});
  return table;
}

Codec<std::string> cipher() {
  std::vector<Word<std::string>> words;
  for (const std::string_view known : kCiphers) words.push_back({known, std::string(known)});
  return one_of<std::string>(std::move(words));
}

void check_tls(Reader& reader, const Node& /*node*/, Tls& tls) {
  if (tls.min_version > tls.max_version) return reader.error_in("min_version", "is above max_version");
  if (tls.ciphers.empty()) return;
  const auto is_tls13 = [](std::string_view name) { return name.starts_with("TLS_"); };
  const bool any12 = std::ranges::any_of(tls.ciphers, [&](const std::string& name) { return !is_tls13(name); });
  const bool any13 = std::ranges::any_of(tls.ciphers, is_tls13);
  if (tls.min_version == TlsVersion::kTls12 && !any12) {
    reader.error_in("ciphers", "has none for TLS 1.2; name one, or set min_version: 1.3");
  }
  if (tls.max_version == TlsVersion::kTls13 && !any13) {
    reader.error_in("ciphers", "has none for TLS 1.3; name one (TLS_...), or set max_version: 1.2");
  }
}

const Section<Tls>& tls_schema() {
  static const auto version = one_of<TlsVersion>({{"1.2", TlsVersion::kTls12}, {"1.3", TlsVersion::kTls13}});
  static const Section<Tls> table =
      Section<Tls>()
          .required("certificates", &Tls::certificates, list(section(certificate_schema()), 1, kMaxCertificates))
          .optional("min_version", &Tls::min_version, version)
          .optional("max_version", &Tls::max_version, version)
          .optional("ciphers", &Tls::ciphers, list(cipher(), 1, 32))
          .optional("alpn", &Tls::alpn, list(one_of<std::string>({{"http/1.1", "http/1.1"}}, {"h2", "h3"}), 1, 8))
          .optional("crypto", &Tls::crypto,
                    one_of<TlsCrypto>({{"ipsec-mb", TlsCrypto::kIpsecMb}, {"openssl", TlsCrypto::kOpenSsl}}))
          .not_yet({"ocsp", "client_ca", "client_auth", "tickets", "curves", "early_data", "acme"})
          .check(check_tls);
  return table;
}

// ---- matching ----

struct Match {
  std::vector<std::string> hosts;
  std::string path = "/";
};

bool is_host_pattern(std::string_view text) noexcept {
  if (text.starts_with("*.")) {
    text.remove_prefix(2);
  } else if (text.starts_with('[') && text.ends_with(']') && text.size() > 2) {
    const auto address = net::IpAddress::parse(text.substr(1, text.size() - 2));
    return address && !address->is_v4();
  }
  if (text.empty() || text.size() > 253 || text.front() == '.' || text.back() == '.') return false;
  for (const char c : text) {
    if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '.' && c != '_') return false;
  }
  return text.find("..") == text.npos;
}

Codec<std::string> host_pattern() {
  return {[](Reader& reader, const Node& node, std::string& out) {
    constexpr std::string_view kWanted = "a host name without a port, or *. and a host name";
    const std::string* found = scalar_text(reader, node, kWanted);
    if (found == nullptr) return;
    std::string pattern = lower(*found);
    if (!is_host_pattern(pattern)) return reader.mismatch(node, kWanted);
    out = std::move(pattern);
  }};
}

// A path as it is matched: decoded, with no segment that a normalised path cannot have.
bool is_match_path(std::string_view text) noexcept {
  if (!text.starts_with('/') || text.size() > 4096) return false;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '?' || c == '#') return false;
  }
  const std::string slashed = std::string(text) + "/";
  return text.find("//") == text.npos && slashed.find("/../") == slashed.npos && slashed.find("/./") == slashed.npos;
}

Codec<std::string> match_path() {
  return {[](Reader& reader, const Node& node, std::string& out) {
    constexpr std::string_view kWanted = "a path that starts with '/', without '?', '#', spaces, '//', '.' and '..'";
    const std::string* found = scalar_text(reader, node, kWanted);
    if (found == nullptr) return;
    if (!is_match_path(*found)) return reader.mismatch(node, kWanted);
    out = *found;
  }};
}

const Section<Match>& match_schema() {
  static const Section<Match> table =
      Section<Match>()
          .optional("host", &Match::hosts, list(host_pattern(), 1, 256))
          .optional("path", &Match::path, match_path())
          .not_yet({"method", "header", "headers", "cookie", "query", "client", "path_regex"});
  return table;
}

// ---- actions ----

Codec<std::string> file_name() {
  return {[any = text(1, 255)](Reader& reader, const Node& node, std::string& out) {
    any.read(reader, node, out);
    if (out.find('/') != out.npos || out == "." || out == "..") reader.mismatch(node, "a file name without '/'");
  }};
}

const Section<StaticFiles>& static_schema() {
  static const Section<StaticFiles> table =
      Section<StaticFiles>()
          .required("alias", &StaticFiles::alias, absolute_path())
          .optional("index", &StaticFiles::index, file_name())
          .optional("expires", &StaticFiles::expires, duration(0s, 24h * 3650))
          .optional("headers", &StaticFiles::headers, headers())
          .not_yet({"root", "try_files", "autoindex", "precompressed"})
          .check([](Reader& reader, const Node&, StaticFiles& files) {
            if (files.expires && *files.expires % 1s != 0s) {
              reader.error_in("expires",
                              fmt::format("{} is not a whole number of seconds", duration_text(*files.expires)));
            }
          });
  return table;
}

const Section<Respond>& respond_schema() {
  static const Section<Respond> table =
      Section<Respond>()
          .required("status", &Respond::status, number<std::uint16_t>(200, 599))
          .optional("body", &Respond::body, text(0, kMiB))
          .optional("content_type", &Respond::content_type, text(1, 256))
          .check([](Reader& reader, const Node&, Respond& respond) {
            const bool bodiless = respond.status == 204 || respond.status == 304;  // RFC 9110 section 6.4.1
            if (bodiless && !respond.body.empty())
              reader.error_in("body", fmt::format("an answer {} has none", respond.status));
            for (const char c : respond.content_type) {
              if (static_cast<unsigned char>(c) < 0x20)
                return reader.error_in("content_type", "holds a control character");
            }
          });
  return table;
}

const Section<Redirect>& redirect_schema() {
  static const Section<Redirect> table =
      Section<Redirect>()
          .required("location", &Redirect::location, text_template())
          .optional("status", &Redirect::status,
                    one_of<std::uint16_t>({{"301", 301}, {"302", 302}, {"303", 303}, {"307", 307}, {"308", 308}}));
  return table;
}

const Section<RouteCache>& route_cache_schema() {
  static const Section<RouteCache> table =
      Section<RouteCache>()
          .optional("client_control", &RouteCache::client_control,
                    one_of<ClientControl>({{"ignore", ClientControl::kIgnore}, {"obey", ClientControl::kObey}}))
          .not_yet({"key", "valid", "ttl", "stale", "ignore", "vary", "bypass", "lock", "tags", "range"});
  return table;
}

void check_route(Reader& reader, const Node& /*node*/, HttpRoute& route) {
  const bool to_pool = std::holds_alternative<ToPool>(route.action);
  if (route.cache && !to_pool) reader.error_in("cache", "goes with 'pool' only");
  if (!route.request_headers.empty() && !to_pool) reader.error_in("request_headers", "goes with 'pool' only");
}

const Section<HttpLimits>& limits_schema() {
  static const Section<HttpLimits> table =
      Section<HttpLimits>()
          .optional("header_size", &HttpLimits::header_bytes, small_size<std::uint32_t>(kKiB, kMiB))
          .optional("uri_size", &HttpLimits::uri_bytes, small_size<std::uint32_t>(64, kMiB))
          .optional("headers", &HttpLimits::headers, number(8u, 10'000u))
          .optional("body_size", &HttpLimits::body_bytes, size(0, kTiB))
          .optional("header_timeout", &HttpLimits::header_timeout, duration(100ms, 1h))
          .optional("body_timeout", &HttpLimits::body_timeout, duration(100ms, 1h))
          .optional("send_timeout", &HttpLimits::send_timeout, duration(100ms, 1h))
          .optional("idle_timeout", &HttpLimits::idle_timeout, duration(100ms, 24h))
          .optional("requests", &HttpLimits::requests, count(1u, 1'000'000'000u))
          .not_yet({"rate", "connections", "bandwidth"})
          .check([](Reader& reader, const Node&, HttpLimits& limits) {
            if (limits.uri_bytes <= limits.header_bytes) return;
            if (!reader.given("uri_size")) {  // a small header_size takes the default limit of the target down with it
              limits.uri_bytes = limits.header_bytes;
              return;
            }
            reader.error_in("uri_size",
                            fmt::format("{} is more than header_size, {}, which counts the request line too",
                                        size_text(limits.uri_bytes), size_text(limits.header_bytes)));
          });
  return table;
}

const Section<SourceConnections>& source_limits_schema() {
  static const Section<SourceConnections> table =
      Section<SourceConnections>()
          .required("connections", &SourceConnections::connections, count(1u, 100'000'000u))
          .optional("prefix4", &SourceConnections::prefix4, number<std::uint8_t>(8, 32))
          .optional("prefix6", &SourceConnections::prefix6, number<std::uint8_t>(16, 128));
  return table;
}

}  // namespace

const Section<HttpRoute>& http_route_schema() {
  static const Section<HttpRoute> table =
      Section<HttpRoute>()
          .optional_with("match", section(match_schema()),
                         [](HttpRoute& route, Match&& match) {
                           route.hosts = std::move(match.hosts);
                           route.path = std::move(match.path);
                         })
          .optional_with("pool", reference(),
                         [](HttpRoute& route, std::string&& pool) { route.action = ToPool{std::move(pool)}; })
          .optional_with("static", section(static_schema()),
                         [](HttpRoute& route, StaticFiles&& files) { route.action = std::move(files); })
          .optional_with("respond", section(respond_schema()),
                         [](HttpRoute& route, Respond&& respond) { route.action = std::move(respond); })
          .optional_with("redirect", section(redirect_schema()),
                         [](HttpRoute& route, Redirect&& redirect) { route.action = std::move(redirect); })
          .exactly_one({"pool", "static", "respond", "redirect"})
          .optional_with("cache", section(route_cache_schema()),
                         [](HttpRoute& route, RouteCache&& cache) { route.cache = cache; })
          .optional("request_headers", &HttpRoute::request_headers, section(header_rules_schema()))
          .optional("response_headers", &HttpRoute::response_headers, section(header_rules_schema()))
          .not_yet({"compress", "balance", "buffer", "retries", "timeouts", "rewrite", "auth", "rate_limit",
                    "websocket", "split"})
          .check(check_route);
  return table;
}

const Section<ProxyService>& proxy_schema() {
  static const Section<ProxyService> table =
      Section<ProxyService>()
          .optional("tls", &ProxyService::tls, section(tls_schema()))
          .required("routes", &ProxyService::routes, list(section(http_route_schema()), 1, kMaxRoutes))
          .optional("limits", &ProxyService::limits, section(limits_schema()))
          .optional("source_limits", &ProxyService::source_limits, section(source_limits_schema()))
          .optional("tcp", &ProxyService::tcp, section(tcp_options_schema()))
          .not_yet({"http2", "http3", "access_log", "compress", "cache", "proxy_protocol", "trusted"});
  return table;
}

}  // namespace sluice::config
