// ARP packets and neighbour discovery messages as values: parsed with the checks that their RFCs demand.
// Threading: pure functions.
// Spec:      RFC 826; RFC 4861 sections 4.3, 4.4 and 7.1 (what makes a message valid).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "sluice/net/address.h"
#include "sluice/net/parse.h"
#include "sluice/net/wire.h"

namespace sluice::net {

struct ArpMessage {
  ArpOperation operation = ArpOperation::kRequest;
  MacAddress sender_mac;
  IpAddress sender;  // IPv4; 0.0.0.0 in a probe (RFC 5227)
  IpAddress target;
};
// nullopt: not IPv4 over Ethernet, an unknown operation, or a sender that is a group address.
[[nodiscard]] std::optional<ArpMessage> parse_arp(std::span<const std::uint8_t> frame, const Parsed& packet) noexcept;

struct NeighborDiscovery {
  bool solicitation = false;  // else an advertisement
  bool solicited = false;     // advertisement: answers a solicitation
  bool override_ = false;     // advertisement: replaces what is known
  IpAddress src;              // of the IPv6 header; unspecified: duplicate address detection
  IpAddress target;
  std::optional<MacAddress> link_layer;  // source's of a solicitation, target's of an advertisement
};
// nullopt: not valid by RFC 4861 section 7.1 (hop limit 255, code 0, checksum, target, options), or not one of the two.
[[nodiscard]] std::optional<NeighborDiscovery> parse_neighbor_discovery(std::span<const std::uint8_t> frame,
                                                                        const Parsed& packet) noexcept;

// ff02::1:ffXX:XXXX of RFC 4291 section 2.7.1.
[[nodiscard]] IpAddress solicited_node_multicast(const IpAddress& address) noexcept;
inline constexpr IpAddress kAllNodes = IpAddress::v6({0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
// 33:33:.. of RFC 2464 section 7, 01:00:5e:.. of RFC 1112 section 6.4.
[[nodiscard]] MacAddress multicast_mac(const IpAddress& group) noexcept;
// fe80::/64 with the modified EUI-64 of the MAC (RFC 4291 appendix A).
[[nodiscard]] IpAddress link_local_address(const MacAddress& mac) noexcept;

}  // namespace sluice::net
