#include <algorithm>

#include "congestion.h"
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
  const Congestion& cc = c.congestion_;
  if (c.snd_nxt_ == c.tx_end() && !c.fin_queued_) [[likely]]
    return true;
  if (c.flight() == 0 && now_ms_ - c.last_tx_ > c.rto_) restart_after_idle(c.congestion_, c.mss_);
  const std::uint32_t limited_transmit =
      cc.in_recovery ? 0 : std::min(cc.duplicate_acks, std::uint8_t{2}) * std::uint32_t{c.mss_};
  const std::uint32_t allowed = std::min(cc.window + limited_transmit, c.snd_wnd_);
  while (seq_lt(c.snd_nxt_, c.tx_end())) {
    const std::uint32_t unsent = c.tx_end() - c.snd_nxt_;
    const std::uint32_t room = allowed - std::min(allowed, c.flight());
    std::uint32_t len = std::min(unsent, std::uint32_t{c.mss_});
    if (room < len) {
      // RFC 9293 section 3.8.6.2.1: less than a full segment only when the peer's whole window is small.
      if (room == 0 || room < c.max_snd_wnd_ / 2 || cc.window < c.snd_wnd_) break;
      len = room;
    }
    std::uint8_t flags = kTcpAck;
    if (len == unsent) {
      flags |= kTcpPsh;
      if (c.fin_queued_ && room > len) flags |= kTcpFin;
    }
    if (!send_segment(c, c.snd_nxt_, len, flags, false)) return false;
  }
  if (c.fin_queued_ && c.snd_nxt_ == c.tx_end() && !send_fin(c)) return false;
  // Nothing is on the way that would bring an acknowledgment, so the window must be asked for (RFC 9293 section
  // 3.8.6.1).
  if (!c.rtx_on_ && !c.outstanding() && (c.snd_nxt_ != c.tx_end() || (c.fin_queued_ && !c.fin_sent_))) {
    c.probing_ = true;
    start_rtx(c);
  }
  return true;
}

// A FIN on its own: the first time, and when all before it was acknowledged.
bool Core::send_fin(Connection& c) noexcept {
  if (c.state_ == State::kFinWait2 || c.flight() >= c.snd_wnd_) return true;
  return send_segment(c, c.snd_nxt_, 0, kTcpAck | kTcpFin, false);
}

bool Core::send_segment(Connection& c, Seq seq, std::uint32_t len, std::uint8_t flags, bool first) noexcept {
  const HeaderFields fields = header(c, seq, flags);
  const std::size_t headers = ip_header_len(c.tuple_) + sizeof(net::TcpHeader) + options_len(fields.options);
  const std::span<std::uint8_t> packet = sink_.reserve(headers + len);
  if (packet.size() < headers + len) {
    ++stats_.no_buffer;
    sink_full_ = true;
    return false;
  }
  const std::span<std::uint8_t> payload = packet.subspan(headers, len);
  if (first) {
    c.tx_.copy_first(pool_, payload);
  } else {
    c.tx_.copy_next(pool_, payload);
  }
  build_segment(packet.first(headers + len), c.tuple_, fields, len, config_.offloads.tx_checksum);
  sink_.commit(headers + len);
  ++stats_.segments_out;

  if (c.probing_) {  // the window lets something through
    c.probing_ = c.rtx_on_ = false;
    c.backoff_ = 0;
  }
  const bool again = seq_lt(seq, c.snd_max_);
  const Seq end = seq + len + ((flags & kTcpFin) != 0 ? 1 : 0);
  if (again) ++stats_.retransmits;
  if ((flags & kTcpFin) != 0) c.fin_sent_ = true;
  if (!c.outstanding()) c.progress_ = now_ms_;
  if (!again && !c.ts_on_ && !c.rtt_timing_) {
    c.rtt_timing_ = true;
    c.rtt_seq_ = seq;
    c.rtt_start_ = now_ms_;
  }
  c.snd_max_ = seq_max(c.snd_max_, end);
  if (!first) c.snd_nxt_ = end;
  if (len > 0 && c.ack_pending_ > 0) c.quick_acks_ = 0;  // a dialogue: answers carry the acknowledgments
  c.last_tx_ = now_ms_;
  acknowledgment_sent(c);
  if (!c.rtx_on_) start_rtx(c);  // RFC 6298 section 5.1
  return true;
}

