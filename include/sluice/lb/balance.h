// Which backend a new flow or request goes to.
// Threading: reads a snapshot; RoundRobinTurns is the calling thread's own.
#pragma once

#include <cstdint>
#include <span>

#include "sluice/lb/flow_table.h"
#include "sluice/lb/ids.h"
#include "sluice/lb/round_robin.h"
#include "sluice/lb/snapshot.h"
#include "sluice/telemetry/counters.h"

namespace sluice::lb {

// What the calling thread itself has open at each backend (`active`), by BackendIndex. Flows are spread over the threads
// by a hash, so that what is right for each of them is nearly right for all together.
using Loads = std::span<const telemetry::EntityCounters>;

// `hash` is flow_hash() of the flow, of the pool's kind; round robin and least_conn do not look at it. kNoBackend: no
// backend of the pool takes new flows, or (the pool is `limited`) none has room for one.
[[nodiscard]] BackendIndex choose(const Snapshot& snapshot, PoolIndex pool, std::uint64_t hash, RoundRobinTurns& turns,
                                  Loads loads) noexcept;
// Whether the backend may have one more flow.
[[nodiscard]] bool has_room(const Snapshot& snapshot, BackendIndex backend, Loads loads) noexcept;

// By the hash alone, whatever the backends hold: what every thread and machine with this configuration says of the flow.
// kNoBackend: none takes new flows, or the pool goes by turns or by loads.
[[nodiscard]] BackendIndex choose_by_hash(const Snapshot& snapshot, PoolIndex pool, std::uint64_t hash) noexcept;

// As choose(), but none of `tried` (a retry): the next in the table's order. kNoBackend: all that are up were tried.
[[nodiscard]] BackendIndex choose_other(const Snapshot& snapshot, PoolIndex pool, std::uint64_t hash,
                                        RoundRobinTurns& turns, Loads loads,
                                        std::span<const BackendIndex> tried) noexcept;

// Whether a flow should be begun again with another backend (remove, then insert): its backend is down or gone, and
// nothing is lost by moving, since it is UDP, or TCP whose SYN no backend has answered. Other TCP stays where it is: its
// state is there. A weight of 0 moves nothing.
[[nodiscard]] bool should_move(const Snapshot& snapshot, const Flow& flow) noexcept;

}  // namespace sluice::lb
