#include "sluice/dataplane/replay.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <vector>

#include <fmt/format.h>

#include "sluice/dataplane/assembly.h"
#include "sluice/dataplane/memory_device.h"
#include "sluice/dpdk/pcap_file.h"
#include "sluice/lb/build_snapshot.h"
#include "sluice/lb/health_board.h"
#include "sluice/lb/port_plan.h"
#include "sluice/lb/snapshot_slot.h"

namespace sluice::dataplane {
namespace {

constexpr std::uint32_t kReplayMbufs = 4095;
constexpr int kMaxTurnsPerInstant = 64;  // packets that roles hand to one another at one instant settle long before

struct Arrival {
  std::int64_t at_ns;
  InterfaceId interface;
  std::size_t number;  // in its file
  std::vector<std::uint8_t> bytes;
};

net::MacAddress mac_of(std::size_t interface) noexcept {
  return {{0x02, 0, 0, 0, 0, static_cast<std::uint8_t>(interface + 1)}};
}

Result<std::size_t> interface_named(const config::Config& config, const std::string& name) {
  const auto at = std::ranges::find(config.interfaces, name, &config::Interface::name);
  if (at == config.interfaces.end()) return fail(fmt::format("`{}` is not an interface of the configuration", name));
  if (at->is_vlan()) return fail(fmt::format("`{}` is a VLAN: its frames are those of `{}`", name, at->parent));
  return static_cast<std::size_t>(at - config.interfaces.begin());
}

Result<std::vector<Arrival>> read_inputs(const config::Config& config, const ReplayOptions& options) {
  std::vector<Arrival> arrivals;
  for (const auto& [name, path] : options.inputs) {
    const Result<std::size_t> interface = interface_named(config, name);
    if (!interface) return std::unexpected(interface.error());
    Result<std::vector<dpdk::CapturedPacket>> packets = dpdk::read_pcap(path);
    if (!packets) return std::unexpected(packets.error());
    for (dpdk::CapturedPacket& packet : *packets) {
      arrivals.push_back(
          {packet.at_ns, static_cast<InterfaceId>(*interface), arrivals.size(), std::move(packet.bytes)});
    }
  }
  std::ranges::sort(arrivals, {}, [](const Arrival& a) { return std::tuple(a.at_ns, a.interface, a.number); });
  return arrivals;
}

// One run: devices, roles and the clock.
class Replay {
 public:
  Replay(const config::Config& config, const ReplayOptions& options) : config_(config), options_(options) {}

  Result<ReplayReport> run();

 private:
  Result<void> build();
  Result<void> open_outputs();
  Result<void> put(const Arrival& arrival);
  Result<void> run_until(std::int64_t at_ns);
  Result<void> settle(std::int64_t at_ns);
  Result<void> take_outputs(std::int64_t at_ns);
  [[nodiscard]] ReplayReport report() noexcept;

