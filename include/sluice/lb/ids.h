// How the packet path names things: small indices into the arrays of a Snapshot. An id adds a generation, so that what
// lives longer than a snapshot (a flow) can tell whether the slot still holds what it meant.
// A thing that stays the same over a reload keeps its index and its generation (build_snapshot.h).
// Threading: values.
#pragma once

#include <cstdint>

#include "sluice/telemetry/counters.h"

namespace sluice::lb {

using ServiceIndex = std::uint16_t;
using PoolIndex = std::uint16_t;
using BackendIndex = std::uint16_t;
using SourceIndex = std::uint16_t;  // of Snapshot::sources

inline constexpr std::uint16_t kNoIndex = 0xffff;
inline constexpr BackendIndex kNoBackend = kNoIndex;

inline constexpr std::size_t kMaxServices = telemetry::kMaxCountedServices;
inline constexpr std::size_t kMaxBackends = telemetry::kMaxCountedBackends;
inline constexpr std::size_t kMaxPools = 4096;
inline constexpr std::size_t kMaxListeners = 32768;  // upper indices are numbers of destinations (destinations.h)
inline constexpr std::size_t kMaxSources = 4096;

struct ListenerId {
  std::uint16_t index = kNoIndex;
  std::uint16_t generation = 0;
  bool operator==(const ListenerId&) const noexcept = default;
};

struct BackendId {
  BackendIndex index = kNoBackend;
  std::uint16_t generation = 0;
  bool operator==(const BackendId&) const noexcept = default;
};

}  // namespace sluice::lb
