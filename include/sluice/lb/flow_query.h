// A question about the flows of a live table, answered by the worker that owns the table, in slices of its turns: the
// worker is never stopped, and nobody else reads its table.
// Threading: control fills in `filter` and posts; then the query belongs to the worker until done() is true; then to control again.
//            One query at a time per mailbox.
// Ownership: control owns it, and keeps it alive until done() or until the worker's loop has ended.
// Limits:    rows are kept up to the capacity reserved at construction; more matches only set more().
#pragma once

#include <atomic>
#include <cstddef>
#include <optional>
#include <vector>

#include "sluice/lb/flow_table.h"

namespace sluice::lb {

struct FlowFilter {  // what is not set matches all
  std::optional<ServiceIndex> service;
  std::optional<BackendIndex> backend;
  std::optional<net::IpAddress> client;

  [[nodiscard]] bool matches(const Flow& flow) const noexcept {
    return (!service || flow.service == *service) && (!backend || flow.backend.index == *backend) &&
           (!client || flow.key.client == *client);
  }
};

class FlowQuery {
 public:
  struct Row {
    Flow flow;
    std::uint32_t idle_ms = 0;
  };

  FlowQuery(const FlowFilter& filter, std::size_t limit) : filter_(filter) { rows_.reserve(limit); }

  // Worker: looks at the next `budget` places of the table. True: that was the last of them; finish() gives the query back.
  bool step(const FlowTable& table, std::size_t budget, Ms now) noexcept {
    next_place_ = table.scan(next_place_, budget, [&](const Flow& flow) {
      if (!filter_.matches(flow)) return;
      if (rows_.size() == rows_.capacity()) {
        more_ = true;
      } else {
        rows_.push_back({flow, elapsed(now, flow.last_seen)});  // within what was reserved: allocates nothing
      }
    });
    return more_ || next_place_ >= table.places();
  }
  void finish() noexcept { done_.store(true, std::memory_order_release); }

  // Control.
  [[nodiscard]] bool done() const noexcept { return done_.load(std::memory_order_acquire); }
  [[nodiscard]] const std::vector<Row>& rows() const noexcept { return rows_; }  // after done()
  [[nodiscard]] bool more() const noexcept { return more_; }                     // after done(): the limit cut it short

 private:
  FlowFilter filter_;
  std::vector<Row> rows_;
  std::size_t next_place_ = 0;
  bool more_ = false;
  std::atomic<bool> done_{false};  // worker: w, control: r
};

// Where a worker finds its query: one load a turn while there is none.
class FlowQueryMailbox {
 public:
  // Control. False: an earlier query is still there.
  [[nodiscard]] bool post(FlowQuery& query) noexcept {
    FlowQuery* expected = nullptr;
    return query_.compare_exchange_strong(expected, &query, std::memory_order_release, std::memory_order_relaxed);
  }

  // Worker, once a turn. True: it looked; the next turn is to come soon.
  bool serve(const FlowTable& table, std::size_t budget, Ms now) noexcept {
    FlowQuery* query = query_.load(std::memory_order_acquire);
    if (query == nullptr) [[likely]]
      return false;
    if (!query->step(table, budget, now)) return true;
    query_.store(nullptr, std::memory_order_release);  // before finish(): then control may post the next one
    query->finish();
    return true;
  }

 private:
  std::atomic<FlowQuery*> query_{nullptr};  // control: w, worker: r and clears
};

}  // namespace sluice::lb
