// The layer-7 half of sluice: one Proxy per proxy thread terminates TCP and TLS, and answers HTTP from files, from the
// cache or from backends. It also runs its share of the active health checks, for pools of both layers.
// Threading: every call comes from the proxy's thread; inbox()->post() from any. No locks but the cache's and the
//            inbox's.
// Ownership: the proxy owns its TcpStack, TLS contexts, upstream connections and sessions. What ProxyParts refers to
//            must outlive it.
// I/O:       none: packets come by receive() and leave by the PacketSink; files are read by the FileService.
// Use:       each turn of the loop: receive() with what has arrived, then poll() once. If poll() says false, the loop may
//            sleep until next_deadline(), until a packet arrives or until ProxyParts::wake is called.
// Units:     Instant is nanoseconds since start (never goes back); UnixSeconds is the wall clock, for HTTP dates.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "sluice/base/result.h"
#include "sluice/base/siphash.h"
#include "sluice/base/time.h"
#include "sluice/lb/probe_paths.h"
#include "sluice/net/address.h"
#include "sluice/tcp/packet_sink.h"
#include "sluice/tcp/stack.h"

namespace sluice::cache {
class Store;
}
namespace sluice::config {
struct Config;
}
namespace sluice::lb {
class HealthBoard;
class PortPlan;
class SnapshotSlot;
}  // namespace sluice::lb
namespace sluice::telemetry {
struct ProxyCounters;
}
namespace sluice::tls {
class TicketKeys;
}

namespace sluice::proxy {

class FileService;
class Inbox;

// What a proxy is wired to. All references outlive it.
struct ProxyParts {
  const config::Config& config;
  unsigned index = 0;                            // of this proxy, 0 ..
  unsigned count = 1;                            // proxies of the process: limits and health checks are split over them
  tcp::PacketSink& sink;                         // this proxy's own
  const lb::SnapshotSlot& snapshots;             // backends and their ids
  lb::HealthBoard& health;                       // the proxy that checks a backend writes it, all read it
  const lb::PortPlan& ports;                     // this proxy's block of local ports, towards backends
  cache::Store& cache;                           // shared by all proxies
  std::shared_ptr<tls::TicketKeys> ticket_keys;  // shared by all proxies
  FileService& files;                            // shared by all proxies
  telemetry::ProxyCounters& counters;            // written by this proxy alone
  // The local address, of that family, that connections leave from which go by way of `via` (in a tunnel that may be of the
  // other family), unless `upstream.source` names some; nothing: no route.
  std::function<std::optional<net::IpAddress>(const net::IpAddress& via, bool ipv4)> source_for;
  // Makes this proxy's loop run its next turn soon; called from any thread. Empty: the loop never sleeps.
  std::function<void()> wake;
  SipKey secret{};         // for the TCP stack's sequence numbers; from the kernel
  std::uint64_t seed = 0;  // for jitter and choice of ports
  std::uint16_t mtu = 1500;
};

class Proxy {
 public:
  // Loads certificates, opens the listeners of all `proxy:` services, prepares the health checks. Errors name the
  // service.
  [[nodiscard]] static Result<std::unique_ptr<Proxy>> create(ProxyParts parts, Instant now);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  // Received IP packets for this proxy (IPv4 or IPv6, each from the IP header on). The bytes are copied before return.
  void receive(std::span<const tcp::Received> burst, Instant now) noexcept;
  // An ICMP error about a packet that this proxy sent.
  void receive_icmp_error(const tcp::IcmpMessage& message, Instant now) noexcept;

  // One turn: mail, connections' events, exchanges, timers, transmission. True if it did anything.
  bool poll(Instant now, UnixSeconds wall) noexcept;
  // When poll() must run again at the latest; nothing: only a packet or a wake gives it work.
  [[nodiscard]] std::optional<Instant> next_deadline() const noexcept;

  // Stops accepting; idle connections close at once, busy ones after their response; at the deadline the rest is reset.
  void begin_drain(Instant deadline) noexcept;
  [[nodiscard]] bool drained() const noexcept;  // no client connection and no exchange is left

  [[nodiscard]] const std::shared_ptr<Inbox>& inbox() const noexcept;
  // Whose packets do not go to their destination; lives as long as the proxy.
  [[nodiscard]] const lb::ProbePaths& probe_paths() const noexcept;
  [[nodiscard]] const tcp::StackStats& tcp_stats() const noexcept;
  // What AES-GCM is computed with, as the TLS library that is in use says: "ipsec-mb 1.3.0 (AVX2)". Empty: no service has TLS.
  [[nodiscard]] std::string tls_crypto() const;

 private:
  class Impl;
  explicit Proxy(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::proxy
