#include "sluice/base/task.h"

namespace sluice {

EventPort::~EventPort() { unlink(); }

void EventPort::post(Bits bits) noexcept {
  pending_ |= bits;
  if (pending_ != 0 && waiter_ && !queued_) ready_->push(*this);
}

void EventPort::forget() noexcept {
  unlink();
  waiter_ = {};
  pending_ = 0;
}

void EventPort::unlink() noexcept {
  if (!queued_) return;
  (previous_ != nullptr ? previous_->next_ : ready_->head_) = next_;
  (next_ != nullptr ? next_->previous_ : ready_->tail_) = previous_;
  previous_ = next_ = nullptr;
  queued_ = false;
  --ready_->size_;
}

void EventPort::resume() noexcept {
  if (waiter_ && pending_ != 0) std::exchange(waiter_, {}).resume();
  if (after_ != nullptr) after_(owner_);  // last: it may destroy this port
}

void ReadyList::push(EventPort& port) noexcept {
  port.previous_ = tail_;
  port.next_ = nullptr;
  (tail_ != nullptr ? tail_->next_ : head_) = &port;
  tail_ = &port;
  port.queued_ = true;
  ++size_;
}

std::size_t ReadyList::run() noexcept {
  const std::size_t budget = size_;
  std::size_t resumed = 0;
  while (resumed < budget && head_ != nullptr) {
    EventPort& port = *head_;
    port.unlink();
    port.resume();
    ++resumed;
  }
  return resumed;
}

}  // namespace sluice
