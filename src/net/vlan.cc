#include "sluice/net/vlan.h"

#include <cstring>

namespace sluice::net {
namespace {

constexpr std::size_t kMacs = offsetof(EthernetHeader, type);

}  // namespace

FoundTags find_tags(std::span<const std::uint8_t> frame, std::size_t most) noexcept {
  FoundTags found;
  for (std::size_t tags = 0; tags < most; ++tags) {
    const std::size_t at = kMacs + found.bytes;
    if (frame.size() < at + sizeof(Be16) + sizeof(VlanTag)) break;
    if (!is_vlan_type(static_cast<EtherType>(header_at<Be16>(frame, at).host()))) break;
    const std::uint16_t id = header_at<VlanTag>(frame, at + sizeof(Be16)).control.host() & kVlanId;
    (found.ids.outer == 0 ? found.ids.outer : found.ids.inner) = id;
    found.bytes += sizeof(VlanTag);
  }
  return found;
}

void remove_tags(std::span<std::uint8_t> frame, std::size_t bytes) noexcept {
  std::memmove(frame.data() + bytes, frame.data(), kMacs);
}

void insert_tags(std::span<std::uint8_t> room, const VlanTags& tags) noexcept {
  std::memmove(room.data(), room.data() + tags.bytes(), kMacs);
  std::size_t at = kMacs;
  const auto put = [&](EtherType type, std::uint16_t id) {
    header_at<Be16>(room, at) = static_cast<std::uint16_t>(type);
    header_at<Be16>(room, at + sizeof(Be16)) = id;
    at += sizeof(VlanTag);
  };
  if (tags.ids.inner != 0) {
    put(tags.outer_type, tags.ids.outer);
    put(EtherType::kVlan, tags.ids.inner);
  } else {
    put(EtherType::kVlan, tags.ids.outer);
  }
}

}  // namespace sluice::net
