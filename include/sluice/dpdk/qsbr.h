// Quiescent-state reclamation: a thing that was published by an atomic pointer is freed once every poll loop has passed
// a point at which it held nothing.
// Threading: add/online/quiescent/offline by each poll loop for itself; start/passed/wait by the control thread.
// Ownership: outlives the loops.
#pragma once

#include <cstdint>
#include <memory>

#include <rte_rcu_qsbr.h>

#include "sluice/base/result.h"

namespace sluice::dpdk {

class Qsbr {
 public:
  static constexpr unsigned kMaxThreads = 128;

  [[nodiscard]] static Result<Qsbr> create();

  // Readers. `thread` is an lcore id (ThreadRegistration). Between online() and offline() a reader may hold what it
  // loaded since its last quiescent(); a reader that is offline delays nobody.
  void add(unsigned thread) noexcept { rte_rcu_qsbr_thread_register(state_.get(), thread); }
  void remove(unsigned thread) noexcept { rte_rcu_qsbr_thread_unregister(state_.get(), thread); }
  void online(unsigned thread) noexcept { rte_rcu_qsbr_thread_online(state_.get(), thread); }
  void offline(unsigned thread) noexcept { rte_rcu_qsbr_thread_offline(state_.get(), thread); }
  void quiescent(unsigned thread) noexcept { rte_rcu_qsbr_quiescent(state_.get(), thread); }

  // The writer, after it took the old thing out of sight: passed(start()) is true once it may be freed.
  [[nodiscard]] std::uint64_t start() noexcept { return rte_rcu_qsbr_start(state_.get()); }
  [[nodiscard]] bool passed(std::uint64_t token) noexcept {
    return rte_rcu_qsbr_check(state_.get(), token, false) == 1;
  }

 private:
  struct Free {
    void operator()(rte_rcu_qsbr* state) const noexcept;
  };
  explicit Qsbr(rte_rcu_qsbr* state) noexcept : state_(state) {}
  std::unique_ptr<rte_rcu_qsbr, Free> state_;
};

}  // namespace sluice::dpdk
