#include "sluice/dataplane/poll_loop.h"

#include <algorithm>

#include <fmt/format.h>
#include <pthread.h>
#include <rte_pause.h>
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

#include "sluice/base/log.h"
#include "sluice/dataplane/tx.h"
#include "sluice/dpdk/eal.h"

namespace sluice::dataplane {
namespace {

void pin_this_thread(unsigned cpu) {
  ::pthread_setname_np(::pthread_self(), fmt::format("sluice-cpu{}", cpu).c_str());
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (::pthread_setaffinity_np(::pthread_self(), sizeof(set), &set) != 0) {
    log::warn("cpu {} is not ours to use: its poll loop runs where the kernel puts it", cpu);
  }
}

void sleep(Duration time) noexcept {
  const timespec wanted{.tv_sec = 0, .tv_nsec = time.count()};
  ::clock_nanosleep(CLOCK_MONOTONIC, 0, &wanted, nullptr);
}

}  // namespace

Instant monotonic_now() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return Instant(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
}

bool PollLoop::turn(Instant now) noexcept {
  bool worked = false;
  for (Role* role : roles_) worked |= role->poll(now);
  worked |= tx_.flush();
  counters_.turns.add();
  if (worked) counters_.busy_turns.add();
  return worked;
}

std::optional<Instant> PollLoop::next_deadline() const noexcept {
  std::optional<Instant> earliest;
  for (const Role* role : roles_) {
    const std::optional<Instant> deadline = role->next_deadline();
    if (deadline && (!earliest || *deadline < *earliest)) earliest = deadline;
  }
  return earliest;
}

Duration PollLoop::sleep_for(Instant now, Duration last) const noexcept {
  const Duration time = std::clamp(last * 2, kMinSleep, kMaxSleep);
  const std::optional<Instant> deadline = next_deadline();
  return deadline ? std::min(time, *deadline - now) : time;
}

void PollLoop::run() {
  pin_this_thread(cpu_);
  if (mode_ == config::PollMode::kAdaptive)
    ::prctl(PR_SET_TIMERSLACK, 1000);  // nanoseconds; the default of 50,000 would rule
  const dpdk::ThreadRegistration thread;
  qsbr_.add(thread.lcore());
  qsbr_.online(thread.lcore());
  unsigned idle = 0;
  Duration slept{};
  while (!stop_.load(std::memory_order_acquire)) {
    const Instant now = monotonic_now();
    if (turn(now)) {
      idle = 0;
      slept = {};
      qsbr_.quiescent(thread.lcore());
      continue;
    }
    qsbr_.quiescent(thread.lcore());
    rte_pause();
    if (mode_ == config::PollMode::kBusy || ++idle < kIdleTurns) continue;
    const Duration time = sleep_for(now, slept);
    if (time <= Duration::zero()) continue;
    qsbr_.offline(thread.lcore());
    sleep(time);
    qsbr_.online(thread.lcore());
    counters_.sleeps.add();
    slept = time;
  }
  qsbr_.offline(thread.lcore());
  qsbr_.remove(thread.lcore());
}

}  // namespace sluice::dataplane
