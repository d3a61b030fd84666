// What becomes of the flows of a backend that goes down, as their service's `on_down` says. They lie anywhere in the
// table: it is walked once, so many places a turn, so that a backend with a million flows neither stops the worker nor makes
// it send a million resets at once.
#include "forward.h"

namespace sluice::dataplane {

namespace {

constexpr std::size_t kPlacesPerTurn = 1024;
constexpr std::size_t kFlowsPerTurn = 32;

}  // namespace

void Forward::note_backends(const lb::Snapshot& snapshot) noexcept {
  for (std::size_t i = 0; i < snapshot.backends.size(); ++i) {
    const lb::Backend& backend = snapshot.backends[i];
    if (!backend.present) continue;  // of what the configuration took away, flows end by themselves
    if (serving_[i] && !backend.serves()) abandoned_left_ = flows_.places();
    serving_[i] = backend.serves();
  }
}

bool Forward::abandon_flows(const lb::Snapshot& snapshot, Ms now) noexcept {
  if (snapshot.generation != generation_) adopt(snapshot);
  if (abandoned_left_ == 0) [[likely]]
    return false;
  std::size_t ended = 0;
  for (std::size_t i = 0; i < kPlacesPerTurn && ended < kFlowsPerTurn && abandoned_left_ != 0; ++i) {
    lb::Flow* flow = flows_.at(abandoned_next_);
    if (++abandoned_next_ >= flows_.places()) abandoned_next_ = 0;
    --abandoned_left_;
    if (flow == nullptr) continue;
    const lb::Service& service = snapshot.services[flow->service];
    const lb::Backend* backend = snapshot.find_backend(flow->backend);
    if (!service.present || service.on_down == config::OnDown::kKeep) continue;
    if (backend == nullptr || !backend->present || backend->serves()) continue;
    if (service.on_down == config::OnDown::kReset && reset_open(snapshot, *flow)) {
      counters_.flows_reset_on_down.add();
    } else {
      counters_.flows_moved_on_down.add();
    }
    flows_.remove(*flow, now);
    ++ended;
  }
  return true;
}

}  // namespace sluice::dataplane
