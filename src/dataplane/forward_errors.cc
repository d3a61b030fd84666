// ICMP errors about packets of NAT flows: path MTU discovery, and "port unreachable" for UDP, work through the service.
//
// Each side knows the other by one address only: the client knows the service, the backend our source address. So an error
// leaves with that address as its source, whichever router made it. RFC 5508 REQ-5 (c) asks that of what leaves the private
// side; towards the backends it makes sure that a host without a route to the clients, or with a strict filter of source
// addresses, takes the error too. A router's own address would often be filtered on the way (RFC 2827).
// An error neither prolongs nor ends the flow that it is about (RFC 5382 REQ-10, RFC 4787 REQ-12): anybody may have made
// it up.
#include "forward.h"
#include "packet.h"

namespace sluice::dataplane {

using telemetry::Drop;

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
  const lb::Listener* listener = flow == nullptr ? nullptr : snapshot.find_listener(flow->key.listener);
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
  const lb::Flow* flow = flows_.find(
      {.client = quoted.dst, .listener = packet.listener->id, .client_port = quoted.dst_port, .proto = quoted.proto},
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
