// A worker: takes bursts from its receive queues and from other roles, and brings every packet to its end: forwarded,
// handed to its owner, answered, or dropped with a reason.
// Threading: everything on the loop of the worker's CPU, but queries() and refuse_new_flows(), which any thread may use.
// Ownership: owns its flow table and NAT ports; borrows the rest, which outlives it.
// Stages:    receive -> parse all -> classify all -> look up all -> rewrite all -> transmit queue, so that the cache
//            misses of a burst overlap. No allocation, lock, system call, log line or exception per packet.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "sluice/base/own_lines.h"
#include "sluice/base/siphash.h"
#include "sluice/dataplane/egress.h"
#include "sluice/dataplane/handoff.h"
#include "sluice/dataplane/neighbors.h"
#include "sluice/dataplane/role.h"
#include "sluice/dataplane/rss_maps.h"
#include "sluice/dpdk/device.h"
#include "sluice/dpdk/mempool.h"
#include "sluice/esp/gcm.h"
#include "sluice/lb/flow_query.h"
#include "sluice/lb/nat_ports.h"
#include "sluice/lb/port_plan.h"
#include "sluice/lb/snapshot_slot.h"
#include "sluice/telemetry/counters.h"

namespace sluice::dataplane {

struct Acls;

// A receive queue that this worker polls.
struct RxQueue {
  dpdk::Device* device = nullptr;
  std::uint16_t queue = 0;
  InterfaceId interface = 0;
};

// What a worker keeps of packets in fragments, see fragments.h.
struct FragmentLimits {
  std::size_t packets = 4096;
  std::size_t waiting = 256;
  Duration timeout = std::chrono::seconds(2);
};

struct WorkerParts {
  RoleId id = 0;  // its index; worker 0 is the one that knows the neighbours
  std::size_t workers = 1;
  std::size_t proxies = 0;
  std::vector<RxQueue> queues;
  std::size_t flows = 1 << 20;         // of this worker
  std::size_t persistent_clients = 0;  // of this worker
  std::size_t nat_sets = lb::NatPorts::kDefaultSets;
  FragmentLimits fragments;
  std::uint64_t note_flag = 0;  // of mbufs' ol_flags, see fragment_path.h
  SipKey secret{};              // the same for every worker: they must agree on who owns a packet
  std::uint64_t seed = 0;
  bool syn_proxy = false;  // some service has one
  bool announce = true;
  std::optional<esp::GcmEngine> esp_engine;  // where there are peers of `esp`
  const config::Config& config;
  const Acls& acls;
  const Topology& topology;
  Neighbors& neighbors;
  const dpdk::Mempool& pool;
  const lb::SnapshotSlot& snapshots;
  const lb::PortPlan& ports;
  const RssMaps& rss;
  Tx& tx;                   // of the CPU
  Inbox& inbox;             // of this worker
  Handoff handoff;          // to every role
  dpdk::MbufRing& resolve;  // to worker 0: packets without a known neighbour
  telemetry::WorkerCounters& counters;
};

class Worker final : public Role {
 public:
  explicit Worker(WorkerParts parts);  // allocates; may throw std::bad_alloc
  ~Worker() override;

  bool poll(Instant now) noexcept override;
  [[nodiscard]] std::optional<Instant> next_deadline() const noexcept override;

  // From the next turn on flows that are there go on, and new ones are refused as a closed port refuses them. Any thread.
  void refuse_new_flows() noexcept;

  // Where control asks for this worker's flows.
  [[nodiscard]] lb::FlowQueryMailbox& queries() noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Whose a client's packet is, where no RssMap says it: a number that every worker computes alike. Its upper half picks the
// worker, its lower half the proxy.
[[nodiscard]] std::uint64_t tuple_hash(const SipKey& secret, const net::IpAddress& client, std::uint16_t client_port,
                                       const net::IpAddress& service, std::uint16_t service_port,
                                       net::IpProto proto) noexcept;

}  // namespace sluice::dataplane
