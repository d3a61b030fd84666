#include "sluice/base/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace sluice {

namespace {

constexpr std::uint64_t nanoseconds(Instant at) noexcept {
  return static_cast<std::uint64_t>(at.time_since_epoch().count());
}

}  // namespace

void Timer::cancel() noexcept {
  armed_ = false;
  if (previous_ != nullptr) unlink();
}

void Timer::unlink() noexcept {
  previous_->next_ = next_;
  next_->previous_ = previous_;
  previous_ = next_ = nullptr;
}

TimerWheel::TimerWheel(Instant now) noexcept : tick_(nanoseconds(now) >> kShift) {
  for (Level& level : levels_) {
    for (Timer& slot : level.slots) slot.previous_ = slot.next_ = &slot;
  }
}

void TimerWheel::arm(Timer& timer, Instant deadline) noexcept {
  timer.deadline_ = deadline;
  timer.armed_ = true;
  const std::uint64_t tick = (nanoseconds(deadline) >> kShift) + 1;  // rounded up: never early
  if (timer.previous_ != nullptr) {
    if (timer.slot_tick_ <= tick) return;
    timer.unlink();
  }
  insert(timer, tick);
}

void TimerWheel::insert(Timer& timer, std::uint64_t tick) noexcept {
  tick = std::max(tick, tick_);
  constexpr std::uint64_t kReach = std::uint64_t{1} << (kSlotBits * kLevels - 1);  // half a turn of the top level
  tick = std::min(tick, tick_ + kReach);  // beyond it: looked at again when that time comes
  // The level is where tick and tick_ first differ, so that a slot of a level always lies in the future.
  const std::uint64_t difference = tick ^ tick_;
  const unsigned level =
      difference == 0 ? 0 : std::min((static_cast<unsigned>(std::bit_width(difference)) - 1) / kSlotBits, kLevels - 1);
  const std::uint64_t index = (tick >> (level * kSlotBits)) & (kSlots - 1);
  timer.slot_tick_ = tick;
  Timer& slot = levels_[level].slots[index];
  timer.previous_ = slot.previous_;
  timer.next_ = &slot;
  slot.previous_->next_ = &timer;
  slot.previous_ = &timer;
  levels_[level].occupied |= std::uint64_t{1} << index;
}

std::size_t TimerWheel::run_slot(Timer& slot, Instant now) noexcept {
  if (slot.next_ == &slot) return 0;
  Timer due;  // takes the slot's list over: what is armed meanwhile for this tick goes to the next one
  due.previous_ = slot.previous_;
  due.next_ = slot.next_;
  due.previous_->next_ = due.next_->previous_ = &due;
  slot.previous_ = slot.next_ = &slot;
  std::size_t fired = 0;
  while (due.next_ != &due) {
    Timer& timer = *due.next_;
    timer.unlink();
    if (timer.deadline_ > now) {  // it was moved to a later time
      insert(timer, (nanoseconds(timer.deadline_) >> kShift) + 1);
      continue;
    }
    timer.armed_ = false;
    ++fired;
    timer.fire_(timer.owner_);
  }
  due.unlink();
  return fired;
}

void TimerWheel::cascade(unsigned level) noexcept {
  const std::uint64_t index = (tick_ >> (level * kSlotBits)) & (kSlots - 1);
  if (index == 0 && level + 1 < kLevels) cascade(level + 1);
  Level& here = levels_[level];
  if ((here.occupied & (std::uint64_t{1} << index)) == 0) return;
  here.occupied &= ~(std::uint64_t{1} << index);
  Timer& slot = here.slots[index];
  Timer moving;
  if (slot.next_ == &slot) return;
  moving.previous_ = slot.previous_;
  moving.next_ = slot.next_;
  moving.previous_->next_ = moving.next_->previous_ = &moving;
  slot.previous_ = slot.next_ = &slot;
  while (moving.next_ != &moving) {
    Timer& timer = *moving.next_;
    timer.unlink();
    insert(timer, (nanoseconds(timer.deadline_) >> kShift) + 1);
  }
  moving.unlink();
}

std::size_t TimerWheel::advance(Instant now) noexcept {
  const std::uint64_t target = nanoseconds(now) >> kShift;
  std::size_t fired = 0;
  while (tick_ <= target) {
    const std::uint64_t index = tick_ & (kSlots - 1);
    Level& ground = levels_[0];
    const std::uint64_t ahead = ground.occupied >> index;
    if (ahead == 0) {  // nothing up to the end of this round
      const std::uint64_t next_round = (tick_ | (kSlots - 1)) + 1;
      tick_ = std::min(next_round, target + 1);
    } else {
      const std::uint64_t skip = static_cast<std::uint64_t>(std::countr_zero(ahead));
      if (skip != 0) {
        tick_ = std::min(tick_ + skip, target + 1);
        continue;
      }
      ground.occupied &= ~(std::uint64_t{1} << index);
      ++tick_;
      fired += run_slot(ground.slots[index], now);
    }
    if ((tick_ & (kSlots - 1)) == 0) cascade(1);
  }
  return fired;
}

std::optional<Instant> TimerWheel::next_deadline() const noexcept {
  for (unsigned level = 0; level < kLevels; ++level) {
    const std::uint64_t position = tick_ >> (level * kSlotBits);
    const std::uint64_t index = position & (kSlots - 1);
    // Only the top level wraps round: in the others a slot behind the current one belongs to the level above.
    const std::uint64_t occupied = levels_[level].occupied;
    std::uint64_t ahead = level + 1 < kLevels ? occupied >> index : std::rotr(occupied, static_cast<int>(index));
    while (ahead != 0) {
      const std::uint64_t skip = static_cast<std::uint64_t>(std::countr_zero(ahead));
      const Timer& slot = levels_[level].slots[(index + skip) & (kSlots - 1)];
      if (slot.next_ != &slot) {
        const std::uint64_t tick = std::max((position + skip) << (level * kSlotBits), tick_);
        return Instant(Duration(static_cast<std::int64_t>(tick << kShift)));
      }
      ahead &= ahead - 1;
    }
  }
  return std::nullopt;
}

}  // namespace sluice
