// What the layer 4 path costs a packet (packet_bench.h), above the floor of the same harness with two MAC addresses swapped
// instead.
// Usage:  bench_l4 [--repetitions N] [--row ROW] [--plot]
//         --row: one row alone, as nat6.flows_1m or syn_cookie, to be profiled.
//         --plot: nanoseconds over the number of flows, backends and services, as `plot.` keys; takes minutes.
#include <cstdlib>
#include <string_view>

#include <fmt/format.h>

#include "packet_bench.h"
#include "sluice/dpdk/eal.h"

namespace {

using namespace sluice;
using namespace sluice::bench;

constexpr int kBatches = 5;  // some 20,000 packets

struct Row {
  std::string_view mode;
  bool ipv6;
  std::string_view key;
  std::size_t flows;
  std::size_t table = 0;  // made for so many; 0: for these
  Tags tags = Tags::kNone;
};

void print_ns(std::string_view key, double ns) { fmt::print("{} {:.1f} ns\n", key, ns); }

void measure_flows(const dpdk::Mempool& pool, const Row& row, int repetitions) {
  const std::size_t table = std::max<std::size_t>(row.table != 0 ? row.table : row.flows * 105 / 100, 16384);
  PacketBench bench(pool, {.mode = row.mode, .ipv6 = row.ipv6, .flows = table, .tags = row.tags});
  bench.open_flows(1);
  const double floor = least(repetitions, kBatches, [&] { return bench.measure_floor(); });
  bench.open_flows(row.flows);
  const double ns = least(repetitions, kBatches, [&] { return bench.measure(); });
  print_ns(fmt::format("l4.{}.over_floor_ns", row.key), ns - floor);
  fmt::print("l4.{}.table_load {:.2f} ratio\n", row.key, bench.load());
}

// SYNs of new flows into a table of so many, from half empty to full.
double measure_new_flows(const dpdk::Mempool& pool, std::size_t flows, int repetitions) {
  double best = 1e18;
  const int rounds = flows > 100'000 ? 3 : std::max(3, repetitions / 2);
  for (int round = 0; round < rounds; ++round) {
    PacketBench bench(pool, {.flows = flows});
    bench.open_flows(flows / 2);
    double sum = 0;
    int batches = 0;
    for (; bench.room() >= kBatch; ++batches) {
      const double ns = bench.measure_new();
      if (flows > 100'000) {
        best = std::min(best, ns / kBatch);
      } else {
        sum += ns;
      }
    }
    if (flows <= 100'000) best = std::min(best, sum / batches / kBatch);
  }
  return best;
}

std::size_t resident_bytes() {
  long total = 0, resident = 0;
  FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr || std::fscanf(file, "%ld %ld", &total, &resident) != 2) die("cannot read /proc/self/statm");
  std::fclose(file);
  return static_cast<std::size_t>(resident) * 4096;
}

// Everything that a worker with a full table has resident, over the number of flows.
double bytes_per_flow(const dpdk::Mempool& pool, std::string_view mode) {
  constexpr std::size_t kFlows = 1u << 20;
  const std::size_t before = resident_bytes();
  PacketBench bench(pool, {.mode = mode, .flows = kFlows});
  bench.open_flows(kFlows);
  const double of_the_bench = static_cast<double>(kFlows) * 12;  // its own list of the flows
  return (static_cast<double>(resident_bytes() - before) - of_the_bench) / static_cast<double>(kFlows);
}

void measure_cookies(const dpdk::Mempool& pool, bool ipv6, int repetitions) {
  PacketBench bench(pool, {.ipv6 = ipv6, .syn_proxy = true});
  print_ns(ipv6 ? "l4.syn_cookie6.ns" : "l4.syn_cookie.ns",
           least(repetitions, kBatches, [&] { return bench.measure_cookies(); }));
}

void plot(const dpdk::Mempool& pool, std::string_view mode, int repetitions) {
  for (const std::size_t flows : {1u, 64u, 1024u, 4096u, 16384u, 65536u, 262144u, 1048576u}) {
    PacketBench bench(pool, {.mode = mode, .flows = std::max<std::size_t>(flows, 16384)});
    bench.open_flows(flows);
    print_ns(fmt::format("plot.{}.flows_{}", mode, flows),
             least(repetitions, kBatches, [&] { return bench.measure(); }));
  }
  for (const std::size_t backends : {1u, 10u, 100u, 1000u, 10000u}) {
    PacketBench bench(pool, {.mode = mode, .flows = 16384, .backends = backends});
    bench.open_flows(4096);
    print_ns(fmt::format("plot.{}.backends_{}", mode, backends),
             least(repetitions, kBatches, [&] { return bench.measure(); }));
  }
  for (const std::size_t services : {1u, 10u, 100u, 1000u, 10000u}) {
    PacketBench bench(pool, {.mode = mode, .flows = 16384, .services = services});
    bench.open_flows(4096);
    print_ns(fmt::format("plot.{}.services_{}", mode, services),
             least(repetitions, kBatches, [&] { return bench.measure(); }));
  }
}

}  // namespace

