// Which backend a new flow or request goes to.
// Threading: reads a snapshot; RoundRobinTurns is the calling thread's own.
#pragma once

#include <cstdint>
#include <span>

#include "sluice/lb/flow_table.h"
#include "sluice/lb/ids.h"
#include "sluice/lb/round_robin.h"
#include "sluice/lb/snapshot.h"

namespace sluice::lb {

// `hash` is maglev_hash() of the flow; round robin does not look at it. kNoBackend: no backend of the pool takes new
// flows.
[[nodiscard]] BackendIndex choose(const Snapshot& snapshot, PoolIndex pool, std::uint64_t hash,
                                  RoundRobinTurns& turns) noexcept;

// The same, but none of `tried` (a retry): the next in the table's order. kNoBackend: all that are up were tried.
[[nodiscard]] BackendIndex choose_other(const Snapshot& snapshot, PoolIndex pool, std::uint64_t hash,
                                        RoundRobinTurns& turns, std::span<const BackendIndex> tried) noexcept;

// Whether a flow should be begun again with another backend (remove, then insert): its backend is down or gone, and
// nothing is lost by moving, since it is UDP, or TCP whose SYN no backend has answered. Other TCP stays where it is: its
// state is there. A weight of 0 moves nothing.
[[nodiscard]] bool should_move(const Snapshot& snapshot, const Flow& flow) noexcept;

}  // namespace sluice::lb
