#include "sluice/proxy/proxy.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <list>
#include <sstream>
#include <utility>
#include <vector>

#include "conn_options.h"
#include "core.h"
#include "health_checker.h"
#include "service.h"
#include "session.h"
#include "sluice/tls/library.h"
#include "sluice/tls/server_context.h"
#include "sluice/tls/session.h"

namespace sluice::proxy {

namespace {

tcp::StackConfig stack_config(const ProxyParts& parts) {
  const config::Runtime& runtime = parts.config.runtime;
  tcp::StackConfig out;
  out.max_connections = std::max(runtime.connections / parts.count, 16u);
  out.max_time_wait = 2 * out.max_connections;
  out.buffer_memory = static_cast<std::size_t>(runtime.connection_bytes / parts.count);
  out.mtu = parts.mtu;
  out.secret = parts.secret;
  out.seed = parts.seed;
  out.offloads = parts.sink.offloads();
  return out;
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(path + ": " + std::strerror(errno));
  std::ostringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

tls::Version version_of(config::TlsVersion version) noexcept {
  return version == config::TlsVersion::kTls12 ? tls::Version::kTls12 : tls::Version::kTls13;
}

Result<tls::ServerSettings> tls_settings(const config::Service& service, std::shared_ptr<tls::TicketKeys> keys) {
  const config::Tls& tls = *service.proxy->tls;
  tls::ServerSettings out;
  out.name = service.name;
  for (const config::Certificate& certificate : tls.certificates) {
    Result<std::string> chain = read_file(certificate.cert);
    if (!chain) return std::unexpected(chain.error());
    Result<std::string> key = read_file(certificate.key);
    if (!key) return std::unexpected(key.error());
    out.certificates.push_back({.certificate = std::move(*chain),
                                .key = std::move(*key),
                                .certificate_file = certificate.cert,
                                .key_file = certificate.key});
  }
  out.min_version = version_of(tls.min_version);
  out.max_version = version_of(tls.max_version);
  std::string suites, ciphers;
  for (const std::string& cipher : tls.ciphers) {
    std::string& list = cipher.starts_with("TLS_") ? suites : ciphers;
    list.append(list.empty() ? "" : ":").append(cipher);
  }
  if (!suites.empty()) out.cipher_suites = suites;
  if (!ciphers.empty()) out.ciphers = ciphers;
  out.alpn = tls.alpn;
  out.ticket_keys = std::move(keys);
  return out;
}

// Of a number for all proxies together; rounded up, so that what is allowed at all is allowed here.
std::uint32_t share(std::uint32_t of_all, std::size_t proxies) noexcept {
  return static_cast<std::uint32_t>((of_all + proxies - 1) / proxies);
}

class Listener final : public tcp::Acceptor {
 public:
  Listener(Sessions& sessions, Service& service, net::Endpoint local)
      : sessions_(sessions), service_(service), local_(local) {}
  void on_accept(tcp::Conn& conn) noexcept override { sessions_.accept(service_, conn); }
  [[nodiscard]] const net::Endpoint& local() const noexcept { return local_; }

 private:
  Sessions& sessions_;
  Service& service_;
  net::Endpoint local_;
};

// What TLS has decrypted and nobody has read yet may take one part in so many of the connections' memory, on top of it.
constexpr std::uint64_t kTlsShare = 4;
// Rounds of dispatch and exchanges in one turn: what one exchange causes another to do is done in the same turn, within this bound.
constexpr int kRounds = 8;

}  // namespace

class Proxy::Impl {
 public:
  Impl(ProxyParts parts, Instant now)
      : parts_(std::move(parts)), core_(parts_, stack_config(parts_), now), sessions_(core_) {}
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  [[nodiscard]] Result<void> set_up();
  void receive(std::span<const tcp::Received> burst, Instant now) noexcept { core_.stack.input(burst, now); }
  void receive_icmp_error(const tcp::IcmpMessage& message, Instant now) noexcept {
    core_.stack.input_icmp_error(message, now);
  }
  bool poll(Instant now, UnixSeconds wall) noexcept;
  [[nodiscard]] std::optional<Instant> next_deadline() const noexcept;
  void begin_drain(Instant deadline) noexcept;
  [[nodiscard]] bool drained() const noexcept { return sessions_.empty(); }
  [[nodiscard]] const std::shared_ptr<Inbox>& inbox() const noexcept { return core_.inbox; }
  [[nodiscard]] const lb::ProbePaths& probe_paths() const noexcept { return core_.probe_paths; }
  [[nodiscard]] const tcp::StackStats& tcp_stats() const noexcept { return core_.stack.stats(); }
  [[nodiscard]] std::string tls_crypto() const;

