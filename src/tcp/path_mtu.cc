// How large a segment may be on its way. Routers say it (RFC 1191, RFC 8201), and anybody can say it in their place: what a
// message claims is weighed as RFC 5927 section 7 has it. Where no message comes through, timeouts tell (RFC 4821 section 7.7).
#include <algorithm>
#include <array>

#include "core.h"

namespace sluice::tcp {
namespace {

// Below these no path is: what RFC 1122 section 3.3.2 has every host receive, and RFC 8200 section 5. An attacker gains no
// more than that.
constexpr std::uint32_t kMinMtu4 = 576;
constexpr std::uint32_t kMinMtu6 = 1280;
// What gets through nearly everywhere, tunnels in tunnels too.
constexpr std::uint32_t kSafeMtu = 1280;
// Timeouts in a row before segments become smaller; more of them where that is unlikely to be the reason: segments of that size
// have arrived before, or they have the safe one already.
constexpr std::uint8_t kTimeouts = 2;
constexpr std::uint8_t kManyTimeouts = 4;

// RFC 1191 section 7.1, for routers from before it that do not say what they can forward.
std::uint32_t plateau_below(std::uint32_t bytes) noexcept {
  for (const std::uint32_t plateau : {32'000u, 17'914u, 8'166u, 4'352u, 2'002u, 1'492u, 1'006u}) {
    if (plateau < bytes) return plateau;
  }
  return kMinMtu4;
}

// The one that `seq`, which is outstanding, lies in.
SegmentPos segment_with(Scoreboard& board, BlockPool& pool, Seq seq) noexcept {
  const SegmentPos pos = board.lower_bound(pool, seq);
  return pos != board.end() && board.at(pool, pos).seq == seq ? pos : pos - 1;
}

}  // namespace

void Core::start_path(Connection& c) noexcept {
  c.full_mss_ = c.mss_;
  const PathCache::Record* known = paths_.find(c.tuple_.remote.address, now_ms_);
  if (known == nullptr || known->mtu >= header_len(c) + c.mss_) return;
  c.mss_ = static_cast<std::uint16_t>(known->mtu - header_len(c));
  c.raise_mss_at_ = known->expires;
}

// RFC 5927 section 4.1: what it quotes must be on its way; section 7: and have been larger than what can be forwarded.
std::uint16_t Core::credible_mss(Connection& c, const QuotedSegment& quoted, std::uint32_t mtu) noexcept {
  if (!c.syn_acked() || seq_lt(quoted.seq, c.snd_una_) || seq_ge(quoted.seq, c.snd_max_)) return 0;
  Scoreboard& board = sending(c).board;
  const SentSegment& segment = board.at(pool_, segment_with(board, pool_, quoted.seq));
  if (segment.fate == Fate::kSacked) return 0;
  // The record does not count the SACK blocks that went with it.
  const std::uint32_t header = header_len(c), largest = header + c.mss_;
  const std::uint32_t sent = std::min(std::max(header + segment.len, quoted.packet_len), largest);
  if (c.tuple_.local.address.is_v4()) {
    mtu = std::max(mtu == 0 ? plateau_below(sent) : mtu, kMinMtu4);
  } else if (mtu < kMinMtu6) {  // RFC 8201 section 4: discarded
    return 0;
  }
  return mtu < sent ? static_cast<std::uint16_t>(mtu - header) : std::uint16_t{0};
}

// RFC 5927 section 7.2: while nothing larger has arrived, the message is believed at once. Else it is kept until what it
// quotes is acknowledged, and it was false, or times out, and the path has changed.
void Core::input_too_big(Connection& c, const QuotedSegment& quoted, std::uint32_t mtu) noexcept {
  const std::uint16_t mss = credible_mss(c, quoted, mtu);
  if (mss == 0) {
    ++stats_.path_mtu_ignored;
  } else if (mss >= c.acked_mss_) {
    believe_too_big(c, mss, quoted.seq);
  } else {
    ++stats_.path_mtu_deferred;
    c.claimed_mss_ = mss;
    c.claimed_seq_ = quoted.seq;
  }
}

void Core::lower_mss(Connection& c, std::uint16_t mss) noexcept {
  c.mss_ = mss;
  c.acked_mss_ = 0;  // of the path as it is now nothing is known
  c.claimed_mss_ = 0;
  c.raise_mss_at_ = now_ms_ + PathCache::kLife;
}

// All that was too big is lost and sent again at once, in pieces. It takes nothing from the congestion window: the network
// was not full (RFC 8201 section 5.4).
void Core::believe_too_big(Connection& c, std::uint16_t mss, Seq quoted) noexcept {
  ++stats_.path_mtu_lowered;
  lower_mss(c, mss);
  learn_path(c);
  Sending& tx = sending(c);
  const SegmentPos told = segment_with(tx.board, pool_, quoted);
  for (SegmentPos pos = tx.board.first(); pos != tx.board.end(); ++pos) {
    const SentSegment& segment = tx.board.at(pool_, pos);
    if (segment.fate == Fate::kInFlight && (segment.len > mss || pos == told)) tx.board.mark_lost(pool_, pos);
  }
  if (tx.phase == Phase::kOpen) {
    tx.phase = Phase::kTooBig;
    tx.recover = c.snd_max_;
    tx.undo.armed = false;
  }
  tx.probe.out = false;
  if (c.early_ == EarlyTimer::kProbe) c.early_ = EarlyTimer::kNone;
  c.rtt_timing_ = false;
  start_rtx(c);
  push(ListId::kOutput, c);
  check_books(c, tx);
}

bool Core::believe_claim(Connection& c) noexcept {
  if (c.claimed_mss_ == 0) return false;
  Scoreboard& board = sending(c).board;
  if (board.at(pool_, segment_with(board, pool_, c.claimed_seq_)).fate == Fate::kSacked) {
    ++stats_.path_mtu_ignored;
    c.claimed_mss_ = 0;
    return false;
  }
  believe_too_big(c, c.claimed_mss_, c.claimed_seq_);
  return true;
}

// RFC 1191 section 6.3: the path may have become larger meanwhile.
void Core::raise_mss(Connection& c) noexcept {
  if (c.raise_mss_at_ - now_ms_ - 1 < PathCache::kLife) return;
  ++stats_.path_mtu_raised;
  c.mss_ = c.full_mss_;
  c.mss_guessed_ = false;
}

void Core::judge_path(Connection& c) noexcept {
  if (c.claimed_mss_ != 0 && seq_gt(c.snd_una_, c.claimed_seq_)) {
    ++stats_.path_mtu_ignored;
    c.claimed_mss_ = 0;
  }
  if (!c.mss_guessed_) return;
  c.mss_guessed_ = false;
  c.black_hole_ = true;
  learn_path(c);
}

// Segments vanish, and nobody says why. If they are large, that may be the reason.
void Core::suspect_black_hole(Connection& c) noexcept {
  Scoreboard& board = sending(c).board;
  const std::uint32_t size = std::min<std::uint32_t>(board.at(pool_, board.first()).len, c.mss_);
  const std::array<std::uint32_t, 2> steps{kSafeMtu, c.tuple_.local.address.is_v4() ? kMinMtu4 : kMinMtu6};
  for (const std::uint32_t mtu : steps) {
    const auto mss = static_cast<std::uint16_t>(mtu - header_len(c));
    if (mss >= size) continue;
    const bool unlikely = c.acked_mss_ > mss || mtu < kSafeMtu;
    std::uint8_t timeouts = unlikely ? kManyTimeouts : kTimeouts;
    if (c.black_hole_ && c.mss_ == c.full_mss_) timeouts = 1;
    if (c.backoff_ % timeouts != 0) return;
    ++stats_.black_holes;
    lower_mss(c, mss);
    c.mss_guessed_ = true;
    return;
  }
}

void Core::learn_path(const Connection& c) noexcept {
  paths_.learn(c.tuple_.remote.address, static_cast<std::uint16_t>(header_len(c) + c.mss_), now_ms_);
}

}  // namespace sluice::tcp