  const config::Config& config_;
  const ReplayOptions& options_;
  std::optional<dpdk::Mempool> pool_;
  std::vector<std::unique_ptr<MemoryDevice>> devices_;
  std::optional<Topology> topology_;
  lb::HealthBoard health_;
  std::optional<lb::PortPlan> ports_;
  lb::SnapshotSlot snapshots_;
  std::unique_ptr<Assembly> assembly_;
  std::vector<std::optional<dpdk::PcapWriter>> outputs_;  // by interface
  std::int64_t now_ns_ = 0;
  ReplayReport report_;
};

Result<void> Replay::build() {
  std::uint16_t mtu = 0;
  std::vector<net::MacAddress> macs;
  std::vector<dpdk::Device*> devices;
  for (std::size_t i = 0; i < config_.interfaces.size(); ++i) {
    mtu = std::max(mtu, config_.interfaces[i].mtu);
    macs.push_back(mac_of(i));
    devices_.push_back(config_.interfaces[i].is_vlan() ? nullptr : std::make_unique<MemoryDevice>(macs.back()));
    devices.push_back(devices_.back().get());
  }
  Result<dpdk::Mempool> pool = dpdk::Mempool::create(
      {.name = "replay", .mbufs = config_.runtime.mbufs.value_or(kReplayMbufs), .cache = 0, .mtu = mtu});
  if (!pool) return std::unexpected(pool.error());
  pool_.emplace(std::move(*pool));
  topology_.emplace(config_, macs);
  ports_.emplace(config_.runtime.workers.size(), config_.runtime.proxies.size());

  Result<std::shared_ptr<const lb::Access>> access = lb::load_access(config_);
  if (!access) return std::unexpected(access.error());
  Result<std::shared_ptr<const lb::Snapshot>> first =
      lb::build_snapshot(std::make_shared<const config::Config>(config_), health_, nullptr, {}, *access);
  if (!first) return std::unexpected(first.error());
  // No health checks run here: what has one is reported as up, but for those that the caller names.
  for (std::size_t i = 0; i < (*first)->backends.size(); ++i) {
    const lb::BackendId id = (*first)->id_of(static_cast<lb::BackendIndex>(i));
    const std::string name = (*first)->pools[(*first)->backends[i].pool].name + "/" + (*first)->backend_names[i];
    const bool down = options_.down_backends.contains(name);
    health_.report(id, {.health = down ? lb::Health::kDown : lb::Health::kUp, .reason = lb::HealthReason::kNone});
  }
  Result<std::shared_ptr<const lb::Snapshot>> snapshot = lb::build_snapshot((*first)->config, health_, first->get());
  if (!snapshot) return std::unexpected(snapshot.error());
  (void)snapshots_.publish(std::move(*snapshot));

  Result<std::unique_ptr<Assembly>> assembly = Assembly::create({.config = config_,
                                                                 .topology = *topology_,
                                                                 .devices = devices,
                                                                 .pool = *pool_,
                                                                 .snapshots = snapshots_,
                                                                 .ports = *ports_,
                                                                 .secret = {options_.seed, ~options_.seed},
                                                                 .seed = options_.seed,
                                                                 .announce = options_.announce});
  if (!assembly) return std::unexpected(assembly.error());
  assembly_ = std::move(*assembly);
  return {};
}

Result<void> Replay::open_outputs() {
  outputs_.resize(config_.interfaces.size());
  for (const auto& [name, path] : options_.outputs) {
    const Result<std::size_t> interface = interface_named(config_, name);
    if (!interface) return std::unexpected(interface.error());
    Result<dpdk::PcapWriter> writer = dpdk::PcapWriter::create(path);
    if (!writer) return std::unexpected(writer.error());
    outputs_[*interface].emplace(std::move(*writer));
  }
  return {};
}

Result<void> Replay::put(const Arrival& arrival) {
  rte_mbuf* mbuf = pool_->alloc();
  if (mbuf == nullptr) return fail("the packet pool is empty: raise runtime.mbufs");
  if (arrival.bytes.size() > rte_pktmbuf_tailroom(mbuf)) {
    rte_pktmbuf_free(mbuf);
    return fail(fmt::format("a packet of {} bytes is larger than interfaces.{}.mtu allows", arrival.bytes.size(),
                            config_.interfaces[arrival.interface].name));
  }
  char* room = rte_pktmbuf_append(mbuf, static_cast<std::uint16_t>(arrival.bytes.size()));
  std::memcpy(room, arrival.bytes.data(), arrival.bytes.size());
  devices_[arrival.interface]->put(mbuf);
  ++report_.packets_in;
  return {};
}

Result<void> Replay::take_outputs(std::int64_t at_ns) {
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    if (devices_[i] == nullptr) continue;  // a VLAN
    for (rte_mbuf* mbuf : devices_[i]->take_sent()) {
      ++report_.packets_out;
      Result<void> done;
      if (outputs_[i]) {
        done = outputs_[i]->write(at_ns, {rte_pktmbuf_mtod(mbuf, const std::uint8_t*), rte_pktmbuf_data_len(mbuf)});
      }
      rte_pktmbuf_free(mbuf);
      if (!done) return done;
    }
  }
  return {};
}

// Turns every loop at this instant until nothing moves any more.
Result<void> Replay::settle(std::int64_t at_ns) {
  const Instant now{std::chrono::nanoseconds(at_ns)};
  for (int turn = 0; turn < kMaxTurnsPerInstant; ++turn) {
    bool worked = false;
    for (const std::unique_ptr<PollLoop>& loop : assembly_->loops()) worked |= loop->turn(now);
    if (Result<void> done = take_outputs(at_ns); !done) return done;
    if (!worked) break;
  }
  return {};
}

// Stops at every deadline on the way.
Result<void> Replay::run_until(std::int64_t at_ns) {
  while (const std::optional<Instant> deadline = assembly_->next_deadline()) {
    const std::int64_t due = std::max(now_ns_, std::int64_t{deadline->time_since_epoch().count()});
    if (due >= at_ns) break;
    if (due == now_ns_) ++now_ns_;  // the deadline was not met at that instant: time must go on
    now_ns_ = std::max(now_ns_, due);
    if (Result<void> done = settle(now_ns_); !done) return done;
  }
  now_ns_ = std::max(now_ns_, at_ns);
  return {};
}

ReplayReport Replay::report() noexcept {
  for (std::size_t reason = 1; reason < telemetry::kDropReasons; ++reason) {
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < assembly_->workers(); ++i) count += assembly_->worker_counters(i).drops[reason].read();
    for (std::size_t i = 0; i < assembly_->proxies(); ++i) count += assembly_->proxy_counters(i).drops[reason].read();
    if (count == 0) continue;
    report_.packets_dropped += count;
    report_.drops[std::string(telemetry::text_of(static_cast<telemetry::Drop>(reason)).name)] = count;
  }
  assembly_.reset();
  devices_.clear();
  report_.mbufs_leaked = pool_->in_use();
  return report_;
}

Result<ReplayReport> Replay::run() {
  const Result<std::vector<Arrival>> arrivals = read_inputs(config_, options_);
  if (!arrivals) return std::unexpected(arrivals.error());
  if (Result<void> done = build(); !done) return std::unexpected(done.error());
  if (Result<void> done = open_outputs(); !done) return std::unexpected(done.error());
  // A virtual clock of small numbers would make a packet at its beginning look as old as time itself.
  now_ns_ = arrivals->empty() ? 1'000'000'000 : (*arrivals)[0].at_ns;
  for (std::size_t i = 0; i < arrivals->size();) {
    const std::int64_t at_ns = (*arrivals)[i].at_ns;
    if (Result<void> done = run_until(at_ns); !done) return std::unexpected(done.error());
    for (; i < arrivals->size() && (*arrivals)[i].at_ns == at_ns; ++i) {
      if (Result<void> done = put((*arrivals)[i]); !done) return std::unexpected(done.error());
    }
    if (Result<void> done = settle(now_ns_); !done) return std::unexpected(done.error());
  }
  const std::int64_t end_ns = now_ns_ + options_.drain.count();
  if (Result<void> done = run_until(end_ns); !done) return std::unexpected(done.error());
  if (Result<void> done = settle(now_ns_); !done) return std::unexpected(done.error());
  for (std::optional<dpdk::PcapWriter>& output : outputs_) {
    if (!output) continue;
    if (Result<void> done = output->close(); !done) return std::unexpected(done.error());
  }
  return report();
}

}  // namespace

Result<ReplayReport> replay(const config::Config& config, const ReplayOptions& options) {
  return Replay(config, options).run();
}

}  // namespace sluice::dataplane
