#include "sluice/lb/balance.h"

#include <algorithm>

namespace sluice::lb {

BackendIndex choose(const Snapshot& snapshot, PoolIndex pool, std::uint64_t hash, RoundRobinTurns& turns) noexcept {
  const Pool& from = snapshot.pools[pool];
  if (from.balance == config::Balance::kMaglev) return from.maglev->find(hash);
  return turns.next(pool, *from.round_robin);
}

BackendIndex choose_other(const Snapshot& snapshot, PoolIndex pool, std::uint64_t hash, RoundRobinTurns& turns,
                          std::span<const BackendIndex> tried) noexcept {
  const auto untried = [tried](BackendIndex backend) { return std::ranges::find(tried, backend) == tried.end(); };
  const BackendIndex first = choose(snapshot, pool, hash, turns);
  if (first == kNoBackend || untried(first)) return first;
  const Pool& from = snapshot.pools[pool];
  const bool maglev = from.balance == config::Balance::kMaglev;
  const auto table = maglev ? from.maglev->slots() : from.round_robin->turns();
  const std::size_t start =
      maglev ? from.maglev->slot_of(hash) : static_cast<std::size_t>(std::ranges::find(table, first) - table.begin());
  // Maglev's order behind the flow's own slot is as good as random, and the same for every retry of that flow.
  for (std::size_t i = 1; i < table.size(); ++i) {
    const BackendIndex next = table[(start + i) % table.size()];
    if (untried(next)) return next;
  }
  return kNoBackend;
}

bool should_move(const Snapshot& snapshot, const Flow& flow) noexcept {
  if (flow.state() != FlowState::kUdp && flow.state() != FlowState::kSynSent) return false;
  const Backend* backend = snapshot.find_backend(flow.backend);
  return backend == nullptr || !backend->present || backend->state != BackendState::kUp;
}

}  // namespace sluice::lb
