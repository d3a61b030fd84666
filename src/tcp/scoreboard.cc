#include "scoreboard.h"

#include <cstring>

namespace sluice::tcp {

// --- where the records lie ---

bool Scoreboard::make_room(BlockPool& pool) noexcept {
  switch (store_) {
    case Store::kInline:
      return count_ == 0 || open_page(pool);
    case Store::kPage:
      return count_ < kPageSegments || open_directory(pool);
    case Store::kDirectory:
      break;
  }
  if (end() % kPageSegments != 0) return true;
  if (count_ >= kMaxSegments) return false;
  const BlockId page = pool.take();
  if (page == kNoBlock) return false;
  directory(pool)[end() / kPageSegments % kMaxPages] = page;
  return true;
}

bool Scoreboard::open_page(BlockPool& pool) noexcept {
  const BlockId page = pool.take();
  if (page == kNoBlock) return false;
  root_ = page;
  store_ = Store::kPage;
  at(pool, first_) = inline_;
  return true;
}

// The page has been a ring; now each of its two halves is in the page of its positions.
bool Scoreboard::open_directory(BlockPool& pool) noexcept {
  const BlockId root = pool.take();
  if (root == kNoBlock) return false;
  const BlockId second = pool.take();
  if (second == kNoBlock) {
    pool.give(root);
    return false;
  }
  std::memcpy(pool.data(second), pool.data(root_), kBlockSize);
  const BlockId page = root_;
  root_ = root;
  store_ = Store::kDirectory;
  directory(pool)[first_ / kPageSegments % kMaxPages] = page;
  directory(pool)[(first_ / kPageSegments + 1) % kMaxPages] = second;
  return true;
}

void Scoreboard::append(BlockPool& pool, Seq seq, std::uint32_t len, bool fin, TxCursor bytes,
                        std::uint32_t now_us) noexcept {
  const SegmentPos pos = end();
  ++count_;
  SentSegment& s = at(pool, pos);
  s = SentSegment{.seq = seq,
                  .block = bytes.block,
                  .offset = bytes.offset,
                  .len = static_cast<std::uint16_t>(len),
                  .sent_us = now_us,
                  .next = 0,
                  .previous = 0,
                  .fate = Fate::kInFlight,
                  .fin = fin,
                  .times_sent = 1};
  pipe_ += s.seq_len();
  link_last(pool, in_flight_, pos);
}

void Scoreboard::drop_first(BlockPool& pool) noexcept {
  leave_fate(pool, first_);
  const SegmentPos gone = first_++;
  if (--count_ == 0) return clear(pool);
  if (store_ == Store::kDirectory && first_ % kPageSegments == 0) {
    pool.give(directory(pool)[gone / kPageSegments % kMaxPages]);
  }
}

void Scoreboard::cut_first(BlockPool& pool, Seq una) noexcept {
  SentSegment& s = at(pool, first_);
  if (seq_le(una, s.seq)) return;
  const std::uint32_t cut = una - s.seq;
  const TxCursor rest = TxQueue::advance(pool, {s.block, s.offset}, cut, cut < s.len);
  s.seq = una;
  s.len = static_cast<std::uint16_t>(s.len - cut);
  s.block = rest.block;
  s.offset = rest.offset;
  sum_of(s.fate) -= cut;
}

void Scoreboard::clear(BlockPool& pool) noexcept {
  if (store_ == Store::kDirectory) {
    const SegmentPos last = (end() - 1) / kPageSegments % kMaxPages;
    SegmentPos page = count_ == 0 ? last : first_ / kPageSegments % kMaxPages;  // the last page stays to the end
    for (; page != last; page = (page + 1) % kMaxPages) pool.give(directory(pool)[page]);
    pool.give(directory(pool)[last]);
  }
  if (store_ != Store::kInline) pool.give(root_);
  const SegmentPos next = end();  // positions go on, so that one that someone remembers stays in the past
  *this = Scoreboard{};
  first_ = next;
}

// --- fates ---

void Scoreboard::link_last(BlockPool& pool, List& list, SegmentPos pos) noexcept {
  if (list.count == 0) {
    list.head = pos;
  } else {
    at(pool, list.tail).next = pos;
    at(pool, pos).previous = list.tail;
  }
  list.tail = pos;
  ++list.count;
}

void Scoreboard::unlink(BlockPool& pool, List& list, SegmentPos pos) noexcept {
  const SentSegment& s = at(pool, pos);
  if (pos == list.head) {
    list.head = s.next;
  } else {
    at(pool, s.previous).next = s.next;
  }
  if (pos == list.tail) {
    list.tail = s.previous;
  } else {
    at(pool, s.next).previous = s.previous;
  }
  --list.count;
}

void Scoreboard::leave_fate(BlockPool& pool, SegmentPos pos) noexcept {
  const SentSegment& s = at(pool, pos);
  sum_of(s.fate) -= s.seq_len();
  switch (s.fate) {
    case Fate::kInFlight:
      if (s.sent_again()) --again_;
      return unlink(pool, in_flight_, pos);
    case Fate::kLost:
      return unlink(pool, lost_, pos);
    case Fate::kSacked:
      --sacked_;
  }
}

void Scoreboard::mark_sacked(BlockPool& pool, SegmentPos pos) noexcept {
  leave_fate(pool, pos);
  SentSegment& s = at(pool, pos);
  s.fate = Fate::kSacked;
  s.next = pos + 1;
  sacked_bytes_ += s.seq_len();
  ++sacked_;
}

void Scoreboard::mark_lost(BlockPool& pool, SegmentPos pos) noexcept {
  leave_fate(pool, pos);
  SentSegment& s = at(pool, pos);
  s.fate = Fate::kLost;
  lost_bytes_ += s.seq_len();
  link_last(pool, lost_, pos);
}

void Scoreboard::sent_again(BlockPool& pool, SegmentPos pos, std::uint32_t now_us) noexcept {
  leave_fate(pool, pos);
  SentSegment& s = at(pool, pos);
  s.fate = Fate::kInFlight;
  s.sent_us = now_us;
  if (s.times_sent != 0xff) ++s.times_sent;
  ++again_;
  pipe_ += s.seq_len();
  link_last(pool, in_flight_, pos);
}

void Scoreboard::restore_lost(BlockPool& pool) noexcept {
  if (lost_.count == 0) return;
  SegmentPos pos = lost_.head;
  for (std::uint32_t i = 0; i < lost_.count; ++i) {
    SentSegment& s = at(pool, pos);
    s.fate = Fate::kInFlight;
    if (s.sent_again()) ++again_;
    pos = s.next;
  }
  if (in_flight_.count != 0) {
    at(pool, lost_.tail).next = in_flight_.head;
    at(pool, in_flight_.head).previous = lost_.tail;
    lost_.tail = in_flight_.tail;
  }
  in_flight_ = {.head = lost_.head, .tail = lost_.tail, .count = lost_.count + in_flight_.count};
  lost_ = List{};
  pipe_ += lost_bytes_;
  lost_bytes_ = 0;
}

// --- finding ---

SegmentPos Scoreboard::lower_bound(BlockPool& pool, Seq seq) noexcept {
  SegmentPos low = first_;
  std::uint32_t len = count_;
  while (len != 0) {
    const std::uint32_t half = len / 2;
    if (seq_lt(at(pool, low + half).seq, seq)) {
      low += half + 1;
      len -= half + 1;
    } else {
      len = half;
    }
  }
  return low;
}

// Whoever walks over a run of sacked segments leaves a shortcut behind, so that no run is walked twice.
SegmentPos Scoreboard::skip_sacked(BlockPool& pool, SegmentPos pos) noexcept {
  SegmentPos to = pos;
  while (to != end() && at(pool, to).fate == Fate::kSacked) to = at(pool, to).next;
  while (pos != to) {
    SegmentPos& shortcut = at(pool, pos).next;
    pos = shortcut;
    shortcut = to;
  }
  return to;
}

bool Scoreboard::matches(BlockPool& pool, Seq una, Seq max) noexcept {
  std::uint32_t sums[3] = {}, counts[3] = {};
  std::uint32_t again = 0;
  Seq expected = una;
  for (SegmentPos pos = first_; pos != end(); ++pos) {
    const SentSegment& s = at(pool, pos);
    if (s.seq != expected || s.seq_len() == 0) return false;
    expected = s.end();
    sums[static_cast<std::size_t>(s.fate)] += s.seq_len();
    ++counts[static_cast<std::size_t>(s.fate)];
    if (s.fate == Fate::kInFlight && s.sent_again()) ++again;
  }
  const auto list_is_right = [&](const List& list, Fate fate) {
    SegmentPos pos = list.head;
    for (std::uint32_t i = 0; i < list.count; ++i) {
      const SentSegment& s = at(pool, pos);
      if (s.fate != fate || (i + 1 == list.count && pos != list.tail)) return false;
      pos = s.next;
    }
    return list.count == counts[static_cast<std::size_t>(fate)];
  };
  return expected == max && sums[0] == pipe_ && sums[1] == lost_bytes_ && sums[2] == sacked_bytes_ &&
         counts[2] == sacked_ && again == again_ && list_is_right(in_flight_, Fate::kInFlight) &&
         list_is_right(lost_, Fate::kLost);
}

}  // namespace sluice::tcp
