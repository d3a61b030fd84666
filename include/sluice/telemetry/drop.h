// Why a packet was dropped: each dropped packet has exactly one reason, and each reason a counter.
// Threading: constants.
// Use:       add a row to SLUICE_DROP_REASONS and the enumerator, its name (`sluicectl drops`) and its help text exist.
//            Each reason has a test that causes it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice::telemetry {

// clang-format off
#define SLUICE_DROP_REASONS(X)                                                                                        \
  X(kLinkTruncated,       "link_truncated",        "frame ends within its Ethernet header or VLAN tag")                \
  X(kBadEthernet,         "bad_ethernet",          "frame is not for this interface, or says that a group sent it")    \
  X(kVlanUnknown,         "vlan_unknown",          "VLAN tag that no interface is configured for")                     \
  X(kEtherTypeUnknown,    "ether_type_unknown",    "neither IPv4, IPv6 nor ARP")                                       \
  X(kIpTruncated,         "ip_truncated",          "frame ends within the IP header, or before the length that it states") \
  X(kBadIpHeader,         "bad_ip_header",         "IP header of a wrong version or length")                           \
  X(kBadIpChecksum,       "bad_ip_checksum",       "IPv4 header checksum is wrong")                                    \
  X(kBadIpAddress,        "bad_ip_address",        "an address that no packet may have on a wire, or our own as source") \
  X(kLand,                "land",                  "source and destination are one address")                           \
  X(kIpOptions,           "ip_options",            "IPv4 source route, IPv6 extension headers beyond the bound or of unknown kind")      \
  X(kFragment,            "fragment",              "fragment that is malformed: a tiny first one, over the TCP flags, beyond 65,535 bytes") \
  X(kFragmentUnsupported, "fragment_unsupported",  "fragment where a whole packet alone can be forwarded: SCTP through a NAT, between families, `one_packet`") \
  X(kFragmentOverlap,     "fragment_overlap",      "fragment that overlaps another of its packet, or is a copy of one") \
  X(kFragmentTimeout,     "fragment_timeout",      "fragment that waited too long for the others of its packet")       \
  X(kFragmentLimit,       "fragment_limit",        "fragment of a packet in too many pieces, or too many others wait") \
  X(kL4Truncated,         "l4_truncated",          "packet ends within its TCP, UDP or ICMP header")                   \
  X(kBadL4Header,         "bad_l4_header",         "TCP data offset or UDP length that cannot be")                     \
  X(kBadTcpFlags,         "bad_tcp_flags",         "no TCP flag at all, or SYN with FIN or RST")                       \
  X(kBadChecksum,         "bad_checksum",          "TCP, UDP or ICMP checksum is wrong")                               \
  X(kTtlExpired,          "ttl_expired",           "TTL or hop limit used up on the way through")                      \
  X(kBadArp,              "bad_arp",               "ARP packet malformed")                                             \
  X(kBadNeighborDiscovery,"bad_neighbor_discovery","ND message malformed, or its hop limit is not 255")               \
  X(kArpNotForUs,         "arp_not_for_us",        "ARP or ND about an address that is not ours")                      \
  X(kNotForUs,            "not_for_us",            "destination is neither a service nor our own address")             \
  X(kProtocolUnknown,     "protocol_unknown",      "to our own address, with a protocol that is not served")           \
  X(kPortClosed,          "port_closed",           "to our own address, where nothing listens")                        \
  X(kIcmpUnhandled,       "icmp_unhandled",        "ICMP message of a kind that is not acted on")                      \
  X(kIcmpNoFlow,          "icmp_no_flow",          "ICMP error about a flow that is not known")                        \
  X(kIcmpRateLimited,     "icmp_rate_limited",     "an ICMP answer held back by the rate limit")                       \
  X(kBogon,               "bogon",                 "source that cannot come from outside (defence.bogons)")            \
  X(kDenied,              "denied",                "source is on a deny list, and on no allow list beside it")         \
  X(kAclDenied,           "acl_denied",            "an ACL rule denies it")                                            \
  X(kSourcePackets,       "source_packets",        "more packets from its source prefix than defence.source_limits")   \
  X(kSourceBits,          "source_bits",           "more bits from its source prefix than defence.source_limits")      \
  X(kSourceFlows,         "source_flows",          "more new flows from its source prefix than defence.source_limits") \
  X(kServicePackets,      "service_packets",       "more packets to the service than its limits")                      \
  X(kServiceBits,         "service_bits",          "more bits to the service than its limits")                         \
  X(kServiceFlows,        "service_flows",         "more new flows to the service than its limits")                    \
  X(kNoRoute,             "no_route",              "no interface or gateway leads to the destination")                 \
  X(kNeighborPending,     "neighbor_pending",      "too many packets wait for a neighbour to answer")                  \
  X(kNeighborUnreachable, "neighbor_unreachable",  "neighbour did not answer ARP or ND")                               \
  X(kNoBackend,           "no_backend",            "pool has no backend that is up (answered: RST or unreachable)")    \
  X(kBackendsFull,        "backends_full",         "every backend of the pool has its max_flows (answered: RST or unreachable)") \
  X(kNoFlow,              "no_flow",               "TCP segment amid a flow that is not known (answered: RST)")        \
  X(kBadSynCookie,        "bad_syn_cookie",        "ACK without a flow whose SYN cookie is forged or old (answered: RST)") \
  X(kSynProxyWaits,       "syn_proxy_waits",       "segment amid a handshake of the SYN proxy with a backend: it will come again") \
  X(kFlowTableFull,       "flow_table_full",       "no room for a new flow (answered: RST or unreachable)")            \
  X(kNatPortsExhausted,   "nat_ports_exhausted",   "no NAT source port towards the backend (answered: RST or unreachable)") \
  X(kNatNoReplyFlow,      "nat_no_reply_flow",     "packet to a NAT source port without a flow")                       \
  X(kDnatTupleTaken,      "dnat_tuple_taken",      "client's port is in use towards the backend through another service (answered: RST or unreachable)") \
  X(kUntranslatable,      "untranslatable",        "has no form in the other family: fragment, source route, routing header, UDP over IPv6 without checksum") \
  X(kHandoffFull,         "handoff_full",          "ring to the owning worker or proxy is full")                       \
  X(kTxFull,              "tx_full",               "driver or the ring to the sending CPU took no more")               \
  X(kNoMbuf,              "no_mbuf",               "packet pool is empty")                                             \
  X(kTooBig,              "too_big",               "larger than the egress interface's MTU, less what a tunnel adds")  \
  X(kNoHeadroom,          "no_headroom",           "driver left no room around the packet for what is added to it")      \
  X(kEspNoPeer,           "esp_no_peer",           "the flow's backend is no peer of `esp` any more")                   \
  X(kEspExhausted,        "esp_exhausted",         "the association has no sequence number left, or none reserved")     \
  X(kEspUnknownSpi,       "esp_unknown_spi",       "ESP packet of an association that is not ours")                     \
  X(kEspMalformed,        "esp_malformed",         "ESP packet truncated, or its padding is wrong")                     \
  X(kEspReplayed,         "esp_replayed",          "ESP packet with a sequence number that was seen, or is too old")    \
  X(kEspForged,           "esp_forged",            "ESP packet whose integrity check value is wrong")                   \
  X(kEspInner,            "esp_inner",             "what ESP held is no answer of a service that the sender is a backend of") \
  X(kShutdown,            "shutdown",              "received or queued while stopping")
// clang-format on

enum class Drop : std::uint8_t {
  kNone = 0,
#define X(enumerator, name, help) enumerator,
  SLUICE_DROP_REASONS(X)
#undef X
      kCount,
};
inline constexpr std::size_t kDropReasons = static_cast<std::size_t>(Drop::kCount);

struct DropText {
  std::string_view name;
  std::string_view help;
};
inline constexpr std::array<DropText, kDropReasons> kDropTexts = {{{"none", "not dropped"},
#define X(enumerator, name, help) {name, help},
                                                                   SLUICE_DROP_REASONS(X)
#undef X
}};
[[nodiscard]] constexpr DropText text_of(Drop reason) noexcept { return kDropTexts[static_cast<std::size_t>(reason)]; }

}  // namespace sluice::telemetry
