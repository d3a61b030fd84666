// Connections in TIME_WAIT: only what is needed to acknowledge a FIN that comes again and to judge a new SYN.
// Threading: one table per stack.
// Ownership: owns its records; a record pointer is valid until the next add(), remove() or expire().
// Limits:    when it is full the oldest record makes room for the new one.
// Spec:      RFC 9293 section 3.3.2 and 3.6.1, RFC 6191 (reuse), RFC 1337 (a RST does not end it).
#pragma once

#include <cstddef>
#include <cstdint>

#include "segment.h"
#include "seq.h"
#include "sluice/base/huge_pages.h"
#include "tuple_table.h"

namespace sluice::tcp {

struct alignas(64) TimeWaitRecord {  // one cache line
  FourTuple tuple;
  Seq snd_nxt;
  Seq rcv_nxt;
  std::uint32_t ts_recent;
  Ticks expires;
  std::uint32_t previous, next;  // all records in order of expiry
  std::uint16_t window;          // as it stood in the last header
  bool ts_on;
  std::uint8_t answered;  // the half second in which a bare segment was answered last, modulo 256
};
static_assert(sizeof(TimeWaitRecord) == 64);

class TimeWaitTable {
 public:
  static constexpr Ticks kDuration = 60'000;  // 2 MSL with an MSL of 30 s, as Linux has it

  TimeWaitTable(std::uint32_t capacity, const TupleHash& hash);

  [[nodiscard]] TimeWaitRecord* find(const FourTuple& tuple, std::uint32_t hash) noexcept;
  [[nodiscard]] const TimeWaitRecord* find(const FourTuple& tuple, std::uint32_t hash) const noexcept;
  // The links and the expiry are set here.
  void add(const TimeWaitRecord& record, Ticks now) noexcept;
  void remove(TimeWaitRecord& record) noexcept;
  void restart(TimeWaitRecord& record, Ticks now) noexcept;  // RFC 9293 section 3.10.7.4: a FIN came again
  void expire(Ticks now) noexcept;

  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  [[nodiscard]] bool is_full() const noexcept { return size_ == capacity_; }
  [[nodiscard]] const TimeWaitRecord* oldest() const noexcept {
    return records_[0].next == 0 ? nullptr : &records_[records_[0].next];
  }

 private:
  void link_last(std::uint32_t index) noexcept;
  void unlink(std::uint32_t index) noexcept;

  TupleHash hash_;
  TupleTable table_;
  HugeArray<TimeWaitRecord> records_;  // 0 is the head of the ring
  std::uint32_t capacity_;
  std::uint32_t size_ = 0;
  std::uint32_t fresh_ = 1;
  std::uint32_t free_list_ = 0;
};

}  // namespace sluice::tcp
