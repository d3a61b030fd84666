// What a connection needs while something of its own is on the way: the scoreboard, the congestion window, the state of
// loss recovery. It lies beside the connection block, in an array of its own, and is not touched while a connection only
// receives.
// Threading: belongs to its connection.
// Ownership: the stack's array; set anew when a connection is established. The scoreboard's memory goes back when the
//            connection leaves the network.
// Units:     bytes.
// Spec:      RFC 6675, RFC 6582 (NewReno, for peers without SACK). Functions in recovery.cc.
#pragma once

#include <cstdint>

#include "congestion.h"
#include "scoreboard.h"
#include "seq.h"

namespace sluice::tcp {

enum class Phase : std::uint8_t {
  kOpen,      // nothing is known to be lost
  kRecovery,  // fast recovery: what was lost is sent again, and the window comes down
  kLoss,      // after a timeout, until all that was out then is acknowledged
};

struct alignas(64) Sending {
  Scoreboard board;
  Congestion congestion;
  RateReduction reduction;
  Seq recover = 0;  // snd_max when recovery or a timeout began: what is acknowledged beyond ends it
  // Without SACK: segments that duplicate acknowledgments say have left the network.
  std::uint32_t duplicates = 0;
  SegmentPos judged = 0;  // segments before it were judged by the SACKs above them
  Phase phase = Phase::kOpen;

  // RFC 6675 section 4, SetPipe: the one place that says how much is on its way.
  [[nodiscard]] std::uint32_t pipe(std::uint32_t mss) const noexcept {
    const std::uint64_t left = std::uint64_t{duplicates} * mss;
    return board.pipe() > left ? board.pipe() - static_cast<std::uint32_t>(left) : 0;
  }
};

static_assert(sizeof(Sending) <= 192);

}  // namespace sluice::tcp
