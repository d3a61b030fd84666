#include <algorithm>

#include "core.h"

namespace sluice::tcp {

bool Core::transmit(Connection& c) noexcept {
  if (!c.syn_acked()) {
    if (c.snd_max_ == c.iss_) send_syn(c);
    return c.snd_max_ != c.iss_;
  }
  if (!send_data(c)) return false;
  return !c.ack_now_ || send_ack(c);
}

// Sends what the windows allow. Nothing waits to be joined by more (no Nagle): a turn's writes are together here
// already.
bool Core::send_data(Connection& c) noexcept {
  if (!c.outstanding() && c.snd_max_ == c.tx_end() && !c.fin_queued_) [[likely]]
    return true;
  Sending& tx = sending(c);
  if (c.mss_ < c.full_mss_) [[unlikely]]
    raise_mss(c);
  if (!c.outstanding() && now_ms_ - c.last_tx_ > c.rto_) restart_after_idle(tx.congestion, initial_window(c));
  // Between the steps of F-RTO new data goes before what may not be lost at all.
  if (tx.board.has_lost() && tx.frto != FRto::kSecond && !send_lost(c, tx)) return false;
  const Seq before = c.snd_max_;
  while (seq_lt(c.snd_max_, c.tx_end())) {
    const std::uint32_t unsent = c.tx_end() - c.snd_max_;
    const std::uint32_t pipe = tx.pipe(c.mss_);
    const std::uint32_t window = c.snd_wnd_ - std::min(c.snd_wnd_, c.flight());
    std::uint32_t len = std::min(unsent, c.mss_ - sack_len(c));
    if (pipe + len > tx.congestion.window) break;
    if (window < len) {
      // RFC 9293 section 3.8.6.2.1: less than a full segment only when the peer's whole window is small.
      if (window == 0 || window < c.max_snd_wnd_ / 2) break;
      len = window;
    }
    std::uint8_t flags = kTcpAck;
    if (len == unsent) {
      flags |= kTcpPsh;
      if (c.fin_queued_ && window > len) flags |= kTcpFin;
    }
    if (!send_next(c, tx, len, flags)) return !sink_full_;
  }
  if (c.fin_queued_ && !c.fin_sent_ && c.snd_max_ == c.tx_end() && c.flight() < c.snd_wnd_ &&
      !send_next(c, tx, 0, kTcpAck | kTcpFin)) {
    return !sink_full_;
  }
  if (c.snd_max_ != before) schedule_probe(c, tx);
  // Nothing is on the way that would bring an acknowledgment, so the window must be asked for (RFC 9293 section
  // 3.8.6.1).
  if (!c.rtx_on_ && !c.outstanding() && (c.snd_max_ != c.tx_end() || (c.fin_queued_ && !c.fin_sent_))) {
    c.probing_ = true;
    start_rtx(c);
  }
  return true;
}

// What lies beyond a window that has shrunk is not sent again, but for the very first (RFC 9293 section 3.8.6.1).
bool Core::send_lost(Connection& c, Sending& tx) noexcept {
  while (tx.board.has_lost()) {
    const SentSegment& segment = tx.board.at(pool_, tx.board.first_lost());
    const std::uint32_t pipe = tx.pipe(c.mss_);
    if (pipe != 0 && pipe + segment.seq_len() > tx.congestion.window) break;
    if (seq_gt(segment.end(), c.snd_una_ + c.snd_wnd_) && segment.seq != c.snd_una_) break;
    if (!send_again(c, tx, tx.board.first_lost())) return false;
  }
  return true;
}

// New data, or a FIN alone. False: no room in the sink (sink_full_), or no memory for the books.
bool Core::send_next(Connection& c, Sending& tx, std::uint32_t len, std::uint8_t flags) noexcept {
  HeaderFields fields = header(c, c.snd_max_, flags, c.mss_ - len);
  const std::span<std::uint8_t> packet = reserve(c, fields, len);
  if (packet.empty() || !tx.board.make_room(pool_)) return false;
  if (c.ecn_send_ && len > 0) mark_data(c, fields);
  const TxCursor bytes = c.tx_.copy_next(pool_, packet.last(len));
  const bool fin = (flags & kTcpFin) != 0;
  tx.board.append(pool_, c.snd_max_, len, fin, bytes, now_us_);
  if (!c.outstanding()) {
    c.progress_ = now_ms_;
    tx.rack.rtt_us = 0;  // what was delivered before an idle time says nothing, and its time may have wrapped
  }
  if (!c.ts_on_ && !c.rtt_timing_) {
    c.rtt_timing_ = true;
    c.rtt_seq_ = c.snd_max_;
    c.rtt_start_ = now_ms_;
  }
  if (tx.is_reducing()) tx.reduction.out += len;
  if (fin) c.fin_sent_ = true;
  c.snd_max_ += len + (fin ? 1 : 0);
  send_built(c, fields, packet, len);
  return true;
}

// In pieces, if segments have become smaller meanwhile.
bool Core::send_again(Connection& c, Sending& tx, SegmentPos pos) noexcept {
  const SentSegment segment = tx.board.at(pool_, pos);
  TxCursor from{segment.block, segment.offset};
  std::uint32_t done = 0;
  do {
    const std::uint32_t len = std::min<std::uint32_t>(segment.len - done, c.mss_);
    const Seq seq = segment.seq + done;
    done += len;
    std::uint8_t flags = kTcpAck;
    if (len > 0 && seq + len == c.tx_end()) flags |= kTcpPsh;
    if (segment.fin && done == segment.len) flags |= kTcpFin;
    const HeaderFields fields = header(c, seq, flags, c.mss_ - len);
    const std::span<std::uint8_t> packet = reserve(c, fields, len);
    if (packet.empty()) return false;
    from = TxQueue::copy_again(pool_, from, packet.last(len));
    ++tx.undo.sent_again;
    if (c.ts_on_ && !tx.undo.stamped) {
      tx.undo.stamped = true;
      tx.undo.stamp = fields.options.ts_value;
    }
    ++stats_.retransmits;
    send_built(c, fields, packet, len);
  } while (done < segment.len);
  tx.board.sent_again(pool_, pos, now_us_);
  if (tx.is_reducing()) tx.reduction.out += segment.seq_len();
  c.rtt_timing_ = false;
  return true;
}

std::span<std::uint8_t> Core::reserve(const Connection& c, const HeaderFields& fields, std::uint32_t len) noexcept {
  const std::size_t bytes = ip_header_len(c.tuple_) + sizeof(net::TcpHeader) + options_len(fields.options) + len;
  const std::span<std::uint8_t> packet = sink_.reserve(bytes);
  if (packet.size() >= bytes) return packet.first(bytes);
  ++stats_.no_buffer;
  sink_full_ = true;
  return {};
}

void Core::send_built(Connection& c, const HeaderFields& fields, std::span<std::uint8_t> packet,
                      std::uint32_t len) noexcept {
  build_segment(packet, c.tuple_, fields, len, config_.offloads.tx_checksum);
  sink_.commit(packet.size());
  ++stats_.segments_out;
  if (c.probing_) {  // the window lets something through
    c.probing_ = c.rtx_on_ = false;
    c.backoff_ = 0;
  }
  if (len > 0 && c.ack_pending_ > 0) c.quick_acks_ = 0;  // a dialogue: answers carry the acknowledgments
  c.last_tx_ = now_ms_;
  acknowledgment_sent(c);
  if (!c.rtx_on_) start_rtx(c);  // RFC 6298 section 5.1
}

// What the SACK blocks take of a segment (RFC 2018 section 4: in every one that acknowledges, while there is a gap).
std::uint32_t Core::sack_len(const Connection& c) const noexcept {
  if (!c.sack_on_ || !(c.rx_.has_gap() || c.dsack_on_)) [[likely]]
    return 0;
  const std::size_t blocks = c.rx_.range_count() + (c.dsack_on_ ? 1 : 0);
  return static_cast<std::uint32_t>(sack_option_len(std::min(blocks, kMaxSackBlocks - (c.ts_on_ ? 1 : 0))));
}

// Everything but mss and scale, which only SYNs carry.
HeaderFields Core::header(Connection& c, Seq seq, std::uint8_t flags, std::size_t room) noexcept {
  HeaderFields fields;
  fields.seq = seq;
  fields.flags = c.ecn_echo_ ? flags | kTcpEce : flags;
  fields.window = window_field(c, (flags & kTcpSyn) != 0);
  if ((flags & kTcpAck) != 0) fields.ack = c.rcv_nxt_;
  if (c.ts_on_) {
    fields.options.has_timestamp = true;
    fields.options.ts_value = now_ms_ + c.ts_offset_;
    fields.options.ts_echo = (flags & kTcpAck) != 0 ? c.ts_recent_ : 0;
  }
  if (const std::size_t wish = std::min<std::size_t>(sack_len(c), room); wish >= sack_option_len(1)) [[unlikely]] {
    const std::size_t blocks = (wish - 4) / 8;
    fields.options.sack_count =
        static_cast<std::uint8_t>(c.rx_.sack_blocks(pool_, c.dsack_on_, std::span(fields.options.sack).first(blocks)));
    c.dsack_on_ = false;
  }
  return fields;
}

void Core::acknowledgment_sent(Connection& c) noexcept {
  c.ack_pending_ = 0;
  c.ack_now_ = false;
  c.ack_timer_on_ = false;
  c.last_ack_sent_ = c.rcv_nxt_;
}

bool Core::send_ack(Connection& c) noexcept {
  const HeaderFields fields = header(c, c.snd_max_, kTcpAck, c.mss_);
  const std::span<std::uint8_t> packet = reserve(c, fields, 0);
  if (packet.empty()) {
    c.ack_now_ = true;
    push(ListId::kOutput, c);
    return false;
  }
  build_segment(packet, c.tuple_, fields, 0, config_.offloads.tx_checksum);
  sink_.commit(packet.size());
  ++stats_.segments_out;
  acknowledgment_sent(c);
  return true;
}

// RFC 5961 section 7, for one connection: without a limit two confused ends would answer each other for ever.
bool Core::answered_lately(Connection& c) noexcept {
  if (now_ms_ - c.last_challenge_ >= kChallengeInterval) return false;
  ++stats_.challenge_acks_limited;
  return true;
}

// The same section, for all of them: forged segments to many connections do not make us a source of packets. The number
// changes from second to second, so that nobody can tell from what is left of it whether a guess has hit another's
// connection.
bool Core::may_challenge() noexcept {
  const auto second = static_cast<std::uint32_t>(now_.time_since_epoch() / std::chrono::seconds(1));
  if (second != challenge_second_) {
    challenge_second_ = second;
    const std::uint64_t secret =
        siphash24(config_.secret, {reinterpret_cast<const std::uint8_t*>(&second), sizeof(second)});
    challenges_left_ = kChallenges / 2 + static_cast<std::uint32_t>(secret % kChallenges);
  }
  if (challenges_left_ == 0) {
    ++stats_.challenge_acks_limited;
    return false;
  }
  --challenges_left_;
  return true;
}

void Core::send_challenge(Connection& c) noexcept {
  if (!answered_lately(c) && may_challenge()) send_reminder(c);
}

void Core::send_reminder(Connection& c) noexcept {
  if (answered_lately(c)) return;
  c.last_challenge_ = now_ms_;
  ++stats_.challenge_acks;
  if (c.syn_acked()) {
    send_ack(c);
  } else {
    send_syn(c);
  }
}

// SYN or SYN-ACK, the first or again. A sink without room is like a network that lost it.
void Core::send_syn(Connection& c) noexcept {
  const bool passive = c.state_ == State::kSynReceived;
  HeaderFields fields = header(c, c.iss_, passive ? kTcpSyn | kTcpAck : kTcpSyn, 0);
  fields.options.mss = own_mss(c.tuple_);
  fields.options.sack_permitted = c.sack_on_;
  fields.options.has_window_scale = c.rcv_shift_ > 0 || !passive;
  fields.options.window_scale = c.rcv_shift_;
  if (c.ecn_receive_) offer_ecn(c, fields);
  send_bare(c.tuple_, fields);
  if (c.snd_max_ == c.iss_) {
    c.snd_max_ = c.iss_ + 1;
    c.rtt_timing_ = true;
    c.rtt_seq_ = c.iss_;
    c.rtt_start_ = now_ms_;
    c.min_rtt_us_ = now_us_;
    start_rtx(c);
  } else {
    c.rtt_timing_ = false;
    ++stats_.retransmits;
  }
  c.ack_now_ = false;
}

// An old sequence number and no data, which RFC 9293 section 3.10.7.4 obliges the peer to acknowledge. Section 3.8.6.1
// has the sender of a closed window send an octet of new data; like Linux we do without, so that snd_max_ never passes
// the window.
void Core::send_probe(Connection& c) noexcept {
  const HeaderFields fields = header(c, c.snd_una_ - 1, kTcpAck, c.mss_);
  send_bare(c.tuple_, fields);
  acknowledgment_sent(c);
}

void Core::reset(Connection& c) noexcept {
  if (c.snd_max_ == c.iss_ || c.state_ == State::kSynSent) return;  // the peer knows of nothing
  ++stats_.resets_out;
  send_bare(c.tuple_, header(c, c.snd_max_, kTcpRst | kTcpAck, 0));
}

// RFC 9293 section 3.10.7.1.
void Core::send_rst_for(const Segment& s) noexcept {
  HeaderFields fields;
  if (s.has(kTcpAck)) {
    fields.seq = s.ack;
    fields.flags = kTcpRst;
  } else {
    fields.ack = s.seq + s.len();
    fields.flags = kTcpRst | kTcpAck;
  }
  ++stats_.resets_out;
  send_bare(s.tuple, fields);
}

void Core::send_time_wait_ack(const TimeWaitRecord& record, const Segment& s) noexcept {
  HeaderFields fields;
  fields.seq = record.snd_nxt;
  fields.ack = record.rcv_nxt;
  fields.window = record.window;
  fields.flags = kTcpAck;
  if (record.ts_on) {
    fields.options.has_timestamp = true;
    fields.options.ts_value = now_ms_ + static_cast<std::uint32_t>(keyed(s.tuple) >> 32);
    fields.options.ts_echo = record.ts_recent;
  }
  send_bare(record.tuple, fields);
}

void Core::send_bare(const FourTuple& tuple, const HeaderFields& fields) noexcept {
  const std::size_t len = ip_header_len(tuple) + sizeof(net::TcpHeader) + options_len(fields.options);
  const std::span<std::uint8_t> packet = sink_.reserve(len);
  if (packet.size() < len) {
    ++stats_.no_buffer;
    return;
  }
  build_segment(packet.first(len), tuple, fields, 0, config_.offloads.tx_checksum);
  sink_.commit(len);
  ++stats_.segments_out;
}

}  // namespace sluice::tcp
