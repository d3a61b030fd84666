// The stack behind TcpStack: its tables, and the functions that move a connection. Split over files by what moves it:
//   core.cc        connections come and go; accept and events reach the application
//   input.cc       a packet finds its connection, time-wait record or listener; the checks of RFC 9293 section 3.10.7.4
//   handshake.cc   LISTEN, SYN_SENT, SYN_RECEIVED
//   syn_cookie.cc  the handshake that leaves no trace until it is complete
//   ack.cc         what an acknowledgment does: windows, RTT, what is released
//   recovery.cc    SACK, the congestion window, timeouts
//   loss_detection.cc  what is lost: RACK, tail loss probes, duplicate acknowledgments
//   undo.cc        recoveries that were for nothing
//   receive.cc     data and FIN; the receive window
//   output.cc      segments are built and sent
//   ecn.cc         congestion that routers mark rather than drop for
//   path_mtu.cc    how large a segment may be: routers' messages, black holes
//   timers.cc      retransmission, persist, delayed ACK, keepalive, time limits
//   connection.cc  what the application calls
// Threading: one per proxy thread; every call comes from it.
// Invariant: a connection in a state before kDone is in table_; one in kDone is in no list but perhaps kReady.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "block_pool.h"
#include "connection.h"
#include "path_cache.h"
#include "segment.h"
#include "sending.h"
#include "sluice/base/random.h"
#include "sluice/base/timer_wheel.h"
#include "sluice/net/syn_cookie.h"
#include "sluice/tcp/stack.h"
#include "source_counts.h"
#include "time_wait.h"
#include "tuple_table.h"

namespace sluice::tcp {

// Limits and times that no configuration changes.
inline constexpr Ticks kMinRto = 200;              // Linux' floor; RFC 6298 section 2.4 says 1 s
inline constexpr Ticks kMaxRto = 60'000;           // RFC 6298 section 2.5
inline constexpr Ticks kInitialRto = 1000;         // RFC 6298 section 2.1
inline constexpr Ticks kRtoAfterSynLoss = 3000;    // RFC 6298 section 5.7
inline constexpr Ticks kDelayedAck = 40;           // RFC 9293 section 3.8.6.3 allows 500 ms
inline constexpr std::uint8_t kAckEvery = 2;       // segments; RFC 5681 section 4.2
inline constexpr std::uint8_t kAckStretch = 8;     // segments of one burst that one acknowledgment may cover
inline constexpr std::uint8_t kQuickAcks = 16;     // segments acknowledged at once while a peer's slow start begins
inline constexpr std::uint8_t kDuplicateAcks = 3;  // RFC 5681 section 3.2
inline constexpr std::uint8_t kSynRetries = 6;
inline constexpr std::uint8_t kSynAckRetries = 5;
inline constexpr std::uint8_t kKeepaliveProbes = 5;
inline constexpr Ticks kKeepaliveInterval = 15'000;  // between probes that stay unanswered
inline constexpr Ticks kLingerInAll = 10;            // times StackConfig::linger, however much progress there is
inline constexpr Ticks kChallengeInterval = 500;     // RFC 5961 section 7: at most one a connection in this time
inline constexpr std::uint32_t kChallenges = 1000;   // the same section: on average a second, all connections together
inline constexpr std::size_t kMaxListeners = 0xffff;
inline constexpr std::size_t kInputBurst = 32;        // packets whose cache misses overlap
inline constexpr std::uint32_t kInitialRxBlocks = 8;  // of a new connection's window while memory is plentiful
inline constexpr std::uint32_t kMinRxBlocks = 1;
inline constexpr std::uint32_t kOwnShare = 16;           // one connection in so many is left to those that we open
inline constexpr std::uint32_t kCautiousHalfOpen = 128;  // more half-open connections than that get the smallest window
inline constexpr std::uint32_t kHalfOpenShare = 4;  // one in so many connections, and blocks, may be a half-open one's

// To tell apart within TIME_WAIT's minute.
[[nodiscard]] constexpr std::uint8_t half_second(Ticks at) noexcept {
  return static_cast<std::uint8_t>(at / kChallengeInterval);
}

class ConnList {
 public:
  [[nodiscard]] ConnIndex front() const noexcept { return head_; }
  [[nodiscard]] bool empty() const noexcept { return head_ == kNoConn; }
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }

