#include "sluice/lb/round_robin.h"

#include <algorithm>
#include <numeric>

namespace sluice::lb {

RoundRobinTable::RoundRobinTable(std::span<const WeightedBackend> backends) {
  struct Turn {
    BackendIndex index;
    std::int64_t weight;
    std::int64_t current;
  };
  std::vector<Turn> all;
  std::int64_t sum = 0;
  std::int64_t divisor = 0;
  for (const WeightedBackend& backend : backends) {
    if (backend.weight == 0) continue;
    all.push_back({backend.index, std::int64_t{backend.weight}, 0});
    sum += backend.weight;
    divisor = std::gcd(divisor, std::int64_t{backend.weight});
  }
  if (all.empty()) return;
  constexpr auto kLimit = static_cast<std::int64_t>(kMaxTurns);
  const bool too_long = sum / divisor > kLimit;
  for (Turn& turn : all) {
    turn.weight = too_long ? std::max(std::int64_t{1}, (turn.weight * kLimit + sum / 2) / sum) : turn.weight / divisor;
  }
  const auto scaled = std::accumulate(all.begin(), all.end(), std::int64_t{0},
                                      [](std::int64_t total, const Turn& turn) { return total + turn.weight; });
  turns_.reserve(static_cast<std::size_t>(scaled));
  for (std::int64_t i = 0; i < scaled; ++i) {
    for (Turn& turn : all) turn.current += turn.weight;
    Turn& next = *std::ranges::max_element(all, {}, &Turn::current);
    next.current -= scaled;
    turns_.push_back(next.index);
  }
}

RoundRobinTurns::RoundRobinTurns(Random random) : next_(kMaxPools) {
  for (std::uint32_t& next : next_) next = static_cast<std::uint32_t>(random.next());
}

BackendIndex RoundRobinTurns::next(PoolIndex pool, const RoundRobinTable& table) noexcept {
  const auto turns = table.turns();
  if (turns.empty()) return kNoBackend;
  return turns[next_[pool]++ % turns.size()];
}

}  // namespace sluice::lb
