#include "sluice/lb/nat_ports.h"

#include <algorithm>
#include <cstring>

namespace sluice::lb {
namespace {

constexpr std::size_t kReclaimBudget = 64;  // sets looked at for one that is no longer in use

ReplyKey set_key(SourceIndex source, net::IpProto proto, const net::Endpoint& backend, std::uint16_t part) noexcept {
  return {.backend = backend.address,
          .backend_port = backend.port,
          .local_port = part,
          .source = source,
          .proto = proto,
          .zero = 0};
}

}  // namespace

NatPorts::NatPorts(PortBlock block, Random random, std::size_t sets)
    : block_(block), random_(random), sets_(sets), index_(sets), rests_(sets * block.count) {}

// The keys are ours and our backends', not an enemy's: no secret is needed.
std::uint32_t NatPorts::hash(const ReplyKey& key) const noexcept {
  std::uint64_t words[3];
  std::memcpy(words, &key, sizeof(words));
  std::uint64_t h = 0;
  for (const std::uint64_t word : words) {
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
  }
  return static_cast<std::uint32_t>(h * 0xd6e8feb86659fd93u >> 32);
}

NatPorts::Rest& NatPorts::rest(const Set& set, std::uint32_t n) noexcept {
  const std::size_t ring = static_cast<std::size_t>(&set - sets_.data()) * block_.count;
  return rests_[ring + (set.oldest + n) % block_.count];
}

NatPorts::Set* NatPorts::find(const ReplyKey& key) noexcept {
  const std::size_t at = index_.find(hash(key), [&](std::size_t place) { return sets_[place].key == key; });
  return at == ReplyIndex::kNone ? nullptr : &sets_[at];
}

// A set of which no port is taken, and in which none rests that still must.
NatPorts::Set* NatPorts::reclaim(Ms now) noexcept {
  for (std::size_t i = std::min(kReclaimBudget, sets_.size()); i > 0; --i) {
    Set& set = sets_[sweep_];
    sweep_ = (sweep_ + 1) % sets_.size();
    if (set.taken > 0) continue;
    if (set.resting > 0 && elapsed(now, rest(set, set.resting - 1).since) < kQuarantineMs) continue;
    index_.remove(hash(set.key), static_cast<std::size_t>(&set - sets_.data()));
    return &set;
  }
  return nullptr;
}

NatPorts::Set* NatPorts::find_or_add(const ReplyKey& key, const RssPorts& rss, Ms now) noexcept {
  if (Set* known = find(key)) return known;
  Set* set = unused_ < sets_.size() ? &sets_[unused_++] : reclaim(now);
  if (set == nullptr) return nullptr;
  *set = {.key = key, .rss = rss, .start = random_.below(block_.count)};
  index_.insert(hash(key), static_cast<std::size_t>(set - sets_.data()));
  return set;
}

void NatPorts::put_to_rest(Set& set, std::uint16_t port, Ms now) noexcept {
  rest(set, set.resting) = {port, now};
  ++set.resting;
}

// A port on which a service listens is passed over, and rests: it comes again when the service may be gone.
std::uint16_t NatPorts::take_from(Set* set, Ms now, std::span<const std::uint16_t> listened, bool early) noexcept {
  if (set == nullptr) return 0;
  for (;;) {
    const std::uint32_t rested = set->resting > 0 ? elapsed(now, rest(*set, 0).since) : 0;
    const bool fresh = rested < kQuarantineMs && set->used < block_.count;
    std::uint16_t port = 0;
    if (fresh) {
      const std::uint32_t offset = (set->start + set->used++) % block_.count;
      port = static_cast<std::uint16_t>(block_.first + offset);
      if (!set->has(port)) continue;
    } else if (rested < (early ? kMinimumRestMs : kQuarantineMs)) {
      return 0;
    } else {
      port = rest(*set, 0).port;
      set->oldest = (set->oldest + 1) % block_.count;
      --set->resting;
    }
    if (listened.empty() || !std::ranges::binary_search(listened, port)) [[likely]] {
      if (!fresh && rested < kQuarantineMs) ++stats_.early_reuses;
      ++set->taken;
      ++stats_.taken;
      return port;
    }
    put_to_rest(*set, port, now);
  }
}

std::uint16_t NatPorts::take(SourceIndex source, net::IpProto proto, const net::Endpoint& backend, Ms now,
                             std::span<const std::uint16_t> listened, const RssPorts& rss) noexcept {
  const auto set_of = [&](Part part) {
    return find_or_add(set_key(source, proto, backend, static_cast<std::uint16_t>(part)), rss, now);
  };
  Set* home = block_.count == 0 ? nullptr : set_of(Part::kHome);
  std::uint16_t port = take_from(home, now, listened, !rss.known());
  if (port == 0 && home != nullptr && rss.known()) [[unlikely]] {
    Set* astray = set_of(Part::kAstray);
    port = take_from(astray, now, listened, false);
    if (port == 0) port = take_from(home, now, listened, true);
    if (port == 0) port = take_from(astray, now, listened, true);
  }
  if (port == 0) {
    ++stats_.exhausted;
    return 0;
  }
  return port;
}

void NatPorts::give_back(SourceIndex source, net::IpProto proto, const net::Endpoint& backend, std::uint16_t port,
                         Ms now) noexcept {
  const auto set_of = [&](Part part) {
    return find(set_key(source, proto, backend, static_cast<std::uint16_t>(part)));
  };
  Set* set = set_of(Part::kHome);
  if (set == nullptr || !set->has(port)) set = set_of(Part::kAstray);
  if (set == nullptr || set->taken == 0) return;
  put_to_rest(*set, port, now);
  --set->taken;
  --stats_.taken;
}

std::size_t NatPorts::taken_at(SourceIndex source) const noexcept {
  std::size_t taken = 0;
  for (std::size_t i = 0; i < unused_; ++i) {
    if (sets_[i].key.source == source) taken += sets_[i].taken;
  }
  return taken;
}

}  // namespace sluice::lb
