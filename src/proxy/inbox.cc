#include "sluice/proxy/inbox.h"

#include <utility>

namespace sluice::proxy {

void Inbox::post(Work work) {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  const bool first = mail_.empty();
  mail_.push_back(std::move(work));
  has_mail_.store(true, std::memory_order_relaxed);
  if (first && wake_) wake_();
}

std::size_t Inbox::drain() {
  if (!has_mail()) return 0;
  {
    const std::lock_guard lock(mutex_);
    std::swap(mail_, opened_);
    has_mail_.store(false, std::memory_order_relaxed);
  }
  const std::size_t count = opened_.size();
  for (Work& work : opened_) work();
  opened_.clear();
  return count;
}

void Inbox::close() {
  std::vector<Work> unread;  // destroyed after the lock is released
  const std::lock_guard lock(mutex_);
  closed_ = true;
  std::swap(mail_, unread);
  has_mail_.store(false, std::memory_order_relaxed);
}

}  // namespace sluice::proxy