 private:
  friend class Core;
  ConnIndex head_ = kNoConn;
  ConnIndex tail_ = kNoConn;
  std::uint32_t size_ = 0;
};

struct Listener {
  net::Endpoint local;
  Acceptor* acceptor = nullptr;  // nullptr: closed
  ListenOptions options{};       // half_open: bounded by the backlog
  std::uint32_t pending = 0;     // half-open, and complete but not yet accepted
  std::optional<Ticks> last_cookie{};
  std::uint16_t generation = 0;
  ConnList half_open{};  // those of them in SYN-RECEIVED, the oldest first
};

class Core {
 public:
  Core(const StackConfig& config, PacketSink& sink, Instant now);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  void input(std::span<const Received> burst, Instant now) noexcept;
  void input_icmp_error(const IcmpMessage& message, Instant now) noexcept;
  std::size_t dispatch() noexcept;
  void advance(Instant now) noexcept;
  void flush(Instant now) noexcept;
  [[nodiscard]] std::optional<Instant> next_deadline() const noexcept;
  [[nodiscard]] Result<void> listen(const net::Endpoint& local, const ListenOptions& options, Acceptor& acceptor);
  void unlisten(const net::Endpoint& local) noexcept;
  [[nodiscard]] Conn* connect(const net::Endpoint& local, const net::Endpoint& remote, StreamHandler& handler,
                              Instant now, Duration timeout, const ConnOptions& options) noexcept;
  [[nodiscard]] bool is_free(const net::Endpoint& local, const net::Endpoint& remote) const noexcept;
  [[nodiscard]] const StackStats& stats() const noexcept;

 private:
  friend class Connection;

  // core.cc
  [[nodiscard]] static bool is_live(std::uint32_t generation) noexcept { return (generation & 1) != 0; }
  [[nodiscard]] Connection& conn(ConnIndex index) noexcept {
    return *reinterpret_cast<Connection*>(blocks_[index].bytes);
  }
  [[nodiscard]] const Connection& conn(ConnIndex index) const noexcept {
    return *reinterpret_cast<const Connection*>(blocks_[index].bytes);
  }
  [[nodiscard]] Connection* find(const FourTuple& tuple, std::uint32_t hash) noexcept;
  [[nodiscard]] Connection* allocate(const FourTuple& tuple, std::uint32_t hash) noexcept;
  void destroy(Connection& c) noexcept;  // the block is free again; no RST is sent
  void set_now(Instant now) noexcept;
  void add_event(Connection& c, StreamEvents events) noexcept;
  // The protocol is done with the connection. With an error the application hears kClosed; a released one is freed.
  void finish(Connection& c, StreamError error) noexcept;
  void enter_time_wait(Connection& c) noexcept;
  void leave_network(Connection& c) noexcept;  // out of the table, the timers and the sending lists
  void push(ListId id, Connection& c) noexcept;
  void remove(ListId id, Connection& c) noexcept;
  void append(ConnList& l, std::size_t which, Connection& c) noexcept;  // by its link of that number
  void unlink(ConnList& l, std::size_t which, Connection& c) noexcept;
  [[nodiscard]] ConnList& list(ListId id) noexcept { return lists_[static_cast<std::size_t>(id)]; }
  void deliver_accept(Connection& c) noexcept;
  void feed_starved() noexcept;
  void drop_pending(Connection& c) noexcept;     // the listener stops counting it
  void enter_half_open(Connection& c) noexcept;  // SYN-RECEIVED begins
  void leave_half_open(Connection& c) noexcept;  // and ends, whatever comes next
  [[nodiscard]] Listener* find_listener(const net::Endpoint& local) noexcept;
  [[nodiscard]] std::uint32_t listener_hash(const net::Endpoint& local) const noexcept {
    return hash_({.local = local, .remote = {}});
  }
  [[nodiscard]] Listener* listener_of(const Connection& c) noexcept;  // nullptr: closed meanwhile