// Everything but mss and scale, which only SYNs carry.
HeaderFields Core::header(Connection& c, Seq seq, std::uint8_t flags) noexcept {
  HeaderFields fields;
  fields.seq = seq;
  fields.flags = flags;
  fields.window = window_field(c, (flags & kTcpSyn) != 0);
  if ((flags & kTcpAck) != 0) fields.ack = c.rcv_nxt_;
  if (c.ts_on_) {
    fields.options.has_timestamp = true;
    fields.options.ts_value = now_ms_ + c.ts_offset_;
    fields.options.ts_echo = (flags & kTcpAck) != 0 ? c.ts_recent_ : 0;
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
  const HeaderFields fields =
      header(c, c.snd_max_, kTcpAck);  // beyond what is being sent again: that would be out of window
  const std::size_t len = ip_header_len(c.tuple_) + sizeof(net::TcpHeader) + options_len(fields.options);
  const std::span<std::uint8_t> packet = sink_.reserve(len);
  if (packet.size() < len) {
    ++stats_.no_buffer;
    sink_full_ = true;
    c.ack_now_ = true;
    push(ListId::kOutput, c);
    return false;
  }
  build_segment(packet.first(len), c.tuple_, fields, 0, config_.offloads.tx_checksum);
  sink_.commit(len);
  ++stats_.segments_out;
  acknowledgment_sent(c);
  return true;
}

void Core::send_challenge(Connection& c) noexcept {
  if (now_ms_ - c.last_challenge_ < kChallengeInterval) return;
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
  HeaderFields fields = header(c, c.iss_, passive ? kTcpSyn | kTcpAck : kTcpSyn);
  fields.options.mss = own_mss(c.tuple_);
  fields.options.has_window_scale = c.rcv_shift_ > 0 || !passive;
  fields.options.window_scale = c.rcv_shift_;
  send_bare(c.tuple_, fields);
  if (c.snd_max_ == c.iss_) {
    c.snd_nxt_ = c.snd_max_ = c.iss_ + 1;
    c.rtt_timing_ = true;
    c.rtt_seq_ = c.iss_;
    c.rtt_start_ = now_ms_;
    start_rtx(c);
  } else {
    c.rtt_timing_ = false;
    ++stats_.retransmits;
  }
  c.ack_now_ = false;
}

// The segment that the peer misses. The cursor, which stands at new data, does not move.
void Core::retransmit_first(Connection& c) noexcept {
  const std::uint32_t len = std::min({c.tx_.bytes(), std::uint32_t{c.mss_}, c.snd_max_ - c.snd_una_});
  std::uint8_t flags = kTcpAck;
  if (c.fin_sent_ && len == c.tx_.bytes()) flags |= kTcpFin;
  c.rtt_timing_ = false;
  (void)send_segment(c, c.snd_una_, len, flags, true);
}

// An old sequence number and no data, which RFC 9293 section 3.10.7.4 obliges the peer to acknowledge. Section 3.8.6.1
// has the sender of a closed window send an octet of new data; like Linux we do without, so that snd_max_ never passes
// the window.
void Core::send_probe(Connection& c) noexcept {
  const HeaderFields fields = header(c, c.snd_una_ - 1, kTcpAck);
  send_bare(c.tuple_, fields);
  acknowledgment_sent(c);
}

void Core::reset(Connection& c) noexcept {
  if (c.snd_max_ == c.iss_ || c.state_ == State::kSynSent) return;  // the peer knows of nothing
  ++stats_.resets_out;
  send_bare(c.tuple_, header(c, c.snd_max_, kTcpRst | kTcpAck));
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
