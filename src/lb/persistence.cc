#include "sluice/lb/persistence.h"

#include "sluice/base/mix.h"

namespace sluice::lb {

Persistence::Persistence(std::size_t clients, const Secret& secret, telemetry::Counter& evicted)
    : entries_((clients + kWays - 1) / kWays * kWays), secret_(secret), evicted_(evicted) {}

std::size_t Persistence::first_of(const net::IpAddress& client, ServiceIndex service) const noexcept {
  const std::array<std::uint64_t, 2> words = client.words();
  const std::uint64_t hash = mix(mix(words[0] ^ secret_[0], words[1] ^ secret_[1]) ^ service, secret_[2]);
  return static_cast<std::size_t>((hash >> 32) * (entries_.size() / kWays) >> 32) * kWays;
}

BackendId Persistence::find(const net::IpAddress& client, ServiceIndex service, std::uint32_t timeout_ms,
                            Ms now) const noexcept {
  if (entries_.size() == 0) return {};
  const std::size_t first = first_of(client, service);
  for (std::size_t at = first; at < first + kWays; ++at) {
    const Entry& entry = entries_[at];
    if (entry.is(client, service)) return elapsed(now, entry.last) <= timeout_ms ? entry.backend : BackendId{};
  }
  return {};
}

void Persistence::remember(const net::IpAddress& client, ServiceIndex service, BackendId backend,
                           std::uint32_t timeout_ms, Ms now) noexcept {
  if (entries_.size() == 0) return;
  const std::size_t first = first_of(client, service);
  const auto away = [&](const Entry& entry) { return elapsed(now, entry.last); };
  Entry* place = &entries_[first];
  for (std::size_t at = first; at < first + kWays; ++at) {
    Entry& entry = entries_[at];
    if (entry.is(client, service)) {
      place = &entry;
      break;
    }
    if (place->used && (!entry.used || away(entry) > away(*place))) place = &entry;
  }
  if (place->used && !place->is(client, service) && away(*place) <= place->timeout_ms) evicted_.add();
  *place = {
      .client = client, .service = service, .used = true, .backend = backend, .last = now, .timeout_ms = timeout_ms};
}

}  // namespace sluice::lb
