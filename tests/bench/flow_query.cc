// What counting all flows of a table costs the worker that owns it: nanoseconds a packet with and without, and how long it takes.
// Usage: bench_flow_query [FLOWS]      default: 1,000,000
#include <cstdlib>

#include <fmt/format.h>

#include "packet_bench.h"
#include "sluice/dpdk/eal.h"

int main(int argc, char** argv) {
  using namespace sluice;
  using namespace sluice::bench;
  const std::size_t flows = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  auto eal = must(dpdk::Eal::start({.main_cpu = -1,
                                    .memory_bytes = std::size_t{64} << 20,
                                    .huge_pages = dpdk::HugePages::kAuto,
                                    .devices = {},
                                    .extra = {},
                                    .file_prefix = {}}));
  const dpdk::Mempool pool = must(dpdk::Mempool::create({.name = "bench", .mbufs = 8191, .cache = 256, .mtu = 1500}));
  PacketBench bench(pool, {.mode = "dsr", .flows = flows + flows / 20});
  bench.open_flows(flows);
  double alone = 1e18, asked = 1e18;
  double took = 1e18;
  for (int round = 0; round < 3; ++round) {
    for (int batch = 0; batch < 20; ++batch) alone = std::min(alone, bench.measure() / kBatch);
    lb::FlowQuery query({}, lb::FlowAction::kCount);
    if (!bench.queries().post(query)) die("the mailbox is full");
    double sum = 0;
    while (!query.done()) {
      const double ns = bench.measure();
      sum += ns;
      if (!query.done()) asked = std::min(asked, ns / kBatch);
    }
    took = std::min(took, sum);
    if (query.matched() != flows) die(fmt::format("{} flows counted", query.matched()));
  }
  fmt::print("flow_query.count_{}.packet_ns {:.1f} ns\n", flows, asked);
  fmt::print("flow_query.count_{}.packet_ns_without {:.1f} ns\n", flows, alone);
  fmt::print("flow_query.count_{}.took_ms {:.0f} ms\n", flows, took / 1e6);
  return 0;
}
