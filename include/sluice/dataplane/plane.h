// The running data plane: DPDK, its ports, the assembly of roles, and one thread per CPU.
// Threading: every call on the main thread; counters and stats may be read anywhere.
// Ownership: owns EAL, ports, pool, assembly and threads; the rest as in assembly.h.
// Use:       open() -> topology() -> build() -> attach() each proxy -> start() ... stop().
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sluice/base/result.h"
#include "sluice/dataplane/assembly.h"
#include "sluice/dpdk/port.h"

namespace sluice::dataplane {

struct InterfaceStatus {
  std::string name, device, driver;
  net::MacAddress mac;
  std::uint16_t rx_queues = 0, tx_queues = 0;
  std::vector<std::string> rss;  // what is spread over the receive queues by addresses and ports: "tcp4", "udp6", ...
  bool rss_known = false;        // by which key and table: so NAT ports can be chosen for their replies' queue
  std::vector<std::string> offloads;  // what the device does to single packets for us: "vlan_strip", ...
  dpdk::DeviceStats stats;
};

struct RoleParts {
  const lb::SnapshotSlot& snapshots;
  const lb::PortPlan& ports;
  SipKey secret{};
  std::uint64_t seed = 0;
};

class Plane {
 public:
  // Starts EAL, opens every interface and makes the packet pool. Errors name the device and the reason.
  // `rss_key`: random; for interfaces whose `rss_key` is so.
  [[nodiscard]] static Result<std::unique_ptr<Plane>> open(const config::Config& config, const dpdk::RssKey& rss_key);
  ~Plane();  // stops first
  Plane(const Plane&) = delete;
  Plane& operator=(const Plane&) = delete;

  [[nodiscard]] const Topology& topology() const noexcept;
  [[nodiscard]] bool huge_pages() const noexcept;

  [[nodiscard]] Result<void> build(const RoleParts& parts);
  [[nodiscard]] Assembly& assembly() noexcept;  // after build()

  [[nodiscard]] Result<void> start();  // ports, then threads
  void stop() noexcept;                // threads, then ports; may be called twice

  // Waits until every loop has passed a turn since the call: what was published before it is seen, what was taken away
  // is no longer used. Blocks the caller for about a turn.
  void wait_for_grace() noexcept;

  [[nodiscard]] std::vector<InterfaceStatus> interfaces() const;
  [[nodiscard]] std::uint32_t mbufs_in_use() const noexcept;
  [[nodiscard]] std::uint32_t mbufs() const noexcept;

 private:
  class Impl;
  explicit Plane(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::dataplane
