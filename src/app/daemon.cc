#include "daemon.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/random.h>
#include <time.h>

#include "sluice/base/log.h"
#include "sluice/cache/store.h"
#include "sluice/config/load.h"
#include "sluice/control/admin_server.h"
#include "sluice/control/esp_keys.h"
#include "sluice/control/publisher.h"
#include "sluice/control/reload.h"
#include "sluice/control/report.h"
#include "sluice/dataplane/plane.h"
#include "sluice/dataplane/proxy_host.h"
#include "sluice/dataplane/worker.h"
#include "sluice/lb/health_board.h"
#include "sluice/lb/port_plan.h"
#include "sluice/lb/snapshot_slot.h"
#include "sluice/proxy/file_service.h"
#include "sluice/proxy/inbox.h"
#include "sluice/proxy/proxy.h"
#include "sluice/tls/ticket_keys.h"

namespace sluice::app {
namespace {

constexpr Duration kTick = std::chrono::milliseconds(20);

template <typename T>
Result<T> secret() {
  T bytes{};
  if (::getrandom(&bytes, sizeof(bytes), 0) != static_cast<ssize_t>(sizeof(bytes))) {
    return fail(fmt::format("the kernel gives no random bytes: {}", std::strerror(errno)));
  }
  return bytes;
}

void pin_to(unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (::sched_setaffinity(0, sizeof(set), &set) != 0) {
    log::warn("the control thread cannot run on cpu {}: {}", cpu, std::strerror(errno));
  }
}

sigset_t stop_signals() noexcept {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set, signal);
  return set;
}

// The order of the members is the order in which they are built; they go in the opposite one.
class Daemon {
 public:
  explicit Daemon(const config::Config& config) : config_(std::make_shared<const config::Config>(config)) {}
  ~Daemon();

  [[nodiscard]] Result<void> start();
  void serve();  // until a stop signal, or until idle where the configuration says so
  void drain();
  void stop();

 private:
  [[nodiscard]] Result<void> start_proxies();
  [[nodiscard]] Result<void> start_admin();
  void tend_esp_keys();
  void warn_of_missing_peers();
  void fill_view();
  void tick(Instant now);
  void reload();
  [[nodiscard]] int wait_for_signal(Duration at_most) const;
  [[nodiscard]] bool has_been_idle(Instant now);
  [[nodiscard]] std::int64_t open_connections() const;
  [[nodiscard]] bool is_delivering() const;

