// An Ethernet port of DPDK: a NIC, or one of its software drivers (net_null, net_pcap, net_af_packet, net_af_xdp, ...).
// Threading: open(), start(), stop() on the main thread; queues as in device.h; stats() anywhere.
// Ownership: closes the port when destroyed. The Mempool outlives it.
// Errors:    name the device and carry the driver's own last words.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <rte_ethdev.h>

#include "sluice/base/result.h"
#include "sluice/dpdk/device.h"
#include "sluice/dpdk/mempool.h"

namespace sluice::dpdk {

// As long as the longest that NICs have; those with shorter ones take the beginning.
using RssKey = std::array<std::uint8_t, 52>;

struct PortOptions {
  std::string device;  // PCI address or vdev string: "net_af_xdp0,iface=veth0,busy_budget=0"
  std::uint16_t mtu = 1500;
  std::uint16_t rx_queues = 1;  // wanted; the port may have fewer, or force more (capabilities() has the outcome)
  std::uint16_t tx_queues = 1;  // wanted; likewise
  std::uint16_t descriptors = 1024;
  bool promiscuous = false;
  bool vlans = false;          // tagged frames are wanted: the device takes tags off and puts them on, if it can
  bool tcp_checksums = false;  // TCP segments of ours leave: the device completes their checksums, if it can
  std::optional<RssKey> rss_key = {};  // without: the device keeps its own
};

class Port final : public Device {
 public:
  // Attaches the device (a PCI device must have been named to Eal::start()), sets it up and leaves it stopped. The MTU
  // is known before the pool is made, so this is split in two.
  [[nodiscard]] static Result<std::unique_ptr<Port>> open(const PortOptions& options, const Mempool& pool);
  ~Port() override;
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  [[nodiscard]] Result<void> start();
  void stop() noexcept;

  [[nodiscard]] std::size_t receive(std::uint16_t queue, std::span<rte_mbuf*> room) noexcept override {
    return rte_eth_rx_burst(id_, queue, room.data(), static_cast<std::uint16_t>(room.size()));
  }
  [[nodiscard]] std::size_t send(std::uint16_t queue, std::span<rte_mbuf*> mbufs) noexcept override {
    return rte_eth_tx_burst(id_, queue, mbufs.data(), static_cast<std::uint16_t>(mbufs.size()));
  }
  [[nodiscard]] const net::MacAddress& mac() const noexcept override { return mac_; }
  [[nodiscard]] const DeviceCapabilities& capabilities() const noexcept override { return capabilities_; }
  [[nodiscard]] DeviceStats stats() const noexcept override;
  [[nodiscard]] const Rss& rss() const noexcept override { return rss_; }  // after start()

  [[nodiscard]] std::uint16_t id() const noexcept { return id_; }
  [[nodiscard]] const std::string& driver() const noexcept { return driver_; }

 private:
  Port(std::uint16_t id, std::string name) noexcept : id_(id), name_(std::move(name)) {}
  Result<void> configure(const PortOptions& options, const Mempool& pool);
  void set_up_rss();
  void set_up_rss_table(std::uint16_t entries);
  Result<void> set_up_queues(const PortOptions& options, const Mempool& pool, const rte_eth_dev_info& info);

  std::uint16_t id_;
  std::string name_;
  std::string driver_;
  net::MacAddress mac_;
  DeviceCapabilities capabilities_;
  bool promiscuous_ = false;
  bool started_ = false;
  std::optional<RssKey> rss_key_;  // wanted
  Rss rss_;
};

}  // namespace sluice::dpdk
