#include "sluice/dpdk/port.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include <fmt/format.h>
#include <rte_dev.h>
#include <rte_errno.h>

#include "log_capture.h"
#include "sluice/base/log.h"
#include "sluice/dpdk/eal.h"

namespace sluice::dpdk {
namespace {

// Drivers whose every queue gets packets whether it is set up or not: all of them must be polled.
constexpr std::array<std::string_view, 3> kDriversWithFixedQueues = {"net_pcap", "net_af_packet", "net_af_xdp"};

// By addresses and ports where the device can, else by addresses.
constexpr std::uint64_t kSpread = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_SCTP;

// A table of the device, in pieces of 64 entries.
std::vector<rte_eth_rss_reta_entry64> table_of(std::uint16_t entries) {
  std::vector<rte_eth_rss_reta_entry64> table((entries + RTE_ETH_RETA_GROUP_SIZE - 1u) / RTE_ETH_RETA_GROUP_SIZE);
  for (unsigned at = 0; at < entries; ++at) {
    table[at / RTE_ETH_RETA_GROUP_SIZE].mask |= std::uint64_t{1} << at % RTE_ETH_RETA_GROUP_SIZE;
  }
  return table;
}

// "why: the driver's last words"
std::string reason(int error) {
  const std::string lines = take_log_lines();
  const char* text = rte_strerror(error < 0 ? -error : error);
  return lines.empty() ? std::string(text) : fmt::format("{} ({})", text, lines);
}

std::string name_of(std::string_view device) {
  const std::string_view name = device.substr(0, device.find(','));
  // A PCI device is known by its full address.
  if (is_pci_device(name) && std::ranges::count(name, ':') == 1) return fmt::format("0000:{}", name);
  return std::string(name);
}

bool has_fixed_queues(std::string_view driver) {
  return std::ranges::find(kDriversWithFixedQueues, driver) != kDriversWithFixedQueues.end();
}

}  // namespace

Result<std::unique_ptr<Port>> Port::open(const PortOptions& options, const Mempool& pool) {
  const std::string name = name_of(options.device);
  clear_log_lines();
  if (!is_pci_device(options.device)) {  // PCI devices were probed by rte_eal_init()
    if (const int error = rte_dev_probe(options.device.c_str()); error != 0) {
      return fail(fmt::format("device `{}` cannot be opened: {}", options.device, reason(error)));
    }
  }
  std::uint16_t id = 0;
  if (rte_eth_dev_get_port_by_name(name.c_str(), &id) != 0) {
    return fail(fmt::format("device `{}` is not a network port that DPDK has a driver for{}", options.device,
                            is_pci_device(options.device) ? " (is it bound to vfio-pci?)" : ""));
  }
  std::unique_ptr<Port> port(new Port(id, name));
  if (Result<void> done = port->configure(options, pool); !done) {
    return fail(fmt::format("device `{}`: {}", options.device, done.error().message));
  }
  return port;
}

Result<void> Port::configure(const PortOptions& options, const Mempool& pool) {
  rte_eth_dev_info info{};
  if (const int error = rte_eth_dev_info_get(id_, &info); error != 0) return fail(reason(error));
  driver_ = info.driver_name;
  promiscuous_ = options.promiscuous;
  rss_key_ = options.rss_key;
  const bool fixed = has_fixed_queues(driver_);
  const auto queues = [&](std::uint16_t wanted, std::uint16_t max) {
    return fixed ? max : std::clamp<std::uint16_t>(wanted, 1, std::max<std::uint16_t>(max, 1));
  };
  capabilities_.rx_queues = queues(options.rx_queues, info.max_rx_queues);
  capabilities_.tx_queues = queues(options.tx_queues, info.max_tx_queues);
  capabilities_.tx_multi_segment = (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;

  rte_eth_conf conf{};
  conf.rxmode.mtu = options.mtu;
  conf.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_CHECKSUM;
  conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  if (options.tcp_checksums) conf.txmode.offloads |= info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
  if (options.vlans) {
    conf.rxmode.offloads |= info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_VLAN_STRIP;
    conf.txmode.offloads |= info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_VLAN_INSERT;
  }
  capabilities_.rx_checksum = (info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_CHECKSUM) == RTE_ETH_RX_OFFLOAD_CHECKSUM;
  capabilities_.tx_tcp_checksum = (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) != 0;
  capabilities_.rx_vlan_strip = (conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_VLAN_STRIP) != 0;
  capabilities_.tx_vlan_insert = (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_VLAN_INSERT) != 0;
  RssKey key = options.rss_key.value_or(RssKey{});
  if (capabilities_.rx_queues > 1 && (info.flow_type_rss_offloads & kSpread) != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & kSpread;
    if (options.rss_key && info.hash_key_size != 0 && info.hash_key_size <= key.size()) {
      conf.rx_adv_conf.rss_conf.rss_key = key.data();
      conf.rx_adv_conf.rss_conf.rss_key_len = info.hash_key_size;
    }
  }
  if (const int error = rte_eth_dev_configure(id_, capabilities_.rx_queues, capabilities_.tx_queues, &conf);
      error != 0) {
    return fail(fmt::format("{} receive and {} transmit queues are refused: {}", capabilities_.rx_queues,
                            capabilities_.tx_queues, reason(error)));
  }
  if (Result<void> done = set_up_queues(options, pool, info); !done) return done;

  std::uint16_t mtu = 0;
  rte_eth_dev_get_mtu(id_, &mtu);
  if (mtu != options.mtu) {
    const int error = rte_eth_dev_set_mtu(id_, options.mtu);
    // A driver that cannot set an MTU has none to enforce; one that refuses this value does.
    if (error != 0 && error != -ENOTSUP)
      return fail(fmt::format("an MTU of {} is refused: {}", options.mtu, reason(error)));
  }
  rte_ether_addr mac{};
  if (const int error = rte_eth_macaddr_get(id_, &mac); error != 0) return fail(reason(error));
  std::memcpy(mac_.bytes.data(), mac.addr_bytes, mac_.bytes.size());
  return {};
}

Result<void> Port::set_up_queues(const PortOptions& options, const Mempool& pool, const rte_eth_dev_info& info) {
  std::uint16_t rx = options.descriptors, tx = options.descriptors;
  if (const int error = rte_eth_dev_adjust_nb_rx_tx_desc(id_, &rx, &tx); error != 0) return fail(reason(error));
  const auto socket = static_cast<unsigned>(rte_eth_dev_socket_id(id_));
  for (std::uint16_t queue = 0; queue < capabilities_.rx_queues; ++queue) {
    rte_eth_rxconf conf = info.default_rxconf;
    conf.offloads = info.rx_offload_capa & info.rx_queue_offload_capa & RTE_ETH_RX_OFFLOAD_CHECKSUM;
    if (const int error = rte_eth_rx_queue_setup(id_, queue, rx, socket, &conf, pool.raw()); error != 0) {
      return fail(fmt::format("receive queue {}: {}", queue, reason(error)));
    }
  }
  for (std::uint16_t queue = 0; queue < capabilities_.tx_queues; ++queue) {
    rte_eth_txconf conf = info.default_txconf;
    conf.offloads = 0;
    if (const int error = rte_eth_tx_queue_setup(id_, queue, tx, socket, &conf); error != 0) {
      return fail(fmt::format("transmit queue {}: {}", queue, reason(error)));
    }
  }
  return {};
}

Result<void> Port::start() {
  clear_log_lines();
  if (const int error = rte_eth_dev_start(id_); error != 0) {
    return fail(fmt::format("device `{}` does not start: {}", name_, reason(error)));
  }
  started_ = true;
  set_up_rss();
  // Solicited-node multicast must reach us (RFC 4861 section 7.2.3). Drivers without the switch deliver it anyway.
  if (rte_eth_allmulticast_enable(id_) != 0 || promiscuous_) (void)rte_eth_promiscuous_enable(id_);
  return {};
}

// What the device does in the end is what it says that it does; one that says nothing may do as it likes.
void Port::set_up_rss() {
  rss_ = {};
  rte_eth_dev_info info{};
  if (capabilities_.rx_queues < 2 || rte_eth_dev_info_get(id_, &info) != 0) return;
  // Drivers of old do not say how long their key is: of the one length that there was then.
  const std::uint8_t key_size = info.hash_key_size == 0 ? std::uint8_t{40} : info.hash_key_size;
  std::vector<std::uint8_t> key(std::max<std::size_t>(key_size, sizeof(RssKey)));
  rte_eth_rss_conf conf{.rss_key = key.data(), .rss_key_len = key_size, .rss_hf = 0};
  if (rte_eth_dev_rss_hash_conf_get(id_, &conf) != 0 || conf.rss_hf == 0) return;
  if (rss_key_ && key_size <= rss_key_->size() && !std::equal(key.begin(), key.begin() + key_size, rss_key_->begin())) {
    // It did not take the key at its configuration.
    std::copy_n(rss_key_->begin(), key_size, key.begin());
    (void)rte_eth_dev_rss_hash_update(id_, &conf);
    std::ranges::fill(key, std::uint8_t{0});
    if (rte_eth_dev_rss_hash_conf_get(id_, &conf) != 0 || conf.rss_hf == 0) return;
  }
  rss_.types = conf.rss_hf;
  key.resize(key_size);
  // A driver that does not know it leaves the room for it as it was.
  if (std::ranges::any_of(key, [](std::uint8_t byte) { return byte != 0; })) rss_.key = std::move(key);
  set_up_rss_table(info.reta_size);
}

// The queues take turns, if the device lets us say so.
void Port::set_up_rss_table(std::uint16_t entries) {
  if (entries == 0) return;
  std::vector<rte_eth_rss_reta_entry64> table = table_of(entries);
  const auto entry = [&](unsigned at) -> std::uint16_t& {
    return table[at / RTE_ETH_RETA_GROUP_SIZE].reta[at % RTE_ETH_RETA_GROUP_SIZE];
  };
  for (unsigned at = 0; at < entries; ++at) entry(at) = static_cast<std::uint16_t>(at % capabilities_.rx_queues);
  (void)rte_eth_dev_rss_reta_update(id_, table.data(), entries);
  if (rte_eth_dev_rss_reta_query(id_, table.data(), entries) != 0) return;
  for (unsigned at = 0; at < entries; ++at) rss_.queues.push_back(entry(at));
}

void Port::stop() noexcept {
  if (!started_) return;
  rte_eth_dev_stop(id_);
  started_ = false;
}

Port::~Port() {
  stop();
  rte_device* device = nullptr;
  if (rte_eth_dev_info info{}; rte_eth_dev_info_get(id_, &info) == 0) device = info.device;
  rte_eth_dev_close(id_);
  // A virtual device goes away with its port, so that its name and its kernel interface are free again.
  if (device != nullptr && !is_pci_device(name_)) rte_dev_remove(device);
}

DeviceStats Port::stats() const noexcept {
  DeviceStats out;
  rte_eth_stats stats{};
  if (rte_eth_stats_get(id_, &stats) == 0) {
    out = {.rx_packets = stats.ipackets,
           .rx_bytes = stats.ibytes,
           .tx_packets = stats.opackets,
           .tx_bytes = stats.obytes,
           .rx_missed = stats.imissed,
           .rx_errors = stats.ierrors,
           .rx_no_mbuf = stats.rx_nombuf,
           .tx_errors = stats.oerrors};
  }
  rte_eth_link link{};
  if (rte_eth_link_get_nowait(id_, &link) == 0) {
    out.link_up = link.link_status == RTE_ETH_LINK_UP;
    out.link_mbps = link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed;
  }
  return out;
}

}  // namespace sluice::dpdk
