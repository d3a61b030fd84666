// The connection block (TCB): the state of one connection, and the Conn that the application holds.
// Threading: belongs to its stack's thread.
// Ownership: lies in the stack's array. It is in use from allocation until the application has let go of it (close,
//            abort) and the protocol is done with it; the generation changes at each end, so that a stale handle is
//            recognised.
// Units:     Ticks are milliseconds; windows are bytes, scaled.
// Spec:      RFC 9293 section 3.3.1. What it needs to send is in Sending (sending.h). LISTEN is a Listener, TIME_WAIT a TimeWait record, CLOSED is kDone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "rx_queue.h"
#include "segment.h"
#include "seq.h"
#include "sluice/base/timer_wheel.h"
#include "sluice/tcp/stack.h"
#include "tx_queue.h"

namespace sluice::tcp {

class Core;

using ConnIndex = std::uint32_t;
inline constexpr ConnIndex kNoConn = 0;

enum class State : std::uint8_t {
  kSynSent,
  kSynReceived,
  kEstablished,
  kFinWait1,
  kFinWait2,
  kCloseWait,
  kClosing,
  kLastAck,
  kDone,  // nothing is sent or received any more; the block waits for the application to let go
};

// What may have to be done before the retransmission timer.
enum class EarlyTimer : std::uint8_t {
  kNone,
  kReorder,  // RFC 8985 section 6.2: what is late by then is lost
  kProbe,    // section 7: nothing is heard of the last segments
};

// Which of the stack's lists a connection is in.
enum class ListId : std::uint8_t {
  kReady,   // has events for the application, or is to be accepted
  kOutput,  // has something to send at the next flush()
  kStarved  // a write fell short because the pool was empty
};
inline constexpr std::size_t kListCount = 3;
// The list of a listener's half-open connections uses the same link as kStarved: before a connection is accepted nobody
// writes to it.
inline constexpr std::size_t kHalfOpenLink = static_cast<std::size_t>(ListId::kStarved);

struct ListLink {
  ConnIndex previous = kNoConn;
  ConnIndex next = kNoConn;
  bool operator==(const ListLink&) const = default;
};

class alignas(64) Connection final : public Conn {
 public:
  Connection(Core& core, ConnIndex index, std::uint32_t generation) noexcept;

  // Stream and Conn: what the application calls (connection.cc).
  std::span<const std::uint8_t> rx_peek() noexcept override;
  void rx_consume(std::size_t bytes) noexcept override;
  [[nodiscard]] bool rx_ended() const noexcept override;
  std::size_t write(std::span<const std::uint8_t> bytes) noexcept override;
  [[nodiscard]] std::size_t tx_space() const noexcept override;
  [[nodiscard]] bool tx_drained() const noexcept override;
  void shutdown_write() noexcept override;
  void close() noexcept override;
  void abort() noexcept override;
  [[nodiscard]] StreamError error() const noexcept override { return error_; }
  void set_handler(StreamHandler* handler) noexcept override;
  [[nodiscard]] const net::Endpoint& local() const noexcept override { return tuple_.local; }
  [[nodiscard]] const net::Endpoint& remote() const noexcept override { return tuple_.remote; }
  std::span<std::uint8_t> tx_reserve(std::size_t bytes) noexcept override;
  void tx_commit(std::size_t bytes) noexcept override;
  [[nodiscard]] void* user() const noexcept override { return user_; }
  void set_user(void* user) noexcept override { user_ = user; }

 private:
  friend class Core;
  friend struct ConnectionLayout;  // proves the layout below
  friend class ConnList;

  // Sequence space. What is sent lies in [snd_una, snd_max).
  [[nodiscard]] bool syn_acked() const noexcept { return state_ > State::kSynReceived; }
  [[nodiscard]] Seq tx_first() const noexcept { return syn_acked() ? snd_una_ : iss_ + 1; }  // of the first byte in tx_
  [[nodiscard]] Seq tx_end() const noexcept { return tx_first() + tx_.bytes(); }             // a FIN's sequence number
  [[nodiscard]] std::uint32_t flight() const noexcept { return snd_max_ - snd_una_; }  // acknowledged last, sent last
  [[nodiscard]] bool outstanding() const noexcept { return snd_una_ != snd_max_; }
  [[nodiscard]] ListLink& link(std::size_t list) noexcept { return list < 2 ? links_[list] : starved_link_; }
  [[nodiscard]] std::uint32_t rcv_window() const noexcept { return rcv_adv_ - rcv_nxt_; }
  [[nodiscard]] bool can_write() const noexcept;
  [[nodiscard]] bool can_receive() const noexcept {  // the peer has not ended its direction
    return state_ >= State::kEstablished && state_ <= State::kFinWait2;
  }

