// What the layer 4 path costs a packet, without a driver in the way: prepared packets go through the whole worker (receive,
// parse, classify, look up, rewrite, route, neighbour, transmit), and the floor is the same harness with two MAC addresses
// swapped instead.
// Method: packets are prepared in batches outside the measured time, for flows in seeded random order; half of them are
//         replies. A figure is the minimum over repetitions of this thread's CPU time, so that a busy machine only makes it noisier.
// Usage:  bench_l4 [--repetitions N]
#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <time.h>

#include "sluice/base/random.h"
#include "sluice/config/load.h"
#include "sluice/dataplane/assembly.h"
#include "sluice/dataplane/topology.h"
#include "sluice/dpdk/eal.h"
#include "sluice/dpdk/mempool.h"
#include "sluice/lb/build_snapshot.h"
#include "sluice/lb/flow_table.h"
#include "sluice/lb/health_board.h"
#include "sluice/lb/port_plan.h"
#include "sluice/lb/snapshot_slot.h"
#include "sluice/net/checksum.h"
#include "sluice/net/wire.h"

namespace {

using namespace sluice;

constexpr std::size_t kBatch = 4096;       // mbufs; about 9 MiB, so that they are not in the first caches, as off a NIC
constexpr std::size_t kPacketBytes = 128;  // on the wire, without checksum
constexpr std::size_t kBackends = 32;      // NAT has some 64,000 ports towards each
constexpr std::size_t kMillion = 1'000'000;
constexpr std::uint64_t kSeed = 20261;
const net::MacAddress kOurs{{2, 0, 0, 0, 0, 1}};
const net::MacAddress kGateway{{2, 0, 0, 0, 1, 1}};

// Gives out the batch in bursts and takes it back; an mbuf is never freed between.
class BatchDevice final : public dpdk::Device {
 public:
  std::vector<rte_mbuf*> batch;
  std::size_t given = 0, taken = 0;

  std::size_t receive(std::uint16_t /*queue*/, std::span<rte_mbuf*> room) noexcept override {
    const std::size_t count = std::min(room.size(), batch.size() - given);
    std::copy_n(batch.begin() + static_cast<std::ptrdiff_t>(given), count, room.begin());
    given += count;
    return count;
  }
  std::size_t send(std::uint16_t /*queue*/, std::span<rte_mbuf*> mbufs) noexcept override {
    std::copy(mbufs.begin(), mbufs.end(), batch.begin() + static_cast<std::ptrdiff_t>(taken));
    taken += mbufs.size();
    return mbufs.size();
  }
  [[nodiscard]] const net::MacAddress& mac() const noexcept override { return kOurs; }
  [[nodiscard]] const dpdk::DeviceCapabilities& capabilities() const noexcept override { return capabilities_; }
  [[nodiscard]] dpdk::DeviceStats stats() const noexcept override { return {}; }

 private:
  dpdk::DeviceCapabilities capabilities_;
};

struct Frame {
  net::EthernetHeader ethernet;
  net::Ip4Header ip;
  net::TcpHeader tcp;
};

struct BenchFlow {
  std::uint32_t client;
  std::uint16_t client_port;
  std::uint16_t nat_port;
  std::uint32_t backend;
};

constexpr std::uint32_t kService = 0xcb00710a;    // 203.0.113.10
constexpr std::uint32_t kNatSource = 0xc6336402;  // 198.51.100.2

void write_packet(rte_mbuf* mbuf, std::uint32_t src, std::uint16_t src_port, std::uint32_t dst, std::uint16_t dst_port,
                  std::uint8_t flags) {
  auto& frame = *rte_pktmbuf_mtod(mbuf, Frame*);
  mbuf->data_len = kPacketBytes;
  mbuf->pkt_len = kPacketBytes;
  frame.ethernet = {kOurs, kGateway, Be16(static_cast<std::uint16_t>(net::EtherType::kIp4))};
  frame.ip = {.version_ihl = 0x45,
              .dscp_ecn = 0,
              .total_len = Be16(kPacketBytes - sizeof(net::EthernetHeader)),
              .id = Be16(std::uint16_t{1}),
              .fragment = Be16(net::kIp4DontFragment),
              .ttl = 64,
              .proto = 6,
              .checksum = {},
              .src = Be32(src),
              .dst = Be32(dst)};
  frame.ip.checksum = net::checksum({reinterpret_cast<const std::uint8_t*>(&frame.ip), sizeof(frame.ip)});
  frame.tcp = {.src_port = Be16(src_port),
               .dst_port = Be16(dst_port),
               .sequence = Be32(1u),
               .acknowledgment = Be32(1u),
               .data_offset = 0x50,
               .flags = flags,
               .window = Be16(std::uint16_t{0xffff}),
               .checksum = Be16(std::uint16_t{0x1234}),  // forwarding only changes it
               .urgent = {}};
}

std::string yaml() {
  std::string out =
      "runtime: { workers: [0], flows: 1048576, hugepages: auto }\n"
      "interfaces:\n"
      "  edge: { device: net_null0, addresses: [198.51.100.2/24], gateway: 198.51.100.1 }\n"
      "neighbors:\n"
      "  - { interface: edge, address: 198.51.100.1, mac: \"02:00:00:00:01:01\" }\n";
  std::string backends;
  for (std::size_t i = 0; i < kBackends; ++i) {
    out +=
        fmt::format("  - {{ interface: edge, address: 198.51.100.{}, mac: \"02:00:00:00:02:{:02x}\" }}\n", 100 + i, i);
    backends += fmt::format("      - {{ name: web{}, address: 198.51.100.{}, port: 80 }}\n", i, 100 + i);
  }
  return out + "pools:\n  web:\n    backends:\n" + backends +
         "services:\n  web: { listen: \"203.0.113.10:80/tcp\", forward: { mode: nat, pool: web } }\n";
}

double cpu_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

template <typename T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  fmt::print(stderr, "bench_l4: {}\n", result.error().message);
  std::exit(1);
}

