#include "sluice/dataplane/assembly.h"

#include <algorithm>
#include <bit>
#include <new>
#include <optional>

#include <fmt/format.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf_dyn.h>

#include "guard.h"
#include "sluice/dataplane/handoff.h"
#include "sluice/dataplane/neighbors.h"
#include "sluice/dataplane/proxy_role.h"
#include "sluice/dataplane/worker.h"

namespace sluice::dataplane {
namespace {

constexpr std::size_t kMaxNatSets = std::size_t{1} << 18;  // of a worker; memory comes as they come into use
constexpr std::size_t kMinNeighbors = 8192;                // entries; a /20 of clients on one link fits

// Each combination of backend, source address and protocol has NAT ports of its own.
std::size_t nat_sets_of(const config::Config& config) noexcept {
  std::size_t sets = 0;
  for (const config::Service& service : config.services) {
    if (!service.forward) continue;
    const config::Pool* pool = config::find_pool(config, service.forward->pool);
    if (pool == nullptr) continue;
    const auto has = [&](net::IpProto proto) {
      return std::ranges::any_of(service.listen, [proto](const config::Listen& at) { return at.proto == proto; });
    };
    const std::size_t protocols = std::size_t{has(net::IpProto::kTcp)} + std::size_t{has(net::IpProto::kUdp)} +
                                  std::size_t{has(net::IpProto::kSctp)};
    const std::size_t echo = service.forward->icmp == config::EchoTo::kForward ? 1 : 0;
    sets += pool->backends.size() * std::max<std::size_t>(service.forward->source.size(), 1) * (protocols + echo);
  }
  if (config.runtime.workers.size() > 1) sets *= 2;  // ports that lead home, and the others
  return std::clamp(sets, lb::NatPorts::kDefaultSets, kMaxNatSets);
}

// Every backend may be a neighbour, and what the configuration names has its place.
std::size_t neighbors_of(const config::Config& config) noexcept {
  std::size_t known = config.neighbors.size();
  for (const config::Pool& pool : config.pools) known += pool.backends.size();
  return std::bit_ceil(std::max(kMinNeighbors, known * 2));
}

// Of one worker; 0 where no service needs to know its clients.
std::size_t persistent_clients_of(const config::Config& config) noexcept {
  const bool wanted = std::ranges::any_of(
      config.services, [](const config::Service& one) { return one.forward && one.forward->persist; });
  return wanted ? config.runtime.persistent_clients / config.runtime.workers.size() : 0;
}

bool has_syn_proxy(const config::Config& config) noexcept {
  return std::ranges::any_of(config.services, [](const config::Service& one) { return one.syn_proxy.has_value(); });
}

// Of one worker; none where no backend is a peer of `esp`.
Result<std::optional<esp::GcmEngine>> make_esp_engine(const config::Config& config) {
  if (config.esp.peers.empty()) return std::nullopt;
  Result<esp::GcmEngine> engine = esp::GcmEngine::create();
  if (!engine) return fail("esp: " + engine.error().message);
  return std::optional(std::move(*engine));
}

}  // namespace

class Assembly::Impl {
 public:
  explicit Impl(const AssemblyParts& parts)
      : parts_(parts),
        devices_(parts.devices.begin(), parts.devices.end()),
        queue_workers_(devices_.size()),
        neighbors_(neighbors_of(parts.config)) {
    for (const auto* list : {&parts.config.runtime.workers, &parts.config.runtime.proxies}) {
      for (const unsigned cpu : *list) {
        role_cpus_.push_back(cpu);
        if (std::ranges::find(cpus_, cpu) == cpus_.end()) cpus_.push_back(cpu);
      }
    }
  }

  Result<void> build();
  void learn_rss();

  RssMaps rss_;
  struct ProxyParts {
    std::unique_ptr<Egress> egress;
    std::unique_ptr<MbufSink> sink;
    std::unique_ptr<ProxyRole> role;
  };

  std::vector<std::unique_ptr<telemetry::WorkerCounters>> worker_counters_;
  std::vector<std::unique_ptr<telemetry::ProxyCounters>> proxy_counters_;
  std::optional<dpdk::Qsbr> qsbr_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<ProxyParts> proxies_;
  std::vector<std::unique_ptr<PollLoop>> loops_;

 private:
  Result<void> register_flags();
  Result<void> build_rings();
  Result<void> build_loops();
  [[nodiscard]] Result<void> build_workers();
  void build_proxies();
  [[nodiscard]] std::vector<bool> tcp_checksums() const;

