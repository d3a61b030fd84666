// Part of FlowTable: the destinations of flows of services on all ports or on a prefix. Such a listener alone does not say
// where a flow's packets are addressed to, and a flow's key has no room for that. So each address and port that a flow of
// such a listener has gets a number, and in the flow's key that number stands in place of the listener's. Two destinations never
// share a number: keys stay exact.
// A number lives as long as a flow has it. Memory is reserved for one destination a flow, and comes as it is first used.
// Threading: as FlowTable.
// Limits:    `capacity` destinations; hold() then gives nothing.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "sluice/base/lazy_array.h"
#include "sluice/lb/ids.h"
#include "sluice/lb/reply_index.h"
#include "sluice/net/address.h"

namespace sluice::lb {

struct Destination {  // hashed and compared as 24 bytes
  net::IpAddress address;
  ListenerId listener;
  std::uint16_t port = 0;
  std::uint16_t zero = 0;

  [[nodiscard]] net::Endpoint endpoint() const noexcept { return {address, port}; }
  bool operator==(const Destination&) const noexcept = default;
};
static_assert(sizeof(Destination) == 24);

class Destinations {
 public:
  Destinations(std::size_t capacity, const std::array<std::uint64_t, 4>& secret);  // may throw bad_alloc

  // Numbers as the listener of a key: their index is beyond every listener's.
  static constexpr std::uint16_t kFirstIndex = 0x8000;
  [[nodiscard]] static bool is_number(ListenerId id) noexcept { return id.index >= kFirstIndex && id.generation != 0; }

  // Matches no flow's key where no flow has the destination.
  [[nodiscard]] ListenerId find(const Destination& destination) const noexcept;
  // One flow more has it. nullopt: no room.
  [[nodiscard]] std::optional<ListenerId> hold(const Destination& destination) noexcept;
  // One flow less.
  void release(ListenerId number) noexcept;
  [[nodiscard]] const Destination& get(ListenerId number) const noexcept { return entries_[place_of(number)].what; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  struct alignas(32) Entry {
    Destination what;
    std::uint32_t flows = 0;  // 0: free
    std::uint32_t next_free = 0;
  };
  static_assert(sizeof(Entry) == 32);
  static_assert(kMaxListeners <= kFirstIndex);
  static constexpr std::uint32_t kNoPlace = 0xffffffff;

  // 15 bits in the index, the rest in the generation, which is never 0.
  [[nodiscard]] static ListenerId number_of(std::size_t place) noexcept {
    return {static_cast<std::uint16_t>(kFirstIndex | (place & 0x7fff)), static_cast<std::uint16_t>((place >> 15) + 1)};
  }
  [[nodiscard]] static std::size_t place_of(ListenerId number) noexcept {
    return (number.index & 0x7fffu) | (std::size_t{number.generation} - 1) << 15;
  }
  [[nodiscard]] std::uint32_t hash(const Destination& destination) const noexcept;
  [[nodiscard]] std::size_t find_place(const Destination& destination, std::uint32_t hash) const noexcept;

  std::array<std::uint64_t, 4> secret_;  // clients of a prefix service choose its destinations
  LazyArray<Entry> entries_;
  ReplyIndex index_;
  std::size_t size_ = 0;
  std::size_t unused_ = 0;         // entries from here on were never used
  std::uint32_t free_ = kNoPlace;  // the first of those that were
};

}  // namespace sluice::lb