// The worker over the batch, with a number of open flows.
class NatBench {
 public:
  explicit NatBench(const dpdk::Mempool& pool);
  ~NatBench() {
    assembly_.reset();
    rte_pktmbuf_free_bulk(device_.batch.data(), static_cast<unsigned>(device_.batch.size()));
  }
  NatBench(const NatBench&) = delete;
  NatBench& operator=(const NatBench&) = delete;

  void open_flows(std::size_t count);
  // Nanoseconds for one batch of random packets of the open flows.
  double measure();
  double measure_floor();
  [[nodiscard]] std::int64_t flows() { return assembly_->worker_counters(0).flows.read(); }
  [[nodiscard]] std::int64_t capacity() { return assembly_->worker_counters(0).flow_capacity.read(); }

 private:
  void prepare(std::size_t index, const BenchFlow& flow, bool reply, std::uint8_t flags);
  void prepare_random();
  void run_batch();

  config::Config config_;
  BatchDevice device_;
  Random random_{kSeed};
  lb::HealthBoard health_;
  lb::SnapshotSlot slot_;
  lb::PortPlan ports_{1, 0};
  std::unique_ptr<dataplane::Topology> topology_;
  std::unique_ptr<dataplane::Assembly> assembly_;
  std::vector<BenchFlow> flows_;
};

NatBench::NatBench(const dpdk::Mempool& pool) {
  auto config = config::load_text(yaml(), "bench_l4");
  if (!config) {
    fmt::print(stderr, "{}\n", config::text(config.error()));
    std::exit(1);
  }
  config_ = std::move(*config);
  topology_ = std::make_unique<dataplane::Topology>(config_, std::span(&kOurs, 1));
  (void)slot_.publish(must(lb::build_snapshot(std::make_shared<const config::Config>(config_), health_, nullptr)));
  dpdk::Device* device = &device_;
  assembly_ = must(dataplane::Assembly::create({.config = config_,
                                                .topology = *topology_,
                                                .devices = {&device, 1},
                                                .pool = pool,
                                                .snapshots = slot_,
                                                .ports = ports_,
                                                .secret = {kSeed, ~kSeed},
                                                .seed = kSeed,
                                                .announce = false}));
  for (std::size_t i = 0; i < kBatch; ++i) device_.batch.push_back(pool.alloc());
}

void NatBench::prepare(std::size_t index, const BenchFlow& flow, bool reply, std::uint8_t flags) {
  rte_mbuf* mbuf = device_.batch[index];
  if (reply) {
    write_packet(mbuf, flow.backend, 80, kNatSource, flow.nat_port, flags);
  } else {
    write_packet(mbuf, flow.client, flow.client_port, kService, 80, flags);
  }
}

void NatBench::run_batch() {
  device_.given = device_.taken = 0;
  // A turn of the loop as the daemon makes it, clock included.
  while (device_.given < device_.batch.size()) (void)assembly_->loops()[0]->turn(dataplane::monotonic_now());
  if (device_.taken == device_.batch.size()) return;
  fmt::print(stderr, "bench_l4: {} packets went in and {} came out\n", device_.batch.size(), device_.taken);
  std::exit(1);
}

