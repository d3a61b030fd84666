// Between IPv4 and IPv6: packets of flows, and ICMP errors about them, with headers of the other family. Who the ends are
// is the caller's: full NAT on both sides, so that neither family has to hold the addresses of the other.
// Threading: pure functions.
// Units:     as parse.h.
// Spec:      RFC 7915 (headers, ICMP), RFC 6146 section 3.4 (ports), RFC 1624 (checksums: one that was wrong stays wrong).
//            Where we differ: `lowest-ipv6-mtu` (section 4) is the MTU of the way out, where cut_ip6() has the fragments;
//            nothing is said to a sender of a source route or routing header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/net/address.h"
#include "sluice/net/parse.h"
#include "sluice/net/rewrite.h"
#include "sluice/net/wire.h"

namespace sluice::net {

// What a packet grows by from IPv4 to IPv6, and shrinks by the other way; options and extension headers go besides.
inline constexpr std::size_t kTranslationGrowth = sizeof(Ip6Header) - sizeof(Ip4Header);

// The largest packet of one family that fits an MTU once it is of the other: what its sender is told.
[[nodiscard]] constexpr std::uint16_t translated_mtu(std::uint16_t mtu, Family sender) noexcept {
  constexpr std::uint32_t kGrowth = kTranslationGrowth;
  const std::uint32_t fits = sender == Family::kIp6 ? mtu + kGrowth : mtu - (mtu < kGrowth ? mtu : kGrowth);
  return static_cast<std::uint16_t>(fits > 0xffff ? 0xffff : fits);
}

// Whether the packet is a whole TCP, UDP or SCTP packet that has a form in the other family: it asks for no route of its own (RFC 7915 sections 4.1
// and 5.1.1), and in IPv6 has the UDP checksum that it must have (RFC 8200 section 8.1).
[[nodiscard]] bool may_translate(std::span<const std::uint8_t> frame, const Parsed& packet) noexcept;

// Gives such a packet an IP header of the other family, one off its TTL, and new ports. `frame` begins with the packet's
// frame and ends with its packet; from IPv4 to IPv6 the bytes before it are written to, as far as a header of 40 bytes
// before layer 4 reaches. `src` and `dst` are of the other family. Gives where the new header begins.
[[nodiscard]] std::uint8_t* translate_flow(std::span<std::uint8_t> frame, const Parsed& packet, const Endpoint& src,
                                           const Endpoint& dst) noexcept;

// MTUs on either side, for the errors that carry one.
struct ErrorMtus {
  std::uint16_t of_error;  // towards the host that the quoted packet was for
  std::uint16_t of_other;  // towards the host that is told
};

// The error of the other family that says the same. Writes a frame with room for an Ethernet header into `out`, which holds
// kMaxBuiltBytes. `to` is of the other family; `error` is the result of parse(frame), `quoted` of parse_quoted(frame, error),
// with ports. 0: there is no such error (RFC 7915 sections 4.2 and 5.2 have it dropped).
// What extends the error behind the quoted packet (RFC 4884) is left out.
[[nodiscard]] std::size_t translate_icmp_error(std::span<std::uint8_t> out, std::span<const std::uint8_t> frame,
                                               const Parsed& error, const Parsed& quoted, const IcmpErrorTuple& to,
                                               const ErrorMtus& mtus) noexcept;

}  // namespace sluice::net
