// What the packet path sees of an interface's device: queues of bursts. One virtual call a burst, none a packet.
// Threading: each queue is used by one thread at a time.
// Ownership: mbufs received belong to the caller; mbufs that send() took belong to the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <rte_mbuf.h>

#include "sluice/net/address.h"

namespace sluice::dpdk {

struct DeviceCapabilities {
  std::uint16_t rx_queues = 1;
  std::uint16_t tx_queues = 1;
  bool tx_multi_segment = false;  // takes chained mbufs
  bool tx_tcp_checksum = false;   // completes TCP checksums of what it sends, on request of an mbuf's flags
  bool rx_checksum = false;       // judges IPv4 header, TCP and UDP checksums of what it receives, in the mbuf's flags
  bool rx_vlan_strip = false;     // takes one tag off what it receives, and says so in the mbuf
  bool tx_vlan_insert = false;    // puts one tag (802.1Q) on what it sends, on request of an mbuf's flags
};

// How a device spreads what it receives over its queues (receive-side scaling), as it says itself once it is started.
struct Rss {
  std::uint64_t types = 0;            // RTE_ETH_RSS_*, of the packets that it spreads; 0: it does not
  std::vector<std::uint8_t> key;      // of its Toeplitz hash; empty: not known
  std::vector<std::uint16_t> queues;  // of its table, which the low bits of the hash point into; empty: not known
};

struct DeviceStats {
  std::uint64_t rx_packets = 0, rx_bytes = 0, tx_packets = 0, tx_bytes = 0;
  std::uint64_t rx_missed = 0, rx_errors = 0, rx_no_mbuf = 0, tx_errors = 0;
  bool link_up = false;
  std::uint32_t link_mbps = 0;  // 0: unknown
};

class Device {
 public:
  virtual ~Device() = default;
  [[nodiscard]] virtual std::size_t receive(std::uint16_t queue, std::span<rte_mbuf*> room) noexcept = 0;
  // How many of the mbufs, from the front, the device took.
  [[nodiscard]] virtual std::size_t send(std::uint16_t queue, std::span<rte_mbuf*> mbufs) noexcept = 0;

  [[nodiscard]] virtual const net::MacAddress& mac() const noexcept = 0;
  [[nodiscard]] virtual const DeviceCapabilities& capabilities() const noexcept = 0;
  [[nodiscard]] virtual DeviceStats stats() const noexcept = 0;
  [[nodiscard]] virtual const Rss& rss() const noexcept {
    static const Rss none;
    return none;
  }
};

}  // namespace sluice::dpdk