  [[nodiscard]] std::size_t workers() const noexcept { return parts_.config.runtime.workers.size(); }
  [[nodiscard]] std::size_t proxies() const noexcept { return parts_.config.runtime.proxies.size(); }
  [[nodiscard]] std::size_t loop_of(std::size_t role) const noexcept {
    return static_cast<std::size_t>(std::ranges::find(cpus_, role_cpus_[role]) - cpus_.begin());
  }
  [[nodiscard]] DropCounters& drops_of(std::size_t role) noexcept {
    return role < workers() ? worker_counters_[role]->drops : proxy_counters_[role - workers()]->drops;
  }
  [[nodiscard]] std::vector<TxRoute> tx_routes_of(std::size_t loop) noexcept;

  [[nodiscard]] std::shared_ptr<const lb::RssMap> rss_of(std::size_t interface) const;

  AssemblyParts parts_;
  std::vector<dpdk::Device*> devices_;                     // by InterfaceId; nullptr for a VLAN
  std::vector<std::vector<std::uint16_t>> queue_workers_;  // by InterfaceId: who polls each receive queue
  std::vector<unsigned> cpus_;                             // by loop
  std::vector<unsigned> role_cpus_;                        // by role
  Neighbors neighbors_;
  std::uint64_t note_flag_ = 0;
  Acls acls_;
  std::optional<dpdk::MbufRing> resolve_;
  std::vector<std::optional<dpdk::MbufRing>> tx_rings_;  // by interface; none for a VLAN
  std::vector<std::unique_ptr<Inbox>> inboxes_;
  std::vector<std::unique_ptr<Tx>> tx_;  // by loop
};

Result<void> Assembly::Impl::build() {
  for (std::size_t i = 0; i < workers(); ++i) worker_counters_.push_back(std::make_unique<telemetry::WorkerCounters>());
  for (std::size_t i = 0; i < proxies(); ++i) proxy_counters_.push_back(std::make_unique<telemetry::ProxyCounters>());
  if (Result<void> done = register_flags(); !done) return done;
  Result<Acls> acls = Acls::create(parts_.config);
  if (!acls) return std::unexpected(acls.error());
  acls_ = std::move(*acls);
  if (Result<void> done = build_rings(); !done) return done;
  if (Result<void> done = build_loops(); !done) return done;
  if (Result<void> done = build_workers(); !done) return done;
  build_proxies();
  return {};
}

// The same bit for all who ask for this name in the process.
Result<void> Assembly::Impl::register_flags() {
  const rte_mbuf_dynflag flag{.name = "sluice_fragment_note", .flags = 0};
  const int bit = rte_mbuf_dynflag_register(&flag);
  if (bit < 0) return fail(fmt::format("no flag of packets is free: {}", rte_strerror(rte_errno)));
  note_flag_ = std::uint64_t{1} << bit;
  return {};
}

Result<void> Assembly::Impl::build_rings() {
  Result<dpdk::MbufRing> resolve = dpdk::MbufRing::create("resolve", kRingPackets);
  if (!resolve) return std::unexpected(resolve.error());
  resolve_.emplace(std::move(*resolve));
  tx_rings_.resize(parts_.devices.size());
  for (std::size_t i = 0; i < parts_.devices.size(); ++i) {
    if (parts_.devices[i] == nullptr) continue;
    Result<dpdk::MbufRing> ring = dpdk::MbufRing::create(fmt::format("tx{}", i), kRingPackets);
    if (!ring) return std::unexpected(ring.error());
    tx_rings_[i].emplace(std::move(*ring));
  }
  for (std::size_t role = 0; role < role_cpus_.size(); ++role) {
    Result<std::unique_ptr<Inbox>> inbox = Inbox::create(fmt::format("inbox{}", role), role_cpus_[role], kRingPackets);
    if (!inbox) return std::unexpected(inbox.error());
    inboxes_.push_back(std::move(*inbox));
  }
  return {};
}

// Transmit queues go to the loops in turn; the loops beyond send through the interface's ring to one that has a queue.
std::vector<TxRoute> Assembly::Impl::tx_routes_of(std::size_t loop) noexcept {
  std::vector<TxRoute> routes;
  for (std::size_t i = 0; i < parts_.devices.size(); ++i) {
    if (parts_.devices[i] == nullptr) {
      const InterfaceInfo& vlan = parts_.topology.interfaces()[i];
      // Of two tags none: a device writes a tag of the type 0x8100 in front of all, and the outer one has another.
      const bool one_tag = vlan.tags.ids.inner == 0;
      routes.push_back({.parent = vlan.parent,
                        .tags = vlan.tags,
                        .inserted = one_tag && parts_.devices[*vlan.parent]->capabilities().tx_vlan_insert});
      continue;
    }
    dpdk::Device& device = *parts_.devices[i];
    const std::size_t owners = std::min<std::size_t>(device.capabilities().tx_queues, cpus_.size());
    TxRoute route{.multi_segment = device.capabilities().tx_multi_segment};
    if (loop < owners) {
      route.device = &device;
      route.queue = static_cast<std::uint16_t>(loop);
      if (owners < cpus_.size() && loop == i % owners) route.from_others = &*tx_rings_[i];
    } else {
      route.to_owner = &*tx_rings_[i];
    }
    routes.push_back(route);
  }
  return routes;
}

Result<void> Assembly::Impl::build_loops() {
  Result<dpdk::Qsbr> qsbr = dpdk::Qsbr::create();
  if (!qsbr) return std::unexpected(qsbr.error());
  qsbr_.emplace(std::move(*qsbr));
  for (std::size_t loop = 0; loop < cpus_.size(); ++loop) {
    const auto first = static_cast<std::size_t>(std::ranges::find(role_cpus_, cpus_[loop]) - role_cpus_.begin());
    tx_.push_back(std::make_unique<Tx>(tx_routes_of(loop), drops_of(first)));
    loops_.push_back(std::make_unique<PollLoop>(cpus_[loop], parts_.config.runtime.poll, *qsbr_, *tx_[loop]));
  }
  return {};
}

Result<void> Assembly::Impl::build_workers() {
  // Every receive queue of every interface is polled by some worker: they are dealt out in turn.
  std::vector<std::vector<RxQueue>> queues(workers());
  std::size_t dealt = 0;
  for (std::size_t i = 0; i < parts_.devices.size(); ++i) {
    if (parts_.devices[i] == nullptr) continue;
    for (std::uint16_t queue = 0; queue < parts_.devices[i]->capabilities().rx_queues; ++queue) {
      const std::size_t worker = dealt++ % workers();
      queues[worker].push_back({parts_.devices[i], queue, static_cast<InterfaceId>(i)});
      queue_workers_[i].push_back(static_cast<std::uint16_t>(worker));
    }
  }
  std::vector<Inbox*> inboxes;
  for (const auto& inbox : inboxes_) inboxes.push_back(inbox.get());
  for (std::size_t id = 0; id < workers(); ++id) {
    const std::size_t loop = loop_of(id);
    Result<std::optional<esp::GcmEngine>> engine = make_esp_engine(parts_.config);
    if (!engine) return std::unexpected(engine.error());
    workers_.push_back(std::make_unique<Worker>(WorkerParts{.id = static_cast<RoleId>(id),
                                                            .workers = workers(),
                                                            .proxies = proxies(),
                                                            .queues = queues[id],
                                                            .flows = parts_.config.runtime.flows / workers(),
                                                            .persistent_clients = persistent_clients_of(parts_.config),
                                                            .nat_sets = nat_sets_of(parts_.config),
                                                            .fragments = {.packets = parts_.config.fragments.packets,
                                                                          .waiting = parts_.config.fragments.waiting,
                                                                          .timeout = parts_.config.fragments.timeout},
                                                            .note_flag = note_flag_,
                                                            .secret = parts_.secret,
                                                            .seed = parts_.seed,
                                                            .syn_proxy = has_syn_proxy(parts_.config),
                                                            .announce = parts_.announce,
                                                            .esp_engine = std::move(*engine),
                                                            .config = parts_.config,
                                                            .acls = acls_,
                                                            .topology = parts_.topology,
                                                            .neighbors = neighbors_,
                                                            .pool = parts_.pool,
                                                            .snapshots = parts_.snapshots,
                                                            .ports = parts_.ports,
                                                            .rss = rss_,
                                                            .tx = *tx_[loop],
                                                            .inbox = *inboxes_[id],
                                                            .handoff = Handoff(cpus_[loop], inboxes),
                                                            .resolve = *resolve_,
                                                            .counters = *worker_counters_[id]}));
    loops_[loop]->add(*workers_.back());
  }
  return {};
}

// What a device says of itself, as far as it says enough, in terms of workers.
std::shared_ptr<const lb::RssMap> Assembly::Impl::rss_of(std::size_t interface) const {
  const dpdk::Rss& said = devices_[interface]->rss();
  const std::size_t entries = said.queues.size();
  if (said.key.size() < net::Toeplitz::kKeyBytes || entries < 2 || entries > lb::RssMap::kMaxEntries ||
      !std::has_single_bit(entries)) {
    return nullptr;
  }
  std::vector<std::uint16_t> workers;
  for (const std::uint16_t queue : said.queues) {
    if (queue >= queue_workers_[interface].size()) return nullptr;
    workers.push_back(queue_workers_[interface][queue]);
  }
  const auto spreads = [&](std::uint64_t type) { return (said.types & type) != 0; };
  const lb::RssFields fields{.tcp4 = spreads(RTE_ETH_RSS_NONFRAG_IPV4_TCP),
                             .udp4 = spreads(RTE_ETH_RSS_NONFRAG_IPV4_UDP),
                             .sctp4 = spreads(RTE_ETH_RSS_NONFRAG_IPV4_SCTP),
                             .tcp6 = spreads(RTE_ETH_RSS_NONFRAG_IPV6_TCP),
                             .udp6 = spreads(RTE_ETH_RSS_NONFRAG_IPV6_UDP),
                             .sctp6 = spreads(RTE_ETH_RSS_NONFRAG_IPV6_SCTP)};
  return std::make_shared<const lb::RssMap>(std::span(said.key).first<net::Toeplitz::kKeyBytes>(), fields, workers);
}

void Assembly::Impl::learn_rss() {
  if (workers() == 1) return;
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    if (devices_[i] != nullptr) rss_.by_interface[i] = rss_of(i);
  }
  const auto reaches_all = [this](const std::shared_ptr<const lb::RssMap>& map) {
    for (std::uint16_t worker = 0; map != nullptr && worker < workers(); ++worker) {
      if (!map->reaches(worker)) return false;
    }
    return map != nullptr;
  };
  const auto found = std::ranges::find_if(rss_.by_interface, reaches_all);
  rss_.of_clients = found == rss_.by_interface.end() ? nullptr : found->get();
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    if (devices_[i] == nullptr) rss_.by_interface[i] = rss_.by_interface[*parts_.topology.interfaces()[i].parent];
  }
}

