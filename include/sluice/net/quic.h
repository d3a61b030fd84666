// QUIC as a balancer sees it: the connection id that a datagram is sent to, and the server that it names.
// Threading: pure functions.
// Spec:      RFC 8999 (what all versions have), RFC 9000 section 17.2 and RFC 9369 section 3.2 (packet types),
//            draft-ietf-quic-load-balancers-19 (ids that a balancer can route by; the form in plain text).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace sluice::net {

// Of the first packet of a datagram: behind a short header, all that follows, as only the server knows where its ids end.
// nullopt: too short, or an Initial or 0-RTT packet of a known version, whose id may be one that the client made up.
[[nodiscard]] std::optional<std::span<const std::uint8_t>> quic_destination_id(
    std::span<const std::uint8_t> datagram) noexcept;

// The first octet of an id says in its upper three bits by which configuration it was made; 7 is none's. The server id
// follows.
inline constexpr std::uint8_t kQuicNoConfiguration = 7;
[[nodiscard]] inline std::uint8_t quic_configuration(std::span<const std::uint8_t> id) noexcept {
  return id.empty() ? kQuicNoConfiguration : static_cast<std::uint8_t>(id[0] >> 5);
}
inline constexpr std::size_t kMaxQuicServerId = 15;

}  // namespace sluice::net
