// VLAN tags of a frame: found, taken off, put on. The packet path itself sees frames without tags: those of a VLAN lose
// them when they come in, and get them when they leave.
// Threading: pure functions.
// Spec:      IEEE 802.1Q sections 6.9 (priority tags) and 9.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/net/wire.h"

namespace sluice::net {

struct VlanIds {
  std::uint16_t outer = 0;  // 0: no tag
  std::uint16_t inner = 0;  // 0: one tag

  friend bool operator==(const VlanIds&, const VlanIds&) = default;
};

// The tags that a frame of a VLAN is sent with: priority 0.
struct VlanTags {
  VlanIds ids;
  EtherType outer_type = EtherType::kVlan;  // of the outer one of two; a tag alone is of type kVlan

  [[nodiscard]] std::size_t bytes() const noexcept {
    return (std::size_t{ids.outer != 0} + std::size_t{ids.inner != 0}) * sizeof(VlanTag);
  }
};

struct FoundTags {
  VlanIds ids;            // tags of identifier 0 say a priority and nothing else: they are not among these
  std::size_t bytes = 0;  // of all tags; they lie behind the two MAC addresses
};
inline constexpr std::size_t kMaxVlanTags = 2;
// The first `most` tags: those behind them are nobody's.
[[nodiscard]] FoundTags find_tags(std::span<const std::uint8_t> frame, std::size_t most = kMaxVlanTags) noexcept;

// Moves the MAC addresses over the `bytes` behind them: the frame begins so much later then.
void remove_tags(std::span<std::uint8_t> frame, std::size_t bytes) noexcept;
// The other way: `room` is tags.bytes() free bytes, then the frame.
void insert_tags(std::span<std::uint8_t> room, const VlanTags& tags) noexcept;

}  // namespace sluice::net
