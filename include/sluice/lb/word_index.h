// A read-only hash table from a 64-bit word to a number: built by control, probed by every IPv4 packet. At most a quarter of
// the slots is used, so nearly every probe, found or not, ends at the slot that it began at.
// Threading: immutable once built.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "sluice/net/address.h"

namespace sluice::lb {

class WordIndex {
 public:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  WordIndex() : WordIndex(std::vector<std::pair<std::uint64_t, std::uint32_t>>{}) {}
  // Words are unique, none is 0, and no number is kNone.
  explicit WordIndex(const std::vector<std::pair<std::uint64_t, std::uint32_t>>& entries)
      : slots_(std::bit_ceil(entries.size() * 4 + 4)), shift_(64 - std::countr_zero(slots_.size())) {
    for (const auto& [word, number] : entries) {
      std::size_t at = home(word);
      while (slots_[at].word != 0) at = next(at);
      slots_[at] = {word, number};
    }
  }

  [[nodiscard, gnu::always_inline]] std::uint32_t find(std::uint64_t word) const noexcept {
    for (std::size_t at = home(word);; at = next(at)) {
      const Slot& slot = slots_[at];
      if (slot.word == word) return slot.number;
      if (slot.word == 0) return kNone;
    }
  }

  // The word of an IPv4 address, alone or with a port and a protocol.
  [[nodiscard]] static std::uint64_t word_of(Be32 address, std::uint16_t port, std::uint8_t proto) noexcept {
    return address.raw() | (std::uint64_t{port} << 32) | (std::uint64_t{proto} << 48) | (std::uint64_t{1} << 63);
  }

 private:
  struct Slot {
    std::uint64_t word = 0;  // 0: free
    std::uint32_t number = 0;
  };
  // The operator chooses the words, so this hash need not resist an enemy.
  [[nodiscard]] std::size_t home(std::uint64_t word) const noexcept { return (word * 0x9e3779b97f4a7c15u) >> shift_; }
  [[nodiscard]] std::size_t next(std::size_t at) const noexcept { return (at + 1) & (slots_.size() - 1); }

  std::vector<Slot> slots_;
  int shift_ = 0;
};

}  // namespace sluice::lb
