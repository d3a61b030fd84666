// Maglev's lookup table: from a hash to a backend, in proportion to the weights, moving few flows when a backend comes
// or goes. It depends on the backends' names and weights alone, not on their order, on the time or on the machine:
// every machine with the same configuration sends the same flow to the same backend.
// Threading: immutable once built; shared by snapshots.
// Spec:      Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), section 3.4.
//            Weights: a backend of weight w has w turns in each round in which the heaviest has its weight of them
//            (turns are spread over rounds, so that shares stay in proportion whatever the table's size).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "sluice/config/config.h"
#include "sluice/lb/ids.h"
#include "sluice/net/address.h"

namespace sluice::lb {

struct MaglevBackend {
  std::string_view name;  // unique in the table; what the backend's permutation is made from
  BackendIndex index = kNoBackend;
  std::uint32_t weight = 1;  // 0: gets no slot
};

class MaglevTable {
 public:
  MaglevTable() = default;  // empty: every lookup gives kNoBackend
  // `slots` is a prime, at least the number of backends. Takes O(slots log slots) on average, whatever the weights.
  MaglevTable(std::span<const MaglevBackend> backends, std::uint32_t slots);

  [[nodiscard]] BackendIndex find(std::uint64_t hash) const noexcept {
    if (slots_.empty()) return kNoBackend;
    return slots_[slot_of(hash)];
  }
  [[nodiscard]] std::size_t slot_of(std::uint64_t hash) const noexcept {  // only if not empty
    return static_cast<std::size_t>(((hash & 0xffffffff) * slots_.size()) >> 32);
  }
  [[nodiscard]] std::span<const BackendIndex> slots() const noexcept { return slots_; }

 private:
  std::vector<BackendIndex> slots_;
};

// What Maglev looks up: the same on every machine, so its key is fixed; the flow table's hash is another one.
[[nodiscard]] std::uint64_t maglev_hash(const net::Endpoint& client, const net::Endpoint& service,
                                        net::IpProto proto) noexcept;

// Of those parts of the flow that the pool's choice is to depend on.
[[nodiscard]] std::uint64_t flow_hash(config::FlowHash parts, const net::Endpoint& client, const net::Endpoint& service,
                                      net::IpProto proto) noexcept;

[[nodiscard]] bool is_prime(std::uint32_t number) noexcept;

}  // namespace sluice::lb
