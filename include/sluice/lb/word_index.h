// A read-only hash table from a 64-bit word to another one: built by control, probed by every IPv4 packet. At most an eighth
// of the slots is used, and of several ways to hash the one that collides least, so nearly every probe, found or not, ends
// at the slot that it began at.
// Threading: immutable once built.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "sluice/net/address.h"

namespace sluice::lb {

class WordIndex {
 public:
  using Entry = std::pair<std::uint64_t, std::uint64_t>;  // word, value

  WordIndex() : WordIndex(std::vector<Entry>{}) {}
  explicit WordIndex(const std::vector<Entry>& entries);  // words are unique; neither words nor values are 0

  // 0: not found.
  [[nodiscard, gnu::always_inline]] std::uint64_t find(std::uint64_t word) const noexcept {
    for (std::size_t at = home(word);; at = next(at)) {
      const Slot& slot = slots_[at];
      // One branch, for a collision: whether the word is found cannot be predicted, and is in the value.
      if (slot.word == word || slot.word == 0) [[likely]]
        return slot.value;
    }
  }

  // The word of an IPv4 address, alone or with a port and a protocol.
  [[nodiscard]] static std::uint64_t word_of(Be32 address, std::uint16_t port, std::uint8_t proto) noexcept {
    return address.raw() | (std::uint64_t{port} << 32) | (std::uint64_t{proto} << 48) | (std::uint64_t{1} << 63);
  }

 private:
  struct Slot {
    std::uint64_t word = 0;  // 0: free
    std::uint64_t value = 0;
  };
  // The operator chooses the words, so this hash need not resist an enemy.
  [[nodiscard]] std::size_t home(std::uint64_t word) const noexcept { return (word * multiplier_) >> shift_; }
  [[nodiscard]] std::size_t next(std::size_t at) const noexcept { return (at + 1) & (slots_.size() - 1); }
  std::size_t fill(const std::vector<Entry>& entries);  // gives the number of those that are not where they begin

  std::vector<Slot> slots_;
  std::uint64_t multiplier_;
  int shift_;
};

}  // namespace sluice::lb
