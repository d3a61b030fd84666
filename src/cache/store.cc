#include "sluice/cache/store.h"

#include <algorithm>
#include <bit>

#include "shard.h"

namespace sluice::cache {
namespace {

constexpr std::size_t kShardBytes = std::size_t{32} << 20;  // a store of less than twice this has one shard
constexpr std::size_t kMaxShards = 64;

std::size_t shard_count(std::size_t budget) noexcept {
  return std::clamp<std::size_t>(std::bit_floor(budget / kShardBytes), 1, kMaxShards);
}

}  // namespace

class Store::Impl final : public Evictor {
 public:
  explicit Impl(const StoreConfig& config) : hash_key(config.hash_key), budget(config.budget_bytes) {
    const std::size_t limit = std::min(config.object_limit_bytes, config.budget_bytes / 2);
    for (std::size_t i = 0; i < shard_count(config.budget_bytes); ++i) {
      shards.push_back(std::make_unique<Shard>(budget, *this, limit));
    }
  }
  [[nodiscard]] Shard& shard_of(const Key& key) noexcept { return *shards[(key.hash >> 48) & (shards.size() - 1)]; }

  bool make_room(std::size_t bytes, Shard& asking) noexcept override {
    while (!budget.try_charge(bytes)) {
      if (bytes > budget.limit()) return false;
      if (asking.evict_one()) continue;
      // Nothing left to give here: any other shard.
      if (!std::ranges::any_of(shards, [](const auto& shard) { return shard->evict_one(); })) return false;
    }
    return true;
  }

  const SipKey hash_key;
  Budget budget;
  std::vector<std::unique_ptr<Shard>> shards;
};

Store::Store(const StoreConfig& config) : impl_(std::make_unique<Impl>(config)) {}
Store::~Store() = default;

Key Store::make_key(std::string& text, bool https, std::string_view host, std::uint16_t port, std::string_view target,
                    std::string_view scope) const {
  text.assign(scope);
  if (!scope.empty()) text.push_back('|');
  text.append(https ? "https|" : "http|");
  text.append(host);
  if (port != 0 && port != (https ? 443 : 80)) text.append(":").append(std::to_string(port));
  text.push_back('|');
  text.append(target);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
  return {text, siphash24(impl_->hash_key, {bytes, text.size()})};
}

Lookup Store::lookup(const LookupRequest& request, Waiter& waiter) {
  waiter.cancel();
  return impl_->shard_of(request.key).lookup(request, waiter);
}

std::size_t Store::invalidate(const Key& key) noexcept { return impl_->shard_of(key).invalidate(key); }

std::size_t Store::purge_all() noexcept {
  std::size_t count = 0;
  for (const auto& shard : impl_->shards) count += shard->purge();
  return count;
}

StoreStats Store::stats() const noexcept {
  StoreStats stats;
  for (const auto& shard : impl_->shards) shard->add_to(stats);
  stats.bytes = impl_->budget.used();
  stats.budget_bytes = impl_->budget.limit();
  return stats;
}

}  // namespace sluice::cache
