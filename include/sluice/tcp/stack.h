// A TCP host: listeners, connections, timers; RFC 9293 and the RFCs named in docs/tcp.md. It does no I/O and reads no
// clock.
// Threading: one stack per proxy thread; every call comes from it. No globals, no locks, no allocation on the data
//            path.
// Ownership: the stack owns its connections and buffers. A Conn& lives until close() or abort().
// Use:       each turn of the loop: input() for every packet, then dispatch() (up-calls), advance() (timers), flush()
//            (transmit).
// Units:     Instant is nanoseconds since start; sizes are bytes.
// Spec:      RFC 9293, 6298, 5681, 7323, 6528, 5961, 1337, 6191, 4987, 2018, 2883, 6675, 6937, 9438, 9406, 8985, 3522, 4015, 5682.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "sluice/base/result.h"
#include "sluice/base/siphash.h"
#include "sluice/base/time.h"
#include "sluice/net/address.h"
#include "sluice/tcp/packet_sink.h"
#include "sluice/tcp/stream.h"

namespace sluice::tcp {

class Conn : public Stream {
 public:
  [[nodiscard]] virtual const net::Endpoint& local() const noexcept = 0;
  [[nodiscard]] virtual const net::Endpoint& remote() const noexcept = 0;

  // Room in the send buffer to be written in place (TLS encrypts straight into it); tx_commit() sends the first `bytes`
  // of it. At most one reservation is open; a write() or another reserve ends it. Contiguous; may be shorter than asked
  // for.
  [[nodiscard]] virtual std::span<std::uint8_t> tx_reserve(std::size_t bytes) noexcept = 0;
  virtual void tx_commit(std::size_t bytes) noexcept = 0;

  // Which side of the application asked for the connection; lets the application find its own object. Not used by the
  // stack.
  [[nodiscard]] virtual void* user() const noexcept = 0;
  virtual void set_user(void* user) noexcept = 0;

 protected:
  ~Conn() = default;
};

enum class CongestionControl : std::uint8_t {
  kCubic,  // RFC 9438
  kReno,   // RFC 5681
};

// How a connection behaves: those that a listener accepts, or one that is opened.
// Explicit congestion notification (RFC 3168).
enum class Ecn : std::uint8_t {
  kOff,
  kAccept,  // when the peer asks for it
  kOn,      // connections that we open ask for it too
};

struct ConnOptions {
  CongestionControl congestion = CongestionControl::kCubic;
  std::uint8_t initial_window = 10;                   // segments (RFC 6928)
  Duration keepalive_idle = std::chrono::minutes(2);  // 0: no keepalive
  Ecn ecn = Ecn::kAccept;
};

struct StackConfig {
  std::uint32_t max_connections = 100'000;
  std::uint32_t max_time_wait = 200'000;
  std::size_t buffer_memory = std::size_t{256} << 20;  // budget for all send and receive buffers together
  // Per connection, at most; they grow to what the path needs and the budget allows.
  std::size_t rx_buffer = 32 << 20;
  std::size_t tx_buffer = 32 << 20;
  std::uint16_t mtu = 1500;
  Duration connect_timeout = std::chrono::seconds(5);
  Duration user_timeout = std::chrono::minutes(2);  // unacknowledged data for so long ends a connection
  // close(): a peer that acknowledges nothing new for so long is reset, and any peer after ten times as long.
  Duration linger = std::chrono::seconds(30);
  SipKey secret{};         // initial sequence numbers (RFC 6528)
  std::uint64_t seed = 0;  // jitter, port choice
  Offloads offloads{};     // what the sink does for us: tx_checksum
};

// One packet of a burst, as input() takes them.
struct Received {
  std::span<const std::uint8_t> packet;
  Offloads offloads;
};

struct ListenOptions {
  // Connections not yet accepted: half-open and complete. When it is full SYNs are dropped.
  std::uint32_t backlog = 4096;
  // Half-open connections, never more than half of the backlog: a SYN beyond that is answered with a cookie and forgotten.
  // 0: every SYN.
  std::uint32_t half_open = 2048;
  // Complete connections of one source at a time, until they have left the network; 0: no limit. What goes beyond is
  // reset. A source is an address, or all with so many first bits in common.
  std::uint32_t source_connections = 0;
  std::uint8_t source_prefix4 = 32, source_prefix6 = 64;
  std::uint16_t service = 0;  // listeners with the same number count a source's connections together
  ConnOptions connection{};
};

class Acceptor {
 public:
  // A connection is established. Take it (set_handler) or abort() it before returning.
  virtual void on_accept(Conn& conn) noexcept = 0;

