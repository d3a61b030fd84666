// What a connection has sent and the peer has not acknowledged: a record for each segment, in order of sequence. Loss
// detection, retransmission and congestion control all read the same records.
// Threading: belongs to its connection.
// Ownership: the first record lies in the scoreboard; more lie in blocks of the pool, which go back as segments are
//            acknowledged: a connection with nothing on its way keeps none.
// Units:     bytes of sequence space (a FIN counts one); a SegmentPos counts segments and wraps.
// Invariant: a segment is in flight, lost or sacked. The first kind makes up the pipe and lies in a list in order of
//            transmission, the second in a list in order of retransmission. matches() counts it all again.
// Spec:      RFC 2018 section 8, RFC 6675 section 2 and 4 (scoreboard, pipe), RFC 8985 section 5.
#pragma once

#include <cstddef>
#include <cstdint>

#include "block_pool.h"
#include "seq.h"
#include "tx_queue.h"

namespace sluice::tcp {

using SegmentPos = std::uint32_t;

enum class Fate : std::uint8_t {
  kInFlight,
  kLost,    // taken for lost, and not sent again since
  kSacked,  // the peer has it, so it says
};

struct SentSegment {
  Seq seq;
  BlockId block;          // where its bytes begin in the send buffer
  std::uint16_t offset;   // within the block
  std::uint16_t len;      // payload
  std::uint32_t sent_us;  // when it was last sent
  SegmentPos next;        // of its list; of a sacked one: a later position, up to which all are sacked
  SegmentPos previous;    // of its list
  Fate fate;
  bool fin;
  std::uint8_t times_sent;  // counts to 255

  [[nodiscard]] std::uint32_t seq_len() const noexcept { return std::uint32_t{len} + (fin ? 1 : 0); }
  [[nodiscard]] Seq end() const noexcept { return seq + seq_len(); }
  [[nodiscard]] bool sent_again() const noexcept { return times_sent > 1; }
};
static_assert(sizeof(SentSegment) == 28);

class Scoreboard {
 public:
  static constexpr std::uint32_t kPageSegments = 128;  // a power of two, so that positions may wrap
  static_assert(kPageSegments * sizeof(SentSegment) <= kBlockSize);
  static constexpr std::uint32_t kMaxPages = kBlockSize / sizeof(BlockId);
  static constexpr std::uint32_t kMaxSegments = (kMaxPages - 1) * kPageSegments;  // the limit of one connection

  // Room for one more, which append() must follow. False: there is no memory; what is acknowledged makes room.
  [[nodiscard]] bool make_room(BlockPool& pool) noexcept;
  // A segment was sent for the first time, right behind the others.
  void append(BlockPool& pool, Seq seq, std::uint32_t len, bool fin, TxCursor bytes, std::uint32_t now_us) noexcept;
  void sent_again(BlockPool& pool, SegmentPos pos, std::uint32_t now_us) noexcept;  // one that was lost or in flight