  std::shared_ptr<const config::Config> config_;
  lb::HealthBoard health_;
  lb::SnapshotSlot slot_;
  std::unique_ptr<dataplane::Plane> plane_;
  std::unique_ptr<lb::PortPlan> ports_;
  control::EspKeys esp_keys_;
  // When it was last looked which keys are due, and which backends have none.
  std::uint64_t esp_beyond_soft_limit_ = 0, esp_no_peer_ = 0;
  std::unique_ptr<control::Publisher> publisher_;
  std::unique_ptr<cache::Store> cache_;
  std::shared_ptr<tls::TicketKeys> ticket_keys_;
  std::unique_ptr<proxy::FileService> files_;
  std::vector<std::unique_ptr<proxy::Proxy>> proxies_;
  std::vector<std::unique_ptr<dataplane::ProxyHost>> hosts_;  // one for each proxy
  control::ProcessView view_;
  std::unique_ptr<control::FlowReporter> flows_;
  control::AdminServer admin_;
  std::atomic<bool> draining_{false};  // control: w, admin threads: r
  std::uint64_t last_packets_ = 0;     // of has_been_idle()
  Instant last_active_{};
};

Daemon::~Daemon() { stop(); }

Result<void> Daemon::start() {
  const auto flow_secret = secret<SipKey>();
  const auto seed = secret<std::uint64_t>();
  if (!flow_secret) return std::unexpected(flow_secret.error());
  if (!seed) return std::unexpected(seed.error());
  const auto rss_key = secret<dpdk::RssKey>();
  if (!rss_key) return std::unexpected(rss_key.error());

  auto plane = dataplane::Plane::open(*config_, *rss_key);
  if (!plane) return std::unexpected(plane.error());
  plane_ = std::move(*plane);
  ports_ = std::make_unique<lb::PortPlan>(config_->runtime.workers.size(), config_->runtime.proxies.size());
  publisher_ = std::make_unique<control::Publisher>(config_, health_, slot_, [this] { plane_->wait_for_grace(); });
  if (auto opened = esp_keys_.open(*config_); !opened) return opened;
  if (auto published = publisher_->publish_first(esp_keys_.ledger()); !published) return published;
  if (auto built = plane_->build({.snapshots = slot_, .ports = *ports_, .secret = *flow_secret, .seed = *seed});
      !built) {
    return built;
  }
  if (auto started = start_proxies(); !started) return started;
  fill_view();
  if (auto started = start_admin(); !started) return started;
  if (auto started = plane_->start(); !started) return started;
  pin_to(config_->runtime.main_cpu);
  return {};
}

// Reserves sequence numbers before the workers run out of them, and says which keys are due and which backends have none.
void Daemon::tend_esp_keys() {
  esp_keys_.reserve();
  std::uint64_t beyond = 0, no_peer = 0;
  for (const control::WorkerView& worker : view_.workers) {
    beyond += worker.counters->esp_beyond_soft_limit.read();
    no_peer += worker.counters->drops[static_cast<std::size_t>(telemetry::Drop::kEspNoPeer)].read();
  }
  if (std::exchange(esp_beyond_soft_limit_, beyond) != beyond) {
    for (const esp::OutboundSa* sa : esp_keys_.take_due(publisher_->current()->esp)) {
      log::warn("esp: SPI {:#x} has used three quarters of its sequence numbers: give it a new key", sa->spi);
    }
  }
  if (std::exchange(esp_no_peer_, no_peer) != no_peer) warn_of_missing_peers();
}

void Daemon::warn_of_missing_peers() {
  const std::shared_ptr<const lb::Snapshot> snapshot = publisher_->current();
  std::vector<std::uint64_t> failed(snapshot->backends.size());
  for (const control::WorkerView& worker : view_.workers) {
    for (std::size_t i = 0; i < failed.size(); ++i) failed[i] += worker.counters->backends[i].failed.read();
  }
  for (const lb::BackendIndex index : esp_keys_.take_missing(*snapshot, failed)) {
    log::warn("esp: backend '{}' at {} has no peer: packets of its flows are dropped (esp_no_peer)",
              snapshot->backend_names[index], snapshot->backends[index].address.text());
  }
}

Result<void> Daemon::start_proxies() {
  if (config_->runtime.proxies.empty()) return {};
  const auto key = secret<SipKey>();
  if (!key) return std::unexpected(key.error());
  cache_ = std::make_unique<cache::Store>(cache::StoreConfig{.budget_bytes = config_->cache.memory_bytes,
                                                             .object_limit_bytes = config_->cache.object_bytes,
                                                             .hash_key = *key});
  auto ticket_keys = tls::TicketKeys::create(dataplane::monotonic_now());
  if (!ticket_keys) return std::unexpected(ticket_keys.error());
  ticket_keys_ = std::move(*ticket_keys);
  files_ = std::make_unique<proxy::FileService>();

  dataplane::Assembly& assembly = plane_->assembly();
  std::uint16_t mtu = config_->interfaces.front().mtu;  // of every path: the smallest
  for (const config::Interface& interface : config_->interfaces) mtu = std::min(mtu, interface.mtu);
  for (unsigned i = 0; i < config_->runtime.proxies.size(); ++i) {
    const auto tcp_secret = secret<SipKey>();
    const auto seed = secret<std::uint64_t>();
    if (!tcp_secret) return std::unexpected(tcp_secret.error());
    if (!seed) return std::unexpected(seed.error());
    auto proxy = proxy::Proxy::create(
        proxy::ProxyParts{.config = *config_,
                          .index = i,
                          .count = static_cast<unsigned>(config_->runtime.proxies.size()),
                          .sink = assembly.sink(i),
                          .snapshots = slot_,
                          .health = health_,
                          .ports = *ports_,
                          .cache = *cache_,
                          .ticket_keys = ticket_keys_,
                          .files = *files_,
                          .counters = assembly.proxy_counters(i),
                          .source_for = [this](const net::IpAddress& via,
                                               bool ipv4) { return plane_->topology().source_for(via, ipv4); },
                          .wake = {},  // a loop sleeps for so short a time that mail waits for its next turn
                          .secret = *tcp_secret,
                          .seed = *seed,
                          .mtu = mtu},
        dataplane::monotonic_now());
    if (!proxy) return std::unexpected(proxy.error());
    proxies_.push_back(std::move(*proxy));
    hosts_.push_back(std::make_unique<dataplane::ProxyHost>(*proxies_.back()));
    assembly.attach(i, *hosts_.back());
  }
  return {};
}

void Daemon::fill_view() {
  view_.version = SLUICE_VERSION;
  view_.config_file = config_->file;
  view_.started = std::chrono::steady_clock::now();
  view_.health = &health_;
  view_.snapshot = [this] { return publisher_->current(); };
  view_.draining = [this] { return draining_.load(std::memory_order_relaxed); };
  view_.memory = [this] {
    return control::MemoryView{
        .mbufs = plane_->mbufs(), .mbufs_in_use = plane_->mbufs_in_use(), .huge_pages = plane_->huge_pages()};
  };
  view_.cache = [this]() -> control::CacheView {
    if (!cache_) return {};
    const cache::StoreStats stats = cache_->stats();
    return {.objects = stats.objects,
            .bytes = stats.bytes,
            .budget_bytes = stats.budget_bytes,
            .evictions = stats.evictions};
  };
  view_.interfaces = [this] {
    std::vector<control::InterfaceView> out;
    for (const dataplane::InterfaceStatus& status : plane_->interfaces()) {
      control::InterfaceView& row = out.emplace_back();
      row.name = status.name;
      row.device = status.device;
      row.driver = status.driver;
      row.mac = status.mac.text();
      row.link_up = status.stats.link_up;
      row.rx_queues = status.rx_queues;
      row.tx_queues = status.tx_queues;
      row.rss = status.rss;
      row.rss_known = status.rss_known;
      row.offloads = status.offloads;
      row.rx_packets = status.stats.rx_packets;
      row.rx_bytes = status.stats.rx_bytes;
      row.rx_missed = status.stats.rx_missed;
      row.rx_errors = status.stats.rx_errors;
      row.rx_no_mbuf = status.stats.rx_no_mbuf;
      row.tx_packets = status.stats.tx_packets;
      row.tx_bytes = status.stats.tx_bytes;
      row.tx_errors = status.stats.tx_errors;
      if (const config::Interface* configured = config::find_interface(*config_, status.name)) {
        row.mtu = configured->mtu;
        for (const net::Prefix& address : configured->addresses) row.addresses.push_back(address.text());
      }
    }
    return out;
  };
  dataplane::Assembly& assembly = plane_->assembly();
  for (std::size_t i = 0; i < assembly.workers(); ++i) {
    view_.workers.push_back({config_->runtime.workers[i], &assembly.worker_counters(i), &assembly.worker(i).queries()});
  }
  for (std::size_t i = 0; i < assembly.proxies(); ++i) {
    view_.proxies.push_back({config_->runtime.proxies[i], &assembly.proxy_counters(i), proxies_[i]->tls_crypto()});
  }
}

Result<void> Daemon::start_admin() {
  if (!config_->admin.socket) return {};
  flows_ = std::make_unique<control::FlowReporter>(view_);
  control::add_reports(admin_, view_, *flows_);
  return admin_.start(*config_->admin.socket);
}

void Daemon::tick(Instant now) {
  publisher_->tick(now);
  tend_esp_keys();
  if (ticket_keys_) ticket_keys_->rotate(now);
}

// The signal, or 0 when the time is up.
int Daemon::wait_for_signal(Duration at_most) const {
  const sigset_t set = stop_signals();
  const timespec timeout{.tv_sec = 0, .tv_nsec = static_cast<long>(at_most.count())};
  const int signal = ::sigtimedwait(&set, nullptr, &timeout);
  return signal > 0 ? signal : 0;
}

bool Daemon::has_been_idle(Instant now) {
  if (!config_->runtime.stop_when_idle) return false;
  std::uint64_t packets = 0;
  for (const control::WorkerView& worker : view_.workers) packets += worker.counters->rx.packets.read();
  if (packets != last_packets_ || last_active_ == Instant{}) {
    last_packets_ = packets;
    last_active_ = now;
  }
  return now - last_active_ >= *config_->runtime.stop_when_idle;
}

void Daemon::serve() {
  log::info("sluice {} serves {}: {} workers, {} proxies, {} interfaces, {} services", SLUICE_VERSION, config_->file,
            config_->runtime.workers.size(), proxies_.size(), config_->interfaces.size(), config_->services.size());
  while (true) {
    const int signal = wait_for_signal(kTick);
    if (signal == SIGHUP) {
      reload();
      continue;
    }
    if (signal != 0) {
      log::info("{}: stopping", ::strsignal(signal));
      return;
    }
    const Instant now = dataplane::monotonic_now();
    tick(now);
    if (has_been_idle(now)) {
      log::info("no packet came for a while: stopping");
      return;
    }
  }
}

// Of the configuration what take_over() takes; all of it or nothing.
void Daemon::reload() {
  const Instant begun = dataplane::monotonic_now();
  config::ConfigErrors warnings;
  const auto fresh = config::load_whole(config_->file, &warnings);
  for (const config::ConfigError& warning : warnings) log::warn("{}", warning.text());
  if (!fresh) return log::error("SIGHUP: all stays as it is:\n{}", config::text(fresh.error()));
  const auto taken = control::take_over(*publisher_->current()->config, *fresh);
  if (!taken) return log::error("SIGHUP: all stays as it is: {}", taken.error().message);
  const auto done = publisher_->reload(taken->config, dataplane::monotonic_now());
  if (!done) return log::error("SIGHUP: all stays as it is:\n{}", done.error().message);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(dataplane::monotonic_now() - begun);
  log::info(
      "SIGHUP: {} prefixes of allow and deny lists are in force, and {} peers of esp with {} new associations, after "
      "{} ms",
      done->prefixes, done->peers, done->new_associations, took.count());
  if (!taken->left.empty()) {
    log::warn("SIGHUP: {} has changes that need a restart, in: {}", config_->file, fmt::join(taken->left, ", "));
  }
}

std::int64_t Daemon::open_connections() const {
  std::int64_t open = 0;
  for (const control::ProxyView& proxy : view_.proxies) {
    open += proxy.counters->connections.read() + proxy.counters->exchanges.read();
  }
  for (const control::WorkerView& worker : view_.workers) open += worker.counters->tcp_flows_open.read();
  return open;
}

// Whether TCP still holds bytes of connections, those among them that their owner has closed.
bool Daemon::is_delivering() const {
  return std::any_of(view_.proxies.begin(), view_.proxies.end(),
                     [](const control::ProxyView& proxy) { return proxy.counters->tcp_buffer_bytes.read() != 0; });
}

void Daemon::drain() {
  draining_.store(true, std::memory_order_relaxed);
  const Instant deadline = dataplane::monotonic_now() + config_->runtime.drain;
  dataplane::Assembly& assembly = plane_->assembly();
  for (std::size_t i = 0; i < assembly.workers(); ++i) assembly.worker(i).refuse_new_flows();
  for (const auto& proxy : proxies_) {
    proxy->inbox()->post([proxy = proxy.get(), deadline] { proxy->begin_drain(deadline); });
  }
  plane_->wait_for_grace();  // from here on nothing new is taken
  bool said = false;
  int ended =
      0;  // looks in a row that found nothing open: a response may go from its session to TCP's buffer between two numbers
  for (Instant now = dataplane::monotonic_now(); now < deadline; now = dataplane::monotonic_now()) {
    const std::int64_t open = open_connections();
    ended = open == 0 && !is_delivering() ? ended + 1 : 0;
    if (ended == 2) return;
    if (open != 0 && !said) log::info("waiting for {} open connections", open);
    said |= open != 0;
    const int signal = wait_for_signal(kTick);
    if (signal == SIGTERM || signal == SIGINT) {
      log::warn("{} again: stopping at once", ::strsignal(signal));
      return;
    }
    tick(now);
  }
  log::warn("{} connections were still open at the end of runtime.drain", open_connections());
}

void Daemon::stop() {
  admin_.stop();
  if (plane_) plane_->stop();
  esp_keys_.close();
}

}  // namespace

Result<void> run_daemon(const config::Config& config) {
  const sigset_t signals = stop_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  Daemon daemon(config);
  if (auto started = daemon.start(); !started) return started;
  daemon.serve();
  daemon.drain();
  daemon.stop();
  log::info("stopped");
  return {};
}

}  // namespace sluice::app