// By interface: a VLAN's packets are completed by its parent's device.
std::vector<bool> Assembly::Impl::tcp_checksums() const {
  std::vector<bool> out;
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    const dpdk::Device* device =
        devices_[i] != nullptr ? devices_[i] : devices_[*parts_.topology.interfaces()[i].parent];
    out.push_back(device->capabilities().tx_tcp_checksum);
  }
  return out;
}

void Assembly::Impl::build_proxies() {
  for (std::size_t i = 0; i < proxies(); ++i) {
    const std::size_t loop = loop_of(workers() + i);
    telemetry::ProxyCounters& counters = *proxy_counters_[i];
    ProxyParts proxy;
    proxy.egress = std::make_unique<Egress>(parts_.topology, neighbors_, *tx_[loop], *resolve_, counters.drops,
                                            counters.tx, counters.packets_cut);
    proxy.sink =
        std::make_unique<MbufSink>(parts_.pool, *proxy.egress, parts_.snapshots, counters.drops, tcp_checksums());
    proxy.role = std::make_unique<ProxyRole>(*inboxes_[workers() + i], counters);
    loops_[loop]->add(*proxy.role);
    proxies_.push_back(std::move(proxy));
  }
}

Assembly::Assembly(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Assembly::~Assembly() = default;

Result<std::unique_ptr<Assembly>> Assembly::create(const AssemblyParts& parts) {
  try {
    auto impl = std::make_unique<Impl>(parts);
    if (Result<void> done = impl->build(); !done) return std::unexpected(done.error());
    return std::unique_ptr<Assembly>(new Assembly(std::move(impl)));
  } catch (const std::bad_alloc&) {
    return fail(fmt::format("no memory for the tables of {} flows (lower runtime.flows)", parts.config.runtime.flows));
  }
}

void Assembly::learn_rss() { impl_->learn_rss(); }
const RssMaps& Assembly::rss() const noexcept { return impl_->rss_; }
std::size_t Assembly::workers() const noexcept { return impl_->workers_.size(); }
std::size_t Assembly::proxies() const noexcept { return impl_->proxies_.size(); }
Worker& Assembly::worker(std::size_t index) noexcept { return *impl_->workers_[index]; }
tcp::PacketSink& Assembly::sink(std::size_t proxy) noexcept { return *impl_->proxies_[proxy].sink; }
void Assembly::attach(std::size_t proxy, PacketHost& host) noexcept {
  impl_->proxies_[proxy].role->attach(host);
  impl_->proxies_[proxy].sink->follow(host.probe_paths());
}
std::span<const std::unique_ptr<PollLoop>> Assembly::loops() noexcept { return impl_->loops_; }
std::optional<Instant> Assembly::next_deadline() const noexcept {
  std::optional<Instant> earliest;
  for (const std::unique_ptr<PollLoop>& loop : impl_->loops_) {
    const std::optional<Instant> deadline = loop->next_deadline();
    if (deadline && (!earliest || *deadline < *earliest)) earliest = deadline;
  }
  return earliest;
}
dpdk::Qsbr& Assembly::qsbr() noexcept { return *impl_->qsbr_; }
telemetry::WorkerCounters& Assembly::worker_counters(std::size_t index) noexcept {
  return *impl_->worker_counters_[index];
}
telemetry::ProxyCounters& Assembly::proxy_counters(std::size_t index) noexcept {
  return *impl_->proxy_counters_[index];
}

}  // namespace sluice::dataplane
