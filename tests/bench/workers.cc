// What a second CPU brings: packets a second of two workers on two CPUs over those of one, where packets come to the worker that
// owns them (as RSS does it where it is known), and where half of them must be handed over.
// Method: a device with a queue for each worker gives out packets of 4,096 flows of a `dsr` service without end: an mbuf
//         allocated and filled for each, as a driver does, and freed when sent. Packets are divided by the mean CPU time of
//         the threads, so that a busy machine takes little away; the cases take turns, and the best of each counts.
// Threading: the loops' own threads, as in the program.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <rte_ethdev.h>
#include <sched.h>

#include "packet_bench.h"
#include "sluice/base/own_lines.h"
#include "sluice/dpdk/eal.h"

namespace sluice::bench {
namespace {

constexpr std::size_t kFlows = 4096;
constexpr std::size_t kBytes = 60;
constexpr std::size_t kMaxWorkers = 2;
constexpr int kRepetitions = 3;
constexpr std::chrono::seconds kTime{2};

using Frame = std::array<std::uint8_t, kBytes>;

net::Endpoint client_of(std::size_t flow) {
  Random random(kSeed + flow);
  return {net::IpAddress::v4(Be32(0x64400000u | (static_cast<std::uint32_t>(random.next()) & 0x3fffff))),
          static_cast<std::uint16_t>(1024 + random.below(64000))};
}

const net::Endpoint kService = *net::Endpoint::parse("203.0.113.10:80");

Frame frame_of(const net::Endpoint& client) {
  Frame made{};
  const std::span<std::uint8_t> frame(made);
  net::header_at<net::EthernetHeader>(frame, 0) = {kOurs, kGateway,
                                                   Be16(static_cast<std::uint16_t>(net::EtherType::kIp4))};
  constexpr std::size_t kL3 = sizeof(net::EthernetHeader);
  auto& ip = net::header_at<net::Ip4Header>(frame, kL3);
  ip = {.version_ihl = 0x45,
        .dscp_ecn = 0,
        .total_len = Be16(static_cast<std::uint16_t>(sizeof(ip) + sizeof(net::TcpHeader))),
        .id = {},
        .fragment = Be16(net::kIp4DontFragment),
        .ttl = 64,
        .proto = static_cast<std::uint8_t>(net::IpProto::kTcp),
        .checksum = {},
        .src = client.address.v4(),
        .dst = kService.address.v4()};
  ip.checksum = net::checksum(frame.subspan(kL3, sizeof(ip)));
  net::header_at<net::TcpHeader>(frame, kL3 + sizeof(ip)) = {.src_port = Be16(client.port),
                                                             .dst_port = Be16(kService.port),
                                                             .sequence = Be32(1u),
                                                             .acknowledgment = Be32(1u),
                                                             .data_offset = 0x50,
                                                             .flags = net::kTcpAck,
                                                             .window = Be16(std::uint16_t{0xffff}),
                                                             .checksum = Be16(std::uint16_t{0x1234}),
                                                             .urgent = {}};
  return made;
}

class EndlessDevice final : public dpdk::Device {
 public:
  EndlessDevice(const dpdk::Mempool& pool, std::uint16_t queues) : pool_(pool) {
    capabilities_ = {.rx_queues = queues, .tx_queues = queues};
    rss_ = {.types = RTE_ETH_RSS_NONFRAG_IPV4_TCP, .key = {}, .queues = {}};
    Random random(kSeed);
    for (std::size_t i = 0; i < net::Toeplitz::kKeyBytes; ++i) {
      rss_.key.push_back(static_cast<std::uint8_t>(random.next()));
    }
    for (std::size_t i = 0; i < 128; ++i) rss_.queues.push_back(static_cast<std::uint16_t>(i % queues));
  }
  void add(std::uint16_t queue, const Frame& frame) { queues_[queue].frames.push_back(frame); }

  std::size_t receive(std::uint16_t queue, std::span<rte_mbuf*> room) noexcept override {
    Queue& from = queues_[queue];
    if (rte_pktmbuf_alloc_bulk(pool_.raw(), room.data(), static_cast<unsigned>(room.size())) != 0) return 0;
    for (rte_mbuf* mbuf : room) {
      std::memcpy(rte_pktmbuf_mtod(mbuf, void*), from.frames[from.next].data(), kBytes);
      mbuf->data_len = kBytes;
      mbuf->pkt_len = kBytes;
      if (++from.next == from.frames.size()) from.next = 0;
    }
    return room.size();
  }
  std::size_t send(std::uint16_t /*queue*/, std::span<rte_mbuf*> mbufs) noexcept override {
    rte_pktmbuf_free_bulk(mbufs.data(), static_cast<unsigned>(mbufs.size()));
    return mbufs.size();
  }
  [[nodiscard]] const net::MacAddress& mac() const noexcept override { return kOurs; }
  [[nodiscard]] const dpdk::DeviceCapabilities& capabilities() const noexcept override { return capabilities_; }
  [[nodiscard]] dpdk::DeviceStats stats() const noexcept override { return {}; }
  [[nodiscard]] const dpdk::Rss& rss() const noexcept override { return rss_; }