  // input.cc
  void input_chunk(std::span<const Received> chunk) noexcept;
  void prefetch(ConnIndex index) const noexcept {
    const std::byte* block = blocks_[index].bytes;
    __builtin_prefetch(block, 1);
    __builtin_prefetch(block + 64, 1);
    __builtin_prefetch(block + 192, 1);
  }
  void process(Connection& c, Segment& s) noexcept;
  [[nodiscard]] bool is_paws_ok(Connection& c, const Segment& s) noexcept;
  [[nodiscard]] bool trim_to_window(Connection& c, Segment& s) noexcept;
  void process_rst(Connection& c, const Segment& s) noexcept;
  void input_no_connection(Segment& s, std::uint32_t hash) noexcept;
  [[nodiscard]] bool input_time_wait(TimeWaitRecord& record, const Segment& s, std::uint32_t hash) noexcept;

  // handshake.cc
  void input_listen(Listener& listener, const Segment& s, std::uint32_t hash, TimeWaitRecord* old) noexcept;
  // A connection of the listener, not yet in a state. nullptr: there is no block.
  [[nodiscard]] Connection* allocate_passive(Listener& listener, const FourTuple& tuple, std::uint32_t hash) noexcept;
  [[nodiscard]] bool is_full() const noexcept {  // but for connections that we open
    return stats_.connections >= config_.max_connections - config_.max_connections / kOwnShare;
  }
  void input_syn_sent(Connection& c, Segment& s) noexcept;
  // Counts one more connection of the client, in the record that it gives (0: there is no limit). False: it has as many as
  // it may.
  [[nodiscard]] bool admit_source(const Listener& listener, const net::IpAddress& client,
                                  std::uint32_t& record) noexcept;
  [[nodiscard]] bool complete_handshake(Connection& c, const Segment& s) noexcept;
  void take_syn_options(Connection& c, const Segment& s) noexcept;
  // What we can receive in one segment without options.
  [[nodiscard]] std::uint16_t own_mss(const FourTuple& tuple) const noexcept {
    return static_cast<std::uint16_t>(config_.mtu - ip_header_len(tuple) - sizeof(net::TcpHeader));
  }
  void start_sequence(Connection& c, const TimeWaitRecord* old) noexcept;  // RFC 6528; beyond what `old` used
  void start_at(Connection& c, Seq iss) noexcept;
  [[nodiscard]] std::uint64_t keyed(const FourTuple& tuple) const noexcept;  // no peer can tell another tuple's
  static void set_options(Connection& c, const ConnOptions& options) noexcept;
  void establish(Connection& c, const Segment& s) noexcept;
  [[nodiscard]] bool grant_window(Connection& c, bool cautious) noexcept;  // of a new connection; false: no memory

  // syn_cookie.cc
  [[nodiscard]] bool wants_cookie(const Listener& listener) const noexcept;
  void send_cookie(Listener& listener, const Segment& s) noexcept;
  // An acknowledgment to a listener that no connection takes. False: it belongs to nobody.
  [[nodiscard]] bool input_cookie(Listener& listener, Segment& s, std::uint32_t hash) noexcept;
  // With a window; in the place of a half-open connection if need be. nullptr: no memory.
  [[nodiscard]] Connection* allocate_proven(Listener& listener, const FourTuple& tuple, std::uint32_t hash) noexcept;
  [[nodiscard]] bool evict_half_open(Listener& listener) noexcept;  // the oldest one; false: there is none

