// The ledger of ESP keys while the process runs: opened at the start, kept ahead of the workers, closed at the end.
// Threading: control thread.
// Ownership: shares the ledger with the snapshots.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "sluice/base/result.h"
#include "sluice/config/config.h"
#include "sluice/esp/key_ledger.h"
#include "sluice/lb/snapshot.h"

namespace sluice::control {

class EspKeys {
 public:
  // Without peers there is no ledger, and nothing to do. Fails too where the CPU has no instructions for AES.
  [[nodiscard]] Result<void> open(const config::Config& config);
  [[nodiscard]] const std::shared_ptr<esp::KeyLedger>& ledger() const noexcept { return ledger_; }
  // Reserves sequence numbers before the workers run out of them. To be called often; says it once if that fails.
  void reserve();
  // The associations that have gone beyond their soft limit: each key is given once.
  [[nodiscard]] std::vector<const esp::OutboundSa*> take_due(const lb::EspTable& table);
  // The backends that packets have been dropped for since they are no peers: each is given once. `failed`: how many so far,
  // by the backend's index.
  [[nodiscard]] std::vector<lb::BackendIndex> take_missing(const lb::Snapshot& snapshot,
                                                           std::span<const std::uint64_t> failed);
  // When no worker takes numbers any more.
  void close();

 private:
  std::shared_ptr<esp::KeyLedger> ledger_;  // nullptr: no peers
  bool cannot_reserve_ = false;             // it was said
  std::set<const esp::KeyUse*> said_;       // the ledger keeps them
  std::vector<std::uint64_t> failed_;       // at the last take_missing()
  std::vector<lb::BackendId> missing_;      // that it has given
};

}  // namespace sluice::control
