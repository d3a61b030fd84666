// No two workers write to one pair of cache lines on the packet path: looked up in the memory itself. One worker turns, what
// has changed in the heap and in static data is noted; then the other one. What is mapped by itself (flow tables, EAL's
// memory with its rings and mbufs) begins on a page of its own, and is left out.
#include "sluice/base/own_lines.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/mman.h>

#include "lab.h"

namespace sluice::dataplane {
namespace {

constexpr std::size_t kWorkers = 2;

// A device that shares nothing between its queues, and remembers of what it sent only the last source port.
class ApartDevice final : public dpdk::Device {
 public:
  ApartDevice() { capabilities_ = {.rx_queues = kWorkers, .tx_queues = kWorkers}; }

  void put(std::uint16_t queue, rte_mbuf* mbuf) { queues_[queue].waiting[queues_[queue].count++] = mbuf; }
  [[nodiscard]] std::uint16_t last_port(std::uint16_t queue) const { return queues_[queue].last_port; }

  std::size_t receive(std::uint16_t queue, std::span<rte_mbuf*> room) noexcept override {
    Queue& from = queues_[queue];
    const std::size_t count = std::min(room.size(), std::exchange(from.count, 0));
    std::copy_n(from.waiting.begin(), count, room.begin());
    return count;
  }
  std::size_t send(std::uint16_t queue, std::span<rte_mbuf*> mbufs) noexcept override {
    for (rte_mbuf* mbuf : mbufs) {
      const auto* bytes = rte_pktmbuf_mtod(mbuf, const std::uint8_t*);
      queues_[queue].last_port = static_cast<std::uint16_t>(bytes[34] << 8 | bytes[35]);
      rte_pktmbuf_free(mbuf);
    }
    return mbufs.size();
  }
  [[nodiscard]] const net::MacAddress& mac() const noexcept override { return kOurMac; }
  [[nodiscard]] const dpdk::DeviceCapabilities& capabilities() const noexcept override { return capabilities_; }
  [[nodiscard]] dpdk::DeviceStats stats() const noexcept override { return {}; }

 private:
  struct alignas(kOwnLines) Queue {
    std::array<rte_mbuf*, 64> waiting;
    std::size_t count = 0;
    std::uint16_t last_port = 0;
  };
  std::array<Queue, kWorkers> queues_;
  dpdk::DeviceCapabilities capabilities_;
};

// The heap and the writable data of the program, and how they were.
class MemoryPicture {
 public:
  MemoryPicture() {
    std::ifstream maps("/proc/self/maps");
    const std::string program = std::filesystem::read_symlink("/proc/self/exe");
    std::string before;  // the path of the mapping before; zeroed data has none, and follows the program's
    for (std::string line; std::getline(maps, line);) {
      std::istringstream fields(line);
      std::string range, rights, offset, device, inode, path;
      fields >> range >> rights >> offset >> device >> inode >> path;
      const std::string after = std::exchange(before, path);
      const bool ours = path == "[heap]" || path == program || (path.empty() && after == program);
      if (!rights.starts_with("rw") || !ours) continue;
      const std::size_t dash = range.find('-');
      const auto from = std::stoull(range.substr(0, dash), nullptr, 16),
                 to = std::stoull(range.substr(dash + 1), nullptr, 16);
      parts_[count_].at = reinterpret_cast<const std::byte*>(from);  // NOLINT(performance-no-int-to-ptr)
      parts_[count_].bytes = to - from;
      void* copy =
          ::mmap(nullptr, to - from, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
      parts_[count_++].copy = static_cast<std::byte*>(copy);
      if (count_ == parts_.size()) break;
    }
  }
  ~MemoryPicture() {
    for (std::size_t i = 0; i < count_; ++i) ::munmap(parts_[i].copy, parts_[i].bytes);
  }
  MemoryPicture(const MemoryPicture&) = delete;
  MemoryPicture& operator=(const MemoryPicture&) = delete;

  [[nodiscard]] std::size_t parts() const { return count_; }
  void take() noexcept {
    for (std::size_t i = 0; i < count_; ++i) std::memcpy(parts_[i].copy, parts_[i].at, parts_[i].bytes);
  }
  // The pairs of lines that are not as they were, as multiples of kOwnLines; how many, at most room.size().
  [[nodiscard]] std::size_t changed(std::span<std::uintptr_t> room) const noexcept {
    std::size_t found = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      for (std::size_t at = 0; at < parts_[i].bytes && found < room.size(); at += kOwnLines) {
        if (std::memcmp(parts_[i].copy + at, parts_[i].at + at, kOwnLines) == 0) continue;
        room[found++] = reinterpret_cast<std::uintptr_t>(parts_[i].at + at) / kOwnLines;
      }
    }
    return found;
  }

