#include "path_cache.h"

#include <algorithm>

namespace sluice::tcp {

const PathCache::Record* PathCache::find_in(const Set& set, const net::IpAddress& to, Ticks now) noexcept {
  for (const Record& record : set) {
    if (record.to == to && is_alive(record, now)) return &record;
  }
  return nullptr;
}

void PathCache::learn(const net::IpAddress& to, std::uint16_t mtu, Ticks now) noexcept {
  is_empty_ = false;
  Set& set = sets_[set_of(to)];
  const Record* known = find_in(set, to, now);
  if (known != nullptr && known->mtu < mtu) return;
  const auto left = [&](const Record& record) { return is_alive(record, now) ? record.expires - now : 0; };
  Record* slot = &*std::ranges::min_element(set, {}, left);
  if (known != nullptr) slot = &set[static_cast<std::size_t>(known - set.data())];
  *slot = {.to = to, .mtu = mtu, .expires = now + kLife};
}

}  // namespace sluice::tcp
