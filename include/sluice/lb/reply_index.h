// Part of FlowTable: from the hash of a reply's key to the place of its flow. Entries of 8 bytes, open addressing with
// linear probing, at most half full; removal shifts entries back, so there are no tombstones.
// Threading: as FlowTable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/base/huge_pages.h"

namespace sluice::lb {

class ReplyIndex {
 public:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  explicit ReplyIndex(std::size_t capacity) : entries_(capacity * 2 + 2) {}

  // Where a search begins.
  [[nodiscard]] const void* line(std::uint32_t hash) const noexcept { return &entries_[home(hash)]; }

  // All of it: a search begins at the same part of it as the hash is of 2^32.
  [[nodiscard]] std::span<const std::byte> bytes() noexcept { return std::as_bytes(entries_.span()); }

  // The first place with this hash, from `at` on, for which is_it(place) says yes; kNone: there is none.
  template <typename IsIt>
  [[nodiscard]] std::size_t find(std::uint32_t hash, IsIt&& is_it) const noexcept {
    for (std::size_t at = home(hash); entries_[at].place_plus_1 != 0; at = next(at)) {
      const Entry& entry = entries_[at];
      if (entry.hash == hash && is_it(std::size_t{entry.place_plus_1} - 1)) return entry.place_plus_1 - 1;
    }
    return kNone;
  }
  // The place that find() would try first: what a burst prefetches.
  [[nodiscard]] std::size_t first_guess(std::uint32_t hash) const noexcept {
    return find(hash, [](std::size_t) { return true; });
  }

  void insert(std::uint32_t hash, std::size_t place) noexcept {
    std::size_t at = home(hash);
    while (entries_[at].place_plus_1 != 0) at = next(at);
    entries_[at] = {hash, static_cast<std::uint32_t>(place + 1)};
  }

  void remove(std::uint32_t hash, std::size_t place) noexcept {
    std::size_t hole = home(hash);
    while (entries_[hole].place_plus_1 != place + 1) hole = next(hole);
    for (std::size_t at = next(hole); entries_[at].place_plus_1 != 0; at = next(at)) {
      // An entry may fill the hole unless its home lies behind it, on the way to where it is now.
      const std::size_t from_home = distance(home(entries_[at].hash), at);
      if (from_home < distance(hole, at)) continue;
      entries_[hole] = entries_[at];
      hole = at;
    }
    entries_[hole] = {};
  }

 private:
  struct Entry {
    std::uint32_t hash;
    std::uint32_t place_plus_1;  // 0: free
  };

  [[nodiscard]] std::size_t home(std::uint32_t hash) const noexcept {
    return static_cast<std::size_t>(std::uint64_t{hash} * entries_.size() >> 32);
  }
  [[nodiscard]] std::size_t next(std::size_t at) const noexcept { return at + 1 == entries_.size() ? 0 : at + 1; }
  [[nodiscard]] std::size_t distance(std::size_t from, std::size_t to) const noexcept {
    return to >= from ? to - from : to + entries_.size() - from;
  }

  HugeArray<Entry> entries_;
};

}  // namespace sluice::lb
