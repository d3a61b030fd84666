#include "forward.h"

#include <algorithm>
#include <array>

#include "mode_dnat.h"
#include "mode_nat.h"
#include "mode_tunnel.h"
#include "packet.h"
#include "sluice/lb/balance.h"
#include "sluice/net/fragment.h"
#include "sluice/net/quic.h"
#include "sluice/net/tcp_options.h"

namespace sluice::dataplane {

using telemetry::Drop;

namespace {

// Idle flows are looked for at such a pace that the whole table is seen in kScanMs, at most kScanPerTurn places a turn.
// A flow that is asked for is checked anyway; this finds those that nobody asks for.
constexpr std::uint64_t kScanMs = 10'000;
constexpr std::size_t kScanPerTurn = 256;

// The backend that the packet's connection id names; kNoBackend: none that could have it. A later fragment has something else
// where others have their id, and goes where its first one went: with the flow.
lb::BackendIndex quic_backend(const lb::Snapshot& snapshot, const FlowPacket& packet) noexcept {
  const net::Parsed& parsed = *packet.parsed;
  if (parsed.fragment == net::FragmentKind::kLater) return lb::kNoBackend;
  const auto id = net::quic_destination_id(frame_of(packet.mbuf).subspan(parsed.payload_offset, parsed.payload_len()));
  return id ? snapshot.find_quic_backend(packet.listener->pool, *id) : lb::kNoBackend;
}

// Another client, or another connection of the same, has the flow's address and port by now.
bool has_moved(const lb::Snapshot& snapshot, const lb::Flow& flow, const FlowPacket& packet) noexcept {
  const lb::BackendIndex named = quic_backend(snapshot, packet);
  return named != lb::kNoBackend && snapshot.id_of(named) != flow.backend;
}

// A new connection on the tuple of one that has ended, or a flow that loses nothing by leaving a backend that is down.
bool begins_again(const lb::Snapshot& snapshot, const lb::Flow& flow, const FlowPacket& packet) noexcept {
  if (flow.state() == lb::FlowState::kEstablished) [[likely]]
    return false;
  packet.complete();
  if (packet.listener->quic && has_moved(snapshot, flow, packet)) return true;
  return lb::starts_over(flow.state(), packet.parsed->tcp_flags, flow.is(lb::Flow::kOneWay)) ||
         lb::should_move(snapshot, flow);
}

}  // namespace

Forward::Forward(std::size_t flows, const lb::FlowTable::Secret& secret, lb::PortBlock ports, std::size_t nat_sets,
                 std::uint64_t seed, Egress& egress, Answers& answers, telemetry::WorkerCounters& counters,
                 const SynProxyParts& syn_proxy, std::size_t persistent_clients, Guard& guard, std::size_t worker,
                 std::optional<esp::GcmEngine> esp_engine, const RssMaps& rss)
    : ports_(ports, Random(seed), nat_sets),
      flows_(flows, secret, ports_, counters),
      syn_proxy_(syn_proxy.secret, syn_proxy.wanted ? flows_.places() : 0, syn_proxy.workers, counters),
      guard_(guard),
      turns_(Random(seed + 1)),
      outer_id_(static_cast<std::uint32_t>(Random(~seed).next())),
      tunnels_(egress.topology()),
      persistence_(persistent_clients, secret, counters.persistent_evicted),
      esp_(worker, egress, counters, std::move(esp_engine)),
      egress_(egress),
      answers_(answers),
      counters_(counters),
      rss_(rss),
      worker_(static_cast<std::uint16_t>(worker)),
      least_mtu_(std::ranges::min_element(egress.topology().interfaces(), {}, &InterfaceInfo::mtu)->mtu) {}

bool Forward::expire(Ms now) noexcept {
  if (const std::uint32_t passed = std::min<std::uint32_t>(elapsed(now, last_scan_), kScanMs); passed != 0) {
    last_scan_ = now;
    scan_owed_ = std::min<std::size_t>(scan_owed_ + flows_.places() * passed / kScanMs + 1, flows_.places());
  }
  if (scan_owed_ == 0) return false;
  const std::size_t budget = std::min(scan_owed_, kScanPerTurn);
  scan_owed_ -= budget;
  return flows_.expire(now, budget) != 0;
}

bool Forward::may_be_cut(const FlowPacket& packet, const Route* route, std::size_t overhead, Ms now) noexcept {
  const net::Parsed& parsed = *packet.parsed;
  if (parsed.ttl <= 1) {  // RFC 1812 section 5.3.1
    answers_.time_exceeded(packet.mbuf, parsed, now);
    egress_.drop(packet.mbuf, Drop::kTtlExpired);
    return false;
  }
  if (route == nullptr) {
    egress_.drop(packet.mbuf, Drop::kNoRoute);
    return false;
  }
  const bool ip6 = parsed.family == net::Family::kIp6;
  // RFC 2473 section 7.1: IPv6 counts on 1,280 bytes, and a tunnel that has less of them cuts what is outside.
  if (ip6 && overhead != 0 && parsed.l3_len() <= net::kMinIp6Mtu) return true;
  const std::size_t mtu = route->mtu - std::min<std::size_t>(overhead, route->mtu);
  const bool cuttable = net::may_be_cut(std::span<const std::uint8_t>(frame_of(packet.mbuf)).subspan(parsed.l3_offset));
  if (cuttable && mtu >= net::kMinFragmentMtu) return true;
  const std::size_t told = std::max<std::size_t>(mtu, ip6 ? net::kMinIp6Mtu : net::kMinFragmentMtu);
  if (!cuttable) answers_.packet_too_big(packet.mbuf, parsed, static_cast<std::uint16_t>(told), now);
  egress_.drop(packet.mbuf, Drop::kTooBig);
  return false;
}

// The least that both ways take, less the headers: neither end sends segments that would be too big on the other side.
std::uint16_t Forward::mss_of(const lb::Flow& flow, std::size_t overhead) const noexcept {
  const net::IpAddress &client = flow.key.client, &backend = flow.reply.backend;
  const auto segment = [](std::size_t mtu, const net::IpAddress& of) {
    return mtu - (of.is_v4() ? sizeof(net::Ip4Header) : sizeof(net::Ip6Header)) - sizeof(net::TcpHeader);
  };
  std::size_t least = 0xffff;
  if (const Route* route = egress_.route_to(client)) least = std::min(least, segment(route->mtu, client));
  // In a tunnel the packet stays the client's.
  if (const Route* route = egress_.route_to(backend))
    least = std::min(least, segment(route->mtu - overhead, overhead == 0 ? backend : client));
  return static_cast<std::uint16_t>(least);
}

// Of a service's `mss`; 0: segment sizes are the ends' matter.
std::uint16_t Forward::mss_setting(const lb::Snapshot& snapshot, lb::ServiceIndex service) noexcept {
  const config::Service* settings = snapshot.services[service].config;
  return settings == nullptr || !settings->forward ? std::uint16_t{0} : settings->forward->mss;
}

void Forward::clamp_mss(const lb::Snapshot& snapshot, const FlowPacket& packet, const lb::Flow& flow,
                        std::size_t overhead) noexcept {
  if (packet.parsed->proto != net::IpProto::kTcp) return;  // an INIT of SCTP is a SYN to flows
  const std::uint16_t wanted = mss_setting(snapshot, flow.service);
  if (wanted == 0) return;
  const std::uint16_t most = wanted == config::kMssAuto ? mss_of(flow, overhead) : wanted;
  net::clamp_mss(frame_of(packet.mbuf), packet.parsed->l4_offset, most);
}

// Everything but the sending.
void Forward::edit_to_backend(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept {
  note_to_backend(packet, flow, now);
  const net::Parsed& parsed = *packet.parsed;
  if ((parsed.tcp_flags & net::kTcpSyn) != 0) clamp_mss(snapshot, packet, flow, 0);
  switch (packet.listener->mode) {
    case config::ForwardMode::kNat:
      if (flow.is(lb::Flow::kSynProxied)) {
        net::shift_to_backend(frame_of(packet.mbuf), parsed, syn_proxy_.entry(flows_.place_of(flow)).shift);
      }
      return nat_to_backend(frame_of(packet.mbuf), parsed, snapshot, flow);
    case config::ForwardMode::kDnat:
      return dnat_to_backend(frame_of(packet.mbuf), parsed, flow);
    default:  // kDsr: the link header, which comes last, is all else that changes
      return net::take_hop(frame_of(packet.mbuf), parsed);
  }
}

template <net::Family kFamily>
[[gnu::always_inline]] inline void Forward::forward_common(const lb::Snapshot& snapshot, const FlowPacket& packet,
                                                           const Egress::Hop& hop, lb::Flow& flow, Ms now) noexcept {
  rte_mbuf* mbuf = packet.mbuf;
  const net::CommonPacket<kFamily> parsed(rte_pktmbuf_mtod(mbuf, const std::uint8_t*));
  const std::span<std::uint8_t> frame(rte_pktmbuf_mtod(mbuf, std::uint8_t*), parsed.end);
  const config::ForwardMode mode = packet.listener->mode;
  if (config::is_tunnel(mode)) {
    const Tunnel* tunnel = tunnels_.find(snapshot, *packet.listener, kFamily, flow);
    if (tunnel == nullptr || parsed.l3_len() + tunnel->header.size() > hop.mtu || !has_tunnel_room(mbuf, parsed))
        [[unlikely]]
      return forward_any(snapshot, packet, flow, now);
    note_to_backend(mbuf, frame.data(), parsed, flow, now);
    encapsulate(mbuf, frame.data(), parsed, tunnel->header, net::spread_hash(parsed.src, parsed.src_port));
    return egress_.send_by(hop, mbuf, frame.data() - tunnel->header.size());
  }
  if (parsed.l3_len() > hop.mtu || flow.is(lb::Flow::kSynProxied)) [[unlikely]]
    return forward_any(snapshot, packet, flow, now);
  switch (mode) {
    [[likely]] case config::ForwardMode::kNat:
      note_to_backend(mbuf, frame.data(), parsed, flow, now);
      nat_to_backend(frame, parsed, snapshot, flow);
      break;
    case config::ForwardMode::kDnat:
      note_to_backend(mbuf, frame.data(), parsed, flow, now);
      dnat_to_backend(frame, parsed, flow);
      break;
    case config::ForwardMode::kDsr:
      note_to_backend(mbuf, frame.data(), parsed, flow, now);
      net::take_hop(frame, parsed);
      break;
    case config::ForwardMode::kEsp:
      packet.complete();
      return encrypt_common(snapshot, packet, hop, flow, now);
    default:
      return forward_any(snapshot, packet, flow, now);
  }
  egress_.send_by(hop, mbuf, frame.data());
}

// A function of its own: in one with the other family's, the compiler has too few registers.
void Forward::forward_common6(const lb::Snapshot& snapshot, const FlowPacket& packet, const Egress::Hop& hop,
                              lb::Flow& flow, Ms now) noexcept {
  forward_common<net::Family::kIp6>(snapshot, packet, hop, flow, now);
}

[[gnu::always_inline]] inline void Forward::forward(const lb::Snapshot& snapshot, const FlowPacket& packet,
                                                    lb::Flow& flow, Ms now) noexcept {
  const Egress::Hop* hop = egress_.hop_to_backend(flow.backend.index, flow.reply.backend);
  if (packet.common == net::Family::kNone || hop == nullptr) [[unlikely]]
    return forward_any(snapshot, packet, flow, now);
  if (packet.common == net::Family::kIp4) return forward_common<net::Family::kIp4>(snapshot, packet, *hop, flow, now);
  forward_common6(snapshot, packet, *hop, flow, now);
}

// What does not simply leave: its neighbour is not known, or it must be answered, or it is of a rare shape.
void Forward::forward_any(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept {
  packet.complete();
  const net::Parsed& parsed = *packet.parsed;
  const config::ForwardMode mode = packet.listener->mode;
  if (mode == config::ForwardMode::kEsp) return encrypt_to(snapshot, packet, flow, now);
  if (config::has_tunnel(mode)) return encapsulate_to(snapshot, packet, flow, now);
  if (config::changes_headers(mode)) {
    if ((parsed.tcp_flags & net::kTcpSyn) != 0) clamp_mss(snapshot, packet, flow, 0);
    return translate_to_backend(snapshot, packet, flow, now);
  }
  const net::IpAddress backend = flow.reply.backend;
  const Route* route = egress_.route_to(backend);
  if (!may_pass(packet, route, now)) return;
  edit_to_backend(snapshot, packet, flow, now);
  egress_.send_ip(packet.mbuf, backend, *route);
}

// Known flows first, all of them: opening one may end another, and with it a Flow* that was looked up.
void Forward::to_backends(const lb::Snapshot& snapshot, Waiting& waiting, Ms now) noexcept {
  std::array<std::uint8_t, kMaxBurst> unknown;
  std::size_t unknowns = 0;
  for (std::size_t i = 0; i < waiting.count; ++i) {
    const FlowPacket& packet = waiting.entries[i].packet;
    lb::Flow* flow = flows_.finish(waiting.entries[i].lookup, waiting.flows[i], now);
    if (flow == nullptr || begins_again(snapshot, *flow, packet) || awaits_backend(*flow)) [[unlikely]] {
      packet.complete();
      if (flow == nullptr && packet.listener->syn_proxy) {
        // TCP's options lie in the second line of a frame: those of a SYN a little further on are asked for.
        if (i + 3 < waiting.count) __builtin_prefetch(frame_of(waiting.entries[i + 3].packet.mbuf).data() + 64, 1);
        if (answer_with_cookie(snapshot, packet, now)) continue;
      }
      unknown[unknowns++] = static_cast<std::uint8_t>(i);
    } else {
      forward(snapshot, packet, *flow, now);
    }
  }
  for (std::size_t i = 0; i < unknowns; ++i) flows_.expect_insert(waiting.entries[unknown[i]].lookup);
  for (std::size_t i = 0; i < unknowns; ++i) forward_unknown(snapshot, waiting.entries[unknown[i]].packet, now);
  flows_.settle(now);
}

// What a new snapshot says of flows that are there.
void Forward::adopt(const lb::Snapshot& snapshot) noexcept {
  generation_ = snapshot.generation;
  has_tunnels_ = std::ranges::any_of(snapshot.services, [](const lb::Service& service) {
    return service.present && config::has_tunnel(service.mode);
  });
  note_backends(snapshot);
  for (std::size_t i = 0; i < snapshot.services.size(); ++i) {
    const lb::Service& service = snapshot.services[i];
    if (service.present) flows_.set_limits(static_cast<lb::ServiceIndex>(i), service.limits);
  }
}

void Forward::run(const lb::Snapshot& snapshot, Ms now) noexcept {
  if (snapshot.generation != generation_) [[unlikely]]
    adopt(snapshot);
  auto& [backends, clients] = waiting_;
  for (std::size_t i = 0; i < backends.count; ++i) backends.flows[i] = flows_.guess(backends.entries[i].lookup);
  if (has_tunnels_) {  // a tunnel's header is written in front of the frame, into a line that nobody has touched yet
    for (std::size_t i = 0; i < backends.count; ++i) {
      __builtin_prefetch(rte_pktmbuf_mtod(backends.entries[i].packet.mbuf, const std::uint8_t*) - 64, 1);
    }
  }
  for (std::size_t i = 0; i < clients.count; ++i) clients.flows[i] = flows_.guess_reply(clients.entries[i].lookup);
  if (backends.count != 0) to_backends(snapshot, backends, now);
  if (clients.count != 0) to_clients(snapshot, clients, now);
  if (dnat_reply_count_ != 0) [[unlikely]]
    dnat_to_clients(snapshot, now);
  esp_.open_all(snapshot);
  esp_.flush();
  backends.count = clients.count = 0;
}

void Forward::forward_unknown(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept {
  lb::Flow* flow = flows_.find(key_of(packet), now);  // an earlier packet of this burst may have opened it
  if (flow != nullptr && begins_again(snapshot, *flow, packet)) {
    flows_.remove(*flow, now);
    flow = nullptr;
    if (packet.listener->syn_proxy && answer_with_cookie(snapshot, packet, now)) return;
  }
  if (flow != nullptr && awaits_backend(*flow)) return forward_opening(snapshot, packet, *flow, now);
  if (flow == nullptr && packet.listener->syn_proxy && open_by_cookie(snapshot, packet, now)) return;
  if (flow == nullptr) flow = open(snapshot, packet, now);
  if (flow != nullptr) forward(snapshot, packet, *flow, now);
}

lb::Flow* Forward::open(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept {
  lb::Flow* flow = nullptr;
  // Where no port of ours is needed, Maglev alone says where the packet of a flow goes that another machine, or this one
  // before a restart, has opened.
  const bool amid = config::takes_port(packet.listener->mode) && net::has_handshake(packet.parsed->proto) &&
                    (packet.parsed->tcp_flags & kTcpControl) != net::kTcpSyn;
  const Drop reason = amid ? Drop::kNoFlow : try_open(snapshot, packet, now, flow);
  if (reason == Drop::kNone) [[likely]]
    return flow;
  refuse(packet, reason, now);
  return nullptr;
}

void Forward::refuse(const FlowPacket& packet, Drop reason, Ms now) noexcept {
  counters_.services[packet.listener->service].failed.add();
  // What is over a limit costs no answer, unless the client holds a connection to us already.
  const bool limited = reason == Drop::kSourceFlows || reason == Drop::kServiceFlows;
  const bool silent = reason == Drop::kBadIpAddress || (limited && (packet.parsed->tcp_flags & net::kTcpAck) == 0);
  if (!silent) answers_.refuse(packet.mbuf, *packet.parsed, now);
  egress_.drop(packet.mbuf, reason);
}

Drop Forward::try_open(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now, lb::Flow*& flow) noexcept {
  const net::Parsed& parsed = *packet.parsed;
  const lb::Listener& listener = *packet.listener;
  const bool takes_port = config::takes_port(listener.mode);
  if (refuse_new_) return Drop::kShutdown;
  if (guard_.wanted()) [[unlikely]] {
    const Drop reason = guard_.judge_flow(snapshot, parsed.src, listener.service, now);
    if (reason != Drop::kNone) return reason;
  }
  if (snapshot.is_ours(parsed.src)) [[unlikely]]
    return Drop::kBadIpAddress;  // our own, from outside (RFC 1812 section 5.3.8)

  lb::BackendIndex chosen = listener.quic ? quic_backend(snapshot, packet) : lb::kNoBackend;
  if (chosen == lb::kNoBackend) chosen = choose_backend(snapshot, packet, now);
  if (chosen == lb::kNoBackend) return snapshot.pools[listener.pool].up == 0 ? Drop::kNoBackend : Drop::kBackendsFull;
  const lb::Backend& backend = snapshot.backends[chosen];
  const Route* route = egress_.route_to(backend.address);
  if (route == nullptr) return Drop::kNoRoute;
  lb::NewFlow made{.key = key_of(packet),
                   .reply = {.backend = backend.address,
                             .backend_port = backend.port != 0 ? backend.port : parsed.dst_port,
                             .local_port = 0,
                             .source = lb::kNoIndex,
                             .proto = parsed.proto,
                             .zero = 0},
                   .backend = snapshot.id_of(chosen),
                   .service = listener.service,
                   .state = net::has_handshake(parsed.proto) ? lb::FlowState::kSynSent : lb::FlowState::kUdp,
                   .one_way = !config::sees_replies(listener.mode)};
  if (listener.mode == config::ForwardMode::kDnat) {
    if (const Drop reason = check_dnat(snapshot, made, now); reason != Drop::kNone) return reason;
  }
  if (listener.many && !listener.one_packet) {
    const auto number =
        flows_.destinations().hold({.address = parsed.dst, .listener = listener.id, .port = parsed.dst_port});
    if (!number && takes_port) return Drop::kFlowTableFull;
    if (number) made.key.listener = *number;
  }
  const Drop reason = enter(snapshot, packet, *route, now, made, flow);
  if (flow != nullptr) [[likely]]
    return Drop::kNone;
  if (lb::Destinations::is_number(made.key.listener)) flows_.destinations().release(made.key.listener);
  if (takes_port) return reason;
  // Without an entry the next packet is sent the same way, as long as the backends stay as they are.
  without_entry_ = {
      .key = made.key, .reply = {backend.address, backend.port}, .service = made.service, .backend = made.backend};
  without_entry_.set_state(lb::FlowState::kUdp);
  flow = &without_entry_;
  (listener.one_packet ? counters_.one_packet_forwarded : counters_.forwarded_without_flow).add();
  return Drop::kNone;
}

lb::BackendIndex Forward::choose_backend(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept {
  const net::Parsed& parsed = *packet.parsed;
  const lb::Listener& listener = *packet.listener;
  const std::uint32_t persist_ms = listener.persists ? snapshot.services[listener.service].persist_ms : 0;
  lb::BackendIndex chosen = lb::kNoBackend;
  if (persist_ms != 0) {
    const lb::BackendId known = persistence_.find(parsed.src, listener.service, persist_ms, now);
    const lb::Backend* backend = snapshot.find_backend(known);
    const bool rests = backend != nullptr && backend->backup && !snapshot.pools[listener.pool].backups.empty();
    if (backend != nullptr && backend->pool == listener.pool && backend->takes_new() && !rests &&
        lb::has_room(snapshot, known.index, counters_.backends.span())) {
      chosen = known.index;
    }
  }
  if (chosen == lb::kNoBackend) {
    const std::uint64_t hash = lb::flow_hash(snapshot.pools[listener.pool].hash, {parsed.src, parsed.src_port},
                                             {parsed.dst, parsed.dst_port}, parsed.proto);
    chosen = lb::choose(snapshot, listener.pool, hash, turns_, counters_.backends.span());
  }
  if (persist_ms != 0 && chosen != lb::kNoBackend)
    persistence_.remember(parsed.src, listener.service, snapshot.id_of(chosen), persist_ms, now);
  return chosen;
}

Drop Forward::enter(const lb::Snapshot& snapshot, const FlowPacket& packet, const Route& route, Ms now,
                    lb::NewFlow& made, lb::Flow*& flow) noexcept {
  const lb::Service& service = snapshot.services[packet.listener->service];
  if (!config::takes_port(packet.listener->mode)) {
    if (!packet.listener->one_packet) flow = flows_.insert(made, now);
    return flow != nullptr ? Drop::kNone : Drop::kFlowTableFull;
  }
  // A port of the backend's address (port_set_of()) may be in use towards one of its ports, and the other way round: then
  // another is tried.
  const net::Parsed& parsed = *packet.parsed;
  // Of the whole tuple, whatever the pool's choice depends on.
  const std::uint64_t hash =
      lb::maglev_hash({parsed.src, parsed.src_port}, {parsed.dst, parsed.dst_port}, parsed.proto);
  const bool shared = snapshot.has_wildcards || flows_.destinations().size() != 0;
  constexpr int kTries = 256;  // neighbours may be in use too: ports are taken in order
  for (int tries = 0; tries < kTries; ++tries) {
    if (flows_.full()) return Drop::kFlowTableFull;
    if (const Drop reason = take_port(snapshot, service, route, hash, now, made); reason != Drop::kNone) return reason;
    const lb::Flow* other = shared ? flows_.find_reply(made.reply, now) : nullptr;
    if (other == nullptr || other->is(lb::Flow::kPortRests)) [[likely]] {
      flow = flows_.insert(made, now);
      if (flow != nullptr) [[likely]]
        return Drop::kNone;
    }
    ports_.give_back(made.reply.source, made.reply.proto, lb::port_set_of(made.key, made.reply.endpoint()),
                     made.reply.local_port, now);
  }
  return flows_.full() ? Drop::kFlowTableFull : Drop::kNatPortsExhausted;
}

lb::FlowKey Forward::key_of(const FlowPacket& packet) const noexcept {
  const net::Parsed& parsed = *packet.parsed;
  return {.client = parsed.src,
          .listener = destination_of(*packet.listener, {parsed.dst, parsed.dst_port}),
          .client_port = parsed.src_port,
          .proto = parsed.proto};
}

const lb::Listener* Forward::listener_of_destination(const lb::Snapshot& snapshot, const lb::Flow& flow) noexcept {
  if (!lb::Destinations::is_number(flow.key.listener)) return nullptr;
  const lb::Destination& destination = flows_.destinations().get(flow.key.listener);
  const lb::Listener* listener = snapshot.find_listener(destination.listener);
  if (listener == nullptr) return nullptr;
  one_destination_ = *listener;
  one_destination_.key.address = destination.address;
  one_destination_.key.port = destination.port;
  return &one_destination_;
}

lb::RssPorts Forward::ports_home(const lb::Snapshot& snapshot, const lb::ReplyKey& reply,
                                 const Route& route) const noexcept {
  const lb::RssMap* nic = rss_.by_interface[route.interface].get();
  if (nic == nullptr || !nic->knows(reply.proto, reply.backend.is_v4()) || !nic->reaches(worker_)) return {};
  return nic->ports(reply.endpoint(), snapshot.sources[reply.source], worker_);
}

Drop Forward::take_port(const lb::Snapshot& snapshot, const lb::Service& service, const Route& route,
                        std::uint64_t hash, Ms now, lb::NewFlow& made) noexcept {
  const bool v4 = made.reply.backend.is_v4();
  made.reply.source = snapshot.choose_source(v4 ? service.sources4 : service.sources6, route.interface, v4, hash >> 32);
  if (made.reply.source == lb::kNoIndex) return Drop::kNoRoute;
  const auto listened = snapshot.listened_ports(made.reply.source, made.reply.proto);
  const net::Endpoint set = lb::port_set_of(made.key, made.reply.endpoint());
  // A set that several ports of the backend share has replies from each of them: they have no port in common.
  const lb::RssPorts home = set.port == 0 ? lb::RssPorts() : ports_home(snapshot, made.reply, route);
  made.reply.local_port = ports_.take(made.reply.source, made.reply.proto, set, now, listened, home);
  if (home.known() && made.reply.local_port != 0)
    (home.leads_home(made.reply.local_port) ? counters_.nat_ports_home : counters_.nat_ports_astray).add();
  if (!net::has_ports(made.reply.proto)) made.reply.backend_port = made.reply.local_port;  // an echo has one identifier
  return made.reply.local_port == 0 ? Drop::kNatPortsExhausted : Drop::kNone;
}

template <net::Family kFamily>
[[gnu::always_inline]] inline void Forward::reply_common(const lb::Snapshot& snapshot, const FlowPacket& packet,
                                                         const lb::Listener& listener, const Egress::Hop& hop,
                                                         lb::Flow& flow, Ms now) noexcept {
  rte_mbuf* mbuf = packet.mbuf;
  const net::CommonPacket<kFamily> parsed(rte_pktmbuf_mtod(mbuf, const std::uint8_t*));
  const std::span<std::uint8_t> frame(rte_pktmbuf_mtod(mbuf, std::uint8_t*), parsed.end);
  if (parsed.l3_len() > hop.mtu) [[unlikely]]
    return reply_any(snapshot, packet, listener, flow, now);
  note_to_client(mbuf, frame.data(), parsed, flow, now);
  nat_to_client(frame, parsed, listener, flow);
  egress_.send_by(hop, mbuf, frame.data());
}

[[gnu::always_inline]] inline void Forward::reply(const lb::Snapshot& snapshot, const FlowPacket& packet,
                                                  lb::Flow& flow, Ms now) noexcept {
  const lb::Listener* listener = listener_of(snapshot, flow);
  if (listener == nullptr) [[unlikely]]
    return egress_.drop(packet.mbuf, Drop::kNatNoReplyFlow);
  const Egress::Hop* hop = egress_.hop_to(flow.key.client);
  if (packet.common == net::Family::kNone || hop == nullptr || config::translates(listener->mode)) [[unlikely]]
    return reply_any(snapshot, packet, *listener, flow, now);
  if (packet.common == net::Family::kIp4)
    return reply_common<net::Family::kIp4>(snapshot, packet, *listener, *hop, flow, now);
  reply_common<net::Family::kIp6>(snapshot, packet, *listener, *hop, flow, now);
}

void Forward::reply_any(const lb::Snapshot& snapshot, const FlowPacket& packet, const lb::Listener& listener,
                        lb::Flow& flow, Ms now) noexcept {
  packet.complete();
  if ((packet.parsed->tcp_flags & net::kTcpSyn) != 0) clamp_mss(snapshot, packet, flow, 0);
  if (config::translates(listener.mode)) return translate_to_client(packet, listener, flow, now);
  const net::IpAddress client = flow.key.client;
  const Route* route = egress_.route_to(client);
  if (!may_pass(packet, route, now)) return;
  note_to_client(packet, flow, now);
  nat_to_client(frame_of(packet.mbuf), *packet.parsed, listener, flow);
  egress_.send_ip(packet.mbuf, client, *route);
}

void Forward::to_clients(const lb::Snapshot& snapshot, Waiting& waiting, Ms now) noexcept {
  for (std::size_t i = 0; i < waiting.count; ++i) {
    const FlowPacket& packet = waiting.entries[i].packet;
    lb::Flow* flow = flows_.finish_reply(waiting.entries[i].lookup, waiting.flows[i], now);
    if (flow != nullptr) [[likely]] {
      if (flow->is(lb::Flow::kSynProxied)) [[unlikely]] {
        packet.complete();
        reply_proxied(snapshot, packet, *flow, now);
      } else {
        reply(snapshot, packet, *flow, now);
      }
    } else {
      packet.complete();
      // What the backend still holds is over for us (a restart, an idle flow): a reset lets it know.
      if (net::has_handshake(packet.parsed->proto)) answers_.reset(packet.mbuf, *packet.parsed);
      egress_.drop(packet.mbuf, Drop::kNatNoReplyFlow);
    }
  }
}

}  // namespace sluice::dataplane
