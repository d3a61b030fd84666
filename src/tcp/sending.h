// What a connection needs while something of its own is on the way: the scoreboard, the congestion window, the state of
// loss recovery. It lies beside the connection block, in an array of its own, and is not touched while a connection only
// receives.
// Threading: belongs to its connection.
// Ownership: the stack's array; set anew when a connection is established. The scoreboard's memory goes back when the
//            connection leaves the network.
// Units:     bytes.
// Spec:      RFC 6675, RFC 6582 (NewReno, for peers without SACK), RFC 8985 (RACK-TLP), RFC 3522 and 4015 (Eifel),
//            RFC 5682 (F-RTO). Functions in recovery.cc, loss_detection.cc and undo.cc.
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
  kMarked,    // a mark of congestion was reported: the window comes down, and nothing is lost
  kTooBig,    // segments that were too big for the path are sent again: nothing of it says that the network is full
};

// RFC 8985 section 5.2 and 6.2.
struct Rack {
  std::uint32_t sent_us = 0;  // RACK.xmit_ts: of what was delivered, when the last of it was sent
  Seq end = 0;                // RACK.end_seq: and where that ends
  std::uint32_t rtt_us = 0;   // RACK.rtt; 0: nothing was delivered yet
  Seq highest = 0;            // RACK.fack
  Seq dsack_round = 0;        // while in_dsack_round: where the round ends in which a DSACK came
  std::uint8_t window_mult = 1;
  std::uint8_t window_persist = 0;  // recoveries until window_mult is 1 again
  bool in_dsack_round = false;
  bool reordering_seen = false;
};

// RFC 8985 section 7: a tail loss probe.
struct TailProbe {
  Seq end = 0;              // TLP.end_seq: snd_max when it was sent
  bool out = false;         // what became of it is not known yet
  bool sent_again = false;  // TLP.is_retrans: it was the last segment, not a new one
};

// What is needed to take a recovery back.
struct Undo {
  WindowBefore before;
  Seq marker = 0;                // snd_una when it began
  std::uint32_t sent_again = 0;  // segments sent again since that no DSACK has reported
  std::uint32_t stamp = 0;       // RFC 3522 section 3.2: the timestamp of the first of them
  bool armed = false;
  bool stamped = false;
};

// RFC 5682: whether a timeout was spurious.
enum class FRto : std::uint8_t {
  kNone,    // it was not, or there is none
  kFirst,   // the first segment was sent again, and nothing was heard since
  kSecond,  // that was acknowledged and new data was sent; what comes now decides
};

struct alignas(32) Sending {
  Scoreboard board;
  Congestion congestion;
  RateReduction reduction;
  Seq recover = 0;  // snd_max when recovery or a timeout began: what is acknowledged beyond ends it
  // Without SACK: segments that duplicate acknowledgments say have left the network.
  std::uint32_t duplicates = 0;
  Rack rack;
  Undo undo;
  TailProbe probe;
  Ticks undone_at = 0;  // when a recovery was undone last
  Phase phase = Phase::kOpen;
  FRto frto = FRto::kNone;

  [[nodiscard]] bool is_reducing() const noexcept { return phase == Phase::kRecovery || phase == Phase::kMarked; }
  [[nodiscard]] bool is_repairing() const noexcept { return phase == Phase::kRecovery || phase == Phase::kLoss; }
  // RFC 6675 section 4, SetPipe: the one place that says how much is on its way.
  [[nodiscard]] std::uint32_t pipe(std::uint32_t mss) const noexcept {
    const std::uint64_t left = std::uint64_t{duplicates} * mss;
    return board.pipe() > left ? board.pipe() - static_cast<std::uint32_t>(left) : 0;
  }
};

static_assert(sizeof(Sending) <= 224);

}  // namespace sluice::tcp
