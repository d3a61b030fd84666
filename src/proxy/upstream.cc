#include "upstream.h"

#include <algorithm>
#include <utility>

#include "conn_options.h"
#include "core.h"
#include "events.h"
#include "sluice/lb/balance.h"
#include "sluice/lb/port_plan.h"

namespace sluice::proxy {

namespace {

// Of a backend's answer: more than a client may send, since applications set many cookies.
constexpr http::Limits kResponseLimits{.target_bytes = 8192, .head_bytes = 64 << 10, .headers = 200};

std::size_t share_of(std::size_t total, unsigned index, unsigned count) noexcept {
  return total / count + (index < total % count ? 1 : 0);
}

}  // namespace

UpstreamConnection::UpstreamConnection(Core& core, Pool& pool, lb::BackendId backend)
    : core_(core),
      pool_(pool),
      backend_(backend),
      parser_(kResponseLimits),
      idle_timer_(
          [](void* self) noexcept {
            auto& connection = *static_cast<UpstreamConnection*>(self);
            connection.core_.upstreams.drop_idle(connection);
          },
          this) {
  core_.counters.upstream_connections.add(1);
  counters().active.add(1);
}

UpstreamConnection::~UpstreamConnection() {
  core_.counters.upstream_connections.add(-1);
  counters().active.add(-1);
  if (conn_ == nullptr) return;
  core_.upstreams.released(conn_->local(), conn_->remote());
  conn_->abort();
}

telemetry::EntityCounters& UpstreamConnection::counters() noexcept { return core_.counters.backends[backend_.index]; }

void UpstreamConnection::consume(std::size_t bytes) noexcept {
  counters().in.bytes.add(bytes);
  conn_->rx_consume(bytes);
}

void UpstreamConnection::on_stream(tcp::StreamEvents events) noexcept {
  if (has(events, tcp::StreamEvents::kConnected)) connected_ = true;
  if (has(events, tcp::StreamEvents::kClosed)) {
    closed_ = true;
    error_ = conn_->error();
  }
  if (port_ != nullptr) {
    port_->post(events::upstream(events));
    return;
  }
  // Idle: the backend ends the connection, or says something that nobody asked for. Either way it serves no further request.
  constexpr auto kEnds = tcp::StreamEvents::kReadable | tcp::StreamEvents::kPeerClosed | tcp::StreamEvents::kClosed;
  if ((static_cast<unsigned>(events) & static_cast<unsigned>(kEnds)) != 0) core_.upstreams.drop_idle(*this);
}

UpstreamPools::UpstreamPools(Core& core) : core_(core) {
  const lb::Snapshot& snapshot = *core.snapshot;
  for (const config::Pool& pool : core.config.pools) {
    const auto found = std::find_if(snapshot.pools.begin(), snapshot.pools.end(), [&](const lb::Pool& candidate) {
      return candidate.present && candidate.name == pool.name;
    });
    if (found == snapshot.pools.end()) continue;
    auto made = std::make_unique<Pool>();
    made->config = &pool;
    made->index = static_cast<lb::PoolIndex>(found - snapshot.pools.begin());
    made->idle_limit = share_of(pool.keepalive.idle, core.index, core.count);
    pools_.push_back(std::move(made));
  }
}

UpstreamPools::~UpstreamPools() { close_idle(); }

Pool* UpstreamPools::find(std::string_view name) noexcept {
  for (const auto& pool : pools_) {
    if (pool->config->name == name) return pool.get();
  }
  return nullptr;
}

lb::BackendIndex UpstreamPools::choose(const Pool& pool, std::uint64_t hash,
                                       std::span<const lb::BackendIndex> tried) noexcept {
  if (tried.empty()) return lb::choose(*core_.snapshot, pool.index, hash, core_.turns, core_.counters.backends.span());
  return lb::choose_other(*core_.snapshot, pool.index, hash, core_.turns, core_.counters.backends.span(), tried);
}

UpstreamLease UpstreamPools::take_idle(Pool& pool, lb::BackendId backend, EventPort& port) noexcept {
  for (auto at = pool.idle.begin(); at != pool.idle.end();) {
    if ((*at)->backend_ != backend) {
      ++at;
      continue;
    }
    // What came since the last dispatch is not reported yet: an end, or bytes that would be taken for the next response.
    if (tcp::Conn& conn = (*at)->stream();
        conn.error() != tcp::StreamError::kNone || conn.rx_ended() || !conn.rx_peek().empty()) {
      drop_idle(**at++);
      continue;
    }
    UpstreamLease lease = std::move(*at);
    pool.idle.erase(at);
    core_.counters.upstream_idle.add(-1);
    core_.counters.upstream_reused.add();
    lease->idle_timer_.cancel();
    lease->port_ = &port;
    lease->reused_ = true;
    return lease;
  }
  return nullptr;
}

// `upstream.source` in turn, where it names some; else the address of the interface on the way.
std::optional<net::IpAddress> UpstreamPools::source_for(const net::IpAddress& via, bool ipv4) noexcept {
  const lb::Snapshot& snapshot = *core_.snapshot;
  const auto& named = ipv4 ? snapshot.upstream_sources4 : snapshot.upstream_sources6;
  if (named.empty()) return core_.source_for(via, ipv4);
  return snapshot.sources[named[next_source_++ % named.size()]];
}

std::optional<net::Endpoint> UpstreamPools::local_for(const net::Endpoint& remote, const net::IpAddress& via,
                                                      ConnectOutcome& outcome) {
  const std::optional<net::IpAddress> source = source_for(via, remote.address.is_v4());
  if (!source) {
    outcome = ConnectOutcome::kNoRoute;
    return std::nullopt;
  }
  const lb::PortBlock block = core_.ports;
  const auto endpoint = [&](std::uint32_t offset) {
    return net::Endpoint{*source, static_cast<std::uint16_t>(block.first + offset)};
  };
  const auto is_free = [&](std::uint32_t offset) {
    const net::Endpoint local = endpoint(offset);
    return core_.snapshot->find_listener(local.address, local.port, net::IpProto::kTcp) == nullptr &&
           core_.stack.is_free(local, remote);
  };
  auto at = searches_.find({*source, remote});
  if (at == searches_.end()) {
    // Somewhere: what this process used before a restart may be in TIME_WAIT over there.
    at = searches_.try_emplace({*source, remote}, block.count, core_.random.below(1u << 16)).first;
  }
  if (const auto offset = at->second.find(core_.now, is_free)) return endpoint(*offset);
  core_.counters.upstream_ports_exhausted.add();
  outcome = ConnectOutcome::kNoPort;
  return std::nullopt;
}

void UpstreamPools::released(const net::Endpoint& local, const net::Endpoint& remote) noexcept {
  const auto at = searches_.find({local.address, remote});
  if (at != searches_.end()) at->second.released(static_cast<std::uint32_t>(local.port - core_.ports.first));
}

UpstreamLease UpstreamPools::connect(Pool& pool, lb::BackendId backend, EventPort& port, ConnectOutcome& outcome) {
  const lb::Backend* to = core_.snapshot->find_backend(backend);
  if (to == nullptr) {
    outcome = ConnectOutcome::kNoRoute;
    return nullptr;
  }
  const net::Endpoint remote = to->endpoint();
  const std::optional<net::Endpoint> local = local_for(remote, outcome);
  if (!local) return nullptr;
  auto lease = std::make_unique<UpstreamConnection>(core_, pool, backend);
  lease->port_ = &port;
  lease->conn_ = core_.stack.connect(*local, remote, *lease, core_.now, pool.config->timeouts.connect,
                                     conn_options(pool.config->tcp));
  if (lease->conn_ == nullptr) {
    outcome = ConnectOutcome::kNoMemory;
    return nullptr;
  }
  core_.counters.upstream_connects.add();
  core_.counters.backends[backend.index].flows.add();
  outcome = ConnectOutcome::kStarted;
  return lease;
}

void UpstreamPools::give_back(UpstreamLease lease, bool keep) noexcept {
  Pool& pool = lease->pool_;
  const bool usable =
      keep && !lease->spent_ && !lease->closed_ && !lease->stream().rx_ended() && lease->stream().rx_peek().empty();
  if (!usable || pool.idle_limit == 0 || core_.draining) {
    // Nothing is owed to either side any more. Where the backend has not closed first, a reset spares this side a TIME_WAIT, which would
    // hold one of its few ports; so does HAProxy.
    if (!lease->closed_ && lease->stream().rx_ended()) std::exchange(lease->conn_, nullptr)->close();
    return;
  }
  if (pool.idle.size() >= pool.idle_limit) drop_idle(*pool.idle.back());
  lease->port_ = nullptr;
  core_.timers.arm(lease->idle_timer_, core_.now + pool.config->keepalive.timeout);
  pool.idle.push_front(std::move(lease));
  pool.idle.front()->idle_position_ = pool.idle.begin();
  core_.counters.upstream_idle.add(1);
}

void UpstreamPools::drop_idle(UpstreamConnection& connection) noexcept {
  core_.counters.upstream_idle.add(-1);
  if (!connection.closed_) std::exchange(connection.conn_, nullptr)->close();
  connection.pool_.idle.erase(connection.idle_position_);
}

void UpstreamPools::close_idle() noexcept {
  for (const auto& pool : pools_) {
    while (!pool->idle.empty()) drop_idle(*pool->idle.front());
  }
}

}  // namespace sluice::proxy
