#include "rate_limits.h"

#include <algorithm>
#include <bit>

#include "sluice/base/mix.h"

namespace sluice::dataplane {
namespace {

constexpr std::uint64_t kTicks = 16;                       // of a nanosecond
constexpr std::uint64_t kSecond = 1'000'000'000 * kTicks;  // 2^63 ticks are 18 years
constexpr std::uint64_t kChunk = 256;                      // bytes whose cost is kept, for its precision

std::uint64_t ticks(std::uint64_t now_ms) noexcept { return now_ms * 1'000'000 * kTicks; }

std::uint64_t share(std::uint64_t rate, std::size_t workers) noexcept {
  return rate == 0 ? 0 : std::max<std::uint64_t>(rate / workers, 1);
}

// A bucket always holds one of what it is asked for, however small its burst.
bool has(std::uint64_t full_at, std::uint64_t cost, std::uint64_t burst, std::uint64_t now) noexcept {
  return std::max(full_at, now) + cost - now <= std::max(burst, cost);
}
void take(std::uint64_t& full_at, std::uint64_t cost, std::uint64_t now) noexcept {
  full_at = std::max(full_at, now) + cost;
}

}  // namespace

Rates::Rates(const config::Limits& limits, std::size_t workers) noexcept
    : burst_(static_cast<std::uint64_t>(limits.burst.count()) * kTicks) {
  const auto cost = [&](std::uint64_t rate, std::uint64_t units) {
    return rate == 0 ? 0 : std::max<std::uint64_t>(kSecond * units / share(rate, workers), 1);
  };
  cost_ = {cost(limits.packets, 1), cost(limits.bits, kChunk * 8 / 4) * 4, cost(limits.flows, 1)};
}

Limit Rates::take_packet(Buckets& buckets, std::size_t bytes, std::uint64_t now_ms) const noexcept {
  const std::uint64_t at = ticks(now_ms);
  const std::uint64_t bits_cost = cost_[1] * bytes / kChunk;
  if (cost_[0] != 0 && !has(buckets[0], cost_[0], burst_, at)) return Limit::kPackets;
  if (cost_[1] != 0 && !has(buckets[1], bits_cost, burst_, at)) return Limit::kBits;
  if (cost_[0] != 0) take(buckets[0], cost_[0], at);
  if (cost_[1] != 0) take(buckets[1], bits_cost, at);
  return Limit::kNone;
}

bool Rates::take_flow(Buckets& buckets, std::uint64_t now_ms) const noexcept {
  const std::uint64_t at = ticks(now_ms);
  if (cost_[2] == 0) return true;
  if (!has(buckets[2], cost_[2], burst_, at)) return false;
  take(buckets[2], cost_[2], at);
  return true;
}

SourceTable::SourceTable(std::size_t entries, const SipKey& secret)
    : secret_(secret), entries_(std::bit_ceil(std::max(entries, kWays))) {}

Rates::Buckets& SourceTable::buckets_of(const net::IpAddress& prefix, std::uint64_t now_ms) noexcept {
  const auto words = prefix.words();
  const std::uint64_t hash = mix(mix(words[0] ^ secret_[0], words[1] ^ secret_[1]), secret_[0] | 1);
  Entry* set = &entries_[(hash >> 32) % (entries_.size() / kWays) * kWays];
  const std::uint64_t at = ticks(now_ms);
  Entry* oldest = set;
  for (Entry* entry = set; entry != set + kWays; ++entry) {
    if (entry->prefix == prefix && entry->seen != 0) {
      entry->seen = at;
      return entry->buckets;
    }
    if (entry->seen < oldest->seen) oldest = entry;
  }
  *oldest = {.prefix = prefix, .seen = at, .buckets = {}};
  return oldest->buckets;
}

}  // namespace sluice::dataplane
