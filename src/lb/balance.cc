#include "sluice/lb/balance.h"

#include <algorithm>

namespace sluice::lb {

namespace {

// The one with the fewest flows for its weight, of those that are `usable`; equals take turns.
template <typename Usable>
BackendIndex least_loaded(const Pool& from, std::uint32_t start, Loads loads, Usable&& usable) noexcept {
  const std::size_t count = from.takers.size();
  const WeightedBackend* best = nullptr;
  std::uint64_t best_load = 0;
  for (std::size_t i = 0, at = count == 0 ? 0 : start % count; i < count; ++i, at = at + 1 == count ? 0 : at + 1) {
    const WeightedBackend& one = from.takers[at];
    if (!usable(one.index)) continue;
    // With the flow that is to come, so that an idle backend of great weight comes before one of little.
    const std::uint64_t load =
        static_cast<std::uint64_t>(std::max<std::int64_t>(loads[one.index].active.read(), 0)) + 1;
    if (best != nullptr && load * best->weight >= best_load * one.weight) continue;
    best = &one;
    best_load = load;
  }
  return best == nullptr ? kNoBackend : best->index;
}

// The first with room, from a place on that follows from the flow.
BackendIndex first_with_room(const Snapshot& snapshot, std::span<const WeightedBackend> among, std::uint64_t hash,
                             Loads loads) noexcept {
  const std::size_t start = among.empty() ? 0 : hash % among.size();
  for (std::size_t i = 0; i < among.size(); ++i) {
    const BackendIndex one = among[(start + i) % among.size()].index;
    if (has_room(snapshot, one, loads)) return one;
  }
  return kNoBackend;
}

BackendIndex choose_with_room(const Snapshot& snapshot, const Pool& from, BackendIndex first, std::uint64_t hash,
                              Loads loads) noexcept {
  if (first != kNoBackend && has_room(snapshot, first, loads)) return first;
  const BackendIndex other = first_with_room(snapshot, from.takers, hash, loads);
  return other != kNoBackend ? other : first_with_room(snapshot, from.backups, hash, loads);
}

}  // namespace

bool has_room(const Snapshot& snapshot, BackendIndex backend, Loads loads) noexcept {
  const std::uint32_t limit = snapshot.backends[backend].max_flows;
  return limit == 0 || loads[backend].active.read() < std::int64_t{limit};
}

BackendIndex choose(const Snapshot& snapshot, PoolIndex pool, std::uint64_t hash, RoundRobinTurns& turns,
                    Loads loads) noexcept {
  const Pool& from = snapshot.pools[pool];
  BackendIndex first = kNoBackend;
  if (config::is_hashed(from.balance)) {
    first = from.maglev->find(hash);
  } else if (from.balance == config::Balance::kRoundRobin) {
    first = turns.next(pool, *from.round_robin);
  } else {
    first = least_loaded(from, turns.next(pool), loads,
                         [&](BackendIndex one) { return !from.limited || has_room(snapshot, one, loads); });
  }
  if (!from.limited) [[likely]]
    return first;
  return choose_with_room(snapshot, from, first, hash, loads);
}

BackendIndex choose_by_hash(const Snapshot& snapshot, PoolIndex pool, std::uint64_t hash) noexcept {
  const Pool& from = snapshot.pools[pool];
  return config::is_hashed(from.balance) ? from.maglev->find(hash) : kNoBackend;
}

BackendIndex choose_other(const Snapshot& snapshot, PoolIndex pool, std::uint64_t hash, RoundRobinTurns& turns,
                          Loads loads, std::span<const BackendIndex> tried) noexcept {
  const auto untried = [tried](BackendIndex backend) { return std::ranges::find(tried, backend) == tried.end(); };
  const Pool& from = snapshot.pools[pool];
  if (from.balance == config::Balance::kLeastConn) return least_loaded(from, turns.next(pool), loads, untried);
  const BackendIndex first = choose(snapshot, pool, hash, turns, loads);
  if (first == kNoBackend || untried(first)) return first;
  const bool maglev = config::is_hashed(from.balance);
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
  return backend == nullptr || !backend->serves();
}

}  // namespace sluice::lb
