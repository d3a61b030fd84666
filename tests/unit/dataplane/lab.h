// The whole packet path over devices in memory and a clock that the test turns: packets in, packets out.
// Interfaces get the MAC addresses 02:00:00:00:00:01, :02, ... Every mbuf must be back in the pool at the end.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "../../support/packets.h"
#include "sluice/config/load.h"
#include "sluice/dataplane/assembly.h"
#include "sluice/dataplane/memory_device.h"
#include "sluice/dataplane/worker.h"
#include "sluice/lb/build_snapshot.h"
#include "sluice/lb/health_board.h"
#include "sluice/lb/port_plan.h"
#include "sluice/lb/snapshot_slot.h"

namespace sluice::dataplane {

using telemetry::Drop;
using test::Bytes;
using test::ip4;
using test::ip6;

struct LabOptions {
  std::uint32_t mbufs = 2047;
  std::uint16_t queues = 1;  // of each device, in each direction
  std::size_t port_owners =
      0;  // more owners of NAT ports than there are roles, to make the blocks small; 0: just the roles
  bool announce = false;
  bool publish = true;                   // a snapshot
  dpdk::Rss rss = {};                    // what each device says of itself
  std::vector<bool> tcp_checksums = {};  // by interface: its device completes TCP checksums, before sent() sees them
  bool vlan_offloads = false;  // each device takes a tag off what put() gives it, and puts one on before sent() sees it
};

class Lab {
 public:
  explicit Lab(const std::string& yaml, const LabOptions& options = {});
  ~Lab();
  Lab(const Lab&) = delete;
  Lab& operator=(const Lab&) = delete;

  // `marks`: what the device says of the packet (RTE_MBUF_F_RX_*).
  void put(const Bytes& frame, std::size_t interface = 0, std::uint16_t queue = 0, std::uint64_t marks = 0);
  // Every loop turns until nothing moves any more.
  void run();
  // The same with so many packet buffers left.
  void run_with_buffers(std::size_t left);
  // What a health check found, and the snapshot that follows from it.
  void report(const std::string& backend, lb::Health health);
  // The snapshot of another configuration with the same interfaces, workers and proxies.
  void reload(const std::string& yaml);
  void pass(Duration time) { now_ += time; }
  // What an interface has sent since the last call.
  std::vector<Bytes> sent(std::size_t interface = 0);
  // put(), run(), sent(): of the same interface.
  std::vector<Bytes> exchange(const Bytes& frame, std::size_t interface = 0);
  // Of a packet with so much room in front of it in its buffer.
  std::vector<Bytes> exchange_with_headroom(const Bytes& frame, std::uint16_t headroom, std::size_t interface = 0);

  [[nodiscard]] std::uint64_t drops(telemetry::Drop reason);
  [[nodiscard]] std::uint64_t drops();  // of all reasons
  [[nodiscard]] telemetry::WorkerCounters& counters(std::size_t worker = 0) {
    return assembly_->worker_counters(worker);
  }
  [[nodiscard]] Assembly& assembly() { return *assembly_; }
  [[nodiscard]] MemoryDevice& device(std::size_t interface = 0) { return *devices_[interface]; }
  [[nodiscard]] const lb::Snapshot& snapshot() { return *slot_.load(); }
  [[nodiscard]] dpdk::Mempool& pool() { return *pool_; }
  [[nodiscard]] Instant now() const { return now_; }

 private:
  [[nodiscard]] rte_mbuf* buffer_of(const Bytes& frame, std::uint16_t headroom);
  const bool vlan_offloads_;
  std::shared_ptr<const config::Config> config_;  // that the assembly was made for
  std::optional<dpdk::Mempool> pool_;
  std::vector<std::unique_ptr<MemoryDevice>> devices_;
  std::optional<Topology> topology_;
  lb::HealthBoard health_;
  lb::SnapshotSlot slot_;
  std::shared_ptr<const lb::Snapshot> before_;  // of the last report()
  std::optional<lb::PortPlan> ports_;
  std::unique_ptr<Assembly> assembly_;
  Instant now_{std::chrono::hours(1)};
};

// Frames of a client towards us, and of a backend.
inline constexpr net::MacAddress kOurMac{{2, 0, 0, 0, 0, 1}};
inline constexpr net::MacAddress kGatewayMac{{2, 0, 0, 0, 0xff, 1}};
inline constexpr net::MacAddress kBackendMac{{2, 0, 0, 0, 0xbb, 1}};

[[nodiscard]] Bytes from_client(test::PacketBuilder packet);
[[nodiscard]] Bytes from_backend(test::PacketBuilder packet);

// Who takes part in the configurations below.
inline constexpr const char* kClient = "192.0.2.7";
inline constexpr const char* kService = "203.0.113.10";
inline constexpr const char* kOwn = "198.51.100.2";
inline constexpr const char* kBackend = "198.51.100.11";

[[nodiscard]] Bytes syn(std::uint16_t port);    // of the client to port 80 of the service
[[nodiscard]] Bytes query(std::uint16_t port);  // UDP, to its port 53

// One interface, one backend, a TCP and a UDP service; `runtime` stands in its section.
[[nodiscard]] std::string simple_config(const std::string& runtime = "workers: [0], flows: 1024");
// One interface of IPv4, whose gateway, backend, and a second backend 198.51.100.12 are known; pools and services follow.
[[nodiscard]] std::string edge_config(const std::string& rest,
                                      const std::string& runtime = "workers: [0], flows: 1024");

// Packets of IPv6 clients to a service behind a tunnel that leaves IPv6 less than its 1,280 bytes.
[[nodiscard]] std::string narrow_config(const std::string& forward, const std::string& backend);
[[nodiscard]] Bytes query6(std::size_t bytes);  // of so many with the IP header, to port 53
// What all fragments, in their order, have behind their IP headers; they must belong together and fit 1,290 bytes.
[[nodiscard]] Bytes joined_payload(const std::vector<Bytes>& fragments);

[[nodiscard]] std::uint16_t src_port_of(const Bytes& frame);  // IPv4 without options
[[nodiscard]] std::uint32_t word_at(const Bytes& frame, std::size_t at);

}  // namespace sluice::dataplane
