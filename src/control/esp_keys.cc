#include "sluice/control/esp_keys.h"

#include <algorithm>
#include <utility>

#include "sluice/base/log.h"
#include "sluice/esp/gcm.h"

namespace sluice::control {

Result<void> EspKeys::open(const config::Config& config) {
  if (config.esp.peers.empty()) return {};
  if (const auto engine = esp::GcmEngine::create(); !engine) return fail("esp: " + engine.error().message);
  auto ledger = esp::KeyLedger::open(config.esp.state, config.runtime.workers.size());
  if (!ledger) return std::unexpected(ledger.error());
  ledger_ = std::move(*ledger);
  return {};
}

void EspKeys::reserve() {
  if (!ledger_) return;
  const Result<void> reserved = ledger_->reserve();
  if (!reserved && !cannot_reserve_)
    log::error("{}: mode esp stops when what is reserved is used", reserved.error().message);
  cannot_reserve_ = !reserved;
}

std::vector<const esp::OutboundSa*> EspKeys::take_due(const lb::EspTable& table) {
  std::vector<const esp::OutboundSa*> due;
  for (const lb::EspPeer& peer : table.peers) {
    if (peer.out->use->used() > peer.out->soft_limit() && said_.insert(peer.out->use.get()).second) {
      due.push_back(peer.out.get());
    }
  }
  return due;
}

std::vector<lb::BackendIndex> EspKeys::take_missing(const lb::Snapshot& snapshot,
                                                    std::span<const std::uint64_t> failed) {
  std::vector<lb::BackendIndex> missing;
  failed_.resize(failed.size());
  for (std::size_t i = 0; i < failed.size(); ++i) {
    if (std::exchange(failed_[i], failed[i]) == failed[i]) continue;
    const auto index = static_cast<lb::BackendIndex>(i);
    if (std::ranges::find(missing_, snapshot.id_of(index)) != missing_.end()) continue;
    missing_.push_back(snapshot.id_of(index));
    missing.push_back(index);
  }
  return missing;
}

void EspKeys::close() {
  if (!ledger_) return;
  if (auto closed = ledger_->close(); !closed) log::error("{}", closed.error().message);
}

}  // namespace sluice::control
