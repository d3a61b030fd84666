// SYN proxy: clients of a `nat` service shake hands with us, by cookie and without a trace here, and a backend hears only of
// those that come back.
//
//   client                     sluice                         backend
//     | SYN ------------------>  |                                |
//     | <---- SYN, ACK (cookie)  |   window 0: the client waits   |
//     | ACK ------------------>  |   cookie is right: a flow      |
//     |                          |  SYN (the client's number) --> |
//     |                          | <-------------------- SYN, ACK |
//     |                          |  ACK ------------------------> |
//     | <---- ACK, the window    |                                |
//     | <====== numbers of the backend moved by a constant =====> |
//
// The client's own numbers are the same on both sides. The backend's are not: what it counts (sequence numbers, timestamps)
// is moved by the difference to what the cookie began with, for the life of the flow (net/tcp_shift.h). A SYN to a backend
// that does not answer is sent again, whatever else waits; after kTries the client is reset.
// Threading: one per worker.
// Ownership: owns two tables beside the flow table, an entry a place; memory for them comes as places are used.
// Spec:      RFC 4987 section 3.6 (cookies), section 3.7 (proxies in between); RFC 9293 section 3.10.
// Limits:    a client's options but for those of net/tcp_options.h are not kept (TCP Fast Open, MPTCP, MD5). Segment sizes
//            are rounded down (net/syn_cookie.h). Clients without timestamps get neither SACK nor window scale.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "sluice/base/huge_pages.h"
#include "sluice/base/lazy_array.h"
#include "sluice/base/siphash.h"
#include "sluice/base/time.h"
#include "sluice/config/config.h"
#include "sluice/lb/ids.h"
#include "sluice/net/parse.h"
#include "sluice/net/syn_cookie.h"
#include "sluice/net/tcp_segment.h"
#include "sluice/net/tcp_shift.h"
#include "sluice/telemetry/counters.h"

namespace sluice::dataplane {

class SynProxy {
 public:
  static constexpr std::uint32_t kRetryMs = 1000;  // RFC 6298 section 2.1
  static constexpr std::uint8_t kTries = 5;
  static constexpr std::size_t kRetriesPerTurn = 64;

  // What is remembered of a flow: 28 B.
  struct Entry {
    net::TcpShift shift;                 // once the backend has answered; before: what the cookie began with
    std::uint32_t client_sequence = 0;   // of its SYN
    std::uint32_t client_timestamp = 0;  // of its last segment of the handshake
    std::uint16_t client_window = 0;     // as it said it, not scaled
    std::uint16_t mss = 0;               // of the client
    std::uint8_t client_scale = net::kNoWindowScale;
    std::uint8_t offered_scale = net::kNoWindowScale;  // ours, to the client
    bool sack_permitted : 1 = false;
    bool timestamps : 1 = false;
    bool joined : 1 = false;  // the backend has answered
  };
  static_assert(sizeof(Entry) == 28);

  struct Retry {
    std::size_t place;
    std::uint8_t tries;  // so many times it was sent
  };

  // `places`: of the flow table; 0: no service has a SYN proxy. `workers` share each service's threshold.
  SynProxy(const SipKey& secret, std::size_t places, std::size_t workers, telemetry::WorkerCounters& counters);

  // Counts a SYN without a flow; true: it is to be answered with a cookie.
  [[nodiscard]] bool engages(lb::ServiceIndex service, const config::SynProxy& settings, Ms now) noexcept;

  // The answer to a SYN in `frame`. `mtu`: of the interface that it came by.
  [[nodiscard]] net::TcpSegment answer(std::span<const std::uint8_t> frame, const net::Parsed& syn,
                                       const config::SynProxy& settings, std::uint16_t mtu, Ms now) noexcept;
  // What a segment says that comes back with a cookie; nothing: it has none, or not ours.
  [[nodiscard]] std::optional<Entry> check(std::span<const std::uint8_t> frame, const net::Parsed& ack,
                                           const config::SynProxy& settings, Ms now) noexcept;

  [[nodiscard]] Entry& entry(std::size_t place) noexcept { return entries_[place]; }
  [[nodiscard]] const Entry& entry(std::size_t place) const noexcept { return entries_[place]; }
  // A handshake with a backend begins.
  void begin(std::size_t place, const Entry& entry, Ms now) noexcept;
  // Its SYN is not sent again: it was answered. (Where a flow ends otherwise, whoever takes its SYN finds no flow there.)
  void end_wait(std::size_t place) noexcept;
  // The next SYN whose time to be sent again has come; it waits no longer.
  [[nodiscard]] std::optional<Retry> take_due(Ms now) noexcept;
  void wait_again(const Retry& sent, Ms now) noexcept;
  // Services in which no SYN has come since are not engaged any more.
  void disengage_idle(Ms now) noexcept;
  // When there will be something to do for take_due() or disengage_idle(); nothing: no time is known.
  [[nodiscard]] std::optional<Ms> next_due(Ms now) const noexcept;

  // The SYN to the backend, without its endpoints.
  [[nodiscard]] static net::TcpSegment opening(const Entry& entry) noexcept;
  // The backend's SYN, ACK joins the two halves.
  static void join(Entry& entry, const net::TcpOptions& backend, std::uint32_t sequence) noexcept;

 private:
  struct Rate {
    Ms since{};
    std::uint32_t seen = 0;
    bool engaged = false;
  };
  struct Waiting {  // in a list, in the order of time
    std::uint32_t before, after;
    Ms due;
    std::uint8_t tries;  // 0: does not wait
  };
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  void set_engaged(lb::ServiceIndex service, Rate& rate, bool engaged, Ms now) noexcept;

  net::SynCookies cookies_;
  std::uint32_t clock_offset_;  // of our timestamps: no client learns how long we have been up
  std::uint32_t workers_;
  telemetry::WorkerCounters& counters_;
  HugeArray<Entry> entries_;
  HugeArray<Waiting> waiting_;  // by place; comes as zeros
  std::uint32_t first_ = kNone, last_ = kNone;
  LazyArray<Rate> rates_{telemetry::kMaxCountedServices};
  std::vector<lb::ServiceIndex> engaged_;
  Ms look_at_{};  // when those are looked at next
};

}  // namespace sluice::dataplane
