#include "health_checker.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "sluice/http/response_parser.h"
#include "sluice/http/serialize.h"
#include "stream_writer.h"

namespace sluice::proxy {

namespace {

constexpr EventPort::Bits kTimer = 1u << 8;
constexpr http::Limits kHeadLimits{.target_bytes = 8192, .head_bytes = 16 << 10, .headers = 100};

}  // namespace

class HealthChecker::Check final : public tcp::StreamHandler {
 public:
  // `service`: its mode leaves the destination as it is, and the check goes to its address, the way of its packets.
  Check(Core& core, lb::HealthBoard& board, lb::BackendId backend, net::Endpoint endpoint,
        const config::HealthCheck& rules, const lb::Listener* service)
      : core_(core),
        board_(board),
        backend_(backend),
        rules_(rules),
        path_(service == nullptr ? std::nullopt : std::optional<lb::ProbePath>({service->id, backend})),
        remote_{service == nullptr ? endpoint.address : service->key.address,
                rules.port.value_or(service == nullptr ? endpoint.port : service->key.port)},
        via_(endpoint.address),
        request_(make_request(service == nullptr ? endpoint : remote_)),
        parser_(kHeadLimits),
        port_(core.ready),
        timer_([](void* raw) noexcept { static_cast<Check*>(raw)->port_.post(kTimer); }, this) {
    task_ = run();
    task_.start();
  }
  ~Check() {
    task_.reset();
    drop();
    leave_path();
  }
  Check(const Check&) = delete;
  Check& operator=(const Check&) = delete;

  void on_stream(tcp::StreamEvents events) noexcept override { port_.post(static_cast<EventPort::Bits>(events)); }

 private:
  [[nodiscard]] std::string make_request(const net::Endpoint& endpoint) const {
    const auto* http = std::get_if<config::HttpCheck>(&rules_.probe);
    if (http == nullptr) return {};
    std::string host = http->host.empty() ? endpoint.text() : http->host;
    return http->method + " " + http->path + " HTTP/1.0\r\nHost: " + host + "\r\nUser-Agent: sluice\r\n\r\n";
  }

  [[nodiscard]] Task<> run();
  [[nodiscard]] Task<lb::HealthReport> probe();
  // The verdict once there is one.
  [[nodiscard]] std::optional<lb::HealthReport> look();
  void note_status_line(std::span<const std::uint8_t> input);
  // Nothing more will come: by the status line, if it came whole.
  [[nodiscard]] std::optional<lb::HealthReport> judge_status_line() const;
  [[nodiscard]] lb::HealthReport judge_status(std::uint16_t status) const;
  void judge(lb::HealthReport result) noexcept;
  void drop() noexcept {
    if (conn_ != nullptr) std::exchange(conn_, nullptr)->abort();
  }
  // Only once another is taken: the last packets of a connection go the same way.
  void leave_path() noexcept {
    if (port_in_use_ != 0) core_.probe_paths.clear(std::exchange(port_in_use_, std::uint16_t{0}), remote_);
  }
  static lb::HealthReport failed(lb::HealthReason reason, std::uint16_t detail = 0) noexcept {
    return {.health = lb::Health::kDown, .reason = reason, .detail = detail};
  }