// By handshake; the NAT port is read off the SYN that comes out.
void NatBench::open_flows(std::size_t count) {
  while (flows_.size() < count) {
    const std::size_t first = flows_.size();
    const std::size_t many = std::min(kBatch, count - first);
    // Clients in 100.64.0.0/10: any address that is routed by the gateway.
    for (std::size_t i = 0; i < kBatch; ++i) {
      const std::size_t number = first + i % many;
      if (i < many) {
        flows_.push_back({.client = 0x64400000u + static_cast<std::uint32_t>(number / 50),
                          .client_port = static_cast<std::uint16_t>(1024 + number % 50 * 1000 + random_.below(1000)),
                          .nat_port = 0,
                          .backend = 0});
      }
      prepare(i, flows_[number], false, net::kTcpSyn);
    }
    run_batch();
    for (std::size_t i = 0; i < many; ++i) {
      const Frame& sent = *rte_pktmbuf_mtod(device_.batch[i], const Frame*);
      flows_[first + i].nat_port = sent.tcp.src_port.host();
      flows_[first + i].backend = sent.ip.dst.host();
    }
    for (const bool reply : {true, false}) {
      for (std::size_t i = 0; i < kBatch; ++i) {
        const std::uint8_t flags = reply ? net::kTcpSyn | net::kTcpAck : net::kTcpAck;
        prepare(i, flows_[first + i % many], reply, flags);
      }
      run_batch();
    }
  }
}

void NatBench::prepare_random() {
  for (std::size_t i = 0; i < kBatch; ++i) {
    const BenchFlow& flow = flows_[random_.below(static_cast<std::uint32_t>(flows_.size()))];
    prepare(i, flow, (random_.next() & 1) != 0, net::kTcpAck);
  }
}

double NatBench::measure() {
  prepare_random();
  const double before = cpu_ns();
  run_batch();
  return cpu_ns() - before;
}

double NatBench::measure_floor() {
  prepare_random();
  std::array<rte_mbuf*, 32> burst;
  device_.given = device_.taken = 0;
  const double before = cpu_ns();
  for (std::size_t count = device_.receive(0, burst); count > 0; count = device_.receive(0, burst)) {
    for (std::size_t i = 0; i < count; ++i) rte_prefetch0(rte_pktmbuf_mtod(burst[i], void*));
    for (std::size_t i = 0; i < count; ++i) {
      auto& ethernet = *rte_pktmbuf_mtod(burst[i], net::EthernetHeader*);
      std::swap(ethernet.src, ethernet.dst);
    }
    (void)device_.send(0, std::span(burst).first(count));
  }
  return cpu_ns() - before;
}

// The best of the repetitions, each over so many batches, in nanoseconds a packet.
template <typename Measure>
double best(int repetitions, int batches, Measure&& measure) {
  double least = 1e18;
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    double sum = 0;
    for (int batch = 0; batch < batches; ++batch) sum += measure();
    least = std::min(least, sum / batches / kBatch);
  }
  return least;
}

}  // namespace

int main(int argc, char** argv) {
  int repetitions = 40;
  if (argc == 3 && std::string_view(argv[1]) == "--repetitions") repetitions = std::max(1, std::atoi(argv[2]));
  auto eal = must(dpdk::Eal::start({.main_cpu = -1,
                                    .memory_bytes = std::size_t{64} << 20,
                                    .huge_pages = dpdk::HugePages::kAuto,
                                    .devices = {},
                                    .extra = {},
                                    .file_prefix = {}}));
  const dpdk::Mempool pool = must(dpdk::Mempool::create({.name = "bench", .mbufs = 8191, .cache = 256, .mtu = 1500}));
  NatBench bench(pool);
  constexpr int kBatches = 5;  // some 20,000 packets

  bench.open_flows(1);
  const double floor = best(repetitions, kBatches, [&] { return bench.measure_floor(); });
  const double flows_1 = best(repetitions, kBatches, [&] { return bench.measure(); });
  bench.open_flows(4096);
  const double flows_4k = best(repetitions, kBatches, [&] { return bench.measure(); });
  bench.open_flows(kMillion);
  const double flows_1m = best(repetitions, kBatches, [&] { return bench.measure(); });
  const double load = static_cast<double>(bench.flows()) / static_cast<double>(bench.capacity()) * lb::FlowTable::kLoad;

  fmt::print("l4.huge_pages {} bool\n", eal.huge_pages() ? 1 : 0);
  fmt::print("l4.nat.flows_1m.table_load {:.2f} ratio\n", load);
  fmt::print("l4.floor.ns {:.1f} ns\n", floor);
  fmt::print("l4.nat.flows_1.over_floor_ns {:.1f} ns\n", flows_1 - floor);
  fmt::print("l4.nat.flows_4k.over_floor_ns {:.1f} ns\n", flows_4k - floor);
  fmt::print("l4.nat.flows_1m.over_floor_ns {:.1f} ns\n", flows_1m - floor);
  return 0;
}
