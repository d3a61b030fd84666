#include "wakers.h"

#include "events.h"

namespace sluice::proxy {

void Wakers::deliver(std::uint64_t number) noexcept {
  if (const auto found = ports_.find(number); found != ports_.end()) found->second->post(events::kCache);
}

CacheWaiter::~CacheWaiter() {
  cancel();
  if (known_) wakers_.remove(number_);
}

void CacheWaiter::registered() {
  if (known_) return;
  wakers_.add(number_, port_);
  known_ = true;
}

void CacheWaiter::wake() noexcept {
  if (std::this_thread::get_id() == thread_) {
    port_.post(events::kCache);
    return;
  }
  wakers_.inbox().post([wakers = &wakers_, number = number_] { wakers->deliver(number); });
}

}  // namespace sluice::proxy
