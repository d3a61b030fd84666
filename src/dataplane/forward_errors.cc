// ICMP errors about packets of NAT flows: path MTU discovery, and "port unreachable" for UDP, work through the service.
//
// Each side knows the other by one address only: the client knows the service, the backend our source address. So an error
// leaves with that address as its source, whichever router made it. RFC 5508 REQ-5 (c) asks that of what leaves the private
// side; towards the backends it makes sure that a host without a route to the clients, or with a strict filter of source
// addresses, takes the error too. A router's own address would often be filtered on the way (RFC 2827).
// An error neither prolongs nor ends the flow that it is about (RFC 5382 REQ-10, RFC 4787 REQ-12): anybody may have made
// it up.
#include <algorithm>
#include <optional>

#include "forward.h"
#include "mode_tunnel.h"
#include "packet.h"
#include "sluice/lb/balance.h"
#include "sluice/net/build.h"
#include "sluice/net/fragment.h"

namespace sluice::dataplane {

using telemetry::Drop;

namespace {

// Of a whole packet that is quoted in part.
std::size_t quoted_len(std::span<const std::uint8_t> frame, const net::Parsed& quoted) noexcept {
  if (quoted.family == net::Family::kIp4)
    return net::header_at<net::Ip4Header>(frame, quoted.l3_offset).total_len.host();
  return sizeof(net::Ip6Header) + net::header_at<net::Ip6Header>(frame, quoted.l3_offset).payload_len.host();
}

}  // namespace

void Forward::error_to_client(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept {
  const net::Parsed quoted = net::parse_quoted(frame_of(packet.mbuf), *packet.parsed);
  const lb::Flow* flow = packet.source == lb::kNoIndex ? find_dnat(snapshot, {quoted.dst, quoted.dst_port},
                                                                   {quoted.src, quoted.src_port}, quoted.proto, now)
                                                       : flows_.find_reply({.backend = quoted.dst,
                                                                            .backend_port = quoted.dst_port,
                                                                            .local_port = quoted.src_port,
                                                                            .source = packet.source,
                                                                            .proto = quoted.proto,
                                                                            .zero = 0},
                                                                           now);
  const lb::Listener* listener = flow == nullptr ? nullptr : listener_of(snapshot, *flow);
  if (listener == nullptr) return egress_.drop(packet.mbuf, Drop::kIcmpNoFlow);
  pass_error(packet, quoted,
             {.src = listener->key.address,
              .dst = flow->key.client,
              .quoted_src = flow->key.client_endpoint(),
              .quoted_dst = listener->endpoint()},
             now);
}

void Forward::error_to_backend(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept {
  const net::Parsed quoted = net::parse_quoted(frame_of(packet.mbuf), *packet.parsed);
  if (!config::sees_replies(packet.listener->mode)) return error_past_us(snapshot, packet, quoted, now);
  const lb::Flow* flow = flows_.find({.client = quoted.dst,
                                      .listener = destination_of(*packet.listener, {quoted.src, quoted.src_port}),
                                      .client_port = quoted.dst_port,
                                      .proto = quoted.proto},
                                     now);
  if (flow == nullptr) return egress_.drop(packet.mbuf, Drop::kIcmpNoFlow);
  if (flow->is(lb::Flow::kSynProxied)) {
    net::unshift_quoted(frame_of(packet.mbuf), quoted, syn_proxy_.entry(flows_.place_of(*flow)).shift);
  }
  // In mode `dnat` the backend knows its clients, and has a way to them: the error keeps its source.
  const bool dnat = packet.listener->mode == config::ForwardMode::kDnat;
  const net::IpAddress& source = dnat ? packet.parsed->src : snapshot.sources[flow->reply.source];
  pass_error(packet, quoted,
             {.src = source,
              .dst = flow->reply.backend,
              .quoted_src = flow->reply.endpoint(),
              .quoted_dst = dnat ? flow->key.client_endpoint() : net::Endpoint{source, flow->reply.local_port}},
             now);
}

// Routers hash an error by its own addresses: where several machines announce the service's address, it comes to another one
// than the flow's packets do. The hash says the same there as here, as long as nothing else has had a say in the choice.
const lb::Flow* Forward::flow_by_hash(const lb::Snapshot& snapshot, const lb::Listener& listener,
                                      const net::Parsed& quoted) noexcept {
  if (listener.persists) return nullptr;
  const std::uint64_t hash = lb::flow_hash(snapshot.pools[listener.pool].hash, {quoted.dst, quoted.dst_port},
                                           {quoted.src, quoted.src_port}, quoted.proto);
  const lb::BackendIndex chosen = lb::choose_by_hash(snapshot, listener.pool, hash);
  if (chosen == lb::kNoBackend) return nullptr;
  const lb::Backend& backend = snapshot.backends[chosen];
  without_entry_ = {.key = {},
                    .reply = {backend.address, backend.port},
                    .service = listener.service,
                    .backend = snapshot.id_of(chosen)};
  return &without_entry_;
}

// The backend has the service's address and has sent the packet itself: it gets the error as it came, on the way of the flow.
void Forward::error_past_us(const lb::Snapshot& snapshot, const FlowPacket& packet, const net::Parsed& quoted,
                            Ms now) noexcept {
  const lb::Flow* flow = flows_.find({.client = quoted.dst,
                                      .listener = destination_of(*packet.listener, {quoted.src, quoted.src_port}),
                                      .client_port = quoted.dst_port,
                                      .proto = quoted.proto},
                                     now);
  if (flow == nullptr) flow = flow_by_hash(snapshot, *packet.listener, quoted);
  if (flow == nullptr) return egress_.drop(packet.mbuf, Drop::kIcmpNoFlow);
  const net::IpAddress backend = flow->reply.backend;
  const bool in_tunnel = config::has_tunnel(packet.listener->mode);
  const Tunnel* tunnel = in_tunnel ? tunnels_.find(snapshot, *packet.listener, packet.parsed->family, *flow) : nullptr;
  const Route* route = in_tunnel && tunnel == nullptr ? nullptr : egress_.route_to(backend);
  if (packet.listener->mode == config::ForwardMode::kEsp) {
    return error_in_esp(snapshot, packet, *flow, tunnel, route, net::spread_hash(quoted.dst, quoted.dst_port), now);
  }
  if (!may_pass(packet, route, now, tunnel == nullptr ? 0 : tunnel->header.size())) return;
  if (tunnel != nullptr) {
    if (!has_tunnel_room(packet.mbuf, *packet.parsed)) return egress_.drop(packet.mbuf, Drop::kNoHeadroom);
    counters_.icmp_errors_passed.add();
    return send_encapsulated(packet, *tunnel, backend, *route, net::spread_hash(quoted.dst, quoted.dst_port));
  }
  trim_padding(packet.mbuf, *packet.parsed);
  net::take_hop(frame_of(packet.mbuf), *packet.parsed);
  counters_.icmp_errors_passed.add();
  egress_.send_ip(packet.mbuf, backend, *route);
}

// It quotes what the tunnel is there to hide, so it goes no other way than the flow's packets do.
void Forward::error_in_esp(const lb::Snapshot& snapshot, const FlowPacket& packet, const lb::Flow& flow,
                           const Tunnel* tunnel, const Route* route, std::uint32_t spread, Ms now) noexcept {
  const esp::OutboundSa* sa = EspMode::association_to(snapshot, flow);
  if (sa == nullptr) return drop_without_peer(snapshot, packet.mbuf, flow);
  const std::size_t overhead = route == nullptr ? 0 : esp_overhead(route->mtu, tunnel->header.size());
  if (!may_pass(packet, route, now, overhead)) return;
  if (!may_seal(packet, *route, overhead)) return;
  counters_.icmp_errors_passed.add();
  send_encrypted(packet, *tunnel, *sa, flow, *route, overhead, spread);
}

// RFC 2003 section 4.1, RFC 2473 section 8.1: a packet too big for the way of the tunnel is too big for its sender, by what
// the tunnel adds. Nothing else that happens on that way is the client's matter: health checks find it.
void Forward::error_from_tunnel(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept {
  const std::span<std::uint8_t> frame = frame_of(packet.mbuf);
  const net::Parsed outer = net::parse_quoted(frame, *packet.parsed);
  const net::Parsed inner = parse_tunnelled(snapshot, frame, *packet.parsed, outer);
  const std::optional<std::uint32_t> mtu = net::mtu_of_error(frame, *packet.parsed);
  if (!mtu) return egress_.drop(packet.mbuf, Drop::kIcmpUnhandled);
  const lb::Flow* flow = flows_.find({.client = inner.src,
                                      .listener = destination_of(*packet.listener, {inner.dst, inner.dst_port}),
                                      .client_port = inner.src_port,
                                      .proto = inner.proto},
                                     now);
  const Tunnel* tunnel = flow == nullptr ? nullptr : tunnels_.find(snapshot, *packet.listener, inner.family, *flow);
  if (tunnel == nullptr || flow->reply.backend != outer.dst || *mtu <= tunnel->header.size())
    return egress_.drop(packet.mbuf, Drop::kIcmpNoFlow);  // anybody may have made it up
  // No link takes less (RFC 791 section 3.2, RFC 8200 section 5), and none is too small for a packet that fits.
  const std::uint32_t least = inner.family == net::Family::kIp4 ? net::kMinFragmentMtu : net::kMinIp6Mtu;
  const std::uint32_t left = std::max(*mtu - static_cast<std::uint32_t>(tunnel->header.size()), least);
  if (left >= quoted_len(frame, inner)) return egress_.drop(packet.mbuf, Drop::kIcmpNoFlow);
  const net::IpAddress client = inner.src;
  const Route* route = egress_.route_to(client);
  const std::optional<net::IpAddress> own = egress_.topology().source_for(client);
  if (route == nullptr || !own) return egress_.drop(packet.mbuf, Drop::kNoRoute);
  const std::size_t head = net::too_big_header_bytes(client);
  const std::size_t quote = std::min<std::size_t>(packet.parsed->end - inner.l3_offset, net::max_quote_bytes(client));
  const std::size_t packet_at = inner.l3_offset - head;  // the quoted outer headers are longer than what replaces them
  net::write_packet_too_big(frame.subspan(packet_at, head + quote), *own, client, left);
  rte_pktmbuf_adj(packet.mbuf, static_cast<std::uint16_t>(packet_at - Egress::kLinkRoom));
  packet.mbuf->data_len = static_cast<std::uint16_t>(Egress::kLinkRoom + head + quote);
  packet.mbuf->pkt_len = packet.mbuf->data_len;
  counters_.icmp_errors_passed.add();
  egress_.send_ip(packet.mbuf, client, *route);
}

void Forward::pass_error(const FlowPacket& packet, const net::Parsed& quoted, const net::IcmpErrorTuple& to,
                         Ms now) noexcept {
  if (to.dst.is_v4() != packet.parsed->dst.is_v4()) return translate_error(packet, quoted, to, now);
  const Route* route = egress_.route_to(to.dst);
  if (!may_pass(packet, route, now)) return;
  rte_pktmbuf_trim(packet.mbuf, static_cast<std::uint16_t>(rte_pktmbuf_data_len(packet.mbuf) - packet.parsed->end));
  net::rewrite_icmp_error(frame_of(packet.mbuf), *packet.parsed, quoted, to);
  counters_.icmp_errors_passed.add();
  egress_.send_ip(packet.mbuf, to.dst, *route);
}

}  // namespace sluice::dataplane
