// Replies of mode `dnat`. The backend's packet names the backend's endpoint and the client's: the snapshot knows the
// listeners that the endpoint answers for, nearly always one, and each has a flow of that client or has none. So nothing
// more is kept of a flow than its client's key.
// Where there is one listener, the source of the reply follows from the backend alone: what has no flow (after a restart,
// or because the table is full) goes its way all the same.
#include <array>

#include "forward.h"
#include "mode_dnat.h"
#include "packet.h"

namespace sluice::dataplane {

using telemetry::Drop;

namespace {

bool is_to(const lb::Flow* flow, const net::Endpoint& backend) noexcept {
  return flow != nullptr && flow->reply.endpoint() == backend;
}

}  // namespace

lb::Flow* Forward::find_dnat(const lb::Snapshot& snapshot, const net::Endpoint& backend, const net::Endpoint& client,
                             net::IpProto proto, Ms now) noexcept {
  for (const std::uint16_t index : snapshot.dnat_listeners_of(backend.address, backend.port, proto)) {
    const lb::ListenerId listener = snapshot.listeners[index].id;
    lb::Flow* flow =
        flows_.find({.client = client.address, .listener = listener, .client_port = client.port, .proto = proto}, now);
    if (is_to(flow, backend)) return flow;
  }
  return nullptr;
}

Drop Forward::check_dnat(const lb::Snapshot& snapshot, const lb::NewFlow& made, Ms now) noexcept {
  const net::Endpoint backend = made.reply.endpoint();
  if (snapshot.dnat_listeners_of(backend.address, backend.port, made.key.proto).size() < 2) return Drop::kNone;
  if (flows_.full()) return Drop::kFlowTableFull;  // without an entry nothing would say where a reply comes from
  lb::Flow* other = find_dnat(snapshot, backend, made.key.client_endpoint(), made.key.proto, now);
  if (other == nullptr) return Drop::kNone;
  if (!lb::starts_over(other->state(), net::kTcpSyn)) return Drop::kDnatTupleTaken;  // that one has not ended
  flows_.remove(*other, now);
  return Drop::kNone;
}

// What says that it is a backend's, but comes from where none of its packets can, is somebody else's: nothing was asked about
// its source. (Between hosts of one interface their switch has to look.)
bool Forward::came_from(const rte_mbuf* mbuf, const net::IpAddress& backend) const noexcept {
  if (egress_.topology().interfaces().size() == 1) return true;
  const Route* route = egress_.route_to(backend);
  return route == nullptr || route->interface == interface_of(mbuf);
}

void Forward::dnat_to_clients(const lb::Snapshot& snapshot, Ms now) noexcept {
  const std::span<const FlowPacket> packets(dnat_replies_.data(), dnat_reply_count_);
  std::array<lb::FlowTable::Lookup, kMaxBurst> lookups;
  std::array<lb::Flow*, kMaxBurst> flows;
  std::array<std::span<const std::uint16_t>, kMaxBurst> listeners;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const net::Parsed& parsed = *packets[i].parsed;
    listeners[i] = snapshot.dnat_listeners_of(parsed.src, parsed.src_port, parsed.proto);
    const lb::ListenerId first = snapshot.listeners[listeners[i].front()].id;
    lookups[i] = flows_.begin(parsed.dst.words(), lb::FlowKey::tail(parsed.dst_port, first, parsed.proto), false);
  }
  for (std::size_t i = 0; i < packets.size(); ++i) flows[i] = flows_.guess(lookups[i]);
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const net::Parsed& parsed = *packets[i].parsed;
    const net::Endpoint backend{parsed.src, parsed.src_port};
    lb::Flow* flow = flows_.finish(lookups[i], flows[i], now);
    if (!is_to(flow, backend)) flow = nullptr;
    if (flow == nullptr && listeners[i].size() > 1) {
      flow = find_dnat(snapshot, backend, {parsed.dst, parsed.dst_port}, parsed.proto, now);
    }
    if (!came_from(packets[i].mbuf, backend.address)) [[unlikely]] {
      egress_.drop(packets[i].mbuf, Drop::kNotForUs);
    } else if (flow != nullptr) [[likely]] {
      const lb::Listener* listener = snapshot.find_listener(flow->key.listener);
      reply_any(snapshot, packets[i], *listener, *flow, now);  // the listener that its flow was found by
    } else if (listeners[i].size() == 1) {
      dnat_reply_without_flow(packets[i], snapshot.listeners[listeners[i].front()], now);
    } else {
      egress_.drop(packets[i].mbuf, Drop::kNatNoReplyFlow);
    }
  }
  dnat_reply_count_ = 0;
}

void Forward::dnat_reply_without_flow(const FlowPacket& packet, const lb::Listener& listener, Ms now) noexcept {
  const net::Parsed& parsed = *packet.parsed;
  const Route* route = egress_.route_to(parsed.dst);
  if (!may_pass(packet, route, now)) return;
  counters_.forwarded_without_flow.add();
  counters_.services[listener.service].out.add(1, parsed.l3_len());
  trim_padding(packet.mbuf, parsed);
  dnat_to_client(frame_of(packet.mbuf), parsed, listener);
  egress_.send_ip(packet.mbuf, parsed.dst, *route);
}

}  // namespace sluice::dataplane
