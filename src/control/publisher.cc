#include "sluice/control/publisher.h"

#include <set>

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

// How many associations of `now` are not in `before`.
std::size_t count_new(const lb::EspTable& before, const lb::EspTable& now) {
  std::set<const void*> known;
  for (const lb::EspPeer& peer : before.peers) {
    known.insert(peer.out.get());
    for (const auto& in : peer.in) known.insert(in.get());
  }
  std::size_t fresh = 0;
  for (const lb::EspPeer& peer : now.peers) {
    fresh += known.contains(peer.out.get()) ? 0 : 1;
    for (const auto& in : peer.in) fresh += known.contains(in.get()) ? 0 : 1;
  }
  return fresh;
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
  if (failed_at_ && now - *failed_at_ < kRetry) return false;
  const std::optional<Instant> step = slot_.owner()->next_step;  // of a slow start
  if (step && now >= *step) return publish(now);
  if (health_.changes() == published_changes_) return false;
  if (!changed_since_) changed_since_ = now;
  if (now - *changed_since_ < kGather) return false;
  if (!publish(now)) return false;
  changed_since_.reset();
  return true;
}

Result<Publisher::Reloaded> Publisher::reload(std::shared_ptr<const config::Config> config, Instant now) {
  auto access = lb::load_access(*config);
  if (!access) return std::unexpected(access.error());
  const std::size_t prefixes = (*access)->prefixes;
  const std::shared_ptr<const lb::Snapshot> before = current();
  if (auto done = publish(config, now, std::move(*access)); !done) return std::unexpected(done.error());
  config_ = std::move(config);
  const lb::EspTable& esp = slot_.owner()->esp;
  return Reloaded{.prefixes = prefixes, .peers = esp.peers.size(), .new_associations = count_new(before->esp, esp)};
}

bool Publisher::publish(Instant now) {
  const Result<void> done = publish(config_, now, nullptr);
  if (!done && !failed_at_) log::error("the snapshot stays as it is: {}", done.error().message);
  failed_at_ = done ? std::nullopt : std::optional(now);
  return done.has_value();
}

// `access`: nullptr for that of the snapshot before.
Result<void> Publisher::publish(const std::shared_ptr<const config::Config>& config, Instant now,
                                std::shared_ptr<const lb::Access> access) {
  const std::uint64_t changes = health_.changes();  // before the reports are read: a later change is seen next time
  auto next = lb::build_snapshot(config, health_, slot_.owner().get(), now, std::move(access));
  if (!next) return std::unexpected(next.error());
  published_changes_ = changes;
  log_changes(*slot_.owner(), **next, health_);
  remember(*next);
  const std::shared_ptr<const lb::Snapshot> before = slot_.publish(std::move(*next));
  wait_for_grace_();  // then nobody holds `before` any more, and it may go
  return {};
}

}  // namespace sluice::control
