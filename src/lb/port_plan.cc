#include "sluice/lb/port_plan.h"

#include <algorithm>

namespace sluice::lb {
namespace {

constexpr std::size_t kGranules = (65536 - PortPlan::kFirstPort) / PortPlan::kGranule;

// The first owners have one granule more where the number does not divide.
std::size_t granules_before(std::size_t owner, std::size_t total) noexcept {
  return owner * (kGranules / total) + std::min(owner, kGranules % total);
}

}  // namespace

PortPlan::PortPlan(std::size_t workers, std::size_t proxies) noexcept : workers_(workers), total_(workers + proxies) {
  for (std::size_t owner = 0; owner < total_; ++owner) {
    const bool worker = owner < workers_;
    const PortOwner entry{worker ? PortOwnerKind::kWorker : PortOwnerKind::kProxy,
                          static_cast<std::uint8_t>(worker ? owner : owner - workers_)};
    constexpr std::size_t kFirstGranule = kFirstPort / kGranule;
    std::fill(owners_.begin() + static_cast<std::ptrdiff_t>(kFirstGranule + granules_before(owner, total_)),
              owners_.begin() + static_cast<std::ptrdiff_t>(kFirstGranule + granules_before(owner + 1, total_)), entry);
  }
}

PortBlock PortPlan::block(std::size_t owner) const noexcept {
  if (owner >= total_) return {};
  const std::size_t first = granules_before(owner, total_);
  const std::size_t count = granules_before(owner + 1, total_) - first;
  return {static_cast<std::uint16_t>(kFirstPort + first * kGranule), static_cast<std::uint16_t>(count * kGranule)};
}

}  // namespace sluice::lb
