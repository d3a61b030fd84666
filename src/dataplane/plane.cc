#include "sluice/dataplane/plane.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sluice/base/log.h"
#include "sluice/dataplane/tx.h"
#include "sluice/dpdk/eal.h"

namespace sluice::dataplane {
namespace {

constexpr std::uint16_t kDescriptors = 1024;      // of each queue
constexpr std::uint16_t kMostDescriptors = 2048;  // net_af_xdp has so many whatever it is asked for

dpdk::HugePages huge_pages_of(config::HugePages wanted) noexcept {
  switch (wanted) {
    case config::HugePages::kRequired:
      return dpdk::HugePages::kRequired;
    case config::HugePages::kOff:
      return dpdk::HugePages::kOff;
    case config::HugePages::kAuto:
      break;
  }
  return dpdk::HugePages::kAuto;
}

std::size_t cpus_of(const config::Runtime& runtime) {
  std::set<unsigned> cpus(runtime.workers.begin(), runtime.workers.end());
  cpus.insert(runtime.proxies.begin(), runtime.proxies.end());
  return cpus.size();
}

dpdk::EalOptions eal_options(const config::Config& config) {
  dpdk::EalOptions options{.main_cpu = static_cast<int>(config.runtime.main_cpu),
                           .memory_bytes = config.runtime.memory_bytes,
                           .huge_pages = huge_pages_of(config.runtime.hugepages),
                           .devices = {},
                           .extra = config.runtime.eal,
                           .file_prefix = config.runtime.file_prefix.value_or("")};
  for (const config::Interface& interface : config.interfaces) {
    if (!interface.is_vlan()) options.devices.push_back(interface.device);
  }
  return options;
}

dpdk::MempoolOptions pool_options(const config::Config& config) {
  const config::Runtime& runtime = config.runtime;
  std::uint16_t mtu = 0;
  std::size_t devices = 0;
  for (const config::Interface& interface : config.interfaces) {
    mtu = std::max(mtu, interface.mtu);
    devices += interface.is_vlan() ? 0 : 1;
  }
  const std::size_t cpus = cpus_of(runtime);
  // Per device: a receive queue per worker, a transmit queue and a backlog per CPU. Per role: its two inboxes; per worker
  // the fragments that wait.
  const std::size_t descriptors = devices * (runtime.workers.size() + cpus) * kMostDescriptors;
  const std::size_t queued = (runtime.workers.size() + runtime.proxies.size()) * kRingPackets +
                             devices * cpus * Tx::kBacklog + runtime.workers.size() * config.fragments.waiting;
  const std::uint32_t mbufs =
      runtime.mbufs.value_or(dpdk::mbufs_for(runtime.memory_bytes, mtu, descriptors, queued, cpus));
  return {.name = "packets", .mbufs = mbufs, .cache = 256, .mtu = mtu};
}

bool has_vlans(const config::Config& config, const config::Interface& device) {
  return std::ranges::any_of(config.interfaces,
                             [&](const config::Interface& one) { return one.is_vlan() && one.parent == device.name; });
}

std::optional<dpdk::RssKey> rss_key_of(config::RssKey wanted, const dpdk::RssKey& random) noexcept {
  if (wanted == config::RssKey::kDriver) return std::nullopt;
  if (wanted == config::RssKey::kRandom) return random;
  dpdk::RssKey symmetric;
  for (std::size_t i = 0; i < symmetric.size(); ++i) symmetric[i] = i % 2 == 0 ? 0x6d : 0x5a;
  return symmetric;
}

std::vector<std::string> names_of(std::uint64_t rss_types) {
  static constexpr std::array<std::pair<std::uint64_t, const char*>, 6> kNames = {
      {{RTE_ETH_RSS_NONFRAG_IPV4_TCP, "tcp4"},
       {RTE_ETH_RSS_NONFRAG_IPV4_UDP, "udp4"},
       {RTE_ETH_RSS_NONFRAG_IPV4_SCTP, "sctp4"},
       {RTE_ETH_RSS_NONFRAG_IPV6_TCP, "tcp6"},
       {RTE_ETH_RSS_NONFRAG_IPV6_UDP, "udp6"},
       {RTE_ETH_RSS_NONFRAG_IPV6_SCTP, "sctp6"}}};
  std::vector<std::string> out;
  for (const auto& [type, name] : kNames) {
    if ((rss_types & type) != 0) out.emplace_back(name);
  }
  return out;
}

// In use, not just there.
std::vector<std::string> names_of(const dpdk::DeviceCapabilities& capabilities) {
  std::vector<std::string> out;
  if (capabilities.rx_checksum) out.emplace_back("rx_checksum");
  if (capabilities.tx_tcp_checksum) out.emplace_back("tx_checksum");
  if (capabilities.rx_vlan_strip) out.emplace_back("vlan_strip");
  if (capabilities.tx_vlan_insert) out.emplace_back("vlan_insert");
  return out;
}

// "vlan 100", "vlan 100.7"
std::string vlan_text(net::VlanIds ids) {
  return ids.inner == 0 ? fmt::format("vlan {}", ids.outer) : fmt::format("vlan {}.{}", ids.outer, ids.inner);
}

}  // namespace

class Plane::Impl {
 public:
  explicit Impl(const config::Config& config) : config_(config) {}