  // ack.cc
  // What an acknowledgment told.
  struct AckNews {
    std::uint32_t flight = 0;         // snd_max - snd_una before it
    std::uint32_t acked = 0;          // by so much it moved snd_una
    std::uint32_t delivered = 0;      // so much has arrived that we did not know of
    std::uint32_t rtt_us = 0;         // the shortest of what was sent once; 0: there is none
    std::uint32_t latest_rtt_us = 0;  // of what was sent last
    std::uint32_t echo_age_us = 0;    // how long ago the timestamp was sent that it echoes; 0: not known
    bool found_losses = false;
    bool marked = false;  // the peer reports marks of congestion
    bool dsack = false;
    bool all_came_twice = false;  // everything that the recovery has sent again
    bool original = false;        // after a timeout, something arrived that was sent before it and not again
    bool probe_repaired = false;  // a loss at the tail, by the probe
    std::uint16_t largest = 0;    // segment that was sent once
  };
  [[nodiscard]] bool process_ack(Connection& c, const Segment& s) noexcept;  // false: drop the segment
  void take_ack(Connection& c, const Segment& s, bool duplicate) noexcept;
  void take_new_ack(Connection& c, Sending& tx, const Segment& s, AckNews& news) noexcept;
  bool sample_rtt(Connection& c, const Segment& s) noexcept;  // true: there was something to measure
  void add_rtt_sample(Connection& c, Ticks rtt) noexcept;
  [[nodiscard]] bool our_fin_acked(Connection& c) noexcept;  // false: the connection has left the network

  // recovery.cc
  [[nodiscard]] static std::uint32_t initial_window(const Connection& c) noexcept;  // bytes
  [[nodiscard]] Sending& sending(const Connection& c) noexcept { return sending_[c.index_]; }
  void take_sacks(Connection& c, Sending& tx, const Segment& s, AckNews& news) noexcept;
  [[nodiscard]] static bool is_duplicate_sack(std::span<const SackBlock> blocks, Seq ack) noexcept;
  [[nodiscard]] std::uint32_t take_duplicate(Connection& c, Sending& tx) noexcept;
  void adapt_window(Connection& c, Sending& tx, const AckNews& news) noexcept;
  void enter_recovery(Connection& c, Sending& tx, const AckNews& news) noexcept;
  void lose_all(Connection& c, Sending& tx) noexcept;
  void check_books(Connection& c, Sending& tx) noexcept;

  // loss_detection.cc
  void arrived(Connection& c, Sending& tx, const SentSegment& segment, AckNews& news) noexcept;
  [[nodiscard]] std::uint32_t reordering_window(const Connection& c, const Sending& tx) const noexcept;  // microseconds
  static void widen_reordering_window(Connection& c, Sending& tx, bool dsack) noexcept;
  static void narrow_reordering_window(Sending& tx) noexcept;
  [[nodiscard]] bool find_losses(Connection& c, Sending& tx, bool advances) noexcept;
  void find_late(Connection& c, Sending& tx) noexcept;
  void find_holes(Connection& c, Sending& tx, bool advances) noexcept;
  void schedule_probe(Connection& c, Sending& tx) noexcept;
  void send_probe_of_tail(Connection& c, Sending& tx) noexcept;
  [[nodiscard]] static bool has_probe_repaired(Sending& tx, const Segment& s, const AckNews& news,
                                               bool duplicate) noexcept;
  void on_early_timer(Connection& c) noexcept;

  // undo.cc
  static void arm_undo(Connection& c, Sending& tx, bool by_probe) noexcept;
  static void note_dsack(Connection& c, Sending& tx, const SackBlock& twice, AckNews& news) noexcept;
  [[nodiscard]] bool try_undo(Connection& c, Sending& tx, const Segment& s, const AckNews& news) noexcept;
  [[nodiscard]] static bool is_timeout_spurious(Connection& c, Sending& tx, const AckNews& news) noexcept;

  // receive.cc
  void process_data(Connection& c, Segment& s) noexcept;
  void process_fin(Connection& c) noexcept;
  void acknowledge_data(Connection& c) noexcept;
  void adapt_window_quota(Connection& c) noexcept;
  // Memory is short: what has been used up of a window is not opened again, until the window is the least there is.
  [[nodiscard]] bool is_pressed(const Connection& c) const noexcept {
    return pool_.available() < reserve() && c.rx_.quota() > kMinRxBlocks;
  }
  void consumed(Connection& c) noexcept;
  void note_duplicate(Connection& c, SackBlock twice) noexcept;
  [[nodiscard]] std::uint16_t window_field(Connection& c, bool syn) noexcept;

