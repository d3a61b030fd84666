#include "sluice/control/publisher.h"

#include "sluice/base/log.h"
#include "sluice/lb/build_snapshot.h"

namespace sluice::control {
namespace {

void log_changes(const lb::Snapshot& before, const lb::Snapshot& now, const lb::HealthBoard& health) {
  for (std::size_t i = 0; i < now.backends.size(); ++i) {
    const lb::Backend& backend = now.backends[i];
    if (!backend.present || i >= before.backends.size() || before.backends[i].state == backend.state) continue;
    const lb::HealthReport report = health.read(now.id_of(static_cast<lb::BackendIndex>(i)));
    const std::string& pool = now.pools[backend.pool].name;
    if (backend.state == lb::BackendState::kUp) {
      log::info("pool {}: backend {} ({}) is up", pool, now.backend_names[i], backend.endpoint().text());
    } else {
      log::warn("pool {}: backend {} ({}) is down: {}{}", pool, now.backend_names[i], backend.endpoint().text(),
                lb::text_of(report.reason), report.detail != 0 ? fmt::format(" {}", report.detail) : "");
    }
  }
}

}  // namespace

Publisher::Publisher(std::shared_ptr<const config::Config> config, const lb::HealthBoard& health,
                     lb::SnapshotSlot& slot, std::function<void()> wait_for_grace)
    : config_(std::move(config)), health_(health), slot_(slot), wait_for_grace_(std::move(wait_for_grace)) {}

Result<void> Publisher::publish_first(std::shared_ptr<esp::KeyLedger> keys) {
  published_changes_ = health_.changes();
  auto access = lb::load_access(*config_);
  if (!access) return std::unexpected(access.error());
  auto first = lb::build_snapshot(config_, health_, nullptr, {}, std::move(*access), std::move(keys));
  if (!first) return std::unexpected(first.error());
  remember(*first);
  const auto none = slot_.publish(std::move(*first));
  return {};
}

std::shared_ptr<const lb::Snapshot> Publisher::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

void Publisher::remember(std::shared_ptr<const lb::Snapshot> snapshot) {
  const std::lock_guard lock(mutex_);
  current_ = std::move(snapshot);
}

bool Publisher::tick(Instant now) {
  const std::optional<Instant> step = slot_.owner()->next_step;  // of a slow start
  if (step && now >= *step) {
    publish(now);
    return true;
  }
  if (health_.changes() == published_changes_) return false;
  if (!changed_since_) changed_since_ = now;
  if (now - *changed_since_ < kGather) return false;
  publish(now);
  changed_since_.reset();
  return true;
}

Result<std::size_t> Publisher::reload_lists(Instant now) {
  auto access = lb::load_access(*config_);
  if (!access) return std::unexpected(access.error());
  const std::size_t prefixes = (*access)->prefixes;
  if (auto done = publish(now, std::move(*access)); !done) return std::unexpected(done.error());
  return prefixes;
}

void Publisher::publish(Instant now) {
  if (auto done = publish(now, nullptr); !done) log::error("the snapshot stays as it is: {}", done.error().message);
}

// `access`: nullptr for that of the snapshot before.
Result<void> Publisher::publish(Instant now, std::shared_ptr<const lb::Access> access) {
  published_changes_ = health_.changes();  // before the reports are read: a later change is seen next time
  auto next = lb::build_snapshot(config_, health_, slot_.owner().get(), now, std::move(access));
  if (!next) return std::unexpected(next.error());
  log_changes(*slot_.owner(), **next, health_);
  remember(*next);
  const std::shared_ptr<const lb::Snapshot> before = slot_.publish(std::move(*next));
  wait_for_grace_();  // then nobody holds `before` any more, and it may go
  return {};
}

}  // namespace sluice::control
