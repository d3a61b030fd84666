#include "sluice/dataplane/neighbors.h"

#include <bit>
#include <cstring>

#include "sluice/base/mix.h"

namespace sluice::dataplane {
namespace {

constexpr unsigned kStateShift = 48;
constexpr unsigned kVersionShift = 52;

std::uint64_t mac_bits(const net::MacAddress& mac) noexcept {
  std::uint64_t bits = 0;
  std::memcpy(&bits, mac.bytes.data(), mac.bytes.size());
  return bits;
}

NeighborState state_in(std::uint64_t word) noexcept { return static_cast<NeighborState>((word >> kStateShift) & 0xf); }

NeighborView view_of(std::uint64_t word) noexcept {
  NeighborView view{.state = state_in(word), .mac = {}};
  std::memcpy(view.mac.bytes.data(), &word, view.mac.bytes.size());
  return view;
}

// The version grows with every change, so that a reader sees that the key beside the word is not the one it compared.
std::uint64_t next_word(std::uint64_t old, NeighborState state, const net::MacAddress& mac) noexcept {
  const std::uint64_t version = (old >> kVersionShift) + 1;
  return mac_bits(mac) | (static_cast<std::uint64_t>(state) << kStateShift) | (version << kVersionShift);
}

struct Key {
  std::uint64_t address[2];
  explicit Key(const net::IpAddress& from) noexcept { std::memcpy(address, from.bytes().data(), sizeof(address)); }
};

}  // namespace

Neighbors::Neighbors(std::size_t capacity)
    : slots_(std::bit_ceil(capacity < 64 ? 64 : capacity)), mask_(slots_.size() - 1) {}

std::size_t Neighbors::home_of(InterfaceId interface, const std::uint64_t (&address)[2]) const noexcept {
  // Folded 128-bit products: every bit of an address, wherever it stands, reaches every bit of the hash.
  const std::uint64_t low = address[1] ^ 0x9e3779b97f4a7c15u;
  return mix(mix(address[0] ^ 0xbf58476d1ce4e5b9u ^ interface, low), 0xd6e8feb86659fd93u) & mask_;
}

NeighborView Neighbors::find(InterfaceId interface, const net::IpAddress& address, Kept& kept) const noexcept {
  const Key key(address);
  const std::size_t home = home_of(interface, key.address);
  for (std::size_t probe = 0; probe < kMaxProbes; ++probe) {
    const Slot& slot = slots_[(home + probe) & mask_];
    const std::uint64_t word = slot.word.load(std::memory_order_acquire);
    if (state_in(word) == NeighborState::kFree) continue;  // freed slots leave gaps: the bound ends the search
    const bool same = slot.address[0].load(std::memory_order_relaxed) == key.address[0] &&
                      slot.address[1].load(std::memory_order_relaxed) == key.address[1] &&
                      slot.interface.load(std::memory_order_relaxed) == interface;
    if (!same) continue;
    std::atomic_thread_fence(std::memory_order_acquire);
    // Changed under us: the key may have been another's. Rare; the packet goes to worker 0, which knows.
    if (slot.word.load(std::memory_order_relaxed) != word) return {};
    if (slot.used.load(std::memory_order_relaxed) == 0) slot.used.store(1, std::memory_order_relaxed);
    kept.slot_ = &slot;
    kept.word_ = word;
    return view_of(word);
  }
  return {};
}

std::size_t Neighbors::slot_of(InterfaceId interface, const net::IpAddress& address) const noexcept {
  const Key key(address);
  const std::size_t home = home_of(interface, key.address);
  for (std::size_t probe = 0; probe < kMaxProbes; ++probe) {
    const std::size_t at = (home + probe) & mask_;
    const Slot& slot = slots_[at];
    if (state_in(slot.word.load(std::memory_order_relaxed)) == NeighborState::kFree) continue;
    if (slot.address[0].load(std::memory_order_relaxed) == key.address[0] &&
        slot.address[1].load(std::memory_order_relaxed) == key.address[1] &&
        slot.interface.load(std::memory_order_relaxed) == interface) {
      return at;
    }
  }
  return kNone;
}

std::size_t Neighbors::insert(InterfaceId interface, const net::IpAddress& address, bool needed) noexcept {
  const Key key(address);
  const std::size_t home = home_of(interface, key.address);
  for (std::size_t probe = 0; probe < kMaxProbes; ++probe) {
    const std::size_t at = (home + probe) & mask_;
    Slot& slot = slots_[at];
    const std::uint64_t old = slot.word.load(std::memory_order_relaxed);
    if (state_in(old) != NeighborState::kFree) continue;
    std::atomic_thread_fence(std::memory_order_release);  // after the word that said kFree
    slot.address[0].store(key.address[0], std::memory_order_relaxed);
    slot.address[1].store(key.address[1], std::memory_order_relaxed);
    slot.interface.store(interface, std::memory_order_relaxed);
    slot.used.store(1, std::memory_order_relaxed);
    slot.needed = needed;
    slot.confirmed = ++changes_;
    slot.word.store(next_word(old, NeighborState::kIncomplete, {}), std::memory_order_release);
    ++size_;
    return at;
  }
  return kNone;
}

std::size_t Neighbors::expendable_near(InterfaceId interface, const net::IpAddress& address, bool needed,
                                       Among among) const noexcept {
  const std::size_t home = home_of(interface, Key(address).address);
  std::size_t unused = kNone, unanswered = kNone, used = kNone;
  const auto keep_older = [this](std::size_t& kept, std::size_t at) {
    if (kept == kNone || slots_[at].confirmed < slots_[kept].confirmed) kept = at;
  };
  for (std::size_t probe = 0; probe < kMaxProbes; ++probe) {
    const std::size_t at = (home + probe) & mask_;
    const NeighborState state = view(at).state;
    if (slots_[at].needed) continue;
    if (among != Among::kAll && (interface_of(at) == interface) != (among == Among::kThisInterface)) continue;
    switch (state) {
      case NeighborState::kFailed:
        return at;
      case NeighborState::kIncomplete:
        keep_older(unanswered, at);
        break;
      case NeighborState::kReachable:
      case NeighborState::kProbing:
        keep_older(used, at);
        if (state == NeighborState::kReachable && slots_[at].used.load(std::memory_order_relaxed) == 0)
          keep_older(unused, at);
        break;
      case NeighborState::kFree:
      case NeighborState::kStatic:
        break;
    }
  }
  if (unused != kNone) return unused;
  if (unanswered != kNone) return unanswered;
  return needed ? used : kNone;
}

void Neighbors::set(std::size_t slot, NeighborState state, const net::MacAddress& mac) noexcept {
  slots_[slot].confirmed = ++changes_;
  std::atomic<std::uint64_t>& word = slots_[slot].word;
  word.store(next_word(word.load(std::memory_order_relaxed), state, mac), std::memory_order_release);
}

void Neighbors::erase(std::size_t slot) noexcept {
  set(slot, NeighborState::kFree, {});
  --size_;
}

NeighborView Neighbors::view(std::size_t slot) const noexcept {
  return view_of(slots_[slot].word.load(std::memory_order_relaxed));
}

InterfaceId Neighbors::interface_of(std::size_t slot) const noexcept {
  return static_cast<InterfaceId>(slots_[slot].interface.load(std::memory_order_relaxed));
}

net::IpAddress Neighbors::address_of(std::size_t slot) const noexcept {
  std::array<std::uint8_t, 16> bytes;
  for (std::size_t i = 0; i < 2; ++i) {
    const std::uint64_t word = slots_[slot].address[i].load(std::memory_order_relaxed);
    std::memcpy(bytes.data() + 8 * i, &word, 8);
  }
  return net::IpAddress::v6(bytes);
}

bool Neighbors::take_used(std::size_t slot) noexcept {
  return slots_[slot].used.exchange(0, std::memory_order_relaxed) != 0;
}

}  // namespace sluice::dataplane
