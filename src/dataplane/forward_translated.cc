// Packets of mode `nat` that change their family on the way, and the ICMP errors about them.
//
// An IPv4 packet whose sender has not set DF, and that does not fit as IPv6, is translated as a whole, so that its checksum
// can be, and goes in fragments (RFC 7915 section 4).
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "forward.h"
#include "mode_nat64.h"
#include "sluice/net/build.h"
#include "sluice/net/translate.h"

namespace sluice::dataplane {

using telemetry::Drop;

namespace {

// The route as the sender would see it, whose packets are of another size on it.
Route as_seen_by(net::Family sender, const Route& route) noexcept {
  Route seen = route;
  seen.mtu = net::translated_mtu(route.mtu, sender);
  if (sender == net::Family::kIp6) seen.mtu = std::max(seen.mtu, net::kMinIp6Mtu);  // RFC 8201 section 4
  return seen;
}

// Of the fragments that an IPv4 packet leaves in: its own identifier (RFC 7915 section 4.1), which other hosts behind the
// same addresses may have in use; so what their flows are told apart by stands before it.
std::uint32_t fragment_id_of(const FlowPacket& packet, std::uint16_t port) noexcept {
  if (packet.parsed->family != net::Family::kIp4) return 0;
  const auto& ip = net::header_at<net::Ip4Header>(frame_of(packet.mbuf), packet.parsed->l3_offset);
  return std::uint32_t{port} << 16 | ip.id.host();
}

}  // namespace

const Route* Forward::may_translate(const FlowPacket& packet, const net::IpAddress& destination, Ms now) noexcept {
  const net::Parsed& parsed = *packet.parsed;
  const Route* route = egress_.route_to(destination);
  std::optional<Route> seen;
  if (route != nullptr) seen = as_seen_by(parsed.family, *route);
  if (!may_pass(packet, seen ? &*seen : nullptr, now)) return nullptr;
  const bool has_form = net::may_translate(frame_of(packet.mbuf), parsed);
  if (has_form && has_translation_room(packet.mbuf, parsed)) [[likely]]
    return route;
  egress_.drop(packet.mbuf, has_form ? Drop::kNoHeadroom : Drop::kUntranslatable);
  return nullptr;
}

void Forward::send_translated(rte_mbuf* mbuf, const net::IpAddress& destination, const Route& route,
                              std::uint32_t fragment_id) noexcept {
  if (destination.is_v4() || rte_pktmbuf_pkt_len(mbuf) <= route.mtu + Egress::kLinkRoom) [[likely]]
    return egress_.send_ip(mbuf, destination, route);
  egress_.send_in_fragments(mbuf, destination, route, fragment_id);
}

void Forward::translate_to_backend(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow,
                                   Ms now) noexcept {
  const net::Endpoint backend = flow.reply.endpoint();
  const Route* route = may_translate(packet, backend.address, now);
  if (route == nullptr) return;
  note_to_backend(packet, flow, now);
  if (flow.is(lb::Flow::kSynProxied)) {
    net::shift_to_backend(frame_of(packet.mbuf), *packet.parsed, syn_proxy_.entry(flows_.place_of(flow)).shift);
  }
  const std::uint32_t fragment_id = fragment_id_of(packet, flow.reply.local_port);
  translate(packet.mbuf, *packet.parsed, {snapshot.sources[flow.reply.source], flow.reply.local_port}, backend);
  send_translated(packet.mbuf, backend.address, *route, fragment_id);
}

void Forward::translate_to_client(const FlowPacket& packet, const lb::Listener& listener, lb::Flow& flow,
                                  Ms now) noexcept {
  const net::Endpoint client = flow.key.client_endpoint();
  const Route* route = may_translate(packet, client.address, now);
  if (route == nullptr) return;
  note_to_client(packet, flow, now);
  const std::uint32_t fragment_id = fragment_id_of(packet, client.port);
  translate(packet.mbuf, *packet.parsed, listener.endpoint(), client);
  send_translated(packet.mbuf, client.address, *route, fragment_id);
}

// Errors are short: the new one is made beside the old, and takes its mbuf.
void Forward::translate_error(const FlowPacket& packet, const net::Parsed& quoted, const net::IcmpErrorTuple& to,
                              Ms now) noexcept {
  const Route* route = egress_.route_to(to.dst);
  if (packet.parsed->ttl <= 1 || route == nullptr) {
    (void)may_be_cut(packet, route, 0, now);  // neither passes
    return;
  }
  const Route* back = egress_.route_to(quoted.dst);
  std::array<std::uint8_t, net::kMaxBuiltBytes> out;
  const std::size_t bytes =
      net::translate_icmp_error(out, frame_of(packet.mbuf), *packet.parsed, quoted, to,
                                {.of_error = back != nullptr ? back->mtu : route->mtu, .of_other = route->mtu});
  if (bytes == 0) return egress_.drop(packet.mbuf, Drop::kIcmpUnhandled);
  rte_pktmbuf_trim(packet.mbuf, rte_pktmbuf_data_len(packet.mbuf));
  char* room = rte_pktmbuf_append(packet.mbuf, static_cast<std::uint16_t>(bytes));
  if (room == nullptr) return egress_.drop(packet.mbuf, Drop::kTooBig);
  std::memcpy(room, out.data(), bytes);
  counters_.icmp_errors_passed.add();
  egress_.send_ip(packet.mbuf, to.dst, *route);
}

}  // namespace sluice::dataplane