  Result<void> open(const dpdk::RssKey& rss_key);
  Result<void> start();
  void stop() noexcept;
  void log_rss() const;

  const config::Config& config_;
  std::optional<dpdk::Eal> eal_;
  std::optional<dpdk::Mempool> pool_;
  std::vector<std::unique_ptr<dpdk::Port>> ports_;  // by interface; nullptr for a VLAN, as in devices_
  std::vector<dpdk::Device*> devices_;
  std::optional<Topology> topology_;
  std::unique_ptr<Assembly> assembly_;
  std::vector<std::thread> threads_;
};

Result<void> Plane::Impl::open(const dpdk::RssKey& rss_key) {
  Result<dpdk::Eal> eal = dpdk::Eal::start(eal_options(config_));
  if (!eal) return std::unexpected(eal.error());
  eal_.emplace(std::move(*eal));
  Result<dpdk::Mempool> pool = dpdk::Mempool::create(pool_options(config_));
  if (!pool) return std::unexpected(pool.error());
  pool_.emplace(std::move(*pool));

  const std::size_t cpus = cpus_of(config_.runtime);
  std::vector<net::MacAddress> macs;
  for (const config::Interface& interface : config_.interfaces) {
    if (interface.is_vlan()) {
      macs.emplace_back();
      devices_.push_back(nullptr);
      ports_.push_back(nullptr);
      continue;
    }
    const auto workers = static_cast<std::uint16_t>(config_.runtime.workers.size());
    Result<std::unique_ptr<dpdk::Port>> port =
        dpdk::Port::open({.device = interface.device,
                          .mtu = interface.mtu,
                          .rx_queues = interface.rx_queues.value_or(workers),
                          .tx_queues = interface.tx_queues.value_or(static_cast<std::uint16_t>(cpus)),
                          .descriptors = kDescriptors,
                          .promiscuous = interface.promiscuous,
                          .vlans = has_vlans(config_, interface),
                          .tcp_checksums = !config_.runtime.proxies.empty(),
                          .rss_key = rss_key_of(interface.rss_key, rss_key)},
                         *pool_);
    if (!port) return fail(fmt::format("interfaces.{}: {}", interface.name, port.error().message));
    macs.push_back((*port)->mac());
    devices_.push_back(port->get());
    ports_.push_back(std::move(*port));
  }
  topology_.emplace(config_, macs);
  return {};
}

Result<void> Plane::Impl::start() {
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    if (ports_[i] == nullptr) continue;  // a VLAN
    if (Result<void> done = ports_[i]->start(); !done) {
      return fail(fmt::format("interfaces.{}: {}", config_.interfaces[i].name, done.error().message));
    }
  }
  assembly_->learn_rss();
  log_rss();
  for (const std::unique_ptr<PollLoop>& loop : assembly_->loops()) {
    threads_.emplace_back([&loop] {
      try {
        loop->run();
      } catch (const std::exception& error) {
        log::critical("the poll loop of cpu {} does not run: {}", loop->cpu(), error.what());
        std::terminate();
      }
    });
  }
  return {};
}

