// All roles of the process and what lies between them, built over devices that are already there: the same for the
// running daemon (ports of DPDK, a thread per CPU) and for replay and tests (devices in memory, virtual time).
// Threading: built and destroyed on the main thread while no loop runs. Each loop then belongs to the thread that runs
//            it. Counters may be read at any time.
// Ownership: owns roles, loops, rings, tables and counters; borrows devices, pool, snapshots and port plan. Proxies are
//            attached, not owned.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "sluice/base/result.h"
#include "sluice/base/siphash.h"
#include "sluice/config/config.h"
#include "sluice/dataplane/poll_loop.h"
#include "sluice/dataplane/rss_maps.h"
#include "sluice/dataplane/topology.h"
#include "sluice/dpdk/device.h"
#include "sluice/dpdk/mempool.h"
#include "sluice/dpdk/qsbr.h"
#include "sluice/tcp/packet_sink.h"
#include "sluice/telemetry/counters.h"

namespace sluice::lb {
class PortPlan;
class SnapshotSlot;
}  // namespace sluice::lb

namespace sluice::dataplane {

class PacketHost;
class Worker;

inline constexpr std::uint32_t kRingPackets = 2048;  // of each ring between roles and CPUs

struct AssemblyParts {
  const config::Config& config;
  const Topology& topology;
  std::span<dpdk::Device* const> devices;  // by InterfaceId; nullptr for a VLAN
  const dpdk::Mempool& pool;
  const lb::SnapshotSlot& snapshots;
  const lb::PortPlan& ports;
  SipKey secret{};         // flow hashes
  std::uint64_t seed = 0;  // choice of NAT ports
  bool announce = true;    // gratuitous ARP and unsolicited neighbour advertisements at start
};

class Assembly {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Assembly>> create(const AssemblyParts& parts);
  ~Assembly();
  Assembly(const Assembly&) = delete;
  Assembly& operator=(const Assembly&) = delete;

  // Once the devices are started, before any loop runs: how they spread what they receive. Without this call nothing is
  // known of it, and packets are handed over.
  void learn_rss();

  [[nodiscard]] std::size_t workers() const noexcept;
  [[nodiscard]] std::size_t proxies() const noexcept;
  [[nodiscard]] Worker& worker(std::size_t index) noexcept;
  [[nodiscard]] tcp::PacketSink& sink(std::size_t proxy) noexcept;
  void attach(std::size_t proxy, PacketHost& host) noexcept;  // proxy_host.h

  [[nodiscard]] std::span<const std::unique_ptr<PollLoop>> loops() noexcept;  // one per CPU
  [[nodiscard]] dpdk::Qsbr& qsbr() noexcept;
  // The earliest of all roles; for who turns the loops itself.
  [[nodiscard]] std::optional<Instant> next_deadline() const noexcept;

  [[nodiscard]] const RssMaps& rss() const noexcept;
  [[nodiscard]] telemetry::WorkerCounters& worker_counters(std::size_t index) noexcept;
  [[nodiscard]] telemetry::ProxyCounters& proxy_counters(std::size_t index) noexcept;

 private:
  class Impl;
  explicit Assembly(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::dataplane
