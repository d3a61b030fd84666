// How long a flow may be idle in each of its states, and how packets move a TCP flow from state to state.
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
  kSynReceived,    // SYN, ACK of the backend seen
  kEstablished,    // the client has acknowledged it
  kFinClient,      // the client has sent FIN first
  kFinBackend,     // the backend has sent FIN first
  kClosed,         // FIN both ways
  kResetByClient,  // RST seen; taken back if the same end sends something else (then the RST was forged)
  kResetByBackend,
};
[[nodiscard]] const char* text_of(FlowState state) noexcept;
// A TCP flow that has not ended.
[[nodiscard]] constexpr bool is_open(FlowState state) noexcept {
  return state >= FlowState::kSynSent && state < FlowState::kClosed;
}

enum class Direction : std::uint8_t { kToBackend, kToClient };

struct FlowLimits {
  std::uint32_t established_ms = 124 * 60 * 1000;
  std::uint32_t opening_ms = 60 * 1000;
  std::uint32_t closing_ms = 120 * 1000;
  std::uint32_t udp_ms = 120 * 1000;

  [[nodiscard]] static FlowLimits from(const config::FlowTimeouts& timeouts) noexcept;
  [[nodiscard]] std::uint32_t of(FlowState state) const noexcept;
};

// A reset flow is forgotten after so long, or after FlowLimits::closing_ms if that is shorter.
inline constexpr std::uint32_t kResetMs = 10 * 1000;

// Whether a segment with these flags may move an established flow to another state.
[[nodiscard]] constexpr bool changes_state(std::uint8_t tcp_flags) noexcept {
  return (tcp_flags & (net::kTcpFin | net::kTcpRst)) != 0;
}
[[nodiscard]] FlowState next_state(FlowState state, std::uint8_t tcp_flags, Direction direction) noexcept;

// A SYN of the client that begins a new connection on the tuple of one that has ended: remove the flow, then insert.
[[nodiscard]] bool starts_over(FlowState state, std::uint8_t tcp_flags) noexcept;

}  // namespace sluice::lb
