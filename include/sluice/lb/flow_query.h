// A question about the flows of a live table, answered by the worker that owns the table, in slices of its turns: the
// worker is never stopped, and nobody else reads its table.
// Threading: control fills in `filter` and posts; then the query belongs to the worker until done() is true; then to control again.
//            One query at a time per mailbox.
// Ownership: control owns it, and keeps it alive until done() or until the worker's loop has ended.
// Limits:    rows are kept up to the capacity reserved at construction; more matches only set more(). Flows that come or go
//            meanwhile may be missed; one that stays is met exactly once.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
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

enum class FlowAction : std::uint8_t {
  kList,   // rows, up to a limit
  kCount,  // how many of each service and backend; no limit
  kEnd,    // each flow ends as the worker ends flows; no limit
};

class FlowQuery {
 public:
  static constexpr std::size_t kEndsPerStep = 32;  // a million flows do not end in one turn

  struct Row {
    Flow flow;
    std::uint32_t idle_ms = 0;
    std::optional<Destination> destination;  // of a service on all ports or on a prefix
  };

  FlowQuery(const FlowFilter& filter, std::size_t limit) : filter_(filter) { rows_.reserve(limit); }
  FlowQuery(const FlowFilter& filter, FlowAction action) : filter_(filter), action_(action) {
    if (action != FlowAction::kCount) return;
    services_.resize(kMaxServices);
    backends_.resize(kMaxBackends);
  }

  // Worker: looks at the next `budget` places of the table. `end`: (Flow&) -> void, ends a flow. True: that was the last of
  // them; finish() gives the query back.
  template <typename End>
  bool step(FlowTable& table, std::size_t budget, Ms now, End&& end) noexcept {
    std::size_t ends = kEndsPerStep;
    for (; budget > 0 && ends > 0 && next_place_ < table.places(); --budget) {
      Flow* flow = table.at(next_place_++);
      if (flow == nullptr || !filter_.matches(*flow)) continue;
      if (action_ == FlowAction::kList && rows_.size() == rows_.capacity()) {
        more_ = true;
        return true;
      }
      matched_.store(matched_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      switch (action_) {
        case FlowAction::kList:
          rows_.push_back({*flow, elapsed(now, flow->last_seen),  // within what was reserved: allocates nothing
                           Destinations::is_number(flow->key.listener)
                               ? std::optional(table.destinations().get(flow->key.listener))
                               : std::nullopt});
          break;
        case FlowAction::kCount:
          if (flow->service < services_.size()) ++services_[flow->service];
          if (flow->backend.index < backends_.size()) ++backends_[flow->backend.index];
          break;
        case FlowAction::kEnd:
          end(*flow);
          --ends;
          break;
      }
    }
    return next_place_ >= table.places();
  }
  void finish() noexcept { done_.store(true, std::memory_order_release); }

  // Control.
  [[nodiscard]] bool done() const noexcept { return done_.load(std::memory_order_acquire); }
  [[nodiscard]] std::uint64_t matched() const noexcept { return matched_.load(std::memory_order_relaxed); }  // so far
  [[nodiscard]] const std::vector<Row>& rows() const noexcept { return rows_; }  // after done()
  [[nodiscard]] bool more() const noexcept { return more_; }                     // after done(): the limit cut it short
  // By ServiceIndex and BackendIndex, after done(); of other actions empty.
  [[nodiscard]] const std::vector<std::uint64_t>& services() const noexcept { return services_; }
  [[nodiscard]] const std::vector<std::uint64_t>& backends() const noexcept { return backends_; }

 private:
  FlowFilter filter_;
  FlowAction action_ = FlowAction::kList;
  std::vector<Row> rows_;
  std::vector<std::uint64_t> services_, backends_;
  std::size_t next_place_ = 0;
  bool more_ = false;
  std::atomic<std::uint64_t> matched_{0};  // worker: w, control: r
  std::atomic<bool> done_{false};          // worker: w, control: r
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
  template <typename End>
  bool serve(FlowTable& table, std::size_t budget, Ms now, End&& end) noexcept {
    FlowQuery* query = query_.load(std::memory_order_acquire);
    if (query == nullptr) [[likely]]
      return false;
    if (!query->step(table, budget, now, end)) return true;
    query_.store(nullptr, std::memory_order_release);  // before finish(): then control may post the next one
    query->finish();
    return true;
  }

 private:
  std::atomic<FlowQuery*> query_{nullptr};  // control: w, worker: r and clears
};

}  // namespace sluice::lb