  // output.cc
  [[nodiscard]] bool transmit(Connection& c) noexcept;  // what may be sent now; false: the sink had no room
  [[nodiscard]] bool send_data(Connection& c) noexcept;
  [[nodiscard]] bool send_fin(Connection& c) noexcept;
  [[nodiscard]] bool send_lost(Connection& c, Sending& tx) noexcept;  // what is lost, as far as the window allows
  [[nodiscard]] bool send_next(Connection& c, Sending& tx, std::uint32_t len, std::uint8_t flags) noexcept;
  [[nodiscard]] bool send_again(Connection& c, Sending& tx, SegmentPos pos) noexcept;
  // Room for a segment of ours with its headers, which are written by send_built(); empty: the sink has none.
  [[nodiscard]] std::span<std::uint8_t> reserve(const Connection& c, const HeaderFields& fields,
                                                std::uint32_t len) noexcept;
  void send_built(Connection& c, const HeaderFields& fields, std::span<std::uint8_t> packet,
                  std::uint32_t len) noexcept;
  bool send_ack(Connection& c) noexcept;
  void send_challenge(Connection& c) noexcept;  // RFC 5961: to what may be forged; limited for all connections together
  void send_reminder(Connection& c) noexcept;  // of where we stand, to what is out of place; limited for the connection
  [[nodiscard]] bool answered_lately(Connection& c) noexcept;
  [[nodiscard]] bool may_challenge() noexcept;
  void send_syn(Connection& c) noexcept;
  void send_probe(Connection& c) noexcept;  // makes the peer say where it stands: keepalive and closed windows
  void send_rst_for(const Segment& s) noexcept;
  void send_time_wait_ack(const TimeWaitRecord& record, const Segment& s) noexcept;
  void reset(Connection& c) noexcept;  // tells the peer; the state does not change
  void send_bare(const FourTuple& tuple, const HeaderFields& fields) noexcept;
  void acknowledgment_sent(Connection& c) noexcept;
  // `room`: so much of the segment is left to SACK blocks.
  [[nodiscard]] HeaderFields header(Connection& c, Seq seq, std::uint8_t flags, std::size_t room) noexcept;
  [[nodiscard]] std::uint32_t sack_len(
      const Connection& c) const noexcept;  // what the blocks take that there are to tell

  // ecn.cc
  static void take_ecn_setup(Connection& c, const Segment& syn) noexcept;  // whether the peer takes part
  void offer_ecn(Connection& c, HeaderFields& syn) noexcept;
  void take_ecn_marks(Connection& c, const Segment& s) noexcept;
  static void mark_data(Connection& c, HeaderFields& fields) noexcept;  // new data is sent
  void enter_reduction(Connection& c, Sending& tx, const AckNews& news) noexcept;

  // path_mtu.cc
  [[nodiscard]] static std::uint32_t header_len(
      const Connection& c) noexcept {  // before a segment's payload, without SACK
    return static_cast<std::uint32_t>(ip_header_len(c.tuple_) + sizeof(net::TcpHeader) +
                                      (c.ts_on_ ? kTimestampOptionLen : 0));
  }
  void start_path(Connection& c) noexcept;  // mss_ is what the handshake allows
  void input_too_big(Connection& c, const QuotedSegment& quoted, std::uint32_t mtu) noexcept;
  // What a message allows a segment to have; 0: it cannot be true.
  [[nodiscard]] std::uint16_t credible_mss(Connection& c, const QuotedSegment& quoted, std::uint32_t mtu) noexcept;
  void lower_mss(Connection& c, std::uint16_t mss) noexcept;
  void believe_too_big(Connection& c, std::uint16_t mss, Seq quoted) noexcept;
  [[nodiscard]] bool believe_claim(Connection& c) noexcept;  // at a timeout; false: there is none
  void raise_mss(Connection& c) noexcept;
  void judge_path(Connection& c) noexcept;          // after an acknowledgment, while something is claimed or guessed
  void suspect_black_hole(Connection& c) noexcept;  // at a timeout
  void learn_path(const Connection& c) noexcept;

