// The loop of one CPU: runs poll() of every role placed there, in turn, and tells RCU after each turn.
// Threading: run() on the CPU's own thread; request_stop() from any.
// Ownership: borrows roles, Tx and Qsbr; all outlive it.
// Sleep:     PollMode::kAdaptive sleeps once all roles were idle for kIdleTurns turns, longer and longer up to
//            kMaxSleep, never past a role's deadline; offline for RCU meanwhile, online before anything is loaded.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "sluice/base/own_lines.h"
#include "sluice/base/time.h"
#include "sluice/config/config.h"
#include "sluice/dataplane/role.h"
#include "sluice/dpdk/qsbr.h"
#include "sluice/telemetry/counters.h"

namespace sluice::dataplane {

class Tx;

struct LoopCounters {  // written by the loop, read by anybody
  telemetry::Counter turns, busy_turns, sleeps;
};

class alignas(kOwnLines) PollLoop {
 public:
  static constexpr unsigned kIdleTurns = 64;
  static constexpr Duration kMinSleep = std::chrono::microseconds(10);
  static constexpr Duration kMaxSleep = std::chrono::microseconds(200);

  PollLoop(unsigned cpu, config::PollMode mode, dpdk::Qsbr& qsbr, Tx& tx) noexcept
      : cpu_(cpu), mode_(mode), qsbr_(qsbr), tx_(tx) {}

  void add(Role& role) { roles_.push_back(&role); }

  // Pins the calling thread to the CPU, registers it with DPDK and RCU, and turns until request_stop().
  void run();
  void request_stop() noexcept { stop_.store(true, std::memory_order_release); }

  // One turn on a time that is handed in: for replay and tests. True: something was done.
  bool turn(Instant now) noexcept;

  // The earliest of its roles.
  [[nodiscard]] std::optional<Instant> next_deadline() const noexcept;

  [[nodiscard]] unsigned cpu() const noexcept { return cpu_; }
  [[nodiscard]] const LoopCounters& counters() const noexcept { return counters_; }

 private:
  [[nodiscard]] Duration sleep_for(Instant now, Duration last) const noexcept;

  unsigned cpu_;
  config::PollMode mode_;
  dpdk::Qsbr& qsbr_;
  Tx& tx_;
  std::vector<Role*> roles_;
  alignas(64) LoopCounters counters_;  // apart from what control writes, and others read
  alignas(64) std::atomic<bool> stop_{false};
};

// The clock of the loops: CLOCK_MONOTONIC.
[[nodiscard]] Instant monotonic_now() noexcept;

}  // namespace sluice::dataplane