// What spreads packets over the workers, where there is something to spread.
void Plane::Impl::log_rss() const {
  if (config_.runtime.workers.size() == 1) return;
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    if (ports_[i] == nullptr) continue;
    const std::vector<std::string> names = names_of(ports_[i]->rss().types);
    const bool known = assembly_->rss().by_interface[i] != nullptr;
    log::info(
        "interfaces.{}: {} receive queues, spread by {}{}", config_.interfaces[i].name,
        ports_[i]->capabilities().rx_queues,
        names.empty() ? "nothing that is known" : fmt::format("{}", fmt::join(names, " ")),
        known ? fmt::format(" ({} entries)", ports_[i]->rss().queues.size()) : "; replies of backends are handed over");
  }
  if (assembly_->rss().of_clients == nullptr)
    log::info("clients' packets are handed over to the workers of their flows");
}

void Plane::Impl::stop() noexcept {
  if (assembly_ != nullptr) {
    for (const std::unique_ptr<PollLoop>& loop : assembly_->loops()) loop->request_stop();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  for (const std::unique_ptr<dpdk::Port>& port : ports_) {
    if (port != nullptr) port->stop();
  }
}

Plane::Plane(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

Plane::~Plane() { impl_->stop(); }

Result<std::unique_ptr<Plane>> Plane::open(const config::Config& config, const dpdk::RssKey& rss_key) {
  auto impl = std::make_unique<Impl>(config);
  if (Result<void> done = impl->open(rss_key); !done) return std::unexpected(done.error());
  return std::unique_ptr<Plane>(new Plane(std::move(impl)));
}

const Topology& Plane::topology() const noexcept { return *impl_->topology_; }
bool Plane::huge_pages() const noexcept { return impl_->eal_->huge_pages(); }

Result<void> Plane::build(const RoleParts& parts) {
  Result<std::unique_ptr<Assembly>> assembly = Assembly::create({.config = impl_->config_,
                                                                 .topology = *impl_->topology_,
                                                                 .devices = impl_->devices_,
                                                                 .pool = *impl_->pool_,
                                                                 .snapshots = parts.snapshots,
                                                                 .ports = parts.ports,
                                                                 .secret = parts.secret,
                                                                 .seed = parts.seed,
                                                                 .announce = true});
  if (!assembly) return std::unexpected(assembly.error());
  impl_->assembly_ = std::move(*assembly);
  return {};
}

Assembly& Plane::assembly() noexcept { return *impl_->assembly_; }
Result<void> Plane::start() { return impl_->start(); }
void Plane::stop() noexcept { impl_->stop(); }

void Plane::wait_for_grace() noexcept {
  dpdk::Qsbr& qsbr = impl_->assembly_->qsbr();
  const std::uint64_t token = qsbr.start();
  while (!qsbr.passed(token)) std::this_thread::sleep_for(std::chrono::microseconds(50));
}

std::vector<InterfaceStatus> Plane::interfaces() const {
  std::vector<InterfaceStatus> out;
  for (std::size_t i = 0; i < impl_->ports_.size(); ++i) {
    const config::Interface& configured = impl_->config_.interfaces[i];
    if (configured.is_vlan()) {
      const InterfaceInfo& vlan = impl_->topology_->interfaces()[i];
      const dpdk::DeviceStats parent = impl_->ports_[*vlan.parent]->stats();
      out.push_back({.name = configured.name,
                     .device = configured.parent,
                     .driver = vlan_text(vlan.tags.ids),
                     .mac = vlan.mac,
                     .rx_queues = 0,
                     .tx_queues = 0,
                     .rss = {},
                     .rss_known = false,
                     .offloads = {},
                     .stats = {.link_up = parent.link_up, .link_mbps = parent.link_mbps}});
      continue;
    }
    const dpdk::Port& port = *impl_->ports_[i];
    out.push_back({.name = configured.name,
                   .device = configured.device,
                   .driver = port.driver(),
                   .mac = port.mac(),
                   .rx_queues = port.capabilities().rx_queues,
                   .tx_queues = port.capabilities().tx_queues,
                   .rss = names_of(port.rss().types),
                   .rss_known = impl_->assembly_ != nullptr && impl_->assembly_->rss().by_interface[i] != nullptr,
                   .offloads = names_of(port.capabilities()),
                   .stats = port.stats()});
  }
  return out;
}

std::uint32_t Plane::mbufs_in_use() const noexcept { return impl_->pool_->in_use(); }
std::uint32_t Plane::mbufs() const noexcept { return impl_->pool_->size(); }

}  // namespace sluice::dataplane
