// A device without a driver: packets are put in and taken out by the program. Replay, tests and benchmarks run the
// packet path on it.
// Threading: one thread.
// Ownership: mbufs put in belong to the device until received; mbufs sent belong to it until taken; the rest is freed
//            with it.
#pragma once

#include <deque>
#include <utility>
#include <vector>

#include "sluice/dpdk/device.h"

namespace sluice::dataplane {

class MemoryDevice final : public dpdk::Device {
 public:
  explicit MemoryDevice(const net::MacAddress& mac, std::uint16_t queues = 1);
  ~MemoryDevice() override;
  MemoryDevice(const MemoryDevice&) = delete;
  MemoryDevice& operator=(const MemoryDevice&) = delete;

  void put(rte_mbuf* mbuf, std::uint16_t queue = 0);      // to be received
  [[nodiscard]] std::vector<rte_mbuf*> take_sent();       // in the order of sending; the caller frees them
  void set_rss(dpdk::Rss rss) { rss_ = std::move(rss); }  // what it says of itself: put() goes by `queue` alone
  // Whether mbufs that are sent may ask for a tag, and those put in be without theirs: the caller's affair, both.
  void set_vlan_offloads(bool on) noexcept { capabilities_.rx_vlan_strip = capabilities_.tx_vlan_insert = on; }
  void set_tcp_checksums(bool on) noexcept { capabilities_.tx_tcp_checksum = on; }  // as above: asked for, not done
  void refuse_sends_after(std::size_t packets) noexcept { accepts_ = packets; }     // as a full transmit queue does

  [[nodiscard]] std::size_t receive(std::uint16_t queue, std::span<rte_mbuf*> room) noexcept override;
  [[nodiscard]] std::size_t send(std::uint16_t queue, std::span<rte_mbuf*> mbufs) noexcept override;
  [[nodiscard]] const net::MacAddress& mac() const noexcept override { return mac_; }
  [[nodiscard]] const dpdk::DeviceCapabilities& capabilities() const noexcept override { return capabilities_; }
  [[nodiscard]] dpdk::DeviceStats stats() const noexcept override { return stats_; }
  [[nodiscard]] const dpdk::Rss& rss() const noexcept override { return rss_; }

 private:
  net::MacAddress mac_;
  dpdk::DeviceCapabilities capabilities_;
  std::vector<std::deque<rte_mbuf*>> incoming_;
  std::vector<rte_mbuf*> sent_;
  std::size_t accepts_ = ~std::size_t{0};
  dpdk::DeviceStats stats_;
  dpdk::Rss rss_;
};

}  // namespace sluice::dataplane
