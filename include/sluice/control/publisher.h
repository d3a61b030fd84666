// Keeps the published Snapshot true to the configuration and to what the health checks found.
// Threading: control thread, but for current(). The poll loops only load the slot.
// Ownership: borrows slot and board; the slot owns the current snapshot, the one before lives until all loops have let go of it.
// Time:      changes of health are gathered for kGather before tables are built again, so that ten backends that fail together
//            cost one rebuild.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "sluice/base/result.h"
#include "sluice/base/time.h"
#include "sluice/config/config.h"
#include "sluice/esp/key_ledger.h"
#include "sluice/lb/health_board.h"
#include "sluice/lb/snapshot_slot.h"

namespace sluice::control {

class Publisher {
 public:
  static constexpr Duration kGather = std::chrono::milliseconds(20);

  static constexpr Duration kRetry = std::chrono::seconds(1);

  // `wait_for_grace` returns once every poll loop has passed a turn.
  Publisher(std::shared_ptr<const config::Config> config, const lb::HealthBoard& health, lb::SnapshotSlot& slot,
            std::function<void()> wait_for_grace);

  // Before the loops start. `keys`: what has been used of ESP keys; nullptr: nothing yet, and nobody writes it down.
  [[nodiscard]] Result<void> publish_first(std::shared_ptr<esp::KeyLedger> keys = nullptr);
  // Goes over to another configuration, which take_over() made of the current one, and reads the allow and deny lists again.
  // What was wrong with them, or with its associations: then all stays as it was.
  struct Reloaded {
    std::size_t prefixes = 0;          // lines of lists
    std::size_t peers = 0;             // of `esp`
    std::size_t new_associations = 0;  // of them, in both directions
  };
  [[nodiscard]] Result<Reloaded> reload(std::shared_ptr<const config::Config> config, Instant now);
  // The current snapshot. Any thread.
  [[nodiscard]] std::shared_ptr<const lb::Snapshot> current() const;
  // Publishes again if health has changed at least kGather ago, or a backend's slow start goes on. True: it did. What could
  // not be published is tried again kRetry later.
  bool tick(Instant now);

 private:
  bool publish(Instant now);
  [[nodiscard]] Result<void> publish(const std::shared_ptr<const config::Config>& config, Instant now,
                                     std::shared_ptr<const lb::Access> access);
  void remember(std::shared_ptr<const lb::Snapshot> snapshot);

  std::shared_ptr<const config::Config> config_;
  const lb::HealthBoard& health_;
  lb::SnapshotSlot& slot_;
  std::function<void()> wait_for_grace_;
  std::uint64_t published_changes_ = 0;   // of the board, as of the current snapshot
  std::optional<Instant> changed_since_;  // a change that is not published yet was first seen then
  std::optional<Instant> failed_at_;      // the last publish() of tick(); none: it succeeded
  mutable std::mutex mutex_;
  std::shared_ptr<const lb::Snapshot> current_;  // under mutex_: for readers that are not poll loops
};

}  // namespace sluice::control
