// The neighbour table: which MAC an on-link address has. Fixed size, open addressing.
// Threading: one writer (worker 0); any role reads. A reader loads one 64-bit word that holds MAC, state and a version;
//            the key beside it is checked under that version, so that a slot may change hands without a lock.
// Ownership: the table owns its slots; a slot index is the writer's only.
// Units:     Ms since start.
// Spec:      RFC 826 (ARP), RFC 4861 section 7.3 (states; ours are fewer, see State).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "sluice/base/huge_pages.h"
#include "sluice/base/time.h"
#include "sluice/dataplane/routes.h"
#include "sluice/net/address.h"

namespace sluice::dataplane {

enum class NeighborState : std::uint8_t {
  kFree,
  kIncomplete,  // asked, no answer yet: packets wait
  kReachable,   // usable; probed again when it ages
  kProbing,     // usable; asked again by unicast, no answer yet
  kFailed,      // did not answer: packets are dropped until the hold time is over
  kStatic,      // from the configuration; never ages
};

struct NeighborView {  // what a reader sees
  NeighborState state = NeighborState::kFree;
  net::MacAddress mac;
  [[nodiscard]] bool usable() const noexcept {
    return state == NeighborState::kReachable || state == NeighborState::kProbing || state == NeighborState::kStatic;
  }
};

class Neighbors {
  struct alignas(64) Slot {                  // one cache line
    std::atomic<std::uint64_t> word;         // MAC 48 | state 4 | version 12; worker 0: w, all: r
    std::atomic<std::uint64_t> address[2];   // worker 0: w, all: r
    std::atomic<std::uint32_t> interface;    // worker 0: w, all: r
    bool needed;                             // worker 0 alone
    std::uint64_t confirmed;                 // worker 0 alone: the number of the last set()
    mutable std::atomic<std::uint8_t> used;  // all: set, worker 0: cleared
  };
  static_assert(sizeof(Slot) == 64);

 public:
  static constexpr std::size_t kNone = ~std::size_t{0};
  static constexpr std::size_t kMaxProbes = 16;  // slots looked at; the table counts as full when none of them is free

  explicit Neighbors(std::size_t capacity);  // rounded up to a power of two; may throw std::bad_alloc

  // An entry that was found, for who sends to it again and again: as long as is_current() says so, what find() gave holds,
  // and need not be searched for.
  class Kept {
    friend Neighbors;
    const Slot* slot_ = nullptr;
    std::uint64_t word_ = 0;
  };

  // Any role. Marks the entry as used.
  [[nodiscard]] NeighborView find(InterfaceId interface, const net::IpAddress& address) const noexcept {
    Kept kept;
    return find(interface, address, kept);
  }
  [[nodiscard]] NeighborView find(InterfaceId interface, const net::IpAddress& address, Kept& kept) const noexcept;
  [[nodiscard]] static bool is_current(const Kept& kept) noexcept {
    if (kept.slot_ == nullptr || kept.slot_->word.load(std::memory_order_relaxed) != kept.word_) return false;
    if (kept.slot_->used.load(std::memory_order_relaxed) == 0) kept.slot_->used.store(1, std::memory_order_relaxed);
    return true;
  }

  // The writer alone.
  [[nodiscard]] std::size_t slot_of(InterfaceId interface, const net::IpAddress& address) const noexcept;
  // The new entry is kIncomplete; kNone: full. A needed one gives way to nobody.
  std::size_t insert(InterfaceId interface, const net::IpAddress& address, bool needed = false) noexcept;
  // Around the place of this address: the entry that is missed least: one given up, then of those that were learnt and that
  // nobody has sent to the one that was confirmed longest ago, then one still asked for; then for who is `needed` the one
  // confirmed longest ago of all. kNone: none may go.
  enum class Among : std::uint8_t { kAll, kThisInterface, kOtherInterfaces };
  [[nodiscard]] std::size_t expendable_near(InterfaceId interface, const net::IpAddress& address, bool needed = false,
                                            Among among = Among::kAll) const noexcept;
  void set(std::size_t slot, NeighborState state, const net::MacAddress& mac) noexcept;
  void erase(std::size_t slot) noexcept;
  [[nodiscard]] NeighborView view(std::size_t slot) const noexcept;
  [[nodiscard]] InterfaceId interface_of(std::size_t slot) const noexcept;
  [[nodiscard]] net::IpAddress address_of(std::size_t slot) const noexcept;
  // Whether a reader found the entry since the last call.
  [[nodiscard]] bool take_used(std::size_t slot) noexcept;
  [[nodiscard]] std::size_t capacity() const noexcept { return slots_.size(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  [[nodiscard]] std::size_t home_of(InterfaceId interface, const std::uint64_t (&address)[2]) const noexcept;

  HugeArray<Slot> slots_;
  std::size_t mask_ = 0;
  std::size_t size_ = 0;
  std::uint64_t changes_ = 0;  // set()s so far
};

}  // namespace sluice::dataplane
