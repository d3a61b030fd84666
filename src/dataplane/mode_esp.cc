#include "mode_esp.h"

#include <cstring>
#include <utility>

#include "sluice/net/rewrite.h"

namespace sluice::dataplane {

using telemetry::Drop;

namespace {

constexpr std::size_t kEspHeader = sizeof(net::EspHeader);
constexpr std::uint8_t kEcnMask = 3, kNotEct = 0, kCongested = 3;

Drop drop_of(esp::OpenResult result) noexcept {
  switch (result) {
    case esp::OpenResult::kReplayed:
      return Drop::kEspReplayed;
    case esp::OpenResult::kForged:
      return Drop::kEspForged;
    case esp::OpenResult::kGood:
    case esp::OpenResult::kTruncated:
    case esp::OpenResult::kPadding:
      break;
  }
  return Drop::kEspMalformed;
}

// The mbuf shrinks to a frame that holds the inner packet alone, under the link header that the outer one came with.
std::span<std::uint8_t> unwrap(rte_mbuf* mbuf, const esp::Incoming& opened) noexcept {
  constexpr std::size_t kMacs = 2 * sizeof(net::MacAddress);
  auto* start = rte_pktmbuf_mtod(mbuf, std::uint8_t*);
  std::uint8_t* frame = opened.inner.data() - Egress::kLinkRoom;
  std::memmove(frame, start, kMacs);
  const auto type = opened.next_header == esp::kNextIp4 ? net::EtherType::kIp4 : net::EtherType::kIp6;
  reinterpret_cast<net::EthernetHeader*>(frame)->type = static_cast<std::uint16_t>(type);
  mbuf->data_off = static_cast<std::uint16_t>(mbuf->data_off + (frame - start));
  mbuf->data_len = static_cast<std::uint16_t>(opened.inner.size() + Egress::kLinkRoom);
  mbuf->pkt_len = mbuf->data_len;
  return frame_of(mbuf);
}

// RFC 6040 section 4.2: what a router on the tunnel's way has marked, the inner packet carries on. false: it cannot, since
// its ends do not know of such marks.
bool take_congestion(std::span<std::uint8_t> frame, const net::Parsed& inner, std::uint8_t outer) noexcept {
  std::uint8_t* ip = frame.data() + inner.l3_offset;
  if ((outer & kEcnMask) != kCongested) return true;
  if ((net::traffic_class_of(ip, inner.family) & kEcnMask) == kNotEct) return false;
  if (inner.family == net::Family::kIp4) {
    auto& header = net::header_at<net::Ip4Header>(frame, inner.l3_offset);
    net::ChecksumDelta delta;
    const Be16 before(static_cast<std::uint16_t>(header.version_ihl << 8 | header.dscp_ecn));
    header.dscp_ecn = static_cast<std::uint8_t>(header.dscp_ecn | kCongested);
    delta.replace(before, Be16(static_cast<std::uint16_t>(header.version_ihl << 8 | header.dscp_ecn)));
    header.checksum = delta.apply(header.checksum);
  } else {
    ip[1] = static_cast<std::uint8_t>(ip[1] | kCongested << 4);
  }
  return true;
}

}  // namespace

EspMode::EspMode(std::size_t worker, Egress& egress, telemetry::WorkerCounters& counters,
                 std::optional<esp::GcmEngine> engine)
    : worker_(worker), egress_(egress), counters_(counters), engine_(std::move(engine)) {}

const esp::OutboundSa* EspMode::association_to(const lb::Snapshot& snapshot, const lb::Flow& flow) noexcept {
  if (flow.backend.index >= snapshot.esp.outbound.size()) return nullptr;
  // The slot may hold another backend by now.
  if (snapshot.backends[flow.backend.index].address != flow.reply.backend) return nullptr;
  return snapshot.esp.outbound[flow.backend.index];
}

void EspMode::add(rte_mbuf* mbuf, const net::Parsed& packet, const esp::OutboundSa& sa,
                  const net::EncapsulationHeader& header, const lb::Flow& flow, std::uint32_t spread) noexcept {
  const std::uint64_t sequence = sa.use->take(worker_, sa.limit());
  if (sequence == 0 || !engine_) [[unlikely]]
    return egress_.drop(mbuf, Drop::kEspExhausted);
  if (sequence > sa.soft_limit()) [[unlikely]]
    counters_.esp_beyond_soft_limit.add();
  if (count_ == esp::kMaxBurst) [[unlikely]]
    seal_all();
  const std::span<std::uint8_t> frame = frame_of(mbuf);
  net::take_hop(frame, packet);
  std::uint8_t* ip = frame.data() + packet.l3_offset;
  const std::size_t inner = packet.l3_len(), tail = net::esp_tail_bytes(inner);
  header.write(ip - kEspHeader, kEspHeader + inner + tail, net::traffic_class_of(ip, packet.family), spread);
  outgoing_[count_] = {.sa = &sa,
                       .sequence = sequence,
                       .inner = ip,
                       .inner_bytes = inner,
                       .next_header = packet.family == net::Family::kIp4 ? esp::kNextIp4 : esp::kNextIp6};
  sealed_[count_] = {mbuf, flow.backend.index, flow.reply.backend};
  ++count_;
  const auto in_front = static_cast<std::uint16_t>(header.size() + kEspHeader + Egress::kLinkRoom - packet.l3_offset);
  mbuf->data_off = static_cast<std::uint16_t>(mbuf->data_off - in_front);
  mbuf->data_len = static_cast<std::uint16_t>(mbuf->data_len + in_front + tail);
  mbuf->pkt_len = mbuf->data_len;
}

void EspMode::send_large(rte_mbuf* mbuf, const net::Parsed& packet, const esp::OutboundSa& sa,
                         const net::EncapsulationHeader& header, const lb::Flow& flow, std::uint32_t spread,
                         const Route& route, std::uint32_t id) noexcept {
  flush();
  add(mbuf, packet, sa, header, flow, spread);
  if (std::exchange(count_, 0) == 0) return;  // it was dropped
  esp::seal(*engine_, std::span(outgoing_).first(1), worker_);
  counters_.esp_sealed.add();
  egress_.send_in_fragments(mbuf, flow.reply.backend, route, id);
}

void EspMode::seal_all() noexcept {
  esp::seal(*engine_, std::span(outgoing_).first(count_), worker_);
  counters_.esp_sealed.add(count_);
  for (const Sealed& packet : std::span(sealed_).first(std::exchange(count_, 0))) {
    const Egress::Hop* hop = egress_.hop_to_backend(packet.backend, packet.address);
    if (hop != nullptr) [[likely]] {
      egress_.send_by(*hop, packet.mbuf, rte_pktmbuf_mtod(packet.mbuf, std::uint8_t*));
    } else {
      egress_.send_ip(packet.mbuf, packet.address);
    }
  }
}

void EspMode::open_burst(const lb::Snapshot& snapshot) noexcept {
  std::array<esp::Incoming, esp::kMaxBurst> packets;
  std::array<const lb::EspInbound*, esp::kMaxBurst> associations;
  std::array<Received, esp::kMaxBurst> taken;
  std::size_t count = 0;
  for (const Received& received : std::span(incoming_).first(std::exchange(incoming_count_, 0))) {
    std::uint8_t* start = frame_of(received.mbuf).data() + received.packet->l4_offset;
    const lb::EspInbound* found = snapshot.esp.find_inbound(reinterpret_cast<const net::EspHeader*>(start)->spi.host());
    if (found == nullptr || !engine_) {
      egress_.drop(received.mbuf, Drop::kEspUnknownSpi);
      continue;
    }
    associations[count] = found;
    taken[count] = received;
    packets[count++] = {.sa = found->sa, .esp = start, .esp_bytes = received.packet->l4_len()};
  }
  esp::open(*engine_, std::span(packets).first(count));
  for (std::size_t i = 0; i < count; ++i) {
    if (packets[i].result != esp::OpenResult::kGood) {
      egress_.drop(taken[i].mbuf, drop_of(packets[i].result));
    } else {
      counters_.esp_opened.add();
      pass_on(snapshot, taken[i], packets[i], associations[i]->peer);
    }
  }
}

lb::BackendIndex EspMode::backend_at(const lb::Snapshot& snapshot, const lb::Listener& listener,
                                     const net::IpAddress& address) noexcept {
  for (const lb::BackendIndex index : snapshot.pools[listener.pool].backends) {
    if (snapshot.backends[index].address == address) return index;
  }
  return lb::kNoBackend;
}

// RFC 4301 section 5.2: an association carries what it is for and nothing else, here the answers of a service to its clients.
// Errors about them are not sent: they would tell the backend about its own tunnel.
void EspMode::pass_on(const lb::Snapshot& snapshot, const Received& received, const esp::Incoming& opened,
                      const net::IpAddress& peer) noexcept {
  rte_mbuf* mbuf = received.mbuf;
  if (opened.next_header != esp::kNextIp4 && opened.next_header != esp::kNextIp6) {
    return egress_.drop(mbuf, Drop::kEspInner);
  }
  const std::uint8_t outer =
      net::traffic_class_of(frame_of(mbuf).data() + received.packet->l3_offset, received.packet->family);
  const std::span<std::uint8_t> frame = unwrap(mbuf, opened);
  const net::Parsed inner = net::parse(frame);
  if (!inner.ok() || inner.fragment == net::FragmentKind::kLater || !net::has_ports(inner.proto)) {
    return egress_.drop(mbuf, Drop::kEspInner);
  }
  const lb::Listener* listener = snapshot.find_listener(inner.src, inner.src_port, inner.proto);
  if (listener == nullptr || listener->kind != lb::ServiceKind::kForward ||
      listener->mode != config::ForwardMode::kEsp || snapshot.find_local(inner.dst) != nullptr) {
    return egress_.drop(mbuf, Drop::kEspInner);
  }
  const lb::BackendIndex backend = backend_at(snapshot, *listener, peer);
  if (backend == lb::kNoBackend || !take_congestion(frame, inner, outer)) return egress_.drop(mbuf, Drop::kEspInner);
  if (inner.ttl <= 1) return egress_.drop(mbuf, Drop::kTtlExpired);
  net::take_hop(frame, inner);
  trim_padding(mbuf, inner);
  counters_.services[listener->service].out.add(1, inner.l3_len());
  counters_.backends[backend].in.add(1, inner.l3_len());
  egress_.send_ip(mbuf, inner.dst);
}

}  // namespace sluice::dataplane
