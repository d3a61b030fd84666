// What a lookup in the flow table costs: tables at their stated load factor (FlowTable::kLoad), flows in random order,
// bursts of 32 as the worker has them. One iteration is one burst; the time of one lookup is the counter "each".
#include "sluice/lb/flow_table.h"

#include <array>
#include <memory>
#include <vector>

#include <benchmark/benchmark.h>

#include "sluice/base/random.h"

namespace sluice::lb {
namespace {

constexpr std::size_t kBurst = 32;
constexpr std::size_t kOrder = std::size_t{1} << 20;  // lookups before the order repeats

class Table {
 public:
  explicit Table(std::size_t flows)
      : ports_({1024, 64448}, Random(1)),
        counters_(std::make_unique<telemetry::WorkerCounters>()),
        table_(flows, {random_.next(), random_.next(), random_.next(), random_.next()}, ports_, *counters_) {
    for (std::size_t i = 0; i < flows; ++i) {
      const auto n = static_cast<std::uint32_t>(i);
      const FlowKey key{.client = net::IpAddress::v4(Be32(0xc6120000u + n / 16)),  // 198.18.0.0/15, RFC 2544
                        .listener = {1, 1},
                        .client_port = static_cast<std::uint16_t>(20000 + n % 16),
                        .proto = net::IpProto::kTcp,
                        .zero = 0};
      const ReplyKey reply{.backend = net::IpAddress::v4(Be32(0xc0000200u + n / 60000)),
                           .backend_port = 80,
                           .local_port = static_cast<std::uint16_t>(1024 + n % 60000),
                           .source = 0,
                           .proto = net::IpProto::kTcp,
                           .zero = 0};
      const NewFlow flow{.key = key, .reply = reply, .backend = {1, 1}, .service = 0, .state = FlowState::kEstablished};
      if (table_.insert(flow, FlowLimits{}, Ms{0}) == nullptr) std::abort();
      keys_.push_back(key);
      replies_.push_back(reply);
    }
    for (std::size_t i = 0; i < kOrder; ++i) order_.push_back(random_.below(static_cast<std::uint32_t>(flows)));
  }

  FlowTable& table() { return table_; }
  // The keys of the next burst, copied: the worker makes them from packets.
  template <typename Key>
  void next(const std::vector<Key>& from, std::array<Key, kBurst>& out) {
    for (Key& key : out) key = from[order_[at_++ & (kOrder - 1)]];
  }
  const std::vector<FlowKey>& keys() const { return keys_; }
  const std::vector<ReplyKey>& replies() const { return replies_; }

 private:
  Random random_{7};
  NatPorts ports_;
  std::unique_ptr<telemetry::WorkerCounters> counters_;
  FlowTable table_;
  std::vector<FlowKey> keys_;
  std::vector<ReplyKey> replies_;
  std::vector<std::uint32_t> order_;
  std::size_t at_ = 0;
};

void count_lookups(benchmark::State& state) {
  state.counters["each"] =
      benchmark::Counter(kBurst, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

// Copying the keys out of a large array misses the cache by itself: it is done 256 bursts ahead, outside of the timing.
template <typename Key, typename Find>
void run(benchmark::State& state, Table& table, const std::vector<Key>& from, Find&& find) {
  constexpr std::size_t kAhead = 256;
  std::vector<std::array<Key, kBurst>> bursts(kAhead);
  std::array<Flow*, kBurst> out;
  std::size_t at = kAhead;
  for (auto _ : state) {
    if (at == kAhead) {
      state.PauseTiming();
      for (auto& burst : bursts) table.next(from, burst);
      at = 0;
      state.ResumeTiming();
    }
    find(std::span<const Key>(bursts[at++]), std::span<Flow*>(out));
    for (Flow* flow : out) flow->last_seen = Ms{1};  // as every packet does
    benchmark::ClobberMemory();
  }
  count_lookups(state);
}

void find(benchmark::State& state) {
  Table table(static_cast<std::size_t>(state.range(0)));
  run(state, table, table.keys(), [&](auto keys, auto out) { table.table().find(keys, out, Ms{1}); });
}
void find_replies(benchmark::State& state) {
  Table table(static_cast<std::size_t>(state.range(0)));
  run(state, table, table.replies(), [&](auto keys, auto out) { table.table().find_replies(keys, out, Ms{1}); });
}
void find_one_by_one(benchmark::State& state) {
  Table table(static_cast<std::size_t>(state.range(0)));
  run(state, table, table.keys(), [&](auto keys, auto out) {
    for (std::size_t i = 0; i < keys.size(); ++i) out[i] = table.table().find(keys[i], Ms{1});
  });
}
// A short flow: open, close, open the next; the table stays nearly full.
void insert_and_remove(benchmark::State& state) {
  const auto flows = static_cast<std::size_t>(state.range(0));
  Table table(flows);
  Random random(3);
  for (auto _ : state) {
    const std::uint32_t i = random.below(static_cast<std::uint32_t>(flows));
    Flow* flow = table.table().find(table.keys()[i], Ms{1});
    const NewFlow again{.key = flow->key, .reply = flow->reply, .backend = {1, 1}, .service = 0, .state = flow->state};
    table.table().remove(*flow, Ms{1});
    benchmark::DoNotOptimize(table.table().insert(again, FlowLimits{}, Ms{1}));
  }
}

BENCHMARK(find)->Arg(1)->Arg(4096)->Arg(1 << 20)->ArgName("flows");
BENCHMARK(find_replies)->Arg(1)->Arg(4096)->Arg(1 << 20)->ArgName("flows");
BENCHMARK(find_one_by_one)->Arg(1)->Arg(4096)->Arg(1 << 20)->ArgName("flows");
BENCHMARK(insert_and_remove)->Arg(4096)->Arg(1 << 20)->ArgName("flows");

}  // namespace
}  // namespace sluice::lb

BENCHMARK_MAIN();
