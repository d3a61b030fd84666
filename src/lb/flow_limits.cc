#include "sluice/lb/flow_limits.h"

#include <algorithm>
#include <limits>

#include "sluice/net/wire.h"

namespace sluice::lb {
namespace {

std::uint32_t to_limit(Duration duration) noexcept {
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(duration).count();
  // Elapsed time is a 32-bit difference, so a limit stays well below its range.
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(ms, 1, std::numeric_limits<std::int32_t>::max()));
}

bool is_reset(FlowState state) noexcept {
  return state == FlowState::kResetByClient || state == FlowState::kResetByBackend;
}

}  // namespace

FlowLimits FlowLimits::from(const config::FlowTimeouts& timeouts) noexcept {
  return {.established_ms = to_limit(timeouts.established),
          .opening_ms = to_limit(timeouts.opening),
          .closing_ms = to_limit(timeouts.closing),
          .udp_ms = to_limit(timeouts.udp),
          .sctp_ms = to_limit(timeouts.sctp)};
}

std::uint32_t FlowLimits::of(FlowState state, bool one_way, bool sctp) const noexcept {
  switch (state) {
    case FlowState::kUdp:
      return udp_ms;
    case FlowState::kSynSent:
    case FlowState::kSynReceived:
      return opening_ms;
    case FlowState::kFinClient:  // half closed: the other direction may flow for long (RFC 5382 section 5)
      if (one_way) return closing_ms;
      [[fallthrough]];
    case FlowState::kEstablished:
    case FlowState::kDoubted:
    case FlowState::kFinBackend:
      return sctp ? sctp_ms : established_ms;
    case FlowState::kClosed:
      return closing_ms;
    case FlowState::kResetByClient:
    case FlowState::kResetByBackend:
      return std::min(closing_ms, kResetMs);
  }
  return opening_ms;
}

FlowState next_state(FlowState state, std::uint8_t tcp_flags, Direction direction, bool one_way) noexcept {
  if (state == FlowState::kUdp || state == FlowState::kClosed) return state;
  const bool to_backend = direction == Direction::kToBackend;
  if ((tcp_flags & net::kTcpRst) != 0) {
    if (is_reset(state)) return state;
    return to_backend ? FlowState::kResetByClient : FlowState::kResetByBackend;
  }
  if (is_reset(state)) {
    // Whoever has sent a reset sends nothing else: this end lives, so the reset was forged (RFC 5961 section 3).
    const bool same_end = to_backend == (state == FlowState::kResetByClient);
    return same_end && (tcp_flags & net::kTcpSyn) == 0 ? FlowState::kEstablished : state;
  }
  const bool ack = (tcp_flags & net::kTcpAck) != 0;
  const bool syn = (tcp_flags & net::kTcpSyn) != 0;
  if (state == FlowState::kSynSent) {
    if (one_way) return ack ? FlowState::kSynReceived : state;
    return !to_backend && ack ? FlowState::kSynReceived : state;
  }
  if (state == FlowState::kSynReceived && to_backend && ack && !syn) state = FlowState::kEstablished;
  if ((tcp_flags & net::kTcpFin) == 0) return state;
  switch (state) {
    case FlowState::kSynReceived:
    case FlowState::kEstablished:
    case FlowState::kDoubted:
      return to_backend ? FlowState::kFinClient : FlowState::kFinBackend;
    case FlowState::kFinClient:
      return to_backend ? state : FlowState::kClosed;
    case FlowState::kFinBackend:
      return to_backend ? FlowState::kClosed : state;
    default:
      return state;
  }
}

bool starts_over(FlowState state, std::uint8_t tcp_flags, bool one_way) noexcept {
  const bool opens = (tcp_flags & (net::kTcpSyn | net::kTcpAck | net::kTcpRst)) == net::kTcpSyn;
  return opens && (state == FlowState::kClosed || is_reset(state) || (one_way && state == FlowState::kFinClient));
}

const char* text_of(FlowState state) noexcept {
  switch (state) {
    case FlowState::kUdp:
      return "udp";
    case FlowState::kSynSent:
      return "syn-sent";
    case FlowState::kSynReceived:
      return "syn-received";
    case FlowState::kEstablished:
    case FlowState::kDoubted:
      return "established";
    case FlowState::kFinClient:
      return "fin-client";
    case FlowState::kFinBackend:
      return "fin-backend";
    case FlowState::kClosed:
      return "closed";
    case FlowState::kResetByClient:
      return "reset-by-client";
    case FlowState::kResetByBackend:
      return "reset-by-backend";
  }
  return "unknown";
}

}  // namespace sluice::lb
