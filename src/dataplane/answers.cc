#include "answers.h"

#include <algorithm>

#include "packet.h"

namespace sluice::dataplane {

using telemetry::Drop;

bool TokenBucket::take(Ms now) noexcept {
  const std::uint64_t gained = std::uint64_t{elapsed(now, last_)} * rate_ + remainder_;
  last_ = now;
  const std::uint64_t tokens = tokens_ + gained / 1000;
  remainder_ = static_cast<std::uint32_t>(gained % 1000);
  tokens_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(tokens, burst_));
  if (tokens_ == 0) return false;
  --tokens_;
  return true;
}

rte_mbuf* Answers::blank() noexcept {
  rte_mbuf* mbuf = pool_.alloc();
  if (mbuf == nullptr) counters_.drop(Drop::kNoMbuf);
  return mbuf;
}

template <typename Build>
bool Answers::send_built(InterfaceId interface, Build&& build) noexcept {
  rte_mbuf* mbuf = blank();
  if (mbuf == nullptr) return false;
  const std::size_t bytes = build(std::span(rte_pktmbuf_mtod(mbuf, std::uint8_t*), pool_.room()));
  if (bytes == 0) {
    rte_pktmbuf_free(mbuf);
    return false;
  }
  mbuf->data_len = static_cast<std::uint16_t>(bytes);
  mbuf->pkt_len = static_cast<std::uint32_t>(bytes);
  egress_.send_frame(mbuf, interface);
  return true;
}

void Answers::echo(rte_mbuf* mbuf, const net::Parsed& parsed, Ms now) noexcept {
  if (!net::l4_checksum_ok(frame_of(mbuf), parsed)) return egress_.drop(mbuf, Drop::kBadChecksum);
  if (!echoes_.take(now)) return egress_.drop(mbuf, Drop::kIcmpRateLimited);
  const bool later = parsed.fragment == net::FragmentKind::kLater;
  const bool made =
      later ? net::make_later_echo_reply(frame_of(mbuf), parsed) : net::make_echo_reply(frame_of(mbuf), parsed);
  if (!made) return egress_.drop(mbuf, Drop::kIcmpUnhandled);
  if (!later) counters_.icmp_echo.add();
  egress_.send_frame(mbuf, interface_of(mbuf));
}

void Answers::reset(const rte_mbuf* mbuf, const net::Parsed& parsed) noexcept {
  const auto build = parsed.proto == net::IpProto::kSctp ? net::build_sctp_abort : net::build_tcp_reset;
  if (send_built(interface_of(mbuf), [&](auto room) { return build(room, frame_of(mbuf), parsed); })) {
    counters_.rst_sent.add();
  }
}

bool Answers::error(const rte_mbuf* mbuf, const net::Parsed& parsed, net::IcmpError kind, const net::IpAddress& from,
                    std::uint32_t mtu, Ms now) noexcept {
  if (!net::may_answer_with_icmp_error(frame_of(mbuf), parsed) || !errors_.take(now)) return false;
  return send_built(interface_of(mbuf),
                    [&](auto room) { return net::build_icmp_error(room, frame_of(mbuf), parsed, kind, from, mtu); });
}

void Answers::port_unreachable(const rte_mbuf* mbuf, const net::Parsed& parsed, Ms now) noexcept {
  if (error(mbuf, parsed, net::IcmpError::kPortUnreachable, parsed.dst, 0, now)) counters_.unreachable_sent.add();
}

void Answers::time_exceeded(const rte_mbuf* mbuf, const net::Parsed& parsed, Ms now) noexcept {
  // It is the router on the way that answers, with its address towards the sender (RFC 1812 section 4.3.2.4).
  const std::optional<net::IpAddress> own = egress_.topology().source_for(parsed.src);
  if (own && error(mbuf, parsed, net::IcmpError::kTimeExceeded, *own, 0, now)) counters_.time_exceeded_sent.add();
}

void Answers::packet_too_big(const rte_mbuf* mbuf, const net::Parsed& parsed, std::uint16_t mtu, Ms now) noexcept {
  const std::optional<net::IpAddress> own = egress_.topology().source_for(parsed.src);
  if (own && error(mbuf, parsed, net::IcmpError::kPacketTooBig, *own, mtu, now)) counters_.unreachable_sent.add();
}

void Answers::refuse(const rte_mbuf* mbuf, const net::Parsed& parsed, Ms now) noexcept {
  if (net::has_handshake(parsed.proto)) {
    reset(mbuf, parsed);
  } else if (net::has_ports(parsed.proto)) {
    port_unreachable(mbuf, parsed, now);
  } else if (error(mbuf, parsed, net::IcmpError::kHostUnreachable, parsed.dst, 0, now)) {
    counters_.unreachable_sent.add();
  }
}

}  // namespace sluice::dataplane