 private:
  struct alignas(kOwnLines) Queue {
    std::vector<Frame> frames;
    std::size_t next = 0;
  };
  const dpdk::Mempool& pool_;
  std::array<Queue, kMaxWorkers> queues_;
  dpdk::DeviceCapabilities capabilities_;
  dpdk::Rss rss_;
};

std::string yaml(std::span<const unsigned> cpus) {
  std::string out = fmt::format(
      "runtime: {{ workers: [{}], flows: 65536 }}\n"
      "interfaces:\n  edge: {{ device: net_null0, addresses: 198.51.100.2/24, gateway: 198.51.100.1 }}\n"
      "neighbors:\n  - {{ interface: edge, address: 198.51.100.1, mac: \"{}\" }}\n",
      fmt::join(cpus, ", "), kGateway.text());
  std::string backends;
  for (int i = 0; i < 8; ++i) {
    out +=
        fmt::format("  - {{ interface: edge, address: 198.51.100.{}, mac: \"02:00:00:00:bb:{:02x}\" }}\n", 11 + i, i);
    backends += fmt::format("      - {{ address: 198.51.100.{}, port: 80 }}\n", 11 + i);
  }
  return out + "pools:\n  web:\n    backends:\n" + backends +
         "services:\n  web: { listen: \"203.0.113.10:80/tcp\", forward: { mode: dsr, pool: web } }\n";
}

// Millions of packets sent a second, of all workers. `astray`: each queue gets the packets of all flows, not of its
// worker's own.
double measure(std::span<const unsigned> cpus, bool astray) {
  auto loaded = config::load_text(yaml(cpus), "bench_workers");
  if (!loaded) die(config::text(loaded.error()));
  const auto config = std::make_shared<const config::Config>(std::move(*loaded));
  const dpdk::Mempool pool =
      must(dpdk::Mempool::create({.name = "workers", .mbufs = 16383, .cache = 256, .mtu = 1500}));
  EndlessDevice device(pool, static_cast<std::uint16_t>(cpus.size()));
  const std::array<dpdk::Device*, 1> devices{&device};
  const dataplane::Topology topology(*config, std::span(&kOurs, 1));
  lb::HealthBoard health;
  lb::SnapshotSlot slot;
  (void)slot.publish(must(lb::build_snapshot(config, health, nullptr)));
  const lb::PortPlan ports(cpus.size(), 0);
  const auto assembly = must(dataplane::Assembly::create({.config = *config,
                                                          .topology = topology,
                                                          .devices = devices,
                                                          .pool = pool,
                                                          .snapshots = slot,
                                                          .ports = ports,
                                                          .secret = {1, 2},
                                                          .seed = kSeed,
                                                          .announce = false}));
  assembly->learn_rss();
  for (std::size_t flow = 0; flow < kFlows; ++flow) {
    const net::Endpoint client = client_of(flow);
    const lb::RssMap* rss = assembly->rss().of_clients;
    const std::uint16_t owner = rss == nullptr ? std::uint16_t{0} : rss->worker_of(client, kService);
    for (std::uint16_t queue = 0; queue < cpus.size(); ++queue) {
      if (astray || queue == owner) device.add(queue, frame_of(client));
    }
  }
  std::vector<double> seconds(cpus.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    threads.emplace_back([&, i] {
      const double before = cpu_ns();
      assembly->loops()[i]->run();
      seconds[i] = (cpu_ns() - before) / 1e9;
    });
  }
  std::this_thread::sleep_for(kTime);
  for (const auto& loop : assembly->loops()) loop->request_stop();
  for (std::thread& thread : threads) thread.join();
  std::uint64_t sent = 0, handed_over = 0, received = 0;
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    const telemetry::WorkerCounters& counters = assembly->worker_counters(i);
    sent += counters.tx.packets.read();
    received += counters.rx.packets.read();
    handed_over += counters.handed_over.read();
  }
  if (astray ? handed_over < received / 3 : handed_over != 0) die("packets come to other workers than they should");
  const double mean = std::accumulate(seconds.begin(), seconds.end(), 0.0) / static_cast<double>(cpus.size());
  return static_cast<double>(sent) / mean / 1e6;
}

std::vector<unsigned> usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<unsigned> out;
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return out;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) out.push_back(cpu);
  }
  return out;
}

int run() {
  const std::vector<unsigned> cpus = usable_cpus();
  if (cpus.size() < kMaxWorkers) die("two CPUs are needed");
  const auto eal = must(dpdk::Eal::start({.main_cpu = static_cast<int>(cpus[0]),
                                          .memory_bytes = 256u << 20,
                                          .huge_pages = dpdk::HugePages::kOff,
                                          .devices = {},
                                          .extra = {},
                                          .file_prefix = {}}));
  double one = 0, two = 0, handed = 0;
  for (int i = 0; i < kRepetitions; ++i) {
    one = std::max(one, measure(std::span(cpus).first(1), false));
    two = std::max(two, measure(std::span(cpus).first(2), false));
    handed = std::max(handed, measure(std::span(cpus).first(2), true));
  }
  fmt::print("l4.workers_1 {:.1f} Mpps\nl4.workers_2 {:.1f} Mpps\nl4.workers_2.handover {:.1f} Mpps\n", one, two,
             handed);
  fmt::print("l4.workers_2.vs_1 {:.2f} ratio\nl4.workers_2.handover.vs_1 {:.2f} ratio\n", two / one, handed / one);
  return 0;
}

}  // namespace
}  // namespace sluice::bench

int main() { return sluice::bench::run(); }
