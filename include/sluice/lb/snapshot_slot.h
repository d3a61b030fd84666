// The one pointer by which a Snapshot reaches the poll loops.
// Threading: control publishes; poll loops load once per turn. The caller of publish() keeps what it gets back until
//            every poll loop has passed a quiescent state (QSBR), then drops it.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "sluice/lb/snapshot.h"

namespace sluice::lb {

class SnapshotSlot {
 public:
  // Control. Gives back the snapshot that was current before (nullptr at first).
  [[nodiscard]] std::shared_ptr<const Snapshot> publish(std::shared_ptr<const Snapshot> next) noexcept {
    current_.store(next.get(), std::memory_order_release);
    return std::exchange(owner_, std::move(next));
  }
  // Control: the current snapshot, to build the next one from.
  [[nodiscard]] const std::shared_ptr<const Snapshot>& owner() const noexcept { return owner_; }

  // Any poll loop, once per turn. nullptr: nothing was published yet.
  [[nodiscard]] const Snapshot* load() const noexcept { return current_.load(std::memory_order_acquire); }

 private:
  std::atomic<const Snapshot*> current_{nullptr};  // control: w, poll loops: r
  std::shared_ptr<const Snapshot> owner_;          // control only
};

}  // namespace sluice::lb
