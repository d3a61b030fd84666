#include "time_wait.h"

namespace sluice::tcp {

TimeWaitTable::TimeWaitTable(std::uint32_t capacity, const TupleHash& hash)
    : hash_(hash), table_(capacity + 1u), records_(capacity + 1u), capacity_(capacity) {}

TimeWaitRecord* TimeWaitTable::find(const FourTuple& tuple, std::uint32_t hash) noexcept {
  const std::uint32_t index = table_.find(hash, [&](std::uint32_t at) { return records_[at].tuple == tuple; });
  return index == 0 ? nullptr : &records_[index];
}

const TimeWaitRecord* TimeWaitTable::find(const FourTuple& tuple, std::uint32_t hash) const noexcept {
  const std::uint32_t index = table_.find(hash, [&](std::uint32_t at) { return records_[at].tuple == tuple; });
  return index == 0 ? nullptr : &records_[index];
}

void TimeWaitTable::link_last(std::uint32_t index) noexcept {
  TimeWaitRecord& record = records_[index];
  record.previous = records_[0].previous;
  record.next = 0;
  records_[record.previous].next = index;
  records_[0].previous = index;
}

void TimeWaitTable::unlink(std::uint32_t index) noexcept {
  const TimeWaitRecord& record = records_[index];
  records_[record.previous].next = record.next;
  records_[record.next].previous = record.previous;
}

void TimeWaitTable::add(const TimeWaitRecord& record, Ticks now) noexcept {
  if (capacity_ == 0) return;
  if (size_ == capacity_) remove(records_[records_[0].next]);
  std::uint32_t index = free_list_;
  if (index != 0) {
    free_list_ = records_[index].next;
  } else {
    index = fresh_++;
  }
  records_[index] = record;
  records_[index].expires = now + kDuration;
  link_last(index);
  table_.insert(hash_(record.tuple), index);
  ++size_;
}

void TimeWaitTable::remove(TimeWaitRecord& record) noexcept {
  const auto index = static_cast<std::uint32_t>(&record - records_.data());
  table_.erase(hash_(record.tuple), index);
  unlink(index);
  record.next = free_list_;
  free_list_ = index;
  --size_;
}

void TimeWaitTable::restart(TimeWaitRecord& record, Ticks now) noexcept {
  const auto index = static_cast<std::uint32_t>(&record - records_.data());
  unlink(index);
  record.expires = now + kDuration;
  link_last(index);
}

void TimeWaitTable::expire(Ticks now) noexcept {
  while (records_[0].next != 0 && reached(now, records_[records_[0].next].expires)) remove(records_[records_[0].next]);
}

}  // namespace sluice::tcp
