// pools: backends, health checks, upstream connections.
#include <charconv>
#include <utility>

#include "schema.h"
#include "values.h"

namespace sluice::config {
namespace {

constexpr std::size_t kMaxBackends = 16'384;  // of one pool
constexpr std::uint32_t kMaxWeight = 65'535;
constexpr std::uint32_t kMaxFlows = 64u << 20;
constexpr std::size_t kMaxServerIdBytes = 15;
constexpr std::uint32_t kMaxMaglevTable = 16'777'259;  // the first prime above 2^24

bool is_prime(std::uint32_t n) noexcept {
  if (n < 2) return false;
  for (std::uint32_t d = 2; std::uint64_t{d} * d <= n; ++d) {
    if (n % d == 0) return false;
  }
  return true;
}

std::uint32_t next_prime(std::uint32_t n) noexcept {
  while (!is_prime(n)) ++n;
  return n;
}

Codec<std::uint32_t> maglev_table() {
  return {[any = number<std::uint32_t>(2, kMaxMaglevTable)](Reader& reader, const Node& node, std::uint32_t& out) {
    const std::size_t errors_before = reader.error_count();
    any.read(reader, node, out);
    if (reader.error_count() != errors_before || is_prime(out)) return;
    reader.error(node, fmt::format("{} is not a prime; the next one is {}", out, next_prime(out)));
  }};
}

// "200" or "200-399"
std::optional<StatusRange> parse_statuses(std::string_view text) {
  StatusRange out;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, out.first);
  if (first.ec != std::errc()) return std::nullopt;
  out.last = out.first;
  if (first.ptr != end) {
    if (*first.ptr != '-') return std::nullopt;
    const auto last = std::from_chars(first.ptr + 1, end, out.last);
    if (last.ec != std::errc() || last.ptr != end) return std::nullopt;
  }
  if (out.first < 100 || out.last > 599 || out.first > out.last) return std::nullopt;
  return out;
}

Codec<StatusRange> statuses() {
  return {[](Reader& reader, const Node& node, StatusRange& out) {
    constexpr std::string_view kWanted = "a status or a range of them in 100..599, such as 200 or 200-399";
    const std::string* found = scalar_text(reader, node, kWanted);
    if (found == nullptr) return;
    const auto parsed = parse_statuses(*found);
    if (!parsed) return reader.mismatch(node, kWanted);
    out = *parsed;
  }};
}

// What goes into the request line or the Host header of a check: no spaces, nothing but printable ASCII.
Codec<std::string> visible_text(std::string wanted, bool starts_with_slash) {
  return {[wanted = std::move(wanted), starts_with_slash](Reader& reader, const Node& node, std::string& out) {
    const std::string* found = scalar_text(reader, node, wanted);
    if (found == nullptr) return;
    bool good = !found->empty() && found->size() <= 1024 && (!starts_with_slash || found->front() == '/');
    for (const char c : *found) good &= c > ' ' && c < 0x7f;
    if (!good) return reader.mismatch(node, wanted);
    out = *found;
  }};
}

// An even number of hexadecimal digits, as many bytes as fit into a connection id beside its first octet.
Codec<std::vector<std::uint8_t>> server_id() {
  return {[](Reader& reader, const Node& node, std::vector<std::uint8_t>& out) {
    constexpr std::string_view kWanted = "1 to 15 bytes in hexadecimal digits, such as 01ab";
    const std::string* found = scalar_text(reader, node, kWanted);
    if (found == nullptr) return;
    const std::string_view text = *found;
    out.clear();
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
      std::uint8_t byte = 0;
      const auto [end, error] = std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
      if (error != std::errc() || end != text.data() + i + 2) return reader.mismatch(node, kWanted);
      out.push_back(byte);
    }
    if (text.empty() || text.size() % 2 != 0 || out.size() > kMaxServerIdBytes) reader.mismatch(node, kWanted);
  }};
}

// A port, or `*` for the one that the client's packet was sent to.
Codec<std::uint16_t> backend_port() {
  return {[one = port()](Reader& reader, const Node& node, std::uint16_t& out) {
    if (node.is_scalar() && node.scalar == "*") {
      out = 0;
    } else {
      one.read(reader, node, out);
    }
  }};
}

const Section<Backend>& backend_schema() {
  static const Section<Backend> table =
      Section<Backend>()
          .optional("name", &Backend::name, name())
          .required_with("address", address(),
                         [](Backend& out, net::IpAddress&& found) { out.endpoint.address = found; })
          .optional_with("port", backend_port(), [](Backend& out, std::uint16_t&& found) { out.endpoint.port = found; })
          .optional("server_id", &Backend::server_id, server_id())
          .optional("weight", &Backend::weight, number(0u, kMaxWeight))
          .optional("mac", &Backend::mac, mac())
          .optional("backup", &Backend::backup, boolean())
          .optional("max_flows", &Backend::max_flows, count(1u, kMaxFlows))
          .not_yet({"max_connections", "tls"})
          .check([](Reader&, const Node&, Backend& backend) {
            if (backend.name.empty()) backend.name = backend.text();
          });
  return table;
}

