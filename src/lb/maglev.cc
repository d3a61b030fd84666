#include "sluice/lb/maglev.h"

#include <algorithm>
#include <array>

#include "sluice/base/mix.h"
#include "sluice/base/siphash.h"

namespace sluice::lb {
namespace {

// Fixed, so that every machine and every version agrees; changing them moves every flow.
constexpr SipKey kOffsetKey{0x736c756963652d6du, 0x61676c65762d6f66u};
constexpr SipKey kSkipKey{0x736c756963652d6du, 0x61676c65762d736bu};
constexpr SipKey kFlowKey{0x736c756963652d6du, 0x61676c65762d666cu};

std::uint64_t hash_name(const SipKey& key, std::string_view name) noexcept {
  return siphash24(key, {reinterpret_cast<const std::uint8_t*>(name.data()), name.size()});
}

// A backend's walk over its permutation of the slots: (offset + n * skip) mod slots, and its right to take turns.
struct Walk {
  std::string_view name;
  BackendIndex index;
  std::uint32_t weight;
  std::uint32_t at;
  std::uint32_t skip;
  std::uint64_t credit;  // weight added each round; a turn costs the heaviest weight
};

}  // namespace

MaglevTable::MaglevTable(std::span<const MaglevBackend> backends, std::uint32_t slots) {
  std::vector<Walk> walks;
  std::uint32_t heaviest = 0;
  for (const MaglevBackend& backend : backends) {
    if (backend.weight == 0) continue;
    heaviest = std::max(heaviest, backend.weight);
    walks.push_back({.name = backend.name,
                     .index = backend.index,
                     .weight = backend.weight,
                     .at = static_cast<std::uint32_t>(hash_name(kOffsetKey, backend.name) % slots),
                     .skip = static_cast<std::uint32_t>(hash_name(kSkipKey, backend.name) % (slots - 1) + 1),
                     .credit = 0});
  }
  if (walks.empty()) return;
  std::ranges::sort(walks, {}, &Walk::name);

  slots_.assign(slots, kNoBackend);
  for (std::uint32_t filled = 0;;) {
    for (Walk& walk : walks) {
      walk.credit += walk.weight;
      if (walk.credit < heaviest) continue;
      walk.credit -= heaviest;
      while (slots_[walk.at] != kNoBackend) {
        walk.at += walk.skip;
        if (walk.at >= slots) walk.at -= slots;
      }
      slots_[walk.at] = walk.index;
      if (++filled == slots) return;
    }
  }
}

// Folded products, as wyhash does it. The constants are the same everywhere, so it is no secret how flows are spread, and
// need not be: an enemy who aims at one backend can as well ask that backend for more.
std::uint64_t maglev_hash(const net::Endpoint& client, const net::Endpoint& service, net::IpProto proto) noexcept {
  const auto c = client.address.words(), s = service.address.words();
  const std::uint64_t tail =
      std::uint64_t{client.port} << 32 | std::uint64_t{service.port} << 16 | static_cast<std::uint64_t>(proto);
  const std::uint64_t from = mix(c[0] ^ kFlowKey[0], c[1] ^ kFlowKey[1]);
  const std::uint64_t to = mix(s[0] ^ kFlowKey[1], s[1] ^ kFlowKey[0]);
  return mix(from ^ tail ^ kFlowKey[0], to ^ kFlowKey[1]);
}

bool is_prime(std::uint32_t number) noexcept {
  if (number < 2) return false;
  for (std::uint64_t divisor = 2; divisor * divisor <= number; ++divisor) {
    if (number % divisor == 0) return false;
  }
  return true;
}

}  // namespace sluice::lb
