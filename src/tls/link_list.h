// An intrusive list: what is on it can leave in O(1) from anywhere, even while the list is walked by popping its front.
// Threading: one thread.
// Ownership: none; a Link leaves its list when it is destroyed.
#pragma once

namespace sluice::tls {

class Link {
 public:
  Link() noexcept = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() { unlink(); }

  [[nodiscard]] bool linked() const noexcept { return next_ != this; }
  void unlink() noexcept {
    prev_->next_ = next_;
    next_->prev_ = prev_;
    prev_ = next_ = this;
  }

 private:
  template <typename T>
  friend class LinkList;
  Link* prev_ = this;
  Link* next_ = this;
};

// T derives from Link.
template <typename T>
class LinkList {
 public:
  [[nodiscard]] bool empty() const noexcept { return !head_.linked(); }
  [[nodiscard]] T* front() noexcept { return empty() ? nullptr : static_cast<T*>(head_.next_); }
  [[nodiscard]] const T* front() const noexcept { return empty() ? nullptr : static_cast<const T*>(head_.next_); }
  // Leaves the list that it was on.
  void push_back(T& item) noexcept {
    Link& link = item;
    link.unlink();
    link.prev_ = head_.prev_;
    link.next_ = &head_;
    head_.prev_->next_ = &link;
    head_.prev_ = &link;
  }
  [[nodiscard]] T* pop_front() noexcept {
    T* first = front();
    if (first != nullptr) static_cast<Link*>(first)->unlink();
    return first;
  }
  // Takes all that `other` holds, behind what is here.
  void take(LinkList& other) noexcept {
    while (T* item = other.front()) push_back(*item);
  }

 private:
  Link head_;
};

}  // namespace sluice::tls
