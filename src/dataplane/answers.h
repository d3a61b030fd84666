// What a worker answers by itself: echo, ICMP errors, resets of TCP and aborts of SCTP. Answers go back the way the packet came.
// Threading: one per worker.
// Ownership: echo() takes the mbuf; the others leave the packet to the caller, who drops it with its reason.
// Limits:    ICMP of both kinds under a token bucket each (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 (f)).
#pragma once

#include <cstdint>

#include "sluice/base/time.h"
#include "sluice/dataplane/egress.h"
#include "sluice/dpdk/mempool.h"
#include "sluice/net/build.h"
#include "sluice/telemetry/counters.h"

namespace sluice::dataplane {

// `rate` tokens a second, at most `burst` at once.
class TokenBucket {
 public:
  TokenBucket(std::uint32_t rate, std::uint32_t burst) noexcept : rate_(rate), burst_(burst), tokens_(burst) {}
  [[nodiscard]] bool take(Ms now) noexcept;

 private:
  std::uint32_t rate_, burst_, tokens_;
  std::uint32_t remainder_ = 0;  // thousandths of a token
  Ms last_{};
};

class Answers {
 public:
  static constexpr std::uint32_t kErrorsPerSecond = 1000;
  static constexpr std::uint32_t kErrorBurst = 100;
  static constexpr std::uint32_t kEchoesPerSecond = 10'000;
  static constexpr std::uint32_t kEchoBurst = 1000;

  Answers(const dpdk::Mempool& pool, Egress& egress, telemetry::WorkerCounters& counters) noexcept
      : pool_(pool), egress_(egress), counters_(counters) {}

  // An empty one for a packet of ours; nullptr: there is none, which was counted.
  [[nodiscard]] rte_mbuf* blank() noexcept;
  // An echo request, or a fragment of one.
  void echo(rte_mbuf* mbuf, const net::Parsed& parsed, Ms now) noexcept;
  // TCP's RST, SCTP's ABORT.
  void reset(const rte_mbuf* mbuf, const net::Parsed& parsed) noexcept;
  // From the packet's destination: it is the host that the client means which answers.
  void port_unreachable(const rte_mbuf* mbuf, const net::Parsed& parsed, Ms now) noexcept;
  void time_exceeded(const rte_mbuf* mbuf, const net::Parsed& parsed, Ms now) noexcept;
  void packet_too_big(const rte_mbuf* mbuf, const net::Parsed& parsed, std::uint16_t mtu, Ms now) noexcept;
  // The refusal that the protocol has: a reset for TCP and SCTP, port unreachable for UDP, host unreachable for echoes.
  void refuse(const rte_mbuf* mbuf, const net::Parsed& parsed, Ms now) noexcept;

 private:
  bool error(const rte_mbuf* mbuf, const net::Parsed& parsed, net::IcmpError kind, const net::IpAddress& from,
             std::uint32_t mtu, Ms now) noexcept;
  template <typename Build>
  bool send_built(InterfaceId interface, Build&& build) noexcept;

  const dpdk::Mempool& pool_;
  Egress& egress_;
  telemetry::WorkerCounters& counters_;
  TokenBucket errors_{kErrorsPerSecond, kErrorBurst};
  TokenBucket echoes_{kEchoesPerSecond, kEchoBurst};
};

}  // namespace sluice::dataplane
