// The ledger of ESP keys while the process runs: opened at the start, kept ahead of the workers, closed at the end.
// Threading: control thread.
// Ownership: shares the ledger with the snapshots.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <vector>

#include "sluice/base/result.h"
#include "sluice/config/config.h"
#include "sluice/esp/key_ledger.h"
#include "sluice/lb/esp_table.h"

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
  // When no worker takes numbers any more.
  void close();

 private:
  std::shared_ptr<esp::KeyLedger> ledger_;  // nullptr: no peers
  bool failed_ = false;                     // it was said that the state cannot be written
  std::set<const esp::KeyUse*> said_;       // the ledger keeps them
};

}  // namespace sluice::control
