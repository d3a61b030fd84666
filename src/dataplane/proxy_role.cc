#include "sluice/dataplane/proxy_role.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "sluice/net/parse.h"

namespace sluice::dataplane {

using telemetry::Drop;

namespace {

constexpr std::size_t kBurst = 64;
constexpr std::size_t kMaxBursts = 4;  // a turn: then the proxy works on what it has got

UnixSeconds wall_seconds() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now.tv_sec;
}

net::IpAddress destination_of(std::span<const std::uint8_t> packet) noexcept {
  if ((packet[0] >> 4) == 4) return net::IpAddress::v4(net::header_at<net::Ip4Header>(packet, 0).dst);
  return net::IpAddress::v6(net::header_at<net::Ip6Header>(packet, 0).dst);
}

// What the NIC says about an mbuf's checksums.
tcp::Offloads offloads_of(const rte_mbuf& mbuf) noexcept {
  const bool ip_bad = (mbuf.ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_BAD;
  const bool l4_good = (mbuf.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD;
  return {.tx_checksum = false, .rx_checksum_good = l4_good && !ip_bad};
}

}  // namespace

MbufSink::~MbufSink() { rte_pktmbuf_free(open_); }

std::span<std::uint8_t> MbufSink::reserve(std::size_t bytes) noexcept {
  if (open_ == nullptr) open_ = pool_.alloc();
  if (open_ == nullptr) {
    drops_[static_cast<std::size_t>(Drop::kNoMbuf)].add();
    return {};
  }
  if (bytes + Egress::kLinkRoom > pool_.room()) return {};
  return {rte_pktmbuf_mtod_offset(open_, std::uint8_t*, Egress::kLinkRoom), bytes};
}

void MbufSink::commit(std::size_t bytes) noexcept {
  rte_mbuf* mbuf = std::exchange(open_, nullptr);
  mbuf->data_len = static_cast<std::uint16_t>(bytes + Egress::kLinkRoom);
  mbuf->pkt_len = mbuf->data_len;
  const auto* packet = rte_pktmbuf_mtod_offset(mbuf, const std::uint8_t*, Egress::kLinkRoom);
  egress_.send_ip(mbuf, destination_of({packet, bytes}));
}

// What is in one_piece_ is valid until the next call.
std::span<const std::uint8_t> ProxyRole::in_one_piece(const rte_mbuf& mbuf) noexcept {
  const auto bytes = std::min<std::uint32_t>(rte_pktmbuf_pkt_len(&mbuf), static_cast<std::uint32_t>(one_piece_.size()));
  const void* at = rte_pktmbuf_read(&mbuf, 0, bytes, one_piece_.data());
  return {static_cast<const std::uint8_t*>(at), bytes};
}

// TCP goes to the host as one burst, so that the cache misses of its packets overlap.
void ProxyRole::receive(std::span<rte_mbuf* const> mbufs, Instant now) noexcept {
  std::array<tcp::Received, kBurst> burst;
  std::size_t count = 0;
  for (std::size_t i = 0; i < mbufs.size(); ++i) {
    if (i + 1 < mbufs.size()) rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + 1], void*));
    rte_mbuf* mbuf = mbufs[i];
    counters_.rx.add(1, rte_pktmbuf_pkt_len(mbuf));
    if (host_ == nullptr) {
      counters_.drop(Drop::kShutdown);
      continue;
    }
    std::span<const std::uint8_t> packet(rte_pktmbuf_mtod(mbuf, const std::uint8_t*), rte_pktmbuf_data_len(mbuf));
    if (mbuf->nb_segs > 1) [[unlikely]] {  // it came in fragments
      if (count > 0) host_->receive(std::span(burst).first(std::exchange(count, 0)), now);
      packet = in_one_piece(*mbuf);
    }
    const bool v4 = (packet[0] >> 4) == 4;
    const bool icmp = v4 ? packet[9] == static_cast<std::uint8_t>(net::IpProto::kIcmp)
                         : packet[6] == static_cast<std::uint8_t>(net::IpProto::kIcmpv6);
    if (!icmp) [[likely]] {
      burst[count++] = {packet, offloads_of(*mbuf)};
    } else if (const net::Parsed outer = net::parse_ip(packet); outer.ok()) {
      host_->receive_icmp_error({.type = outer.icmp_type,
                                 .code = outer.icmp_code,
                                 .quoted = packet.subspan(outer.payload_offset, outer.payload_len())},
                                now);
    }
  }
  if (count > 0) host_->receive(std::span(burst).first(count), now);
}

bool ProxyRole::poll(Instant now) noexcept {
  std::array<rte_mbuf*, kBurst> mbufs;
  bool worked = false;
  for (std::size_t bursts = 0; bursts < kMaxBursts; ++bursts) {
    const std::size_t count = inbox_.receive(mbufs);
    const auto burst = std::span(mbufs).first(count);
    receive(burst, now);
    for (rte_mbuf* mbuf : burst) rte_pktmbuf_free(mbuf);
    worked |= count != 0;
    if (count < kBurst) break;
  }
  if (host_ != nullptr) worked |= host_->poll(now, wall_seconds());
  return worked;
}

std::optional<Instant> ProxyRole::next_deadline() const noexcept {
  return host_ == nullptr ? std::nullopt : host_->next_deadline();
}

}  // namespace sluice::dataplane
