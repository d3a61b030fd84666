// The flow table against DPDK's rte_hash on the same keys: nanoseconds a lookup of a random flow, the flow touched as each
// packet does it. rte_hash finds a position by key (rte_hash_lookup_bulk, CRC hash), and the flow lies in an array at that
// position.
// Method: 1M and 10M flows; bursts of 32 keys in seeded random order, copied ahead of time, since reading them from a large
//         array would miss the caches by itself. A figure is the minimum over repetitions of this thread's CPU time.
// Usage:  bench_flow_table [--repetitions N]
#include "sluice/lb/flow_table.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <time.h>

#include "sluice/base/huge_pages.h"
#include "sluice/base/random.h"
#include "sluice/dpdk/eal.h"

namespace {

using namespace sluice;

constexpr std::size_t kBurst = 32;
constexpr std::size_t kBursts = 256;  // copied ahead: 200 KB, which stay in the second cache
constexpr std::uint64_t kSeed = 20262;

using Burst = std::array<lb::FlowKey, kBurst>;

lb::FlowKey key_of(std::uint32_t number) {  // 16 connections of each client of 198.18.0.0/15 and on
  return {.client = net::IpAddress::v4(Be32(0xc6120000u + number / 16)),
          .listener = {1, 1},
          .client_port = static_cast<std::uint16_t>(20000 + number % 16),
          .proto = net::IpProto::kTcp};
}

double cpu_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

[[noreturn]] void die(std::string_view what) {
  fmt::print(stderr, "bench_flow_table: {}\n", what);
  std::exit(1);
}

class Ours {
 public:
  explicit Ours(std::uint32_t flows)
      : table_(flows, {random_.next(), random_.next(), random_.next(), random_.next()}, ports_, *counters_) {
    for (std::uint32_t n = 0; n < flows; ++n) {
      const lb::NewFlow flow{.key = key_of(n),
                             .reply = {.backend = net::IpAddress::v4(Be32(0xc0000201u)), .backend_port = 80},
                             .backend = {1, 1},
                             .service = 0,
                             .state = lb::FlowState::kEstablished};
      if (table_.insert(flow, Ms{0}) == nullptr) die("the flow table is full");
    }
  }
  void look_up(const Burst& burst) {
    std::array<lb::FlowTable::Lookup, kBurst> lookups;
    std::array<lb::Flow*, kBurst> flows;
    for (std::size_t i = 0; i < kBurst; ++i) {
      lookups[i] = table_.begin(burst[i].client.words(), burst[i].words()[2], false);
    }
    for (std::size_t i = 0; i < kBurst; ++i) flows[i] = table_.guess(lookups[i]);
    for (std::size_t i = 0; i < kBurst; ++i) {
      lb::Flow* flow = table_.finish(lookups[i], flows[i], Ms{1});
      if (flow == nullptr) die("the flow table does not know a flow");
      flow->last_seen = Ms{1};
    }
  }

 private:
  Random random_{kSeed};
  lb::NatPorts ports_{{1024, 64}, Random(1)};
  std::unique_ptr<telemetry::WorkerCounters> counters_ = std::make_unique<telemetry::WorkerCounters>();
  lb::FlowTable table_;
};

class Reference {
 public:
  explicit Reference(std::uint32_t flows) : flows_(flows + 1) {
    const rte_hash_parameters parameters{.name = "bench",
                                         .entries = flows,
                                         .reserved = 0,
                                         .key_len = sizeof(lb::FlowKey),
                                         .hash_func = rte_hash_crc,
                                         .hash_func_init_val = 0,
                                         .socket_id = 0,
                                         .extra_flag = 0};
    hash_ = rte_hash_create(&parameters);
    if (hash_ == nullptr) die("rte_hash_create has no memory: reserve 1 GiB of hugepages");
    for (std::uint32_t n = 0; n < flows; ++n) {
      const lb::FlowKey key = key_of(n);
      const std::int32_t at = rte_hash_add_key(hash_, &key);
      if (at < 0) continue;  // a few do not fit into their buckets: they are not asked for
      flows_[static_cast<std::size_t>(at)].key = key;
    }
  }
  ~Reference() { rte_hash_free(hash_); }
  Reference(const Reference&) = delete;
  Reference& operator=(const Reference&) = delete;

  [[nodiscard]] bool knows(const lb::FlowKey& key) const { return rte_hash_lookup(hash_, &key) >= 0; }
  void look_up(const Burst& burst) {
    std::array<const void*, kBurst> keys;
    std::array<std::int32_t, kBurst> places;
    for (std::size_t i = 0; i < kBurst; ++i) keys[i] = &burst[i];
    (void)rte_hash_lookup_bulk(hash_, keys.data(), kBurst, places.data());
    for (const std::int32_t place : places) __builtin_prefetch(&flows_[static_cast<std::size_t>(place)], 1);
    for (const std::int32_t place : places) flows_[static_cast<std::size_t>(place)].last_seen = Ms{1};
  }

 private:
  rte_hash* hash_ = nullptr;
  HugeArray<lb::Flow> flows_;
};

template <typename Table>
double measure(Table& table, const std::vector<Burst>& bursts) {
  const double before = cpu_ns();
  for (const Burst& burst : bursts) table.look_up(burst);
  return (cpu_ns() - before) / static_cast<double>(kBurst * bursts.size());
}

void compare(std::string_view name, std::uint32_t flows, int repetitions) {
  Random random(kSeed);
  Ours ours(flows);
  Reference reference(flows);
  std::vector<Burst> bursts(kBursts);
  double least = 1e9, least_reference = 1e9;
  for (int i = 0; i < repetitions; ++i) {
    for (Burst& burst : bursts) {
      for (lb::FlowKey& key : burst) {
        do key = key_of(random.below(flows));
        while (!reference.knows(key));
      }
    }
    least = std::min(least, measure(ours, bursts));
    least_reference = std::min(least_reference, measure(reference, bursts));
  }
  fmt::print("l4.flow_table.lookup_{}.ns {:.1f} ns\n", name, least);
  fmt::print("l4.flow_table.lookup_{}.rte_hash_ns {:.1f} ns\n", name, least_reference);
  fmt::print("l4.flow_table.lookup_{}.vs_rte_hash {:.2f} ratio\n", name, least_reference / least);
}

}  // namespace

int main(int argc, char** argv) {
  int repetitions = 40;
  if (argc == 3 && std::string_view(argv[1]) == "--repetitions") repetitions = std::max(1, std::atoi(argv[2]));
  const auto eal = dpdk::Eal::start({.main_cpu = -1,
                                     .memory_bytes = std::size_t{1} << 30,
                                     .huge_pages = dpdk::HugePages::kAuto,
                                     .devices = {},
                                     .extra = {},
                                     .file_prefix = {}});
  if (!eal) die(eal.error().message);
  fmt::print("l4.flow_table.huge_pages {} bool\n", (*eal).huge_pages() ? 1 : 0);
  compare("1m", 1'000'000, repetitions);
  compare("10m", 10'000'000, repetitions);
  return 0;
}