int main(int argc, char** argv) {
  int repetitions = 40;
  bool plots = false;
  std::string_view one_row;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--plot") {
      plots = true;
    } else if (argument == "--row" && i + 1 < argc) {
      one_row = argv[++i];
    } else if (argument == "--repetitions" && i + 1 < argc) {
      repetitions = std::max(1, std::atoi(argv[++i]));
    } else {
      die("usage: bench_l4 [--repetitions N] [--row ROW] [--plot]");
    }
  }
  auto eal = must(dpdk::Eal::start({.main_cpu = -1,
                                    .memory_bytes = std::size_t{64} << 20,
                                    .huge_pages = dpdk::HugePages::kAuto,
                                    .devices = {},
                                    .extra = {},
                                    .file_prefix = {}}));
  const dpdk::Mempool pool = must(dpdk::Mempool::create({.name = "bench", .mbufs = 8191, .cache = 256, .mtu = 1500}));
  if (plots) {
    plot(pool, "nat", repetitions);
    return 0;
  }
  constexpr std::size_t kMillion = 1'000'000;
  const Row rows[] = {
      {"nat", false, "nat.flows_1", 1},
      {"nat", false, "nat.flows_4k", 4096},
      {"nat", false, "nat.flows_4k_of_1m", 4096, kMillion},
      {"nat", false, "nat.flows_1m", kMillion},
      {"nat", true, "nat6.flows_1m", kMillion},
      {"nat", false, "nat_vlan.flows_4k", 4096, 0, Tags::kInSoftware},
      {"nat", false, "nat_vlan_nic.flows_4k", 4096, 0, Tags::kByDevice},
      {"ipip", false, "ipip.flows_1", 1},
      {"ipip", false, "ipip.flows_4k", 4096},
      {"ipip", false, "ipip.flows_4k_of_1m", 4096, kMillion},
      {"ipip", false, "ipip.flows_1m", kMillion},
      {"ipip", false, "ipip.flows_10m", 10 * kMillion},
      {"ipip", true, "ipip6.flows_1m", kMillion},
  };
  if (!one_row.empty()) {
    for (const Row& row : rows) {
      if (row.key == one_row) measure_flows(pool, row, repetitions);
    }
    if (one_row == "syn_cookie" || one_row == "syn_cookie6") measure_cookies(pool, one_row.back() == '6', repetitions);
    return 0;
  }
  // First: later, the allocator has memory that nobody uses, and the process would not grow.
  fmt::print("l4.memory.bytes_per_flow_nat {:.1f} bytes\n", bytes_per_flow(pool, "nat"));
  fmt::print("l4.memory.bytes_per_flow_tunnel {:.1f} bytes\n", bytes_per_flow(pool, "ipip"));
  fmt::print("l4.huge_pages {} bool\n", eal.huge_pages() ? 1 : 0);
  {
    PacketBench bench(pool, {.flows = 16384});
    bench.open_flows(1);
    print_ns("l4.floor.ns", least(repetitions, kBatches, [&] { return bench.measure_floor(); }));
  }
  for (const Row& row : rows) measure_flows(pool, row, repetitions);
  const double floor = [&] {
    PacketBench bench(pool, {.flows = 16384});
    bench.open_flows(4096);
    return least(repetitions, kBatches, [&] { return bench.measure_floor(); });
  }();
  print_ns("l4.nat.new_flow_16k.over_floor_ns", measure_new_flows(pool, 16384, repetitions) - floor);
  print_ns("l4.nat.new_flow_1m.over_floor_ns", measure_new_flows(pool, 1u << 20, repetitions) - floor);
  for (const bool ipv6 : {false, true}) measure_cookies(pool, ipv6, repetitions);
  return 0;
}