 protected:
  ~Acceptor() = default;
};

struct StackStats {  // counters since start, and gauges
  std::uint64_t segments_in = 0, segments_out = 0, bytes_in = 0, bytes_out = 0;
  std::uint64_t retransmits = 0, fast_retransmits = 0, timeouts = 0, duplicate_acks = 0, out_of_order = 0;
  // SACK blocks: of what was never sent; of what came twice (RFC 2883); a peer that threw away what it had (RFC 2018).
  std::uint64_t bad_sack = 0, duplicate_sacks = 0, sack_reneging = 0;
  // Probes for losses at the end (RFC 8985); recoveries and timeouts that turned out to be for nothing, and were undone.
  std::uint64_t tail_probes = 0, spurious_recoveries = 0, spurious_timeouts = 0;
  std::uint64_t accepted = 0, connected = 0, refused = 0, resets_in = 0, resets_out = 0, challenge_acks = 0;
  // Segments, or parts of one, that were not taken; no_buffer: a packet that the sink had no room for.
  std::uint64_t bad_checksum = 0, bad_segment = 0, no_connection = 0, no_buffer = 0, no_memory = 0, listen_overflow = 0;
  std::uint64_t half_open_evicted = 0;       // SYN-RECEIVED, given up for a client that came back with a cookie
  std::uint64_t challenge_acks_limited = 0;  // not sent: the connection or the whole stack has just sent some
  std::uint64_t time_wait_evicted = 0;       // the oldest, for want of records
  std::uint64_t source_refused = 0;          // handshakes beyond ListenOptions::source_connections
  std::uint64_t syn_cookies_sent = 0, syn_cookies_received = 0, syn_cookies_failed = 0;
  // Path MTU: segments became smaller since a router said so; it was not believed, or not yet; they became larger again; they
  // became smaller since large ones seem to vanish.
  std::uint64_t path_mtu_lowered = 0, path_mtu_ignored = 0, path_mtu_deferred = 0, path_mtu_raised = 0, black_holes = 0;
  // ECN: connections that have it; those that asked and then did without, since nobody answered; segments that came marked;
  // times that the peer reported marks and the window came down.
  std::uint64_t ecn_connections = 0, ecn_fallbacks = 0, ecn_marks_in = 0, ecn_reductions = 0;
  std::uint64_t out_of_window = 0, old_timestamp = 0, bad_ack = 0, out_of_order_dropped = 0;
  std::uint32_t connections = 0, half_open = 0, time_wait = 0;  // gauges
  std::size_t buffer_bytes = 0;                                 // gauge: out of StackConfig::buffer_memory
  std::size_t promised_bytes = 0;                               // gauge: the same, of windows that are not filled yet
};

// An ICMP or ICMPv6 error, which of them says the version of the packet that it quotes.
struct IcmpMessage {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint32_t mtu =
      0;  // of "fragmentation needed" and "packet too big": of the link that was too small; 0: it does not say
  std::span<const std::uint8_t> quoted;  // from its IP header on, maybe cut short
};

class TcpStack {
 public:
  TcpStack(const StackConfig& config, PacketSink& sink, Instant now);  // allocates; may throw std::bad_alloc
  ~TcpStack();
  TcpStack(const TcpStack&) = delete;
  TcpStack& operator=(const TcpStack&) = delete;

  // One received IP packet (IPv4 or IPv6, whole, from the IP header on). The bytes are copied before return.
  void input(std::span<const std::uint8_t> packet, Offloads offloads, Instant now) noexcept;
  // The same for a burst, which is cheaper: what the packets need is fetched into the cache for all of them at once.
  void input(std::span<const Received> burst, Instant now) noexcept;
  // An ICMP or ICMPv6 error about a packet of ours: "destination unreachable" ends a connection whose SYN it quotes while
  // nobody has answered that; "fragmentation needed" and "packet too big" make segments smaller (RFC 1191, RFC 8201), as far
  // as they can be true (RFC 5927); everything else only tells of a way that may yet mend (RFC 1122 section 4.2.3.9,
  // RFC 5461).
  void input_icmp_error(const IcmpMessage& message, Instant now) noexcept;

  // Delivers what is ready: accepts, then events of connections. Returns how many up-calls it made.
  std::size_t dispatch() noexcept;
  // Runs the timers that are due.
  void advance(Instant now) noexcept;
  // Sends what connections have ready. Called at the end of each turn.
  void flush(Instant now) noexcept;
  // When advance() must run next at the latest; nothing: no timer is armed.
  [[nodiscard]] std::optional<Instant> next_deadline() const noexcept;

  [[nodiscard]] Result<void> listen(const net::Endpoint& local, const ListenOptions& options, Acceptor& acceptor);
  void unlisten(const net::Endpoint& local) noexcept;
  // Starts a connection; the handler hears kConnected or kClosed. nullptr: no memory, or that four-tuple is in use.
  [[nodiscard]] Conn* connect(const net::Endpoint& local, const net::Endpoint& remote, StreamHandler& handler,
                              Instant now, Duration timeout, const ConnOptions& options = {}) noexcept;
  // Whether a connect() from here to there could have this local port now (no connection, no TIME_WAIT that forbids
  // it).
  [[nodiscard]] bool is_free(const net::Endpoint& local, const net::Endpoint& remote) const noexcept;

  [[nodiscard]] const StackStats& stats() const noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::tcp
