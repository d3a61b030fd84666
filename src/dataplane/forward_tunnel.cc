// What goes to a backend in a tunnel, and is not a packet of a common shape that fits: the others are forward_common()'s.
//
// An IPv4 packet too big for its tunnel whose sender has not set DF goes in fragments, each of them in the tunnel by itself
// (RFC 4459 section 3.4): the backend's IP puts together what comes out, and nothing in between has to. The outer header
// keeps DF, and all fragments have its source, port and flow label, which are the flow's: they stay on one way.
// An IPv6 packet of up to 1,280 bytes is never too big (RFC 8200 section 5): where the tunnel takes less, the outer packet is
// cut, and the backend puts it together before it takes the tunnel off (RFC 2473 section 7.1, RFC 4213 section 3.2.2).
#include "cut.h"
#include "forward.h"
#include "mode_tunnel.h"
#include "packet.h"

namespace sluice::dataplane {

using telemetry::Drop;

namespace {

// A fragment of ours has room around it: what DPDK reserves in front is enough for every tunnel.
static_assert(RTE_PKTMBUF_HEADROOM + Egress::kLinkRoom >= net::EncapsulationHeader::kRoom + sizeof(net::EspHeader));

// As much of it as a tunnel asks for.
net::Parsed describe(const rte_mbuf* fragment) noexcept {
  net::Parsed parsed;
  parsed.family = net::Family::kIp4;
  parsed.l3_offset = Egress::kLinkRoom;
  parsed.end = fragment->data_len;
  return parsed;
}

}  // namespace

template <typename Send>
void Forward::cut_for_tunnel(const FlowPacket& packet, std::size_t mtu, Send&& send) noexcept {
  trim_padding(packet.mbuf, *packet.parsed);
  const bool whole = cut(packet.mbuf, packet.parsed->l3_offset, mtu, net::kMaxEspTailBytes,
                         [&](rte_mbuf* fragment) { send(fragment, describe(fragment)); });
  if (!whole) return egress_.drop(packet.mbuf, Drop::kNoMbuf);
  counters_.packets_cut.add();
  rte_pktmbuf_free(packet.mbuf);
}

void Forward::send_encapsulated(const FlowPacket& packet, const Tunnel& tunnel, const net::IpAddress& backend,
                                const Route& route, std::uint32_t spread) noexcept {
  const auto send = [&](rte_mbuf* mbuf, const net::Parsed& parsed) {
    encapsulate(mbuf, frame_of(mbuf).data(), parsed, tunnel.header, spread);
    egress_.send_ip(mbuf, backend, route);
  };
  const std::size_t mtu = route.mtu - tunnel.header.size();
  const bool fits = packet.parsed->l3_len() <= mtu;
  if (!fits && packet.parsed->family == net::Family::kIp4) return cut_for_tunnel(packet, mtu, send);
  trim_padding(packet.mbuf, *packet.parsed);
  if (fits) return send(packet.mbuf, *packet.parsed);
  encapsulate(packet.mbuf, frame_of(packet.mbuf).data(), *packet.parsed, tunnel.header, spread);
  egress_.send_in_fragments(packet.mbuf, backend, route, ++outer_id_);
}

void Forward::encapsulate_to(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept {
  const net::Parsed& parsed = *packet.parsed;
  const net::IpAddress backend = flow.reply.backend;
  const Tunnel* tunnel = tunnels_.find(snapshot, *packet.listener, parsed.family, flow);
  const Route* route = tunnel == nullptr ? nullptr : egress_.route_to(backend);
  const std::size_t overhead = tunnel == nullptr ? 0 : tunnel->header.size();
  if ((parsed.tcp_flags & net::kTcpSyn) != 0 && tunnel != nullptr) clamp_mss(snapshot, packet, flow, overhead);
  if (!may_pass(packet, route, now, overhead)) return;
  if (!has_tunnel_room(packet.mbuf, parsed)) return egress_.drop(packet.mbuf, Drop::kNoHeadroom);
  note_to_backend(packet, flow, now);
  send_encapsulated(packet, *tunnel, backend, *route, net::spread_hash(parsed.src, parsed.src_port));
}

// What is cut before it is sealed goes on in buffers of its own.
bool Forward::may_seal(const FlowPacket& packet, const Route& route, std::size_t overhead) noexcept {
  const net::Parsed& parsed = *packet.parsed;
  trim_padding(packet.mbuf, parsed);
  const bool is_cut = parsed.family == net::Family::kIp4 && parsed.l3_len() + overhead > route.mtu;
  if (is_cut || has_esp_room(packet.mbuf, parsed)) return true;
  egress_.drop(packet.mbuf, Drop::kNoHeadroom);
  return false;
}

void Forward::send_encrypted(const FlowPacket& packet, const Tunnel& tunnel, const esp::OutboundSa& sa,
                             const lb::Flow& flow, const Route& route, std::size_t overhead,
                             std::uint32_t spread) noexcept {
  const net::Parsed& parsed = *packet.parsed;
  const bool fits = parsed.l3_len() + overhead <= route.mtu;
  if (!fits && parsed.family == net::Family::kIp4) {
    return cut_for_tunnel(packet, route.mtu - overhead, [&](rte_mbuf* mbuf, const net::Parsed& fragment) {
      esp_.add(mbuf, fragment, sa, tunnel.header, flow, spread);
    });
  }
  if (fits) return esp_.add(packet.mbuf, parsed, sa, tunnel.header, flow, spread);
  esp_.send_large(packet.mbuf, parsed, sa, tunnel.header, flow, spread, route, ++outer_id_);
}

// Both: up to where it is put aside to be sealed with others.
void Forward::encrypt_common(const lb::Snapshot& snapshot, const FlowPacket& packet, const Egress::Hop& hop,
                             lb::Flow& flow, Ms now) noexcept {
  const net::Parsed& parsed = *packet.parsed;
  const esp::OutboundSa* sa = EspMode::association_to(snapshot, flow);
  const Tunnel* tunnel = tunnels_.find(snapshot, *packet.listener, parsed.family, flow);
  trim_padding(packet.mbuf, parsed);
  if (sa == nullptr || tunnel == nullptr || parsed.l3_len() + esp_overhead(hop.mtu, tunnel->header.size()) > hop.mtu ||
      !has_esp_room(packet.mbuf, parsed)) [[unlikely]]
    return encrypt_to(snapshot, packet, flow, now);
  note_to_backend(packet, flow, now);
  esp_.add(packet.mbuf, parsed, *sa, tunnel->header, flow, net::spread_hash(parsed.src, parsed.src_port));
}

void Forward::encrypt_to(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept {
  const net::Parsed& parsed = *packet.parsed;
  const esp::OutboundSa* sa = EspMode::association_to(snapshot, flow);
  if (sa == nullptr) return drop_without_peer(snapshot, packet.mbuf, flow);
  const Tunnel* tunnel = tunnels_.find(snapshot, *packet.listener, parsed.family, flow);
  const Route* route = tunnel == nullptr ? nullptr : egress_.route_to(flow.reply.backend);
  const std::size_t overhead = route == nullptr ? 0 : esp_overhead(route->mtu, tunnel->header.size());
  if ((parsed.tcp_flags & net::kTcpSyn) != 0 && route != nullptr) clamp_mss(snapshot, packet, flow, overhead);
  if (!may_pass(packet, route, now, overhead)) return;
  if (!may_seal(packet, *route, overhead)) return;
  note_to_backend(packet, flow, now);
  send_encrypted(packet, *tunnel, *sa, flow, *route, overhead, net::spread_hash(parsed.src, parsed.src_port));
}

void Forward::drop_without_peer(const lb::Snapshot& snapshot, rte_mbuf* mbuf, const lb::Flow& flow) noexcept {
  // Else the slot is another backend's by now, which has nothing to do with it.
  if (snapshot.find_backend(flow.backend) != nullptr) counters_.backends[flow.backend.index].failed.add();
  egress_.drop(mbuf, Drop::kEspNoPeer);
}

}  // namespace sluice::dataplane
