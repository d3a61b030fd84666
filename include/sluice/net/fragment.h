// Cutting packets into fragments, and making one header of the first fragment of either family.
// Threading: pure functions.
// Units:     bytes.
// Spec:      RFC 791 sections 3.1 (options that are copied) and 3.2 (the procedures); RFC 8200 section 4.5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/net/wire.h"

namespace sluice::net {

inline constexpr std::size_t kMinFragmentMtu = 68;  // RFC 791 section 3.2: the longest header and 8 bytes

// Of a packet that begins with its IP header: IPv4, and its sender did not forbid it. IPv6 routers never cut (RFC 8200
// section 5).
[[nodiscard]] inline bool may_be_cut(std::span<const std::uint8_t> packet) noexcept {
  return packet[0] >> 4 == 4 && (header_at<Ip4Header>(packet, 0).fragment.host() & kIp4DontFragment) == 0;
}

struct Cut {
  std::size_t bytes = 0;    // of the fragment, with its header
  std::size_t payload = 0;  // of the packet's payload in it
};

// Writes the fragment of `packet` whose payload begins `done` bytes behind the packet's header. `packet` is a sound IPv4
// packet, that may be a fragment itself; `mtu` is at least kMinFragmentMtu and `out` has as much room; `done` is 0, or what
// the calls before wrote.
[[nodiscard]] Cut cut_ip4(std::span<std::uint8_t> out, std::span<const std::uint8_t> packet, std::size_t done,
                          std::size_t mtu) noexcept;

// The same of an IPv6 packet of ours that is neither a fragment nor has extension headers: its source may cut it (RFC 8200
// section 4.5). `id` names it among those on their way from its source to its destination.
[[nodiscard]] Cut cut_ip6(std::span<std::uint8_t> out, std::span<const std::uint8_t> packet, std::size_t done,
                          std::size_t mtu, std::uint32_t id) noexcept;

// Takes DF off an IPv4 packet of ours, and gives it the identifier that it needs then (RFC 6864 section 4.2).
void permit_cut(std::span<std::uint8_t> packet, std::uint16_t id) noexcept;

// Turns the IP header of a first fragment into that of the whole packet, whose fragmentable part (RFC 8200: what lies
// behind the IPv4 header or the fragment header) has `payload` bytes. `packet` begins with the IP header, `at` is where its
// fragmentable part begins. Returns how many bytes the headers moved to the end: the packet begins there now, without the
// fragment header of IPv6.
[[nodiscard]] std::size_t make_whole(std::span<std::uint8_t> packet, std::size_t at, std::size_t payload) noexcept;

}  // namespace sluice::net
