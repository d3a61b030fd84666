// Weighted round robin: a table of turns, smooth (a heavy backend's turns are spread, not in a row), and each thread's
// place in it. Threads do not share a place: each begins somewhere else.
// Threading: RoundRobinTable is immutable once built; RoundRobinTurns belongs to one thread.
// Spec:      the smooth order is nginx's (2012): raise each by its weight, take the highest, lower it by the sum.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sluice/base/own_lines.h"
#include "sluice/base/random.h"
#include "sluice/lb/ids.h"

namespace sluice::lb {

struct WeightedBackend {
  BackendIndex index = kNoBackend;
  std::uint32_t weight = 1;  // 0: gets no turn
};

class RoundRobinTable {
 public:
  static constexpr std::size_t kMaxTurns = 8192;

  RoundRobinTable() = default;
  // The sum of the weights, divided by their greatest divisor, is the length; beyond kMaxTurns weights are rounded, no
  // weight below one turn.
  explicit RoundRobinTable(std::span<const WeightedBackend> backends);

  [[nodiscard]] std::span<const BackendIndex> turns() const noexcept { return turns_; }

 private:
  OwnVector<BackendIndex> turns_;
};

class RoundRobinTurns {
 public:
  explicit RoundRobinTurns(Random random);

  // The next turn of that pool; kNoBackend if the table is empty.
  [[nodiscard]] BackendIndex next(PoolIndex pool, const RoundRobinTable& table) noexcept;
  // A number that goes up by one each time: where to begin looking among equals.
  [[nodiscard]] std::uint32_t next(PoolIndex pool) noexcept { return next_[pool]++; }

 private:
  OwnVector<std::uint32_t> next_;  // by pool
};

}  // namespace sluice::lb