 private:
  struct Part {
    const std::byte* at;
    std::size_t bytes;
    std::byte* copy;
  };
  std::array<Part, 8> parts_{};
  std::size_t count_ = 0;
};

const char* const kConfig = R"(
runtime: { workers: [0, 1], flows: 4096, persistent_clients: 1024 }
defence: { checksums: verify, source_limits: { packets: 1M } }
interfaces:
  edge: { device: net_null0, addresses: 198.51.100.2/24, gateway: 198.51.100.1 }
neighbors:
  - { interface: edge, address: 198.51.100.1, mac: "02:00:00:00:ff:01" }
  - { interface: edge, address: 198.51.100.11, mac: "02:00:00:00:bb:01" }
  - { interface: edge, address: 198.51.100.12, mac: "02:00:00:00:bb:02" }
pools:
  web: { balance: round_robin, backends: [ { address: 198.51.100.11, port: 80 }, { address: 198.51.100.12, port: 80 } ] }
services:
  nat: { listen: "203.0.113.10:80/tcp", forward: { mode: nat, pool: web } }
  kept: { listen: "203.0.113.10:53/udp", forward: { mode: nat, pool: web, persist: 60s } }
  tunnel: { listen: "203.0.113.11:80/tcp", forward: { mode: ipip, pool: web } }
  direct: { listen: "203.0.113.12:80/tcp", forward: { mode: dsr, pool: web } }
)";

TEST(OwnLines, NoTwoWorkersWriteToOnePairOfCacheLines) {
  auto loaded = config::load_text(kConfig, "lines.yaml");
  ASSERT_TRUE(loaded.has_value()) << config::text(loaded.error());
  const auto config = std::make_shared<const config::Config>(std::move(*loaded));
  dpdk::Mempool pool = *dpdk::Mempool::create({.name = "lines", .mbufs = 1023, .cache = 0, .mtu = 1500});
  ApartDevice device;
  const std::array<dpdk::Device*, 1> devices{&device};
  const std::array<net::MacAddress, 1> macs{kOurMac};
  const Topology topology(*config, macs);
  lb::HealthBoard health;
  lb::SnapshotSlot slot;
  (void)slot.publish(*lb::build_snapshot(config, health, nullptr, {}, *lb::load_access(*config)));
  const lb::PortPlan ports(kWorkers, 0);
  const auto assembly = *Assembly::create({.config = *config,
                                           .topology = topology,
                                           .devices = devices,
                                           .pool = pool,
                                           .snapshots = slot,
                                           .ports = ports,
                                           .secret = {1, 2},
                                           .seed = 3,
                                           .announce = false});
  const auto put = [&](std::uint16_t queue, const Bytes& frame) {
    rte_mbuf* mbuf = pool.alloc();
    std::memcpy(rte_pktmbuf_append(mbuf, static_cast<std::uint16_t>(frame.size())), frame.data(), frame.size());
    device.put(queue, mbuf);
  };
  // Each worker has its own clients, and packets that it hands over.
  const auto put_round = [&](std::uint16_t queue, int round) {
    for (int i = 0; i < 6; ++i) {
      const auto port = static_cast<std::uint16_t>(2000 + round * 16 + i);
      const char* client = i % 2 == 0 ? "192.0.2.1" : "192.0.2.2";
      put(queue, from_client(ip4(client, "203.0.113.10").tcp(port, 80)));
      put(queue, from_client(ip4(client, "203.0.113.10").udp(port, 53)));
      put(queue, from_client(ip4(client, "203.0.113.11").tcp(port, 80)));
      put(queue, from_client(ip4(client, "203.0.113.12").tcp(port, 80)));
      put(queue, from_client(ip4(client, "203.0.113.99").tcp(port, 80)));  // dropped
    }
    put(queue, from_backend(ip4("198.51.100.11", "198.51.100.2").tcp(80, device.last_port(queue), net::kTcpAck)));
    put(queue,
        from_client(ip4("192.0.2.1", "203.0.113.10").udp(9, 53).fragment(0, true, static_cast<std::uint32_t>(round))));
    put(queue, from_client(ip4("192.0.2.1", "203.0.113.10").icmp(8, 0, 1)));
  };

  MemoryPicture picture;
  ASSERT_GE(picture.parts(), 2u);
  std::array<std::set<std::uintptr_t>, kWorkers> written;
  std::array<std::uintptr_t, 8192> room{};  // on the stack, which is not looked at
  Instant now{std::chrono::hours(1)};
  for (int round = 0; round < 40; ++round) {
    for (std::uint16_t worker = 0; worker < kWorkers; ++worker) {
      put_round(worker, round);
      picture.take();
      (void)assembly->loops()[worker]->turn(now);
      const std::size_t count = picture.changed(room);
      ASSERT_LT(count, room.size());
      written[worker].insert(room.begin(), room.begin() + static_cast<std::ptrdiff_t>(count));
    }
    now += std::chrono::milliseconds(20);
  }
  EXPECT_GT(assembly->worker_counters(0).handed_over.read(), 0u);
  EXPECT_GT(assembly->worker_counters(1).taken_over.read(), 0u);
  // It sees what it is about.
  for (std::size_t worker = 0; worker < kWorkers; ++worker) {
    const auto counters = reinterpret_cast<std::uintptr_t>(&assembly->worker_counters(worker)) / kOwnLines;
    EXPECT_TRUE(written[worker].contains(counters));
    EXPECT_FALSE(written[1 - worker].contains(counters));
  }
  EXPECT_GT(written[0].size(), 20u);
  EXPECT_GT(written[1].size(), 20u);
  std::vector<std::string> shared;
  for (const std::uintptr_t line : written[0]) {
    if (written[1].contains(line)) shared.push_back(fmt::format("{:#x}", line * kOwnLines));
  }
  EXPECT_THAT(shared, ::testing::IsEmpty());
}

}  // namespace
}  // namespace sluice::dataplane
