// What `forward:` of a service asks for: how packets get to its backends, and what is kept of its flows.
// Threading: values; copy, compare or share as const.
// Ownership: no pointers into anything; the pool is a name, which find_pool() looks up.
// Units:     durations are nanoseconds (Duration), ports plain numbers.
// Spec:      docs/configuration.md says what each key means to a user; idle limits: RFC 4787 section 4.3, RFC 5382 section 5.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sluice/base/time.h"
#include "sluice/net/address.h"

namespace sluice::config {

using namespace std::chrono_literals;  // defaults below read like the file: 30s, 500ms

enum class ForwardMode : std::uint8_t {
  kNat,   // destination and source rewritten; replies come back through us
  kDnat,  // destination rewritten; the backend answers the client's address, and its way there leads through us
  kDsr,   // the backend's MAC address and nothing else: it has the service's address, and answers the client itself
  // Never in a Config: what kNat becomes for a listener whose pool is of the other family (lb::Listener::mode).
  kNat64,  // clients of IPv6, backends of IPv4
  kNat46,  // clients of IPv4, backends of IPv6
  // As kDsr, in a tunnel.
  kIpIp,   // the packet in another IP packet
  kGre,    // the same with a GRE header between
  kGue,    // the same with a UDP header between
  kVxlan,  // the packet as an Ethernet frame of a VXLAN
  kEsp,    // the packet encrypted in another IP packet
};
// Whether the packets of the two sides are of different families.
[[nodiscard]] constexpr bool translates(ForwardMode mode) noexcept {
  return mode == ForwardMode::kNat64 || mode == ForwardMode::kNat46;
}
// Whether replies lead to the flow by a port of ours.
[[nodiscard]] constexpr bool takes_port(ForwardMode mode) noexcept {
  return mode == ForwardMode::kNat || translates(mode);
}
// Whether replies come back through us.
[[nodiscard]] constexpr bool sees_replies(ForwardMode mode) noexcept {
  return takes_port(mode) || mode == ForwardMode::kDnat;
}
// Whether packets leave with other headers than they came with.
[[nodiscard]] constexpr bool changes_headers(ForwardMode mode) noexcept { return mode >= ForwardMode::kNat64; }
// Whether packets get a header in front of them.
[[nodiscard]] constexpr bool has_tunnel(ForwardMode mode) noexcept {
  return mode >= ForwardMode::kIpIp && mode <= ForwardMode::kEsp;
}
// Of those, all but esp, which does more.
[[nodiscard]] constexpr bool is_tunnel(ForwardMode mode) noexcept {
  return has_tunnel(mode) && mode != ForwardMode::kEsp;
}

// Whether a backend's health checks go to the service's address, the way that its packets go. In kEsp they go to the
// backend's own, outside the tunnel: associations are the workers'.
[[nodiscard]] constexpr bool checked_as_service(ForwardMode mode) noexcept {
  return !sees_replies(mode) && mode != ForwardMode::kEsp;
}

struct FlowTimeouts {             // a flow without a packet for so long is forgotten
  Duration established = 124min;  // RFC 5382 section 5: not less than 2 h 4 min
  Duration opening = 60s;         // SYN or INIT seen, handshake not complete
  Duration closing = 120s;        // FIN or SHUTDOWN both ways, RST or ABORT seen
  Duration udp = 120s;            // RFC 4787 section 4.3: not less than 2 min
  Duration sctp = 124min;         // an association that is established: as TCP's
  bool operator==(const FlowTimeouts&) const = default;
};

struct Outer {  // the header that a tunnel adds
  // At most one of each family; for a family that has none here: the egress interface's address. What a prefix leaves
  // free are bits of each flow, so that the backends' NICs spread the flows.
  std::vector<net::Prefix> source;
  std::uint8_t ttl = 64;
  bool operator==(const Outer&) const = default;
};

struct Gue {
  std::uint16_t port = 6080;
  std::uint8_t variant = 1;  // 1: the packet follows UDP at once | 0: behind a GUE header
  bool operator==(const Gue&) const = default;
};

struct Vxlan {
  std::uint32_t vni = 0;  // 24 bits
  std::uint16_t port = 4789;
  std::optional<net::MacAddress> mac;                         // of the backends' VXLAN interfaces
  [[nodiscard]] net::MacAddress inner_mac() const noexcept {  // without the key: from the VNI
    const auto byte = [&](unsigned shift) { return static_cast<std::uint8_t>(vni >> shift); };
    return mac.value_or(net::MacAddress{{2, 0, 0, byte(16), byte(8), byte(0)}});
  }
  bool operator==(const Vxlan&) const = default;
};

enum class EchoTo : std::uint8_t {
  kAnswer,   // pings of the service's addresses are answered by us
  kForward,  // they go to a backend, as flows by their identifier
};
// Whether the mode can carry echoes: in `dnat` nothing in a backend's reply would say which service it is of.
[[nodiscard]] constexpr bool forwards_echo(ForwardMode mode) noexcept { return mode != ForwardMode::kDnat; }
// Whether its services may listen on every port or on a prefix: where replies lead to their flow by more than a listener.
[[nodiscard]] constexpr bool has_destinations(ForwardMode mode) noexcept { return mode != ForwardMode::kDnat; }

inline constexpr std::uint16_t kMssAuto = 1;

// What becomes of the flows of a backend that goes down. UDP flows, and connections that it has not answered, move in any case.
enum class OnDown : std::uint8_t {
  kKeep,    // they stay, in case it is only its checks that fail
  kReset,   // TCP, SCTP: both ends are sent a reset, so that the client connects anew at once; others move
  kRehash,  // the next packet of each goes to another backend (nat: is answered with a reset)
};

struct ForwardService {  // layer 4
  ForwardMode mode = ForwardMode::kNat;
  std::string pool;  // backends are of the family of every `listen`, but in a tunnel; of kNat of one, whichever
  std::vector<net::IpAddress> source;  // NAT source addresses; for a family that has none here: the egress interface's
  FlowTimeouts timeouts;
  OnDown on_down = OnDown::kKeep;
  // A client's flows go to one backend until it has opened none for so long; not for dnat.
  std::optional<Duration> persist;
  bool one_packet = false;  // each packet is balanced by itself, and no flow kept; UDP, modes without replies
  std::uint16_t mss = 0;    // of SYNs, at most; kMssAuto: as the MTUs on the way allow | 0: as it comes
  Outer outer;              // modes with a tunnel
  Gue gue;
  Vxlan vxlan;
  EchoTo icmp = EchoTo::kAnswer;
  bool operator==(const ForwardService&) const = default;
};

}  // namespace sluice::config