 private:
  [[nodiscard]] Result<void> add_service(const config::Service& service);
  [[nodiscard]] tls::Library* library(config::TlsCrypto crypto, std::string& why);
  std::size_t run_exchanges(Instant now) noexcept;
  void publish_counters() noexcept;

  // In the order of construction; sessions end before the libraries and the core that they use.
  const ProxyParts parts_;
  Core core_;
  std::unique_ptr<tls::Library> libraries_[2];  // by config::TlsCrypto
  std::list<Service> services_;
  Sessions sessions_;
  std::list<Listener> listeners_;
  std::unique_ptr<HealthChecker> health_;
  std::optional<Instant> drain_deadline_;
};

Proxy::Impl::~Impl() {
  health_.reset();
  sessions_.kill_all();
  while (core_.ready.run() > 0) {
  }
}

Result<void> Proxy::Impl::set_up() {
  if (core_.snapshot == nullptr) return fail("no snapshot was published before the proxy was made");
  for (const config::Service& service : core_.config.services) {
    if (!service.proxy) continue;
    if (Result<void> added = add_service(service); !added) {
      return fail("service " + service.name + ": " + added.error().message);
    }
  }
  health_ = std::make_unique<HealthChecker>(core_, parts_.health);
  return {};
}

tls::Library* Proxy::Impl::library(config::TlsCrypto crypto, std::string& why) {
  std::unique_ptr<tls::Library>& slot = libraries_[static_cast<std::size_t>(crypto)];
  if (!slot) {
    auto made = tls::Library::create(
        crypto == config::TlsCrypto::kIpsecMb ? tls::Crypto::kIpsecMb : tls::Crypto::kOpenssl,
        static_cast<std::size_t>(core_.config.runtime.connection_bytes / parts_.count / kTlsShare));
    if (!made) {
      why = made.error().message;
      return nullptr;
    }
    slot = std::move(*made);
  }
  return slot.get();
}

std::string Proxy::Impl::tls_crypto() const {
  std::string out;
  for (const auto& library : libraries_) {
    if (!library) continue;
    if (!out.empty()) out += ", ";
    out += library->description();
  }
  return out;
}

Result<void> Proxy::Impl::add_service(const config::Service& service) {
  Service& made = services_.emplace_back();
  made.config = &service;
  made.limits = &service.proxy->limits;
  made.head_limits = {
      .target_bytes = made.limits->uri_bytes, .head_bytes = made.limits->header_bytes, .headers = made.limits->headers};
  const lb::Snapshot& snapshot = *core_.snapshot;
  for (std::size_t i = 0; i < snapshot.services.size(); ++i) {
    if (snapshot.services[i].present && snapshot.services[i].name == service.name) {
      made.counters = &core_.counters.services[i];
    }
  }
  if (made.counters == nullptr) return fail("the snapshot does not know it");
  for (const config::HttpRoute& route : service.proxy->routes) {
    const auto* to_pool = std::get_if<config::ToPool>(&route.action);
    Pool* pool = to_pool == nullptr ? nullptr : core_.upstreams.find(to_pool->pool);
    if (to_pool != nullptr && pool == nullptr) return fail("there is no pool " + to_pool->pool);
    made.router.add({.config = &route, .pool = pool});
  }
  if (service.proxy->tls) {
    std::string why;
    tls::Library* tls = library(service.proxy->tls->crypto, why);
    if (tls == nullptr) return fail(why);
    Result<tls::ServerSettings> settings = tls_settings(service, parts_.ticket_keys);
    if (!settings) return std::unexpected(settings.error());
    auto context = tls::ServerContext::create(*tls, *settings);
    if (!context) return std::unexpected(context.error());
    made.tls = std::move(*context);
  }
  const config::SourceConnections& sources = service.proxy->source_limits;
  const tcp::ListenOptions options{.source_connections = share(sources.connections, parts_.count),
                                   .source_prefix4 = sources.prefix4,
                                   .source_prefix6 = sources.prefix6,
                                   .service = static_cast<std::uint16_t>(services_.size()),
                                   .connection = conn_options(service.proxy->tcp)};
  for (const config::Listen& listen : service.listen) {
    if (listen.proto != net::IpProto::kTcp) continue;
    Listener& listener = listeners_.emplace_back(sessions_, made, listen.endpoint);
    if (Result<void> opened = core_.stack.listen(listen.endpoint, options, listener); !opened) return opened;
  }
  return {};
}

std::size_t Proxy::Impl::run_exchanges(Instant now) noexcept {
  std::size_t work = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::size_t done = core_.stack.dispatch();
    for (const auto& library : libraries_) {
      if (library) done += library->dispatch(now);
    }
    done += core_.ready.run();
    if (done == 0) break;
    work += done;
  }
  return work;
}

bool Proxy::Impl::poll(Instant now, UnixSeconds wall) noexcept {
  core_.now = now;
  core_.wall = wall;
  core_.snapshot = parts_.snapshots.load();
  std::size_t work = core_.inbox->drain();
  core_.stack.advance(now);
  work += core_.timers.advance(now);
  if (drain_deadline_ && now >= *drain_deadline_) {
    drain_deadline_.reset();
    sessions_.kill_all();
  }
  for (const auto& library : libraries_) {
    if (library) work += library->run_handshakes();
  }
  work += run_exchanges(now);
  core_.stack.flush(now);
  publish_counters();
  return work > 0;
}

std::optional<Instant> Proxy::Impl::next_deadline() const noexcept {
  if (!core_.ready.empty() || core_.inbox->has_mail()) return core_.now;
  std::optional<Instant> next = core_.timers.next_deadline();
  const auto consider = [&next](std::optional<Instant> other) {
    if (other && (!next || *other < *next)) next = other;
  };
  consider(core_.stack.next_deadline());
  for (const auto& library : libraries_) {
    if (library) consider(library->next_deadline());
  }
  consider(drain_deadline_);
  return next;
}

void Proxy::Impl::begin_drain(Instant deadline) noexcept {
  core_.draining = true;
  drain_deadline_ = deadline;
  for (const Listener& listener : listeners_) core_.stack.unlisten(listener.local());
  sessions_.begin_drain();
  core_.upstreams.close_idle();
}

void Proxy::Impl::publish_counters() noexcept {
  const tcp::StackStats& stats = core_.stack.stats();
  telemetry::ProxyCounters& out = core_.counters;
  const auto copy = [](telemetry::Counter& counter, std::uint64_t value) { counter.add(value - counter.read()); };
  copy(out.connections_refused, sessions_.refused() + stats.listen_overflow);
  out.frames.set(FramePool::of_this_thread().live());
  copy(out.tcp_retransmits, stats.retransmits);
  copy(out.tcp_timeouts, stats.timeouts);
  copy(out.tcp_recoveries, stats.fast_retransmits);
  copy(out.tcp_spurious_recoveries, stats.spurious_recoveries);
  copy(out.tcp_spurious_timeouts, stats.spurious_timeouts);
  copy(out.tcp_tail_probes, stats.tail_probes);
  copy(out.tcp_duplicate_sacks, stats.duplicate_sacks);
  copy(out.tcp_bad_sack, stats.bad_sack);
  copy(out.tcp_sack_reneging, stats.sack_reneging);
  copy(out.tcp_bad_checksum, stats.bad_checksum);
  copy(out.tcp_no_memory, stats.no_memory);
  copy(out.tcp_resets_out, stats.resets_out);
  copy(out.tcp_half_open_evicted, stats.half_open_evicted);
  copy(out.tcp_listen_overflow, stats.listen_overflow);
  copy(out.tcp_challenge_acks, stats.challenge_acks);
  copy(out.tcp_challenge_acks_limited, stats.challenge_acks_limited);
  copy(out.tcp_out_of_order_dropped, stats.out_of_order_dropped);
  copy(out.tcp_time_wait_evicted, stats.time_wait_evicted);
  copy(out.tcp_source_refused, stats.source_refused);
  copy(out.tcp_syn_cookies_sent, stats.syn_cookies_sent);
  copy(out.tcp_syn_cookies_received, stats.syn_cookies_received);
  copy(out.tcp_syn_cookies_failed, stats.syn_cookies_failed);
  copy(out.tcp_path_mtu_lowered, stats.path_mtu_lowered);
  copy(out.tcp_path_mtu_ignored, stats.path_mtu_ignored);
  copy(out.tcp_path_mtu_deferred, stats.path_mtu_deferred);
  copy(out.tcp_path_mtu_raised, stats.path_mtu_raised);
  copy(out.tcp_black_holes, stats.black_holes);
  copy(out.tcp_ecn_connections, stats.ecn_connections);
  copy(out.tcp_ecn_fallbacks, stats.ecn_fallbacks);
  copy(out.tcp_ecn_marks_in, stats.ecn_marks_in);
  copy(out.tcp_ecn_reductions, stats.ecn_reductions);
  tls::LibraryStats tls;  // of all libraries
  for (const auto& library : libraries_) {
    if (!library) continue;
    const tls::LibraryStats& one = library->stats();
    tls.record_errors += one.record_errors;
    tls.truncated += one.truncated;
    tls.no_buffer += one.no_buffer;
    tls.rx_buffers += one.rx_buffers;
  }
  copy(out.tls_record_errors, tls.record_errors);
  copy(out.tls_truncated, tls.truncated);
  copy(out.tls_no_buffer, tls.no_buffer);
  out.tls_buffer_bytes.set(std::int64_t{tls.rx_buffers} * static_cast<std::int64_t>(tls::Session::kRxBuffer));
  out.tcp_connections.set(stats.connections);
  out.tcp_half_open.set(stats.half_open);
  out.tcp_time_wait.set(stats.time_wait);
  out.tcp_promised_bytes.set(static_cast<std::int64_t>(stats.promised_bytes));
  out.tcp_buffer_bytes.set(static_cast<std::int64_t>(stats.buffer_bytes));
}

Proxy::Proxy(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Proxy::~Proxy() = default;

Result<std::unique_ptr<Proxy>> Proxy::create(ProxyParts parts, Instant now) {
  if (parts.snapshots.load() == nullptr) return fail("no snapshot was published before the proxy was made");
  auto impl = std::make_unique<Impl>(std::move(parts), now);
  if (Result<void> ready = impl->set_up(); !ready) return std::unexpected(ready.error());
  return std::unique_ptr<Proxy>(new Proxy(std::move(impl)));
}

void Proxy::receive(std::span<const tcp::Received> burst, Instant now) noexcept { impl_->receive(burst, now); }
void Proxy::receive_icmp_error(const tcp::IcmpMessage& message, Instant now) noexcept {
  impl_->receive_icmp_error(message, now);
}
bool Proxy::poll(Instant now, UnixSeconds wall) noexcept { return impl_->poll(now, wall); }
std::optional<Instant> Proxy::next_deadline() const noexcept { return impl_->next_deadline(); }
void Proxy::begin_drain(Instant deadline) noexcept { impl_->begin_drain(deadline); }
bool Proxy::drained() const noexcept { return impl_->drained(); }
const std::shared_ptr<Inbox>& Proxy::inbox() const noexcept { return impl_->inbox(); }
const lb::ProbePaths& Proxy::probe_paths() const noexcept { return impl_->probe_paths(); }
std::string Proxy::tls_crypto() const { return impl_->tls_crypto(); }
const tcp::StackStats& Proxy::tcp_stats() const noexcept { return impl_->tcp_stats(); }

}  // namespace sluice::proxy