  // --- cache lines 0 and 1: with the first of line 3, all that an in-order segment and its acknowledgment touch ---
  // Line 0; the vtable pointer comes first.
  FourTuple tuple_;
  Seq rcv_nxt_ = 0;
  Seq rcv_adv_ = 0;  // right edge of the window: the furthest ever advertised
  Seq snd_una_ = 0;
  Seq snd_max_ = 0;        // end of what was ever sent
  Seq last_ack_sent_ = 0;  // RFC 7323 section 4.3
  // Line 1.
  State state_ = State::kSynSent;
  std::uint8_t snd_shift_ : 4 = 0;
  std::uint8_t rcv_shift_ : 4 = 0;
  bool ecn_send_ : 1 = false;     // our data is marked as ECN-capable
  bool ecn_receive_ : 1 = false;  // marks on the peer's are reported
  bool ecn_echo_ : 1 = false;     // a mark is being reported, until the peer says that it has heard
  bool ecn_heard_ : 1 = false;    // the next new data says that we have heard
  std::uint8_t ack_pending_ = 0;  // segments with data received since the last acknowledgment sent
  StreamEvents events_ = StreamEvents::kNone;
  std::uint8_t lists_ = 0;  // a bit for each ListId
  std::uint8_t quick_acks_ = 0;
  std::uint8_t keepalive_probes_ = 0;
  bool ts_on_ : 1 = false;
  bool ack_now_ : 1 = false;
  bool ack_timer_on_ : 1 = false;
  bool rtx_on_ : 1 = false;
  bool probing_ : 1 = false;     // rtx_deadline_ is the persist timer's
  bool fin_queued_ : 1 = false;  // our direction ends after what is in tx_
  bool fin_sent_ : 1 = false;    // at least once
  bool peer_fin_ : 1 = false;    // a FIN was received, at peer_fin_seq_, perhaps beyond a gap
  bool want_write_ : 1 = false;  // kWritable was promised
  bool released_ : 1 = false;    // the application closed it: no events, received data is dropped
  bool accepted_ : 1 = false;    // false: passive, and the acceptor has not seen it yet
  bool passive_ : 1 = false;
  bool rtt_timing_ : 1 = false;   // without timestamps: rtt_seq_ is being timed (Karn's algorithm)
  bool wheel_armed_ : 1 = false;  // wheel_deadline_ is when timer_ fires
  bool sack_on_ : 1 = false;      // both sides offered it
  bool dsack_on_ : 1 = false;     // the next acknowledgment tells what came twice (RFC 2883)
  std::uint16_t mss_ = 0;         // of what we send: payload bytes without options
  std::uint32_t ts_recent_ = 0;
  Ticks ts_recent_at_ = 0;
  std::uint32_t ts_offset_ = 0;
  Ticks last_rx_ = 0;
  Ticks ack_deadline_ = 0;    // while ack_timer_on_
  Ticks wheel_deadline_ = 0;  // so that timer_'s own line is touched only to change it
  ConnIndex index_ = kNoConn;
  RxQueue rx_;  // its list of ranges, line 2, is touched only when something is out of order
  // --- line 3 ---
  ListLink links_[2];  // kReady, kOutput
  StreamHandler* handler_ = nullptr;
  Core* core_ = nullptr;
  Seq rx_round_end_ = 0;  // when rcv_nxt_ gets here, half of the receive window has been used and it may grow
  std::uint32_t snd_wnd_ = 0;
  std::uint32_t max_snd_wnd_ = 0;
  Seq snd_wl1_ = 0;
  Seq snd_wl2_ = 0;
  TxQueue tx_;  // begins with its number of bytes
  // --- sending ---
  Ticks rtx_deadline_ = 0;  // while rtx_on_: retransmission, or the next probe of a closed window
  std::uint8_t backoff_ = 0;
  StreamError error_ = StreamError::kNone;
  CongestionControl congestion_control_ = CongestionControl::kCubic;
  std::uint8_t initial_window_ = 0;  // segments
  EarlyTimer early_ = EarlyTimer::kNone;
  bool mss_guessed_ : 1 = false;   // it is smaller since large segments vanish, and nothing has arrived since
  bool black_hole_ : 1 = false;    // large segments have vanished on this path before
  std::uint16_t full_mss_ = 0;     // what mss_ is while nothing is known of the path
  std::uint16_t acked_mss_ = 0;    // the largest segment that has arrived in one piece
  std::uint16_t claimed_mss_ = 0;  // of a message that is not believed yet, about claimed_seq_; 0: there is none
  Ticks early_deadline_ = 0;       // while early_ is not kNone
  std::uint32_t srtt_ = 0;         // in 1/8 ms (RFC 6298 section 2)
  std::uint32_t rttvar_ = 0;       // in 1/4 ms
  Ticks rto_ = 0;
  Seq rtt_seq_ = 0;
  Ticks rtt_start_ = 0;
  std::uint32_t min_rtt_us_ = 0;  // 0: not known; before the connection is established, when the first SYN was sent
  Ticks last_tx_ = 0;
  Ticks progress_ = 0;  // when the peer last acknowledged something new, or outstanding data began
  // --- beginning, end, bookkeeping ---
  Seq iss_ = 0;
  Seq irs_ = 0;
  std::uint32_t rx_round_start_us_ = 0;  // when the round to rx_round_end_ began
  Seq peer_fin_seq_ = 0;
  Ticks end_deadline_ = 0;  // connect timeout, or the linger bound once released_
  Ticks last_challenge_ = 0;
  Ticks keepalive_idle_ = 0;  // 0: no keepalive
  Seq claimed_seq_ = 0;
  Ticks raise_mss_at_ = 0;  // while mss_ is less than full_mss_
  std::uint16_t listener_ = 0;
  std::uint16_t listener_generation_ = 0;
  std::uint32_t generation_ = 0;
  std::uint32_t hash_ = 0;
  ListLink starved_link_;
  void* user_ = nullptr;
  Timer timer_;
};

struct ConnectionLayout {
  static constexpr std::size_t kLine = 64;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"  // conditionally supported, and it is with both compilers
  static_assert(offsetof(Connection, last_ack_sent_) + sizeof(Seq) == kLine);
  static_assert(offsetof(Connection, rx_) + RxQueue::kHotBytes == 2 * kLine);
  static_assert(offsetof(Connection, links_) == 3 * kLine);
  static_assert(offsetof(Connection, tx_) + sizeof(std::uint32_t) <= 4 * kLine);
  static_assert(offsetof(Connection, progress_) + sizeof(Ticks) <= 5 * kLine);
#pragma GCC diagnostic pop
  static_assert(sizeof(Connection) <= 448);
};

}  // namespace sluice::tcp