  void mark_sacked(BlockPool& pool, SegmentPos pos) noexcept;
  void mark_lost(BlockPool& pool, SegmentPos pos) noexcept;  // the last to be sent again
  // After a timeout: what is not sacked, in order, but for what `spare` says may still be on its way. With `sacked_too`,
  // the peer's SACKs are no longer believed.
  template <typename Spare>
  void lose_all(BlockPool& pool, bool sacked_too, Spare&& spare) noexcept {
    for (SegmentPos pos = first_; pos != end(); ++pos) {
      const SentSegment& s = at(pool, pos);
      const bool lost = s.fate == Fate::kSacked ? sacked_too : s.fate == Fate::kLost || !spare(s);
      if (lost) mark_lost(pool, pos);  // one that is lost already goes behind those before it
    }
  }
  // Nothing was lost after all: what is not sent again yet counts as in flight, and as sent before all else.
  void restore_lost(BlockPool& pool) noexcept;
  // Segments that lie before `una` are gone, one that lies astride is cut.
  // before_release(segment) sees each of the former first.
  template <typename BeforeRelease>
  void release(BlockPool& pool, Seq una, BeforeRelease&& before_release) noexcept {
    while (count_ != 0 && seq_le(at(pool, first_).end(), una)) {
      before_release(at(pool, first_));
      drop_first(pool);
    }
    if (count_ != 0) cut_first(pool, una);
  }
  void clear(BlockPool& pool) noexcept;

  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] std::uint32_t size() const noexcept { return count_; }
  [[nodiscard]] SegmentPos first() const noexcept { return first_; }
  [[nodiscard]] SegmentPos end() const noexcept { return first_ + count_; }
  [[nodiscard]] SentSegment& at(BlockPool& pool, SegmentPos pos) noexcept {
    if (store_ == Store::kInline) return inline_;
    BlockId page = root_;
    if (store_ == Store::kDirectory) page = directory(pool)[pos / kPageSegments % kMaxPages];
    return reinterpret_cast<SentSegment*>(pool.data(page))[pos % kPageSegments];
  }
  // The first segment that begins at `seq` or later; end(): none does.
  [[nodiscard]] SegmentPos lower_bound(BlockPool& pool, Seq seq) noexcept;
  // The first one from `pos` on that is not sacked.
  [[nodiscard]] SegmentPos skip_sacked(BlockPool& pool, SegmentPos pos) noexcept;

  [[nodiscard]] std::uint32_t pipe() const noexcept { return pipe_; }
  [[nodiscard]] std::uint32_t lost_bytes() const noexcept { return lost_bytes_; }
  [[nodiscard]] std::uint32_t sacked_bytes() const noexcept { return sacked_bytes_; }
  [[nodiscard]] std::uint32_t sacked() const noexcept { return sacked_; }          // segments
  [[nodiscard]] std::uint32_t again_in_flight() const noexcept { return again_; }  // segments that were sent again
  [[nodiscard]] bool has_lost() const noexcept { return lost_.count != 0; }
  [[nodiscard]] bool has_in_flight() const noexcept { return in_flight_.count != 0; }
  [[nodiscard]] SegmentPos first_lost() const noexcept { return lost_.head; }        // to be sent again first
  [[nodiscard]] SegmentPos oldest_sent() const noexcept { return in_flight_.head; }  // of those in flight

  // Whether the records are those of [una, max) and all sums are right. Slow: for debug builds and tests.
  [[nodiscard]] bool matches(BlockPool& pool, Seq una, Seq max) noexcept;

 private:
  enum class Store : std::uint8_t { kInline, kPage, kDirectory };
  struct List {
    SegmentPos head = 0;
    SegmentPos tail = 0;
    std::uint32_t count = 0;
  };

  [[nodiscard]] BlockId* directory(BlockPool& pool) noexcept { return reinterpret_cast<BlockId*>(pool.data(root_)); }
  [[nodiscard]] bool open_page(BlockPool& pool) noexcept;
  [[nodiscard]] bool open_directory(BlockPool& pool) noexcept;
  void link_last(BlockPool& pool, List& list, SegmentPos pos) noexcept;
  void unlink(BlockPool& pool, List& list, SegmentPos pos) noexcept;
  void leave_fate(BlockPool& pool, SegmentPos pos) noexcept;  // out of its list and its sum
  void drop_first(BlockPool& pool) noexcept;
  void cut_first(BlockPool& pool, Seq una) noexcept;
  [[nodiscard]] std::uint32_t& sum_of(Fate fate) noexcept {
    return fate == Fate::kInFlight ? pipe_ : fate == Fate::kLost ? lost_bytes_ : sacked_bytes_;
  }

  BlockId root_ = kNoBlock;  // a page of records, or a directory of pages
  SegmentPos first_ = 0;
  std::uint32_t count_ = 0;
  std::uint32_t pipe_ = 0;
  std::uint32_t lost_bytes_ = 0;
  std::uint32_t sacked_bytes_ = 0;
  std::uint32_t sacked_ = 0;
  std::uint32_t again_ = 0;
  List in_flight_;
  List lost_;
  Store store_ = Store::kInline;
  SentSegment inline_{};
};

}  // namespace sluice::tcp
