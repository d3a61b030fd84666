// Many timers of one thread that are armed often and rarely fire: connection and request timeouts.
// Threading: a wheel and its timers belong to one thread.
// Ownership: a Timer is a member of its owner and leaves the wheel when it is destroyed.
// Cost:      arm() and cancel() are O(1). Moving an armed timer to a later time is one store: the wheel finds out when
//            it gets there.
// Units:     ticks of 2^20 ns (1.05 ms); a timer never fires early, and at most about a tick late.
// Spec:      hierarchical timing wheels: Varghese and Lauck, SOSP 1987, scheme 7.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "sluice/base/time.h"

namespace sluice {

class TimerWheel;

class Timer {
 public:
  using Fire = void (*)(void* owner) noexcept;  // may arm, cancel or destroy any timer, this one too

  Timer() noexcept = default;
  Timer(Fire fire, void* owner) noexcept : fire_(fire), owner_(owner) {}
  ~Timer() { cancel(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void cancel() noexcept;
  [[nodiscard]] bool armed() const noexcept { return armed_; }
  [[nodiscard]] Instant deadline() const noexcept { return deadline_; }  // while armed()

 private:
  friend class TimerWheel;
  void unlink() noexcept;

  Timer* previous_ = nullptr;  // nullptr: in no slot
  Timer* next_ = nullptr;
  std::uint64_t slot_tick_ = 0;  // when its slot comes up; may be before the deadline
  Instant deadline_{};
  bool armed_ = false;
  Fire fire_ = nullptr;
  void* owner_ = nullptr;
};

class TimerWheel {
 public:
  explicit TimerWheel(Instant now) noexcept;
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  void arm(Timer& timer, Instant deadline) noexcept;
  // Fires what is due. Returns how many.
  std::size_t advance(Instant now) noexcept;
  // When advance() has something to do at the earliest (it may turn out to be nothing yet); nothing: no timer.
  [[nodiscard]] std::optional<Instant> next_deadline() const noexcept;

 private:
  static constexpr unsigned kShift = 20;
  static constexpr unsigned kLevels = 5;
  static constexpr unsigned kSlotBits = 6;
  static constexpr std::uint64_t kSlots = 1u << kSlotBits;

  struct Level {
    std::uint64_t occupied = 0;  // a hint: the slot of a set bit may have become empty
    std::array<Timer, kSlots> slots;
  };
  void insert(Timer& timer, std::uint64_t tick) noexcept;
  std::size_t run_slot(Timer& slot, Instant now) noexcept;
  void cascade(unsigned level) noexcept;

  std::uint64_t tick_;  // all ticks before this one have been run
  std::array<Level, kLevels> levels_;
};

}  // namespace sluice
