#include "sluice/cache/waiter.h"

namespace sluice::cache {

void Waiter::cancel() noexcept {
  if (guard_ == nullptr) return;
  const std::lock_guard lock(*guard_);
  if (list_ != nullptr) list_->unlink(*this);
}

void WaitList::forget() noexcept {
  while (take_first() != nullptr) {
  }
}

void WaitList::add(Waiter& waiter, std::mutex& guard) noexcept {
  waiter.guard_ = &guard;
  waiter.list_ = this;
  waiter.wake_ = {};
  waiter.previous_ = nullptr;
  waiter.next_ = first_;
  if (first_ != nullptr) first_->previous_ = &waiter;
  first_ = &waiter;
}

void WaitList::wake_all(const Wake& wake) noexcept {
  while (Waiter* waiter = take_first()) {
    waiter->wake_ = wake;
    waiter->wake();
  }
}

Waiter* WaitList::take_first() noexcept {
  Waiter* waiter = first_;
  if (waiter != nullptr) unlink(*waiter);
  return waiter;
}

void WaitList::unlink(Waiter& waiter) noexcept {
  (waiter.previous_ != nullptr ? waiter.previous_->next_ : first_) = waiter.next_;
  if (waiter.next_ != nullptr) waiter.next_->previous_ = waiter.previous_;
  waiter.next_ = waiter.previous_ = nullptr;
  waiter.list_ = nullptr;
}

}  // namespace sluice::cache
