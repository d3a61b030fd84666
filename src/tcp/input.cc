#include <algorithm>
#include <array>

#include "core.h"

namespace sluice::tcp {

void Core::input(std::span<const Received> burst, Instant now) noexcept {
  set_now(now);
  stats_.segments_in += burst.size();
  while (!burst.empty()) {
    const std::size_t count = std::min(burst.size(), kInputBurst);
    input_chunk(burst.first(count));
    burst = burst.subspan(count);
  }
}

// Stage by stage: parse all, find all in the table, then process each, by when its connection is in the cache.
void Core::input_chunk(std::span<const Received> chunk) noexcept {
  std::array<Segment, kInputBurst> segments;
  std::array<std::uint32_t, kInputBurst> hashes;
  std::size_t count = 0;
  for (const Received& received : chunk) {
    switch (parse_segment(received.packet, received.offloads, segments[count])) {
      case ParseResult::kOk:
        hashes[count] = hash_(segments[count].tuple);
        table_.prefetch(hashes[count]);
        ++count;
        break;
      case ParseResult::kBadChecksum:
        ++stats_.bad_checksum;
        break;
      case ParseResult::kBadSegment:
        ++stats_.bad_segment;
        break;
    }
  }
  if (count > 1) {
    for (std::size_t i = 0; i < count; ++i) {
      const ConnIndex index = table_.find(hashes[i], [](ConnIndex) { return true; });
      prefetch(index);
      if (segments[i].payload.empty()) {
        const auto* sending = reinterpret_cast<const std::byte*>(&sending_[index]);
        for (std::size_t line = 0; line < sizeof(Sending); line += 64) __builtin_prefetch(sending + line, 1);
      }
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    Segment& s = segments[i];
    if (Connection* c = find(s.tuple, hashes[i]); c != nullptr) [[likely]] {
      process(*c, s);
    } else {
      input_no_connection(s, hashes[i]);
    }
  }
}

// RFC 9293 section 3.10.7.1, 3.10.7.2, and TIME_WAIT of 3.10.7.4.
void Core::input_no_connection(Segment& s, std::uint32_t hash) noexcept {
  TimeWaitRecord* record = time_wait_.find(s.tuple, hash);
  if (record != nullptr && !input_time_wait(*record, s, hash)) return;
  if (s.has(kTcpRst)) return;
  Listener* listener = find_listener(s.tuple.local);
  if (listener != nullptr && !s.has(kTcpAck)) {
    if (s.has(kTcpSyn)) return input_listen(*listener, s, hash, nullptr);
    ++stats_.bad_segment;  // neither SYN nor ACK nor RST: "drop the segment"
    return;
  }
  if (listener != nullptr && input_cookie(*listener, s, hash)) return;
  ++stats_.no_connection;
  send_rst_for(s);
}

// False: the segment is dealt with.
bool Core::input_time_wait(TimeWaitRecord& record, const Segment& s, std::uint32_t hash) noexcept {
  if (s.has(kTcpRst)) return false;  // RFC 1337 section 3: a RST does not end TIME_WAIT
  if (s.has(kTcpSyn) && !s.has(kTcpAck)) {
    // RFC 6191 section 2: newer by its timestamp, or, without timestamps, by its sequence number (RFC 9293 section
    // 3.6.1).
    const bool newer = record.ts_on && s.options.has_timestamp
                           ? seq_gt(s.options.ts_value, record.ts_recent) ||
                                 (s.options.ts_value == record.ts_recent && seq_gt(s.seq, record.rcv_nxt))
                           : seq_gt(s.seq, record.rcv_nxt);
    Listener* listener = find_listener(s.tuple.local);
    if (newer && listener != nullptr) {
      input_listen(*listener, s, hash, &record);
      return false;
    }
  }
  if (s.has(kTcpFin) && s.seq + s.len() == record.rcv_nxt) time_wait_.restart(record, now_ms_);
  // Anything else is old or forged: the acknowledgment tells an honest peer where we stand. A bare ACK gets none when it
  // says nothing new, and one in half a second when it does: two ends in TIME_WAIT that do not agree would answer each
  // other for ever.
  if (s.len() == 0) {
    if (s.ack == record.snd_nxt && s.seq == record.rcv_nxt) return false;
    if (record.answered == half_second(now_ms_)) {
      ++stats_.challenge_acks_limited;
      return false;
    }
    record.answered = half_second(now_ms_);
  }
  send_time_wait_ack(record, s);
  return false;
}

void Core::process(Connection& c, Segment& s) noexcept {
  if (c.state_ == State::kSynSent) return input_syn_sent(c, s);
  // RFC 9293 section 3.10.7.4, in its order; RFC 5961 for RST, SYN and ACK.
  if (s.has(kTcpRst)) return process_rst(c, s);
  if (s.has(kTcpSyn)) {
    if (c.state_ != State::kSynReceived || s.seq != c.irs_) return send_challenge(c);  // RFC 5961 section 4.2
    if (!s.has(kTcpAck)) {  // the peer's SYN again: our answer was lost
      take_ecn_setup(c, s);
      return send_syn(c);
    }
    // Simultaneous open, RFC 9293 figure 8: its SYN was counted already. Its window is not scaled (RFC 7323 section 2.2),
    // as that of what it counts as from here on is.
    s.flags &= static_cast<std::uint8_t>(~kTcpSyn);
    s.window = static_cast<std::uint16_t>(s.window >> c.snd_shift_);
    ++s.seq;
  }
  if (c.ts_on_ && !is_paws_ok(c, s)) return;
  const Seq seq = s.seq;
  if (!trim_to_window(c, s)) return;
  if (!s.has(kTcpAck)) {
    ++stats_.bad_segment;
    return;
  }
  if (c.state_ == State::kSynReceived && !complete_handshake(c, s)) return;
  // RFC 7323 section 4.3 (2)
  if (c.ts_on_ && seq_ge(s.options.ts_value, c.ts_recent_) && seq_le(seq, c.last_ack_sent_)) {
    c.ts_recent_ = s.options.ts_value;
    c.ts_recent_at_ = now_ms_;
  }
  c.last_rx_ = now_ms_;
  c.keepalive_probes_ = 0;
  if (c.ecn_receive_ && !s.payload.empty()) take_ecn_marks(c, s);
  if (!process_ack(c, s)) return;
  if (!s.payload.empty() || s.has(kTcpFin)) process_data(c, s);
}

// RFC 7323 section 5.3 (R1). False: dropped.
bool Core::is_paws_ok(Connection& c, const Segment& s) noexcept {
  if (!s.options.has_timestamp) {  // section 3.2: once negotiated, a segment without one is dropped
    ++stats_.bad_segment;
    return false;
  }
  // What a retransmission has overtaken is a little older than it, and new all the same; no sequence number wraps in so
  // short a time.
  constexpr Ticks kPawsSlack = 16;
  if (seq_ge(s.options.ts_value + kPawsSlack, c.ts_recent_)) return true;
  constexpr Ticks kIdleLimit = 24u * 24 * 3600 * 1000;  // section 5.5: after 24 days the old timestamp says nothing
  if (now_ms_ - c.ts_recent_at_ > kIdleLimit) return true;
  ++stats_.old_timestamp;
  if (s.len() > 0) {
    c.ack_now_ = true;
    push(ListId::kOutput, c);
  } else {
    send_reminder(c);
  }
  return false;
}

// First check of RFC 9293 section 3.10.7.4: leaves what lies inside the window. False: nothing does; acknowledged and
// dropped.
bool Core::trim_to_window(Connection& c, Segment& s) noexcept {
  const std::uint32_t len = s.len();
  if (s.seq == c.rcv_nxt_ && len <= c.rcv_window()) [[likely]]
    return true;
  const Seq edge = c.rcv_adv_;
  const bool before = seq_lt(s.seq, c.rcv_nxt_) && seq_le(s.seq + len, c.rcv_nxt_);
  // A segment without data may stand right at the edge: the peer has filled the window, and something on the way is
  // missing.
  const bool beyond = len == 0 ? seq_gt(s.seq, edge) : seq_ge(s.seq, edge) && s.seq != c.rcv_nxt_;
  if (before || beyond) {
    ++stats_.out_of_window;
    if (len == 0) {
      send_reminder(c);  // keepalive and window probes
    } else {
      if (before && !s.payload.empty()) note_duplicate(c, {s.seq, s.seq + static_cast<Seq>(s.payload.size())});
      c.ack_now_ = true;
      push(ListId::kOutput, c);
    }
    return false;
  }
  if (seq_lt(s.seq, c.rcv_nxt_)) {
    note_duplicate(c, {s.seq, c.rcv_nxt_});
    s.payload = s.payload.subspan(c.rcv_nxt_ - s.seq);
    s.seq = c.rcv_nxt_;
  }
  if (const Seq end = s.seq + s.len(); seq_gt(end, edge)) {
    // With a closed window this leaves an acknowledgment, which must be taken (RFC 9293 section 3.10.7.4).
    s.flags &= static_cast<std::uint8_t>(~kTcpFin);
    const std::uint32_t room = edge - s.seq;
    if (s.payload.size() > room) s.payload = s.payload.first(room);
    c.ack_now_ = true;
    push(ListId::kOutput, c);
  }
  return true;
}

// RFC 5961 section 3.2: only the exact sequence number resets; another one inside the window is answered.
void Core::process_rst(Connection& c, const Segment& s) noexcept {
  if (s.seq != c.rcv_nxt_) {
    ++stats_.out_of_window;
    if (seq_gt(s.seq, c.rcv_nxt_) && seq_lt(s.seq, c.rcv_adv_)) send_challenge(c);
    return;
  }
  ++stats_.resets_in;
  const bool our_syn = c.state_ == State::kSynReceived && !c.passive_;
  if (our_syn) ++stats_.refused;
  finish(c, our_syn ? StreamError::kRefused : StreamError::kReset);
}

namespace {

// Which errors end a connect. RFC 1122 section 4.2.3.9 has "port" and "protocol unreachable" as hard and the other
// unreachables as soft, to be waited out; but what waits here is a request or a health check, which has other backends to
// go to and comes back in an interval: the sooner it hears that there is no way at all, the better (RFC 5461 section 4.1;
// Linux does the same). "Fragmentation needed" speaks of size and not of the way; time exceeded (a routing loop while
// routes settle), parameter problem, redirect, source quench and packet too big do not say that the peer cannot be had:
// the SYN is sent again, and its time limit decides.
bool ends_connect(const IcmpMessage& message, bool v4) noexcept {
  return message.type == (v4 ? static_cast<std::uint8_t>(net::IcmpType::kUnreachable)
                             : static_cast<std::uint8_t>(net::Icmpv6Type::kUnreachable));
}

bool is_too_big(const IcmpMessage& message, bool v4) noexcept {
  constexpr std::uint8_t kFragmentationNeeded = 4;
  if (!v4) return message.type == static_cast<std::uint8_t>(net::Icmpv6Type::kPacketTooBig);
  return message.type == static_cast<std::uint8_t>(net::IcmpType::kUnreachable) && message.code == kFragmentationNeeded;
}

}  // namespace

// RFC 5927 section 4 and 5: that a peer is unreachable is believed only while nothing was ever heard from it, and only about
// the sequence number that is in flight.
void Core::input_icmp_error(const IcmpMessage& message, Instant now) noexcept {
  set_now(now);
  const std::optional<QuotedSegment> quoted = parse_quoted(message.quoted);
  if (!quoted) return;
  const bool v4 = quoted->tuple.local.address.is_v4();
  const bool too_big = is_too_big(message, v4);
  if (!too_big && !ends_connect(message, v4)) return;
  Connection* c = find(quoted->tuple, hash_(quoted->tuple));
  if (c == nullptr) return;
  if (too_big) return input_too_big(*c, *quoted, message.mtu);
  if (c->state_ != State::kSynSent || quoted->seq != c->iss_ || c->snd_max_ == c->iss_) return;
  finish(*c, StreamError::kUnreachable);
}

}  // namespace sluice::tcp
