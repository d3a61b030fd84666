// How long a flow may be idle in each of its states, and how packets move a flow of TCP or SCTP from state to state. An
// association has a connection's states: its chunks are said in TCP's flags (net/sctp.h).
// Threading: pure functions and values.
// Units:     milliseconds.
// Spec:      RFC 5382 section 5 (TCP through a NAT), RFC 4787 section 4.3 (UDP), RFC 9293 section 3.3.2 (states).
#pragma once

#include <cstdint>

#include "sluice/config/config.h"
#include "sluice/net/wire.h"

namespace sluice::lb {

enum class FlowState : std::uint8_t {
  kUdp,
  kSynSent,        // SYN of the client seen
  kSynReceived,    // SYN, ACK of the backend seen (or any ACK of it, of a flow that we saw begin amid)
  kEstablished,    // the client has acknowledged it
  kDoubted,        // the same; a segment came that is far from the client's last ones: see FlowTable::doubt()
  kFinClient,      // the client has sent FIN first
  kFinBackend,     // the backend has sent FIN first
  kClosed,         // FIN both ways
  kResetByClient,  // RST seen; taken back if the same end sends something else (then the RST was forged)
  kResetByBackend,
};
[[nodiscard]] const char* text_of(FlowState state) noexcept;
// A flow of TCP or SCTP that has not ended.
[[nodiscard]] constexpr bool is_open(FlowState state) noexcept {
  return state >= FlowState::kSynSent && state < FlowState::kClosed;
}

enum class Direction : std::uint8_t { kToBackend, kToClient };

struct FlowLimits {
  std::uint32_t established_ms = 124 * 60 * 1000;
  std::uint32_t opening_ms = 60 * 1000;
  std::uint32_t closing_ms = 120 * 1000;
  std::uint32_t udp_ms = 120 * 1000;
  std::uint32_t sctp_ms = 124 * 60 * 1000;  // an association that is established

  [[nodiscard]] static FlowLimits from(const config::FlowTimeouts& timeouts) noexcept;
  // `one_way`: only the client's packets are seen, so that a FIN of the client is all that we see of the end; what the
  // backend still sends is acknowledged, and keeps the flow. `sctp`: the flow is an association.
  [[nodiscard]] std::uint32_t of(FlowState state, bool one_way = false, bool sctp = false) const noexcept;
};

// A reset flow is forgotten after so long, or after FlowLimits::closing_ms if that is shorter.
inline constexpr std::uint32_t kResetMs = 10 * 1000;

// The states in which nearly all packets find their flow: they stay until a segment that changes_state().
[[nodiscard]] constexpr bool is_steady(FlowState state) noexcept {
  return state == FlowState::kEstablished || state == FlowState::kUdp;
}
// Whether a segment with these flags may move an established flow to another state.
[[nodiscard]] constexpr bool changes_state(std::uint8_t tcp_flags) noexcept {
  return (tcp_flags & (net::kTcpFin | net::kTcpRst)) != 0;
}
// `one_way`: only the client's packets are seen. Its first ACK then says that the handshake is over, its second that the
// backend has something to acknowledge: one packet with a forged source gets a flow no further than "opening".
[[nodiscard]] FlowState next_state(FlowState state, std::uint8_t tcp_flags, Direction direction,
                                   bool one_way = false) noexcept;

// How far the next segment of a flow may be from its last: retransmissions; data in a large window whose packets were lost
// before they came here, or come later.
inline constexpr std::uint32_t kSequenceBehind = 1u << 16, kSequenceAhead = 1u << 22;

// Whether the sequence number of a segment is one that its sender may have: near `expected`, which is what the other end
// waits for as far as we saw. A forger who does not see the flow would have to try about a thousand (RFC 5961 section 3; the
// exact window is the ends' to judge).
[[nodiscard]] constexpr bool plausible_sequence(std::uint32_t sequence, std::uint32_t expected) noexcept {
  return sequence - expected + kSequenceBehind <= kSequenceBehind + kSequenceAhead;
}

// A SYN of the client that begins a new connection on the tuple of one that has ended: remove the flow, then insert.
[[nodiscard]] bool starts_over(FlowState state, std::uint8_t tcp_flags, bool one_way = false) noexcept;

}  // namespace sluice::lb
