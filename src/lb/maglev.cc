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

// A backend's walk over its permutation of the slots: (offset + n * skip) mod slots.
struct Walk {
  std::string_view name;
  BackendIndex index;
  std::uint32_t weight;
  std::uint32_t at;
  std::uint32_t skip;
};

// In round r a backend has had r * weight / heaviest turns, rounded down: the heaviest one a round.
struct Turns {
  std::span<const Walk> walks;
  std::uint64_t heaviest;

  [[nodiscard]] std::uint64_t of(const Walk& walk, std::uint64_t rounds) const noexcept {
    return rounds * walk.weight / heaviest;
  }
  [[nodiscard]] std::uint64_t up_to(std::uint64_t rounds) const noexcept {
    std::uint64_t sum = 0;
    for (const Walk& walk : walks) sum += of(walk, rounds);
    return sum;
  }
  // The first round at whose end there were so many turns.
  [[nodiscard]] std::uint64_t rounds_for(std::uint64_t turns) const noexcept {
    std::uint64_t low = 1, high = turns;  // the heaviest alone needs no more
    while (low < high) {
      const std::uint64_t middle = (low + high) / 2;
      if (up_to(middle) >= turns) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }
};

// Whose turn it is, turn by turn: by round, then by name. Sorted by counting, so that a backend of little weight costs
// nothing in the rounds in which it has no turn.
std::vector<std::uint32_t> order_of_turns(const Turns& turns, std::uint64_t rounds) {
  const auto for_each_turn = [&](auto&& visit) {
    for (std::uint32_t i = 0; i < turns.walks.size(); ++i) {
      const std::uint64_t weight = turns.walks[i].weight;
      const std::uint64_t count = turns.of(turns.walks[i], rounds);
      for (std::uint64_t turn = 1; turn <= count; ++turn) visit(i, (turn * turns.heaviest + weight - 1) / weight);
    }
  };
  std::vector<std::uint32_t> first(rounds + 2);  // by round: where its turns begin
  for_each_turn([&](std::uint32_t, std::uint64_t round) { ++first[round + 1]; });
  for (std::size_t round = 1; round < first.size(); ++round) first[round] += first[round - 1];
  std::vector<std::uint32_t> order(first.back());
  for_each_turn([&](std::uint32_t walk, std::uint64_t round) { order[first[round]++] = walk; });
  return order;
}

// The slots, and which of them are taken, a bit each: small enough to stay in the first cache while most probes find
// a slot that is.
class Slots {
 public:
  explicit Slots(std::uint32_t count) : slots_(count, kNoBackend), taken_(count / 64 + 1) {}

  void give_next(Walk& walk) noexcept {
    const auto count = static_cast<std::uint32_t>(slots_.size());
    std::uint32_t at = walk.at;
    while ((taken_[at / 64] >> (at % 64) & 1) != 0) {
      const std::uint32_t next = at + walk.skip;
      at = std::min(next, next - count);  // below 0 wraps to a large number
    }
    taken_[at / 64] |= std::uint64_t{1} << (at % 64);
    slots_[at] = walk.index;
    walk.at = at;
    ++filled_;
  }
  [[nodiscard]] bool full() const noexcept { return filled_ == slots_.size(); }
  [[nodiscard]] std::vector<BackendIndex> take() noexcept { return std::move(slots_); }

 private:
  std::vector<BackendIndex> slots_;
  std::vector<std::uint64_t> taken_;
  std::size_t filled_ = 0;
};

}  // namespace

MaglevTable::MaglevTable(std::span<const MaglevBackend> backends, std::uint32_t slots) {
  std::vector<Walk> walks;
  std::uint32_t heaviest = 0;
  std::uint32_t lightest = ~0u;
  for (const MaglevBackend& backend : backends) {
    if (backend.weight == 0) continue;
    heaviest = std::max(heaviest, backend.weight);
    lightest = std::min(lightest, backend.weight);
    walks.push_back({.name = backend.name,
                     .index = backend.index,
                     .weight = backend.weight,
                     .at = static_cast<std::uint32_t>(hash_name(kOffsetKey, backend.name) % slots),
                     .skip = static_cast<std::uint32_t>(hash_name(kSkipKey, backend.name) % (slots - 1) + 1)});
  }
  if (walks.empty()) return;
  std::ranges::sort(walks, {}, &Walk::name);

  Slots out(slots);
  if (heaviest == lightest) {
    while (!out.full()) {
      for (Walk& walk : walks) {
        out.give_next(walk);
        if (out.full()) break;
      }
    }
  } else {
    const Turns turns{walks, heaviest};
    for (const std::uint32_t walk : order_of_turns(turns, turns.rounds_for(slots))) {
      out.give_next(walks[walk]);
      if (out.full()) break;
    }
  }
  slots_ = out.take();
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

std::uint64_t flow_hash(config::FlowHash parts, const net::Endpoint& client, const net::Endpoint& service,
                        net::IpProto proto) noexcept {
  switch (parts) {
    case config::FlowHash::kTuple:
      break;
    case config::FlowHash::kSource:
      return maglev_hash({client.address, 0}, {}, net::IpProto{});
    case config::FlowHash::kSourceAndService:
      return maglev_hash({client.address, 0}, service, proto);
    case config::FlowHash::kDestinationPort:
      return maglev_hash({}, {net::IpAddress(), service.port}, net::IpProto{});
  }
  return maglev_hash(client, service, proto);
}

bool is_prime(std::uint32_t number) noexcept {
  if (number < 2) return false;
  for (std::uint64_t divisor = 2; divisor * divisor <= number; ++divisor) {
    if (number % divisor == 0) return false;
  }
  return true;
}

}  // namespace sluice::lb
