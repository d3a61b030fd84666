// Frames that sluice makes itself: ARP, neighbour discovery, ICMP answers, TCP resets and SCTP aborts.
// Every builder writes a whole frame without padding into the caller's bytes and gives its length; 0 means that nothing
// was written: no room, or the packet must not be answered so (each builder says when).
// Answers go back the way the packet came: link-layer addresses swapped, VLAN tag kept.
// Threading: pure functions.
// Spec:      RFC 826, RFC 5227 section 3, RFC 4861, RFC 792, RFC 1122 section 3.2.2, RFC 1812 section 4.3.2, RFC 4443,
//            RFC 9293 section 3.10.7.1, RFC 9260 sections 8.4 and 8.5.1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "sluice/net/address.h"
#include "sluice/net/neighbor.h"
#include "sluice/net/parse.h"
#include "sluice/net/wire.h"

namespace sluice::net {

inline constexpr std::size_t kArpFrameBytes = sizeof(EthernetHeader) + sizeof(ArpPacket);
inline constexpr std::size_t kNeighborFrameBytes =
    sizeof(EthernetHeader) + sizeof(Ip6Header) + sizeof(NeighborMessage) + sizeof(LinkLayerOption);
inline constexpr std::size_t kMaxIcmp4ErrorBytes = 576;   // IP packet; RFC 1812 section 4.3.2.3
inline constexpr std::size_t kMaxIcmp6ErrorBytes = 1280;  // IP packet; RFC 4443 section 2.4 (c)
// Room that holds any of these frames but an echo reply.
inline constexpr std::size_t kMaxBuiltBytes = sizeof(EthernetHeader) + sizeof(VlanTag) + kMaxIcmp6ErrorBytes;

// ---- link layer addresses ----

struct LinkSource {  // who asks or answers
  MacAddress mac;
  IpAddress address;
};

// Broadcast; `to`, where not nullptr, makes it unicast: is the neighbour still there (RFC 1122 section 2.3.2.1)?
std::size_t build_arp_request(std::span<std::uint8_t> out, const LinkSource& from, const IpAddress& target,
                              const MacAddress* to = nullptr) noexcept;
// `from.address` is the address that was asked for.
std::size_t build_arp_reply(std::span<std::uint8_t> out, const LinkSource& from, const ArpMessage& request) noexcept;
// An announcement: a broadcast request whose sender and target are the address (RFC 5227 section 3).
std::size_t build_gratuitous_arp(std::span<std::uint8_t> out, const LinkSource& from) noexcept;

// To the target's solicited-node group; `to`, where not nullptr, makes it unicast (RFC 4861 section 7.3.3).
std::size_t build_neighbor_solicitation(std::span<std::uint8_t> out, const LinkSource& from, const IpAddress& target,
                                        const MacAddress* to = nullptr) noexcept;
// Answers a solicitation for `from.address`; one from the unspecified address (a duplicate address detection) is
// answered to all nodes, not solicited (RFC 4861 section 7.2.4). `to` is the MAC of the frame that asked.
std::size_t build_neighbor_advertisement(std::span<std::uint8_t> out, const LinkSource& from,
                                         const NeighborDiscovery& solicitation, const MacAddress& to) noexcept;
// Unsolicited, to all nodes, override set (RFC 4861 section 7.2.6).
std::size_t build_unsolicited_advertisement(std::span<std::uint8_t> out, const LinkSource& from) noexcept;

// ---- ICMP ----

// Turns an ICMP or ICMPv6 echo request to a unicast address, or its first fragment, into the reply, in place; the caller
// has verified the checksum, which of a fragment nobody can: one that was wrong stays wrong. false, and nothing is changed:
// not an echo request, or to a group.
[[nodiscard]] bool make_echo_reply(std::span<std::uint8_t> frame, const Parsed& packet) noexcept;
// The same for a later fragment of one: the reply has the request's data, so it may have the same fragments. false, and
// nothing is changed: no later fragment, or to a group.
[[nodiscard]] bool make_later_echo_reply(std::span<std::uint8_t> frame, const Parsed& packet) noexcept;

enum class IcmpError : std::uint8_t {
  kHostUnreachable,  // ICMP 3/1, ICMPv6 1/3
  kPortUnreachable,  // 3/3, 1/4
  kTimeExceeded,     // 11/0, 3/0
  kPacketTooBig,     // 3/4 with the MTU (RFC 1191), 2/0
};

// RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e): no error about an ICMP error or redirect, a later fragment, a
// packet to a group or broadcast (on the link or in IP), or one whose source does not name one host.
[[nodiscard]] bool may_answer_with_icmp_error(std::span<const std::uint8_t> frame, const Parsed& packet) noexcept;

// Quotes as much of the packet as the bounds above allow. `src` is an own address of the packet's family, `mtu` only
// for kPacketTooBig. 0 too where may_answer_with_icmp_error() says no.
std::size_t build_icmp_error(std::span<std::uint8_t> out, std::span<const std::uint8_t> frame, const Parsed& packet,
                             IcmpError error, const IpAddress& src, std::uint32_t mtu = 0) noexcept;

// What an error says of the MTU of a link that is too small: ICMP 3/4 (RFC 1191), ICMPv6 2/0. nullopt: it is another error,
// or does not say. `error` is the result of parse(frame).
[[nodiscard]] std::optional<std::uint32_t> mtu_of_error(std::span<const std::uint8_t> frame,
                                                        const Parsed& error) noexcept;

// An IP packet, without a link header, that tells `to` of a smaller MTU: the headers, in front of what it quotes, which
// stands in `packet` behind too_big_header_bytes() already and is no longer than max_quote_bytes().
[[nodiscard]] std::size_t too_big_header_bytes(const IpAddress& to) noexcept;
[[nodiscard]] std::size_t max_quote_bytes(const IpAddress& to) noexcept;
void write_packet_too_big(std::span<std::uint8_t> packet, const IpAddress& from, const IpAddress& to,
                          std::uint32_t mtu) noexcept;

// ---- TCP ----

// The reset that a closed port sends (RFC 9293 section 3.10.7.1), from the packet's destination to its source.
// 0: the packet is a reset itself, a fragment, not TCP, or to or from a group.
std::size_t build_tcp_reset(std::span<std::uint8_t> out, std::span<const std::uint8_t> frame,
                            const Parsed& packet) noexcept;

// ---- SCTP ----

// The ABORT with which a host refuses a packet of no association of its own (RFC 9260 section 8.4), from the packet's
// destination to its source. 0: the packet is an ABORT or ends a shutdown, a fragment, not SCTP, or to or from a group.
std::size_t build_sctp_abort(std::span<std::uint8_t> out, std::span<const std::uint8_t> frame,
                             const Parsed& packet) noexcept;

// The ABORT of a middlebox that ends an association. Each side accepts its own tag, and its peer's where it is said to be
// that (section 8.5.1): so the tag of the client's packets, which is the backend's, serves for both.
struct SctpAbort {
  Endpoint src, dst;  // of one family
  std::uint32_t tag = 0;
  bool reflected = false;  // the tag is not the receiver's own, but its peer's
};
// Writes IP header and packet at `l3_offset`; 0: no room.
std::size_t write_sctp_abort(std::span<std::uint8_t> out, std::size_t l3_offset, const SctpAbort& abort) noexcept;

}  // namespace sluice::net
