#include "sluice/dataplane/proxy_role.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "sluice/net/build.h"
#include "sluice/net/checksum.h"
#include "sluice/net/encapsulate.h"
#include "sluice/net/parse.h"
#include "tunnels.h"

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

// Of a packet of ours, which has neither IP options nor extension headers.
std::size_t header_of(std::span<const std::uint8_t> packet) noexcept {
  return (packet[0] >> 4) == 4 ? sizeof(net::Ip4Header) : sizeof(net::Ip6Header);
}

// Of a TCP segment of ours.
struct Ends {
  std::uint16_t local_port;
  net::Endpoint remote;
};
Ends ends_of(std::span<const std::uint8_t> packet) noexcept {
  const std::size_t header = header_of(packet);
  const auto port = [&](std::size_t at) {
    return static_cast<std::uint16_t>(packet[header + at] << 8 | packet[header + at + 1]);
  };
  return {port(0), {destination_of(packet), port(2)}};
}

// The checksum field holds the sum of the pseudo header: the rest is the sum of the segment as it stands.
void complete_checksum(std::span<std::uint8_t> packet) noexcept {
  const std::span<std::uint8_t> tcp = packet.subspan(header_of(packet));
  net::header_at<net::TcpHeader>(tcp, 0).checksum = net::checksum(tcp);
}

// The same from the device. It wants just this: nothing is asked of it that rte_eth_tx_prepare() would have to prepare.
void ask_for_checksum(rte_mbuf* mbuf, std::span<const std::uint8_t> packet) noexcept {
  const std::uint64_t family = (packet[0] >> 4) == 4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
  mbuf->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM | family;
  mbuf->l2_len = Egress::kLinkRoom;
  mbuf->l3_len = header_of(packet) & 0x1ff;  // all nine bits of it
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
  const std::span<std::uint8_t> packet(rte_pktmbuf_mtod_offset(mbuf, std::uint8_t*, Egress::kLinkRoom), bytes);
  if (paths_ != nullptr) {
    const Ends ends = ends_of(packet);
    const lb::ProbePath* path = paths_->find(ends.local_port, ends.remote);
    if (path != nullptr) [[unlikely]] {
      if (completes_) complete_checksum(packet);
      return send_probe(mbuf, net::parse_ip(packet), *path);
    }
  }
  const net::IpAddress destination = destination_of(packet);
  const Route* route = egress_.route_to(destination);
  if (route == nullptr) return egress_.drop(mbuf, Drop::kNoRoute);
  if (completes_) {
    if (checksums_[route->interface]) {
      ask_for_checksum(mbuf, packet);
    } else {
      complete_checksum(packet);
    }
  }
  egress_.send_ip(mbuf, destination, *route);
}

// As the mode of the service sends its clients' packets to the backend.
void MbufSink::send_probe(rte_mbuf* mbuf, const net::Parsed& packet, const lb::ProbePath& path) noexcept {
  const lb::Snapshot& snapshot = *snapshots_.load();  // there is one: the path was made from it
  const lb::Listener* listener = snapshot.find_listener(path.listener);
  const lb::Backend* backend = snapshot.find_backend(path.backend);
  if (listener == nullptr || backend == nullptr) return egress_.drop(mbuf, Drop::kNoRoute);
  if (!config::has_tunnel(listener->mode)) return egress_.send_ip(mbuf, backend->address);
  const Tunnel tunnel = Tunnels::make(egress_.topology(), snapshot, *listener, packet.family, backend->address);
  if (!tunnel.has_source) return egress_.drop(mbuf, Drop::kNoRoute);
  auto* ip = rte_pktmbuf_mtod_offset(mbuf, std::uint8_t*, Egress::kLinkRoom);
  if (rte_pktmbuf_headroom(mbuf) + Egress::kLinkRoom < net::EncapsulationHeader::kRoom)
    return egress_.drop(mbuf, Drop::kNoHeadroom);
  tunnel.header.write(ip, packet.l3_len(), net::traffic_class_of(ip, packet.family),
                      net::spread_hash(packet.src, packet.src_port));
  rte_pktmbuf_prepend(mbuf, static_cast<std::uint16_t>(tunnel.header.size()));
  egress_.send_ip(mbuf, backend->address);
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
                                 .mtu = net::mtu_of_error(packet, outer).value_or(0),
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