  // timers.cc
  void arm(Connection& c) noexcept;  // to the earliest deadline
  void bring_forward(Connection& c, Ticks deadline) noexcept {
    if (!c.wheel_armed_ || seq_lt(deadline, c.wheel_deadline_)) set_timer(c, deadline);
  }
  void set_timer(Connection& c, Ticks deadline) noexcept {
    c.wheel_armed_ = true;
    c.wheel_deadline_ = deadline;
    wheel_.arm(c.timer_, instant(deadline));
  }
  [[nodiscard]] Instant instant(Ticks deadline) const noexcept {
    return now_ + std::chrono::milliseconds(static_cast<std::int32_t>(deadline - now_ms_));
  }
  void start_rtx(Connection& c) noexcept;
  void start_ack_timer(Connection& c) noexcept;
  void start_early(Connection& c, EarlyTimer timer, Ticks wait) noexcept;
  [[nodiscard]] std::optional<Ticks> end_deadline(const Connection& c) const noexcept;
  void on_timer(Connection& c) noexcept;
  void on_rtx_timer(Connection& c) noexcept;
  void on_end_timer(Connection& c) noexcept;
  [[nodiscard]] static Ticks ticks(Duration d) noexcept {
    return static_cast<Ticks>(std::chrono::duration_cast<std::chrono::milliseconds>(d).count());
  }
  static void fire(void* owner) noexcept;
  static void fire_time_wait(void* owner) noexcept;
  void arm_time_wait() noexcept;

  // Blocks below which windows and send buffers no longer grow.
  [[nodiscard]] std::uint32_t reserve() const noexcept { return pool_.size() / 8; }

  // connection.cc
  [[nodiscard]] std::uint32_t max_tx_blocks(const Connection& c) noexcept;
  void after_write(Connection& c, bool fell_short) noexcept;

  struct alignas(64) Block {
    std::byte bytes[sizeof(Connection)];
  };
  struct Slot {                // outlives the connections in the block of the same index
    std::uint32_t generation;  // odd while a connection lives there
    std::uint32_t link;        // the next free block; of a connection: its record in sources_, 0: not counted
  };

  StackConfig config_;
  PacketSink& sink_;
  Instant now_;
  Ticks now_ms_ = 0;
  std::uint32_t now_us_ = 0;  // wraps after 71 minutes: for times between sending and acknowledgment
  mutable StackStats stats_;  // gauges are filled in when asked for
  TupleHash hash_;
  TupleTable table_;
  HugeArray<Block> blocks_;
  HugeArray<Slot> slots_;
  HugeArray<Sending> sending_;  // by ConnIndex
  ConnIndex fresh_ = 1;
  ConnIndex free_list_ = kNoConn;
  BlockPool pool_;
  TimerWheel wheel_;
  TimeWaitTable time_wait_;
  Timer time_wait_timer_;
  SourceCounts sources_;
  PathCache paths_;
  ConnList lists_[kListCount];
  std::vector<Listener> listeners_;
  TupleTable listener_table_;  // those that are open, by endpoint: index in listeners_ and one
  std::uint32_t challenge_second_ = ~0u;
  std::uint32_t challenges_left_ = 0;
  net::SynCookies cookies_;
  std::uint32_t max_half_open_;  // of all listeners
  std::uint32_t max_rx_blocks_;
  std::uint32_t max_tx_blocks_;
  std::uint8_t rcv_shift_ = 0;
  bool sink_full_ = false;
#ifndef NDEBUG
  std::uint32_t books_skipped_ = 0;
#endif
};

}  // namespace sluice::tcp
