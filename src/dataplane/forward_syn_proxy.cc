// The handshakes of the SYN proxy, and the segments of flows that went through it (syn_proxy.h).
#include <algorithm>

#include "forward.h"
#include "packet.h"

namespace sluice::dataplane {

using lb::Direction;
using telemetry::Drop;

// The way of a flood: nothing is looked up and nothing kept. The answer goes back the way the SYN came.
bool Forward::answer_with_cookie(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept {
  const net::Parsed& parsed = *packet.parsed;
  const lb::Service& service = snapshot.services[packet.listener->service];
  if ((parsed.tcp_flags & kTcpControl) != net::kTcpSyn || refuse_new_ ||
      snapshot.pools[packet.listener->pool].up == 0 ||
      !syn_proxy_.engages(packet.listener->service, *service.syn_proxy, now)) {
    return false;
  }
  const InterfaceId interface = interface_of(packet.mbuf);
  const std::uint16_t mtu = egress_.topology().interfaces()[interface].mtu;
  net::TcpSegment answer = syn_proxy_.answer(frame_of(packet.mbuf), parsed, *service.syn_proxy, mtu, now);
  if (const std::uint16_t wanted = mss_setting(snapshot, packet.listener->service); wanted != 0) {
    // Which backend it will be is not known yet: the least of all ways.
    const bool some_ip6 = parsed.family == net::Family::kIp6 || config::translates(packet.listener->mode);
    const std::size_t ip = some_ip6 ? sizeof(net::Ip6Header) : sizeof(net::Ip4Header);
    const auto most = static_cast<std::uint16_t>(least_mtu_ - ip - sizeof(net::TcpHeader));
    answer.options.mss = std::min(answer.options.mss, wanted == config::kMssAuto ? most : wanted);
  }
  write_segment(packet.mbuf, answer);
  auto& ethernet = *rte_pktmbuf_mtod(packet.mbuf, net::EthernetHeader*);
  std::swap(ethernet.src, ethernet.dst);
  counters_.syn_cookies_sent.add();
  egress_.send_frame(packet.mbuf, interface);
  return true;
}

// A client that has come back. True: the packet was taken.
bool Forward::open_by_cookie(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept {
  const net::Parsed& parsed = *packet.parsed;
  const lb::Service& service = snapshot.services[packet.listener->service];
  if ((parsed.tcp_flags & kTcpControl) != net::kTcpAck) return false;
  const std::optional<SynProxy::Entry> entry = syn_proxy_.check(frame_of(packet.mbuf), parsed, *service.syn_proxy, now);
  lb::Flow* flow = nullptr;
  const Drop reason = entry ? try_open(snapshot, packet, now, flow) : Drop::kBadSynCookie;
  if (reason != Drop::kNone) {
    refuse(packet, reason, now);
    return true;
  }
  counters_.syn_cookies_taken.add();
  flow->set(lb::Flow::kSynProxied);
  flows_.touch(*flow, Direction::kToBackend, {.flags = net::kTcpSyn, .sequence = entry->client_sequence}, now);
  syn_proxy_.begin(flows_.place_of(*flow), *entry, now);
  counters_.services[flow->service].in.add(1, parsed.l3_len());
  send_opening(snapshot, packet.mbuf, *flow);
  return true;
}

void Forward::send_opening(const lb::Snapshot& snapshot, rte_mbuf* mbuf, const lb::Flow& flow) noexcept {
  net::TcpSegment segment = SynProxy::opening(syn_proxy_.entry(flows_.place_of(flow)));
  segment.src = {snapshot.sources[flow.reply.source], flow.reply.local_port};
  segment.dst = flow.reply.endpoint();
  if (const std::uint16_t wanted = mss_setting(snapshot, flow.service); wanted != 0) {
    segment.options.mss = std::min(segment.options.mss, wanted == config::kMssAuto ? mss_of(flow, 0) : wanted);
  }
  write_segment(mbuf, segment);
  counters_.backends[flow.backend.index].out.add(1, mbuf->pkt_len - Egress::kLinkRoom);
  egress_.send_ip(mbuf, flow.reply.backend);
}

bool Forward::retry_openings(const lb::Snapshot& snapshot, Ms now) noexcept {
  syn_proxy_.disengage_idle(now);
  bool worked = false;
  for (std::size_t i = 0; i < SynProxy::kRetriesPerTurn; ++i) {
    const std::optional<SynProxy::Retry> due = syn_proxy_.take_due(now);
    if (!due) break;
    worked = true;
    lb::Flow* flow = flows_.at(due->place);
    if (flow == nullptr || !flow->is(lb::Flow::kSynProxied) || flow->state() != lb::FlowState::kSynSent) continue;
    rte_mbuf* mbuf = answers_.blank();
    if (due->tries < SynProxy::kTries) {
      syn_proxy_.wait_again(*due, now);
      if (mbuf == nullptr) continue;
      counters_.syn_proxy_retries.add();
      send_opening(snapshot, mbuf, *flow);
      continue;
    }
    counters_.services[flow->service].failed.add();
    if (mbuf != nullptr) send_reset_to_client(snapshot, mbuf, *flow);
    flows_.remove(*flow, now);
  }
  return worked;
}

// Of a handshake whose second half failed: the client holds a connection that nobody is at the other end of.
void Forward::send_reset_to_client(const lb::Snapshot& snapshot, rte_mbuf* mbuf, const lb::Flow& flow) noexcept {
  const lb::Listener* listener = listener_of(snapshot, flow);
  if (listener == nullptr) return egress_.drop(mbuf, Drop::kNatNoReplyFlow);
  const SynProxy::Entry& entry = syn_proxy_.entry(flows_.place_of(flow));
  write_segment(mbuf, {.src = listener->endpoint(),
                       .dst = flow.key.client_endpoint(),
                       .sequence = entry.shift.sequence + 1,
                       .acknowledgment = entry.client_sequence + 1,
                       .flags = net::kTcpRst | net::kTcpAck,
                       .window = 0,
                       .options = {}});
  counters_.rst_sent.add();
  egress_.send_ip(mbuf, flow.key.client);
}

// Its window is closed: what the client sends now is early, or comes again. Or it gives up.
void Forward::forward_opening(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept {
  const net::Parsed& parsed = *packet.parsed;
  const SynProxy::Entry& entry = syn_proxy_.entry(flows_.place_of(flow));
  if ((parsed.tcp_flags & net::kTcpRst) == 0) return egress_.drop(packet.mbuf, Drop::kSynProxyWaits);
  const auto& tcp = net::header_at<net::TcpHeader>(frame_of(packet.mbuf), parsed.l4_offset);
  flows_.touch(flow, Direction::kToBackend, {.flags = parsed.tcp_flags, .sequence = tcp.sequence.host()}, now);
  if (flow.state() == lb::FlowState::kSynSent) return egress_.drop(packet.mbuf, Drop::kSynProxyWaits);  // forged
  write_segment(packet.mbuf, {.src = {snapshot.sources[flow.reply.source], flow.reply.local_port},
                              .dst = flow.reply.endpoint(),
                              .sequence = entry.client_sequence + 1,
                              .acknowledgment = 0,
                              .flags = net::kTcpRst,
                              .window = 0,
                              .options = {}});
  egress_.send_ip(packet.mbuf, flow.reply.backend);
}

void Forward::reply_proxied(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept {
  const net::Parsed& parsed = *packet.parsed;
  const SynProxy::Entry& entry = syn_proxy_.entry(flows_.place_of(flow));
  if (!entry.joined) return reply_to_opening(snapshot, packet, flow, now);
  if ((parsed.tcp_flags & net::kTcpSyn) != 0) {  // our ACK was lost
    acknowledge_to_backend(snapshot, packet, packet.mbuf, flow);
    return;
  }
  if (!may_pass(packet, egress_.route_to(flow.key.client), now)) return;
  const lb::Listener* listener = listener_of(snapshot, flow);
  if (listener == nullptr) return egress_.drop(packet.mbuf, Drop::kNatNoReplyFlow);
  net::shift_to_client(frame_of(packet.mbuf), parsed, entry.shift);
  reply_any(snapshot, packet, *listener, flow, now);
}

void Forward::reply_to_opening(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow,
                               Ms now) noexcept {
  const net::Parsed& parsed = *packet.parsed;
  SynProxy::Entry& entry = syn_proxy_.entry(flows_.place_of(flow));
  const auto& tcp = net::header_at<net::TcpHeader>(frame_of(packet.mbuf), parsed.l4_offset);
  const bool answers = (parsed.tcp_flags & net::kTcpAck) != 0 && tcp.acknowledgment.host() == entry.client_sequence + 1;
  counters_.backends[flow.backend.index].in.add(1, parsed.l3_len());
  if ((parsed.tcp_flags & net::kTcpRst) != 0) {  // refused; anything else was forged (RFC 5961 section 3)
    if (!answers) return egress_.drop(packet.mbuf, Drop::kSynProxyWaits);
    flows_.touch(flow, Direction::kToClient, {.flags = parsed.tcp_flags, .acknowledgment = tcp.acknowledgment.host()},
                 now);
    counters_.services[flow.service].failed.add();
    return send_reset_to_client(snapshot, packet.mbuf, flow);
  }
  if (!answers || (parsed.tcp_flags & net::kTcpSyn) == 0 || flow.state() != lb::FlowState::kSynSent) {
    // It has another connection on this tuple in mind, and the SYN comes again; or the client has given up.
    answers_.reset(packet.mbuf, parsed);
    return egress_.drop(packet.mbuf, Drop::kSynProxyWaits);
  }
  const lb::Listener* listener = listener_of(snapshot, flow);
  if (listener == nullptr) return egress_.drop(packet.mbuf, Drop::kNatNoReplyFlow);
  const net::TcpOptions backend = net::parse_tcp_options(frame_of(packet.mbuf), parsed.l4_offset);
  SynProxy::join(entry, backend, tcp.sequence.host());
  syn_proxy_.end_wait(flows_.place_of(flow));
  const std::uint32_t to_client = tcp.sequence.host() + entry.shift.sequence;
  flows_.touch(flow, Direction::kToClient,
               {.flags = parsed.tcp_flags, .sequence = to_client, .acknowledgment = entry.client_sequence + 1}, now);
  flows_.touch(flow, Direction::kToBackend,
               {.flags = net::kTcpAck, .sequence = entry.client_sequence + 1, .acknowledgment = to_client + 1}, now);
  if (rte_mbuf* mbuf = answers_.blank()) acknowledge_to_backend(snapshot, packet, mbuf, flow);

  // The client's window opens. That of a SYN is not scaled (RFC 7323 section 2.2), this one is.
  const unsigned scale = entry.offered_scale == net::kNoWindowScale ? 0 : entry.offered_scale;
  net::TcpSegment opened{.src = listener->endpoint(),
                         .dst = flow.key.client_endpoint(),
                         .sequence = to_client + 1,
                         .acknowledgment = entry.client_sequence + 1,
                         .flags = net::kTcpAck,
                         .window = static_cast<std::uint16_t>(tcp.window.host() >> scale),
                         .options = {}};
  if (entry.timestamps) {
    opened.options.timestamps = true;
    opened.options.timestamp = backend.timestamp + entry.shift.timestamp;
    opened.options.timestamp_echo = entry.client_timestamp;
  }
  write_segment(packet.mbuf, opened);
  counters_.services[flow.service].out.add(1, packet.mbuf->pkt_len - Egress::kLinkRoom);
  egress_.send_ip(packet.mbuf, flow.key.client);
}

// The third segment of the handshake, in answer to the SYN, ACK in `packet`; `mbuf` becomes it, and may be that packet.
void Forward::acknowledge_to_backend(const lb::Snapshot& snapshot, const FlowPacket& packet, rte_mbuf* mbuf,
                                     const lb::Flow& flow) noexcept {
  const auto& tcp = net::header_at<net::TcpHeader>(frame_of(packet.mbuf), packet.parsed->l4_offset);
  const net::TcpOptions backend = net::parse_tcp_options(frame_of(packet.mbuf), packet.parsed->l4_offset);
  const SynProxy::Entry& entry = syn_proxy_.entry(flows_.place_of(flow));
  net::TcpSegment segment{.src = {snapshot.sources[flow.reply.source], flow.reply.local_port},
                          .dst = flow.reply.endpoint(),
                          .sequence = entry.client_sequence + 1,
                          .acknowledgment = tcp.sequence.host() + 1,
                          .flags = net::kTcpAck,
                          .window = entry.client_window,
                          .options = {}};
  if (backend.timestamps) {
    segment.options.timestamps = true;
    segment.options.timestamp = entry.client_timestamp;
    segment.options.timestamp_echo = backend.timestamp;
  }
  write_segment(mbuf, segment);
  counters_.backends[flow.backend.index].out.add(1, mbuf->pkt_len - Egress::kLinkRoom);
  egress_.send_ip(mbuf, flow.reply.backend);
}

}  // namespace sluice::dataplane