  Core& core_;
  lb::HealthBoard& board_;
  const lb::BackendId backend_;
  const config::HealthCheck& rules_;
  const std::optional<lb::ProbePath> path_;
  const net::Endpoint remote_;
  const net::IpAddress via_;       // what says by which interface the packets leave
  std::uint16_t port_in_use_ = 0;  // of path_; 0: none
  const std::string request_;      // empty: a TCP check
  tcp::Conn* conn_ = nullptr;
  bool connected_ = false;
  lb::Health state_ = lb::Health::kUnknown;
  bool ever_up_ = false;
  std::uint32_t streak_ = 0;  // results in a row that speak against state_
  http::ResponseParser parser_;
  std::string status_line_;  // as far as it came, with its end; of the last head that began
  EventPort port_;
  Timer timer_;
  Task<> task_;
};

Task<> HealthChecker::Check::run() {
  const Duration spread = std::min(rules_.interval, HealthChecker::kFirstWithin);
  Instant next = core_.now + Duration(core_.random.below(static_cast<std::uint32_t>(spread.count()) + 1));
  for (;;) {
    core_.timers.arm(timer_, next);
    EventPort::Bits bits = 0;
    while ((bits & kTimer) == 0) bits = co_await port_.next_event();
    next = core_.now + rules_.interval;
    core_.timers.arm(timer_, core_.now + rules_.timeout);
    Task<lb::HealthReport> probed = probe();
    const lb::HealthReport result = co_await probed;
    timer_.cancel();
    static_cast<void>(port_.take());
    drop();
    judge(result);
  }
}

Task<lb::HealthReport> HealthChecker::Check::probe() {
  core_.counters.health_checks.add();
  ConnectOutcome outcome = ConnectOutcome::kStarted;
  const std::optional<net::Endpoint> local = core_.upstreams.local_for(remote_, via_, outcome);
  if (!local) co_return failed(lb::HealthReason::kUnreachable);
  connected_ = false;
  if (path_) {
    leave_path();
    port_in_use_ = local->port;
    core_.probe_paths.set(local->port, remote_, *path_);
  }
  conn_ = core_.stack.connect(*local, remote_, *this, core_.now, rules_.timeout);
  if (conn_ == nullptr) co_return failed(lb::HealthReason::kUnreachable);
  for (;;) {
    const EventPort::Bits bits = co_await port_.next_event();
    const auto events = static_cast<tcp::StreamEvents>(bits & 0xff);
    if (has(events, tcp::StreamEvents::kConnected) && !connected_) {
      connected_ = true;
      if (request_.empty()) co_return lb::HealthReport{lb::Health::kUp, lb::HealthReason::kSuccess, 0};
      static_cast<void>(conn_->write(bytes_of(request_)));  // a fresh connection has room for it
      parser_.start(request_.starts_with("HEAD") ? http::Method::kHead : http::Method::kGet);
      status_line_.clear();
    }
    if (connected_) {
      // A backend may answer, close and reset in one breath: what it said before counts.
      if (const std::optional<lb::HealthReport> verdict = look()) co_return *verdict;
    }
    const bool over = has(events, tcp::StreamEvents::kClosed) || (bits & kTimer) != 0;
    if (over && connected_) {
      if (const std::optional<lb::HealthReport> verdict = judge_status_line()) co_return *verdict;
    }
    if (has(events, tcp::StreamEvents::kClosed)) {
      switch (conn_->error()) {
        case tcp::StreamError::kRefused:
          co_return failed(lb::HealthReason::kRefused);
        case tcp::StreamError::kTimedOut:
          co_return failed(lb::HealthReason::kTimeout);
        case tcp::StreamError::kUnreachable:
        case tcp::StreamError::kNoMemory:
          co_return failed(lb::HealthReason::kUnreachable);
        default:
          co_return failed(lb::HealthReason::kClosed);
      }
    }
    if ((bits & kTimer) != 0) co_return failed(lb::HealthReason::kTimeout);
  }
}

std::optional<lb::HealthReport> HealthChecker::Check::look() {
  for (;;) {
    const auto input = conn_->rx_peek();
    if (input.empty()) {
      if (!conn_->rx_ended()) return std::nullopt;
      return judge_status_line().value_or(failed(lb::HealthReason::kClosed));
    }
    const http::ParseStep step = parser_.feed(input);
    note_status_line(input.first(step.consumed));
    conn_->rx_consume(step.consumed);
    if (step.step == http::Step::kError) return failed(lb::HealthReason::kBadResponse);
    if (step.step == http::Step::kHead) return judge_status(parser_.head().status);
    if (step.step == http::Step::kInterim) status_line_.clear();
  }
}

// The parser has seen the same bytes: it bounds the line and refuses what does not begin like one.
void HealthChecker::Check::note_status_line(std::span<const std::uint8_t> input) {
  for (const std::uint8_t byte : input) {
    if (status_line_.ends_with('\n')) return;
    status_line_.push_back(static_cast<char>(byte));
  }
}

std::optional<lb::HealthReport> HealthChecker::Check::judge_status_line() const {
  constexpr std::size_t kStatusAt = std::string_view("HTTP/1.1 ").size();
  if (!status_line_.ends_with('\n')) return std::nullopt;
  std::uint16_t status = 0;
  const char* digits = status_line_.data() + std::min(kStatusAt, status_line_.size());
  const char* end = status_line_.data() + status_line_.size();
  if (const auto [at, error] = std::from_chars(digits, end, status); error != std::errc{} || at - digits != 3) {
    return std::nullopt;
  }
  if (status < 200) return std::nullopt;  // the answer itself did not come
  return judge_status(status);
}

lb::HealthReport HealthChecker::Check::judge_status(std::uint16_t status) const {
  for (const config::StatusRange& range : std::get<config::HttpCheck>(rules_.probe).expect) {
    if (status >= range.first && status <= range.last) {
      return lb::HealthReport{lb::Health::kUp, lb::HealthReason::kSuccess, status};
    }
  }
  return failed(lb::HealthReason::kBadStatus, status);
}

void HealthChecker::Check::judge(lb::HealthReport result) noexcept {
  if (result.health == lb::Health::kDown) core_.counters.health_failures.add();
  if (state_ == lb::Health::kUnknown) {
    state_ = result.health;
  } else if (result.health == state_) {
    streak_ = 0;
  } else if (++streak_ >= (state_ == lb::Health::kUp ? rules_.fall : rules_.rise)) {
    state_ = result.health;
    streak_ = 0;
  }
  if (!ever_up_ && result.health == lb::Health::kUp) state_ = lb::Health::kUp;
  ever_up_ = ever_up_ || state_ == lb::Health::kUp;
  result.health = state_;
  board_.report(backend_, result);
}

namespace {

// A listener of a service that sends packets to the pool as they are: TCP if there is one, else any of them. nullptr: the pool's
// backends are checked at their own addresses.
const lb::Listener* service_to_probe(const lb::Snapshot& snapshot, lb::PoolIndex pool) noexcept {
  const lb::Listener* found = nullptr;
  for (const lb::Listener& listener : snapshot.listeners) {
    if (!listener.present || listener.kind != lb::ServiceKind::kForward || listener.pool != pool) continue;
    if (!config::checked_as_service(listener.mode)) continue;
    if (listener.proto() == net::IpProto::kTcp) return &listener;
    if (found == nullptr) found = &listener;
  }
  return found;
}

}  // namespace

HealthChecker::HealthChecker(Core& core, lb::HealthBoard& board) {
  const lb::Snapshot& snapshot = *core.snapshot;
  for (const lb::Pool& pool : snapshot.pools) {
    if (!pool.present || !pool.config->health) continue;
    const config::Pool* config = find_pool(core.config, pool.name);
    if (config == nullptr || !config->health) continue;
    const auto pool_index = static_cast<lb::PoolIndex>(&pool - snapshot.pools.data());
    const lb::Listener* service = service_to_probe(snapshot, pool_index);
    for (const lb::BackendIndex index : pool.backends) {
      if (index % core.count != core.index) continue;
      checks_.push_back(std::make_unique<Check>(core, board, snapshot.id_of(index), snapshot.backends[index].endpoint(),
                                                *config->health, service));
    }
  }
}

HealthChecker::~HealthChecker() = default;

}  // namespace sluice::proxy
