// From a four-tuple to a number: open addressing with the whole 32-bit hash as tag, so that a miss or a wrong neighbour
// hardly ever touches a connection. Eight slots a cache line, at most half full.
// Threading: one table per stack.
// Ownership: holds indices, not objects. Index 0 means empty.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "segment.h"
#include "sluice/base/huge_pages.h"
#include "sluice/base/siphash.h"

namespace sluice::tcp {

// Keyed, so that a peer cannot choose tuples that collide: folded 64 x 64 bit products (as in wyhash) of words blinded
// by secrets.
class TupleHash {
 public:
  explicit TupleHash(const SipKey& secret) noexcept {
    for (std::size_t i = 0; i < 4; ++i) {
      const std::uint8_t salt[1] = {static_cast<std::uint8_t>(i)};
      keys_[i] = siphash24(secret, salt) | 1;
    }
  }
  [[nodiscard]] std::uint32_t operator()(const FourTuple& tuple) const noexcept {
    static_assert(sizeof(FourTuple) == 36);
    const auto* at = reinterpret_cast<const std::uint8_t*>(&tuple);
    const std::uint64_t ports = std::uint64_t{tuple.local.port} << 16 | tuple.remote.port;
    const std::uint64_t a = fold(load(at) ^ keys_[0], load(at + 8) ^ keys_[1] ^ ports << 32);
    const std::uint64_t b = fold(load(at + 18) ^ keys_[2], load(at + 26) ^ keys_[3] ^ ports);
    const std::uint64_t all = fold(a ^ keys_[3], b ^ keys_[0]);
    return static_cast<std::uint32_t>(all ^ all >> 32);
  }

 private:
  static std::uint64_t load(const std::uint8_t* at) noexcept {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    return word;
  }
  static std::uint64_t fold(std::uint64_t a, std::uint64_t b) noexcept {
    __extension__ using Wide = unsigned __int128;
    const Wide product = Wide{a} * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  }
  std::uint64_t keys_[4];
};

class TupleTable {
 public:
  explicit TupleTable(std::size_t capacity) : slots_(std::bit_ceil(capacity * 2)), mask_(slots_.size() - 1) {}

  // is_match(index) compares the tuple itself. 0: not there.
  template <typename IsMatch>
  [[nodiscard]] std::uint32_t find(std::uint32_t hash, IsMatch&& is_match) const noexcept {
    for (std::size_t at = hash & mask_;; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      if (slot.index == 0) return 0;
      if (slot.hash == hash && is_match(slot.index)) return slot.index;
    }
  }
  void prefetch(std::uint32_t hash) const noexcept { __builtin_prefetch(&slots_[hash & mask_]); }
  void insert(std::uint32_t hash, std::uint32_t index) noexcept {
    std::size_t at = hash & mask_;
    while (slots_[at].index != 0) at = (at + 1) & mask_;
    slots_[at] = Slot{hash, index};
  }
  // Closes the hole by moving followers back, so that no tombstones pile up.
  void erase(std::uint32_t hash, std::uint32_t index) noexcept {
    std::size_t hole = hash & mask_;
    while (slots_[hole].index != index) hole = (hole + 1) & mask_;
    for (std::size_t at = (hole + 1) & mask_; slots_[at].index != 0; at = (at + 1) & mask_) {
      const std::size_t home = slots_[at].hash & mask_;
      if (((at - home) & mask_) >= ((at - hole) & mask_)) {
        slots_[hole] = slots_[at];
        hole = at;
      }
    }
    slots_[hole] = Slot{};
  }

 private:
  struct Slot {
    std::uint32_t hash = 0;
    std::uint32_t index = 0;
  };
  HugeArray<Slot> slots_;
  std::size_t mask_;
};

}  // namespace sluice::tcp
