// Connections to backends: made on demand from this proxy's own ports, kept alive between requests, one request at a time.
// Threading: the proxy's thread.
// Ownership: an UpstreamLease holds a connection for one request; dropping it ends the connection, give_back() keeps it for the next.
//            Idle ones belong to their pool.
// Limits:    Keepalive::idle is a number for the process: each proxy keeps its share of it. The oldest idle connection goes first.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "port_search.h"
#include "sluice/base/task.h"
#include "sluice/base/timer_wheel.h"
#include "sluice/config/config.h"
#include "sluice/http/response_parser.h"
#include "sluice/lb/ids.h"
#include "sluice/lb/snapshot.h"
#include "sluice/tcp/stack.h"
#include "sluice/telemetry/counters.h"

namespace sluice::proxy {

struct Core;
struct Pool;
class UpstreamPools;

class UpstreamConnection final : public tcp::StreamHandler {
 public:
  UpstreamConnection(Core& core, Pool& pool, lb::BackendId backend);
  ~UpstreamConnection();
  UpstreamConnection(const UpstreamConnection&) = delete;
  UpstreamConnection& operator=(const UpstreamConnection&) = delete;

  void on_stream(tcp::StreamEvents events) noexcept override;

  [[nodiscard]] tcp::Conn& stream() noexcept { return *conn_; }  // when closed(): only to read what came before
  void consume(std::size_t bytes) noexcept;                      // of what stream().rx_peek() gave
  [[nodiscard]] telemetry::EntityCounters& counters() noexcept;  // this proxy's, of the backend
  [[nodiscard]] http::ResponseParser& parser() noexcept { return parser_; }
  [[nodiscard]] bool connected() const noexcept { return connected_; }
  [[nodiscard]] bool closed() const noexcept { return closed_; }  // dead, or never begun
  [[nodiscard]] tcp::StreamError error() const noexcept { return error_; }
  [[nodiscard]] bool reused() const noexcept { return reused_; }
  [[nodiscard]] lb::BackendId backend() const noexcept { return backend_; }
  [[nodiscard]] Pool& pool() noexcept { return pool_; }
  // Who hears of events from now on, as events::upstream() bits.
  void set_port(EventPort* port) noexcept { port_ = port; }
  // A part of the request was not written: no other may follow it here.
  void set_spent() noexcept { spent_ = true; }

 private:
  friend class UpstreamPools;

  Core& core_;
  Pool& pool_;
  lb::BackendId backend_;
  tcp::Conn* conn_ = nullptr;
  EventPort* port_ = nullptr;  // nullptr while idle
  bool connected_ = false;
  bool closed_ = false;
  bool reused_ = false;
  bool spent_ = false;
  tcp::StreamError error_ = tcp::StreamError::kNone;
  http::ResponseParser parser_;
  Timer idle_timer_;
  std::list<std::unique_ptr<UpstreamConnection>>::iterator idle_position_;  // while idle
};

using UpstreamLease = std::unique_ptr<UpstreamConnection>;

// One pool of the configuration as this proxy uses it.
struct Pool {
  const config::Pool* config = nullptr;
  lb::PoolIndex index = lb::kNoIndex;
  std::size_t idle_limit = 0;                             // this proxy's share of Keepalive::idle
  std::list<std::unique_ptr<UpstreamConnection>> idle{};  // the one used last is in front
};

enum class ConnectOutcome : std::uint8_t {
  kStarted,
  kNoRoute,   // no source address towards the backend
  kNoPort,    // all of this proxy's ports towards the backend are in use
  kNoMemory,  // the stack has no room for a connection
};

class UpstreamPools {
 public:
  explicit UpstreamPools(Core& core);
  ~UpstreamPools();
  UpstreamPools(const UpstreamPools&) = delete;
  UpstreamPools& operator=(const UpstreamPools&) = delete;

  [[nodiscard]] Pool* find(std::string_view name) noexcept;

  // The backend for a request, other than those tried. kNoBackend: none is left that is up.
  [[nodiscard]] lb::BackendIndex choose(const Pool& pool, std::uint64_t hash,
                                        std::span<const lb::BackendIndex> tried) noexcept;
  // An idle connection to that backend; nullptr: there is none.
  [[nodiscard]] UpstreamLease take_idle(Pool& pool, lb::BackendId backend, EventPort& port) noexcept;
  // Begins a new connection; the port hears kConnected or kClosed.
  [[nodiscard]] UpstreamLease connect(Pool& pool, lb::BackendId backend, EventPort& port, ConnectOutcome& outcome);
  // The response was read to its end. `keep`: the connection may serve another request; else it is closed.
  void give_back(UpstreamLease lease, bool keep) noexcept;
  void close_idle() noexcept;

  // A local endpoint for a new connection to there; nothing: no route or no port (then `outcome` says which).
  [[nodiscard]] std::optional<net::Endpoint> local_for(const net::Endpoint& remote, ConnectOutcome& outcome) {
    return local_for(remote, remote.address, outcome);
  }
  // The same where packets to `remote` are sent by way of `via`, the other end of a tunnel.
  [[nodiscard]] std::optional<net::Endpoint> local_for(const net::Endpoint& remote, const net::IpAddress& via,
                                                       ConnectOutcome& outcome);
  // That connection has ended without TIME_WAIT: its port may be had again.
  void released(const net::Endpoint& local, const net::Endpoint& remote) noexcept;

 private:
  friend class UpstreamConnection;
  void drop_idle(UpstreamConnection& connection) noexcept;
  [[nodiscard]] std::optional<net::IpAddress> source_for(const net::IpAddress& via, bool ipv4) noexcept;

  Core& core_;
  std::vector<std::unique_ptr<Pool>> pools_;
  std::map<std::pair<net::IpAddress, net::Endpoint>, PortSearch> searches_;  // by our address and the destination
  std::uint32_t next_source_ = 0;                                            // of those that `upstream.source` names
};

}  // namespace sluice::proxy
