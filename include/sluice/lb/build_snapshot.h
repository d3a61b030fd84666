// From a configuration and the state of health to a Snapshot.
// What is the same as in the previous snapshot keeps its index and generation: a listener by address, port and protocol
// (of the same kind of service and forwarding mode), a service and a pool by name, a backend by pool, name, address and
// port. A new thing takes a slot that was never used, else the one that has been free, with a new generation. Maglev and
// round robin tables are taken over from the previous snapshot where the backends that are up and their weights are the
// same.
// Threading: control thread; allocates.
// Errors:    a configuration beyond the limits of ids.h.
#pragma once

#include <memory>

#include "sluice/base/result.h"
#include "sluice/config/config.h"
#include "sluice/lb/health_board.h"
#include "sluice/lb/snapshot.h"

namespace sluice::lb {

// `previous` may be nullptr. `now` is what slow starts are counted by. `keys`: the ledger of what has been used of ESP keys, for
// the first snapshot; nullptr: that of the previous one, else one in memory.
[[nodiscard]] Result<std::shared_ptr<const Snapshot>> build_snapshot(std::shared_ptr<const config::Config> config,
                                                                     const HealthBoard& health,
                                                                     const Snapshot* previous, Instant now = {},
                                                                     std::shared_ptr<const Access> access = nullptr,
                                                                     std::shared_ptr<esp::KeyLedger> keys = nullptr);

}  // namespace sluice::lb
