// Congestion control: how much may be on its way. One interface, two algorithms (Reno and CUBIC) that differ in how far
// a loss takes the window back and how it grows again; slow start with HyStart++ and rate reduction are common to both.
// Only arithmetic: no segment is sent here, and what is lost is for recovery.cc to say.
// Threading: pure functions on one connection's state.
// Units:     bytes; CUBIC reckons in segments and seconds, like its RFC.
// Spec:      RFC 5681 (Reno), RFC 9438 (CUBIC), RFC 9406 (HyStart++), RFC 6937 (PRR), RFC 6928 (initial window),
//            RFC 3465 (byte counting), RFC 8511 (ABE), RFC 7661 section 1 (a window that is not used does not grow).
#pragma once

#include <cstdint>

#include "seq.h"
#include "sluice/tcp/stack.h"

namespace sluice::tcp {

inline constexpr std::uint32_t kNoThreshold = 0x7fffffff;
inline constexpr std::uint32_t kMaxCongestionWindow = 1u << 30;

// RFC 9438 section 4.1.1. Segments. Begins as zeros: as a member of a union it has no initializers.
struct Cubic {
  float w_max;
  float cwnd_prior;
  float w_est;  // what Reno would have (section 4.3)
  float k;      // seconds until the curve is at w_max again
  Ticks epoch;  // when it began
};

// RFC 9406 section 4.2. Microseconds.
struct HyStart {
  static constexpr std::uint32_t kNone = 0xffffffff;
  Seq round_end = 0;
  std::uint32_t last_round_min = kNone;
  std::uint32_t round_min = kNone;
  std::uint32_t css_baseline = kNone;  // kNone: not in conservative slow start
  std::uint8_t samples = 0;
  std::uint8_t css_rounds = 0;
};

struct Congestion {
  std::uint32_t window = 0;                // cwnd
  std::uint32_t threshold = kNoThreshold;  // ssthresh; kNoThreshold: the first slow start, and `start` is in use
  float credit = 0;                        // bytes: what is not yet a whole byte or segment of growth
  CongestionControl algorithm = CongestionControl::kCubic;
  bool in_epoch = false;  // CUBIC's curve has begun
  union {
    HyStart start{};
    Cubic cubic;
  };
};

// What the window was before a loss that may turn out to be none.
struct WindowBefore {
  std::uint32_t window = 0;
  std::uint32_t threshold = 0;
  float w_max = 0;
  float cwnd_prior = 0;
};

// Proportional rate reduction: what RFC 6937 section 3 counts while in recovery.
struct RateReduction {
  std::uint32_t delivered = 0;        // prr_delivered
  std::uint32_t out = 0;              // prr_out
  std::uint32_t flight_at_entry = 0;  // RecoverFS
};

// An acknowledgment outside recovery.
struct AckSample {
  std::uint32_t acked;   // new bytes
  std::uint32_t flight;  // was out before it
  std::uint32_t mss;
  Seq una;  // after it
  Seq max;
  std::uint32_t rtt_us;  // 0: nothing to measure
  Ticks srtt;
  Ticks now;
};

void start_window(Congestion& c, CongestionControl algorithm, std::uint32_t window, Seq round_end) noexcept;
void grow_window(Congestion& c, const AckSample& ack) noexcept;
enum class CongestionSignal : std::uint8_t {
  kLoss,
  kMark,  // RFC 3168; routers mark while their queues are still short, so that the window need not come down as far (RFC 8511)
};
// The threshold comes down.
void take_congestion(Congestion& c, CongestionSignal signal, std::uint32_t flight, std::uint32_t mss) noexcept;
// RFC 5681 section 3.1: the window is one segment, and the threshold comes down once for all timeouts in a row.
void take_timeout(Congestion& c, std::uint32_t flight, std::uint32_t mss, bool first) noexcept;
[[nodiscard]] WindowBefore window_before(const Congestion& c) noexcept;
// There was no loss (RFC 4015 section 3, RFC 9438 section 4.9): the threshold is what the window was, and the window is
// there at once as far as that makes no burst of more than `burst` beyond what is on its way.
void undo_loss(Congestion& c, const WindowBefore& before, std::uint32_t pipe, std::uint32_t burst, Seq max) noexcept;
// RFC 5681 section 4.1: after an idle time the ACK clock is gone.
void restart_after_idle(Congestion& c, std::uint32_t initial_window) noexcept;

// take_congestion(), and the window comes down by reduce_rate().
void start_reduction(Congestion& c, RateReduction& r, CongestionSignal signal, std::uint32_t flight,
                     std::uint32_t mss) noexcept;
// RFC 6937 section 3, on each acknowledgment in recovery: the window comes down in proportion to what arrives, and when
// less than the threshold is on its way, it goes up to it in slow start while no more losses are found (`repairing`).
// `must_send`: the first retransmission goes whatever the window says.
void reduce_rate(Congestion& c, RateReduction& r, std::uint32_t delivered, std::uint32_t pipe, bool repairing,
                 bool must_send, std::uint32_t mss) noexcept;

}  // namespace sluice::tcp