const Section<HttpCheck>& http_check_schema() {
  static const Section<HttpCheck> table =
      Section<HttpCheck>()
          .optional("method", &HttpCheck::method,
                    one_of<std::string>({{"HEAD", "HEAD"}, {"GET", "GET"}, {"OPTIONS", "OPTIONS"}}))
          .optional("path", &HttpCheck::path, visible_text("a path that starts with '/', without spaces", true))
          .optional("host", &HttpCheck::host, visible_text("a host name, without spaces", false))
          .optional("expect", &HttpCheck::expect, list(statuses(), 1, 32))
          .not_yet({"body", "headers", "tls", "version"});
  return table;
}

const Section<TcpCheck>& tcp_check_schema() {
  static const Section<TcpCheck> table = Section<TcpCheck>().not_yet({"send", "expect"});
  return table;
}

void check_timeout(Reader& reader, const Node& /*node*/, HealthCheck& health) {
  if (health.timeout <= health.interval) return;
  if (!reader.given("timeout")) {  // a short interval takes the default timeout down with it
    health.timeout = health.interval;
    return;
  }
  reader.error_in("timeout", fmt::format("{} is longer than the interval, {}", duration_text(health.timeout),
                                         duration_text(health.interval)));
}

const Section<HealthCheck>& health_schema() {
  static const Section<HealthCheck> table =
      Section<HealthCheck>()
          .optional_with("http", section(http_check_schema()),
                         [](HealthCheck& out, HttpCheck&& probe) { out.probe = std::move(probe); })
          .optional_with("tcp", section(tcp_check_schema()),
                         [](HealthCheck& out, TcpCheck&& probe) { out.probe = probe; })
          .exactly_one({"http", "tcp"})
          .optional("port", &HealthCheck::port, port())
          .optional("interval", &HealthCheck::interval, duration(100ms, 1h))
          .optional("timeout", &HealthCheck::timeout, duration(10ms, 1h))
          .optional("fall", &HealthCheck::fall, number(1u, 100u))
          .optional("rise", &HealthCheck::rise, number(1u, 100u))
          .not_yet({"udp", "https", "grpc", "script"})
          .check(check_timeout);
  return table;
}

void check_hash(Reader& reader, const Node& /*node*/, Pool& pool) {
  if (reader.given("hash") && pool.balance != Balance::kMaglev) {
    reader.error_in("hash", "is for 'balance: maglev' only");
  }
  if (pool.balance == Balance::kSourceHash) pool.hash = FlowHash::kSource;
}

const Section<Keepalive>& keepalive_schema() {
  static const Section<Keepalive> table = Section<Keepalive>()
                                              .optional("idle", &Keepalive::idle, count(0u, 1'000'000u))
                                              .optional("timeout", &Keepalive::timeout, duration(100ms, 24h));
  return table;
}

const Section<PoolTimeouts>& timeouts_schema() {
  static const Section<PoolTimeouts> table = Section<PoolTimeouts>()
                                                 .optional("connect", &PoolTimeouts::connect, duration(10ms, 10min))
                                                 .optional("response", &PoolTimeouts::response, duration(10ms, 24h));
  return table;
}

}  // namespace

const Section<Pool>& pool_schema() {
  static const Section<Pool> table =
      Section<Pool>()
          .optional("balance", &Pool::balance,
                    one_of<Balance>({{"maglev", Balance::kMaglev},
                                     {"round_robin", Balance::kRoundRobin},
                                     {"weighted_round_robin", Balance::kRoundRobin},
                                     {"least_conn", Balance::kLeastConn},
                                     {"source_hash", Balance::kSourceHash}},
                                    {"least_time", "random", "p2c", "hash", "ring_hash", "ewma"}))
          .optional("hash", &Pool::hash,
                    one_of<FlowHash>({{"tuple", FlowHash::kTuple},
                                      {"source", FlowHash::kSource},
                                      {"source_and_service", FlowHash::kSourceAndService},
                                      {"destination_port", FlowHash::kDestinationPort}}))
          .optional("maglev_table", &Pool::maglev_table, maglev_table())
          .required("backends", &Pool::backends, list(section(backend_schema()), 1, kMaxBackends))
          .optional("health", &Pool::health, section(health_schema()))
          .optional("quic_configs", &Pool::quic_configs, list(number<std::uint8_t>(0, 6), 1, 7))
          .optional("keepalive", &Pool::keepalive, section(keepalive_schema()))
          .optional("timeouts", &Pool::timeouts, section(timeouts_schema()))
          .optional("tcp", &Pool::tcp, section(tcp_options_schema()))
          .optional("on_all_down", &Pool::on_all_down,
                    one_of<OnAllDown>({{"refuse", OnAllDown::kRefuse}, {"use_all", OnAllDown::kUseAll}}))
          .optional("slow_start", &Pool::slow_start, duration(1s, 1h))
          .check(check_hash)
          .not_yet({"sticky", "retries", "limits", "outlier", "tls", "proxy_protocol", "discover"});
  return table;
}

}  // namespace sluice::config
