// Layer 4 forwarding: the packets of services with `forward:` to backends, and what comes back to the clients. Finds or
// opens each packet's flow, and sends it the way that the service's mode has (mode_*.h). Works on the packets of a burst
// that this worker owns, in stages.
// Threading: one per worker.
// Ownership: owns the worker's flow table and NAT ports; takes the mbufs it is given.
// Spec:      RFC 5382 and RFC 4787 (what a NAT owes TCP and UDP), RFC 5508 (ICMP errors), RFC 1812 section 5.3 (TTL).
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <span>
#include <type_traits>

#include "answers.h"
#include "guard.h"
#include "mode_esp.h"
#include "packet.h"
#include "sluice/dataplane/egress.h"
#include "sluice/dataplane/rss_maps.h"
#include "sluice/lb/flow_query.h"
#include "sluice/lb/flow_table.h"
#include "sluice/lb/nat_ports.h"
#include "sluice/lb/persistence.h"
#include "sluice/lb/round_robin.h"
#include "sluice/lb/snapshot.h"
#include "sluice/net/parse.h"
#include "sluice/net/parse_common.h"
#include "sluice/net/rewrite.h"
#include "sluice/net/sctp.h"
#include "sluice/telemetry/counters.h"
#include "syn_proxy.h"
#include "tunnels.h"

namespace sluice::dataplane {

inline constexpr std::size_t kMaxBurst = 32;

// What tells a segment that opens or ends from one amid a connection.
inline constexpr std::uint8_t kTcpControl = net::kTcpSyn | net::kTcpAck | net::kTcpRst | net::kTcpFin;

// A packet of a client for a service, or of a backend for a NAT port.
struct FlowPacket {
  rte_mbuf* mbuf;
  net::Parsed* parsed;           // of a common packet: made by complete(), where somebody needs it
  const lb::Listener* listener;  // of the client's packet; of an error: that the quoted packet left from
  lb::SourceIndex source;        // of the backend's packet or error: which of our source addresses it was sent to
  net::Family common = net::Family::kNone;  // a common packet amid its connection, of this family

  // As long as the frame is as it came.
  void complete() const noexcept {
    if (common != net::Family::kNone) net::expand(common, rte_pktmbuf_mtod(mbuf, const std::uint8_t*), *parsed);
  }
};
static_assert(sizeof(FlowPacket) == 32);

struct SynProxyParts {
  SipKey secret{};
  bool wanted = false;  // some service has one
  std::size_t workers = 1;
};

class Forward {
 public:
  Forward(std::size_t flows, const lb::FlowTable::Secret& secret, lb::PortBlock ports, std::size_t nat_sets,
          std::uint64_t seed, Egress& egress, Answers& answers, telemetry::WorkerCounters& counters,
          const SynProxyParts& syn_proxy, std::size_t persistent_clients, Guard& guard, std::size_t worker,
          std::optional<esp::GcmEngine> esp_engine, const RssMaps& rss);

  // How a flow of this listener's packet to `service` knows where it is addressed to: by the listener, or by the number of
  // the destination.
  [[nodiscard]] lb::ListenerId destination_of(const lb::Listener& listener,
                                              const net::Endpoint& service) const noexcept {
    if (!listener.many) return listener.id;
    return flows_.destinations().find({.address = service.address, .listener = listener.id, .port = service.port});
  }
  // A packet of a flow of this worker: it is put aside, and its flow's lookup begun. At most kMaxBurst until run().
  // `listener` is destination_of() a client's packet.
  void add(FlowPacket packet, lb::ListenerId listener, bool to_client) noexcept {
    if (packet.parsed->common && (packet.parsed->tcp_flags & net::kTcpSyn) == 0) packet.common = packet.parsed->family;
    put_aside(packet, packet.parsed->tuple(), listener, to_client);
  }
  // The same of a common one, `headers` of its frame.
  template <net::Family kFamily>
  [[gnu::always_inline]] void add_common(const FlowPacket& packet, const net::CommonHeaders<kFamily>& headers,
                                         lb::ListenerId listener, bool to_client) noexcept {
    put_aside(packet, {{headers.src, headers.src_port}, {headers.dst, headers.dst_port}, headers.proto}, listener,
              to_client);
  }
  // A packet from a backend of a `dnat` service, to a client's own address: the same.
  void add_dnat_reply(const FlowPacket& packet) noexcept { dnat_replies_[dnat_reply_count_++] = packet; }
  // A packet in ESP to an address of ours: the same.
  void add_esp(const FlowPacket& packet) noexcept { esp_.add_incoming(packet.mbuf, *packet.parsed); }
  // All that was put aside goes its way.
  void run(const lb::Snapshot& snapshot, Ms now) noexcept;

  // An ICMP error about a packet that we sent to a backend (from `source`; kNoIndex: of a `dnat` service, from the client's
  // own), for the client whose flow that was; and one about a packet to a client (from `listener`), for the backend.
  void error_to_client(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept;
  void error_to_backend(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept;
  // One about a packet of a client for `listener` in its tunnel, from the way to the backend.
  void error_from_tunnel(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept;

  // While stopping: what has no flow is refused with Drop::kShutdown.
  void refuse_new_flows(bool refuse) noexcept { refuse_new_ = refuse; }
  // Once a turn: SYNs to backends that did not answer. True: some were sent.
  bool retry_openings(const lb::Snapshot& snapshot, Ms now) noexcept;
  [[nodiscard]] std::optional<Ms> next_retry(Ms now) const noexcept { return syn_proxy_.next_due(now); }
  // Once a turn: ends flows of backends that went down, where their service says so, within a bound. True: it looked.
  bool abandon_flows(const lb::Snapshot& snapshot, Ms now) noexcept;
  // Once a turn: forgets what is idle, within a bound. True: something was removed.
  bool expire(Ms now) noexcept;
  // Once a turn: what control asks of the flows, in slices. True: there is something left to do.
  bool answer(lb::FlowQueryMailbox& queries, const lb::Snapshot& snapshot, Ms now) noexcept;

 private:
  // The packets of the burst at hand in one direction.
  struct alignas(64) WaitingPacket {
    FlowPacket packet;
    lb::FlowTable::Lookup lookup;
  };
  struct Waiting {
    std::array<WaitingPacket, kMaxBurst> entries;
    std::array<lb::Flow*, kMaxBurst> flows;
    std::size_t count = 0;
  };

  [[gnu::always_inline]] void put_aside(const FlowPacket& packet, const net::FiveTuple& tuple, lb::ListenerId listener,
                                        bool to_client) noexcept {
    const std::uint64_t reply = lb::ReplyKey::tail(tuple.src.port, packet.source, tuple.dst.port, tuple.proto);
    const std::uint64_t request = lb::FlowKey::tail(tuple.src.port, listener, tuple.proto);
    // Not a branch: which way the next packet goes cannot be predicted.
    const std::uint64_t mask = ~(std::uint64_t{to_client} - 1);
    Waiting& waiting = waiting_[to_client];
    waiting.entries[waiting.count++] = {
        packet, flows_.begin(tuple.src.address.words(), (reply & mask) | (request & ~mask), to_client)};
  }
  void to_backends(const lb::Snapshot& snapshot, Waiting& waiting, Ms now) noexcept;
  void to_clients(const lb::Snapshot& snapshot, Waiting& waiting, Ms now) noexcept;
  void dnat_to_clients(const lb::Snapshot& snapshot, Ms now) noexcept;
  void adopt(const lb::Snapshot& snapshot) noexcept;
  // forward_end.cc
  void end_flow(const lb::Snapshot& snapshot, lb::Flow& flow, Ms now) noexcept;
  // Resets, where the flow is an open connection or association. True: it is, and can be reset.
  bool reset_open(const lb::Snapshot& snapshot, const lb::Flow& flow) noexcept;
  bool abort_both_ends(const lb::Snapshot& snapshot, const lb::Flow& flow) noexcept;
  void reset_both_ends(const lb::Snapshot& snapshot, const lb::Flow& flow) noexcept;
  void send_reset(const net::TcpSegment& segment) noexcept;
  void send_abort(const net::SctpAbort& abort) noexcept;
  // Forwards any packet of a known flow; that of a common shape, which nothing keeps, in few instructions.
  void forward(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept;
  template <net::Family kFamily>
  void forward_common(const lb::Snapshot& snapshot, const FlowPacket& packet, const Egress::Hop& hop, lb::Flow& flow,
                      Ms now) noexcept;
  [[gnu::noinline]] void forward_common6(const lb::Snapshot& snapshot, const FlowPacket& packet, const Egress::Hop& hop,
                                         lb::Flow& flow, Ms now) noexcept;
  void forward_any(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept;
  // forward_tunnel.cc
  void encapsulate_to(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept;
  void encrypt_common(const lb::Snapshot& snapshot, const FlowPacket& packet, const Egress::Hop& hop, lb::Flow& flow,
                      Ms now) noexcept;
  void encrypt_to(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept;
  void drop_without_peer(const lb::Snapshot& snapshot, rte_mbuf* mbuf, const lb::Flow& flow) noexcept;
  // What may_pass() let, in fragments where it does not fit; `spread` is the flow's spread_hash().
  void send_encapsulated(const FlowPacket& packet, const Tunnel& tunnel, const net::IpAddress& backend,
                         const Route& route, std::uint32_t spread) noexcept;
  // The same of mode esp, and whether there is room for it; false: the packet is gone. `overhead` is esp_overhead().
  [[nodiscard]] bool may_seal(const FlowPacket& packet, const Route& route, std::size_t overhead) noexcept;
  void send_encrypted(const FlowPacket& packet, const Tunnel& tunnel, const esp::OutboundSa& sa, const lb::Flow& flow,
                      const Route& route, std::size_t overhead, std::uint32_t spread) noexcept;
  // `send` gets each fragment, and what a tunnel asks to know of it.
  template <typename Send>
  void cut_for_tunnel(const FlowPacket& packet, std::size_t mtu, Send&& send) noexcept;
  // The MSS option of a SYN, as the service's `mss` says.
  void clamp_mss(const lb::Snapshot& snapshot, const FlowPacket& packet, const lb::Flow& flow,
                 std::size_t overhead) noexcept;
  [[nodiscard]] static std::uint16_t mss_setting(const lb::Snapshot& snapshot, lb::ServiceIndex service) noexcept;
  [[nodiscard]] std::uint16_t mss_of(const lb::Flow& flow, std::size_t overhead) const noexcept;
  // `parsed`: a Parsed or CommonPacket.
  template <class Packet>
  void note_to_backend(rte_mbuf* mbuf, const std::uint8_t* frame, const Packet& parsed, lb::Flow& flow,
                       Ms now) noexcept;
  void note_to_backend(const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept;
  template <class Packet>
  void note_to_client(rte_mbuf* mbuf, const std::uint8_t* frame, const Packet& parsed, lb::Flow& flow, Ms now) noexcept;
  void note_to_client(const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept;
  void edit_to_backend(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept;
  [[nodiscard]] lb::FlowKey key_of(const FlowPacket& packet) const noexcept;
  // The flow's listener; of one on all ports or on a prefix, as if it were on the flow's destination alone. nullptr: it
  // is gone. Good until the next call.
  [[nodiscard, gnu::always_inline]] const lb::Listener* listener_of(const lb::Snapshot& snapshot,
                                                                    const lb::Flow& flow) noexcept {
    const lb::Listener* listener = snapshot.find_listener(flow.key.listener);
    return listener != nullptr ? listener : listener_of_destination(snapshot, flow);
  }
  [[nodiscard]] const lb::Listener* listener_of_destination(const lb::Snapshot& snapshot,
                                                            const lb::Flow& flow) noexcept;
  // Enters the flow, with a NAT port if its mode has one.
  [[nodiscard]] telemetry::Drop enter(const lb::Snapshot& snapshot, const FlowPacket& packet, const Route& route,
                                      Ms now, lb::NewFlow& made, lb::Flow*& flow) noexcept;
  void forward_unknown(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept;
  // Of a `dnat` service, from the backend's endpoint. nullptr: no listener that the backend answers for has such a flow.
  [[nodiscard]] lb::Flow* find_dnat(const lb::Snapshot& snapshot, const net::Endpoint& backend,
                                    const net::Endpoint& client, net::IpProto proto, Ms now) noexcept;
  // Whether the new flow of a `dnat` service could not be told from another by what comes back.
  [[nodiscard]] telemetry::Drop check_dnat(const lb::Snapshot& snapshot, const lb::NewFlow& made, Ms now) noexcept;
  // Whether a packet came by the interface by which packets to this backend leave.
  [[nodiscard]] bool came_from(const rte_mbuf* mbuf, const net::IpAddress& backend) const noexcept;
  void dnat_reply_without_flow(const FlowPacket& packet, const lb::Listener& listener, Ms now) noexcept;
  void reply(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept;
  template <net::Family kFamily>
  void reply_common(const lb::Snapshot& snapshot, const FlowPacket& packet, const lb::Listener& listener,
                    const Egress::Hop& hop, lb::Flow& flow, Ms now) noexcept;
  void reply_any(const lb::Snapshot& snapshot, const FlowPacket& packet, const lb::Listener& listener, lb::Flow& flow,
                 Ms now) noexcept;
  // To the other family.
  void translate_to_backend(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept;
  void translate_to_client(const FlowPacket& packet, const lb::Listener& listener, lb::Flow& flow, Ms now) noexcept;
  // Whether the packet may go on to `destination`, of the other family; its route. nullptr: the packet is gone.
  [[nodiscard]] const Route* may_translate(const FlowPacket& packet, const net::IpAddress& destination,
                                           Ms now) noexcept;
  // What may_translate() let, in the other family now: in fragments where it does not fit.
  void send_translated(rte_mbuf* mbuf, const net::IpAddress& destination, const Route& route,
                       std::uint32_t fragment_id) noexcept;
  void translate_error(const FlowPacket& packet, const net::Parsed& quoted, const net::IcmpErrorTuple& to,
                       Ms now) noexcept;
  // The flow of a first packet; the reason why there is none was counted and answered.
  [[nodiscard]] lb::Flow* open(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept;
  [[nodiscard]] telemetry::Drop try_open(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now,
                                         lb::Flow*& flow) noexcept;
  // For a new flow, or one packet. kNoBackend: none takes it.
  [[nodiscard]] lb::BackendIndex choose_backend(const lb::Snapshot& snapshot, const FlowPacket& packet,
                                                Ms now) noexcept;
  // forward_on_down.cc
  void note_backends(const lb::Snapshot& snapshot) noexcept;
  void refuse(const FlowPacket& packet, telemetry::Drop reason, Ms now) noexcept;
  // forward_syn_proxy.cc
  [[nodiscard]] bool answer_with_cookie(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept;
  [[nodiscard]] bool open_by_cookie(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept;
  void send_opening(const lb::Snapshot& snapshot, rte_mbuf* mbuf, const lb::Flow& flow) noexcept;
  void send_reset_to_client(const lb::Snapshot& snapshot, rte_mbuf* mbuf, const lb::Flow& flow) noexcept;
  // Whether the client has come back with its cookie, and the backend has not answered yet.
  [[nodiscard]] bool awaits_backend(const lb::Flow& flow) const noexcept {
    return !lb::is_steady(flow.state()) && flow.is(lb::Flow::kSynProxied) &&
           !syn_proxy_.entry(flows_.place_of(flow)).joined;
  }
  void forward_opening(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept;
  void reply_proxied(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept;
  void reply_to_opening(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept;
  void acknowledge_to_backend(const lb::Snapshot& snapshot, const FlowPacket& packet, rte_mbuf* mbuf,
                              const lb::Flow& flow) noexcept;
  // Gives the new flow its source address and port.
  [[nodiscard]] telemetry::Drop take_port(const lb::Snapshot& snapshot, const lb::Service& service, const Route& route,
                                          std::uint64_t hash, Ms now, lb::NewFlow& made) noexcept;
  // The ports at which the backend's replies come to this worker, as far as that is known.
  [[nodiscard]] lb::RssPorts ports_home(const lb::Snapshot& snapshot, const lb::ReplyKey& reply,
                                        const Route& route) const noexcept;
  void error_in_esp(const lb::Snapshot& snapshot, const FlowPacket& packet, const lb::Flow& flow, const Tunnel* tunnel,
                    const Route* route, std::uint32_t spread, Ms now) noexcept;
  // What a packet of the quoted one's flow would get without an entry. nullptr: that does not follow from the packet alone.
  [[nodiscard]] const lb::Flow* flow_by_hash(const lb::Snapshot& snapshot, const lb::Listener& listener,
                                             const net::Parsed& quoted) noexcept;
  void error_past_us(const lb::Snapshot& snapshot, const FlowPacket& packet, const net::Parsed& quoted,
                     Ms now) noexcept;
  void pass_error(const FlowPacket& packet, const net::Parsed& quoted, const net::IcmpErrorTuple& to, Ms now) noexcept;
  // Judges what any router judges on the way; false: the packet is gone.
  // `overhead`: of the tunnel that it goes into.
  [[nodiscard]] bool may_pass(const FlowPacket& packet, const Route* route, Ms now, std::size_t overhead = 0) noexcept {
    const net::Parsed& parsed = *packet.parsed;
    if (parsed.ttl > 1 && route != nullptr && parsed.l3_len() + overhead <= route->mtu) [[likely]]
      return true;
    return may_be_cut(packet, route, overhead, now);
  }
  // Of a packet that does not pass as it is. True: it is sent in fragments.
  [[nodiscard]] bool may_be_cut(const FlowPacket& packet, const Route* route, std::size_t overhead, Ms now) noexcept;

  std::array<Waiting, 2> waiting_;  // to backends, to clients
  std::array<FlowPacket, kMaxBurst> dnat_replies_;
  std::size_t dnat_reply_count_ = 0;

  lb::NatPorts ports_;
  lb::FlowTable flows_;
  SynProxy syn_proxy_;
  Guard& guard_;
  lb::RoundRobinTurns turns_;
  std::uint32_t outer_id_;  // of the last packet of ours that left in fragments
  Tunnels tunnels_;
  lb::Persistence persistence_;
  EspMode esp_;
  Egress& egress_;
  Answers& answers_;
  telemetry::WorkerCounters& counters_;
  const RssMaps& rss_;
  std::uint16_t worker_;
  std::uint16_t least_mtu_;                // of all interfaces
  lb::Listener one_destination_;           // of listener_of_destination()
  lb::Flow without_entry_;                 // of try_open() and flow_by_hash(): goes to its backend as an entry's would
  std::uint64_t generation_ = 0;           // of the last snapshot that was seen
  bool has_tunnels_ = false;               // some service has
  std::bitset<lb::kMaxBackends> serving_;  // in the last snapshot that was seen
  std::size_t abandoned_next_ = 0;         // places of the flow table where flows of backends that went down may be
  std::size_t abandoned_left_ = 0;
  bool refuse_new_ = false;
  Ms last_scan_{};             // of expire()
  std::size_t scan_owed_ = 0;  // places that its pace demands and that were not looked at yet
};

[[nodiscard]] inline lb::Segment sctp_segment_of(const std::uint8_t* frame, const net::Parsed& parsed) noexcept {
  const std::span<const std::uint8_t> sctp(frame + parsed.l4_offset, frame + parsed.end);
  return {.flags = parsed.tcp_flags,
          .sequence = net::header_at<net::SctpHeader>(sctp, 0).tag.host(),
          .acknowledgment = (parsed.tcp_flags & net::kTcpSyn) != 0 ? net::sctp_initiate_tag(sctp) : 0};
}

template <class Packet>
[[nodiscard, gnu::always_inline]] inline lb::Segment segment_of(const std::uint8_t* frame, const Packet& parsed,
                                                                const lb::Flow& flow) noexcept {
  if (parsed.fragment == net::FragmentKind::kLater) [[unlikely]] {  // goes on where the one before it ended
    if (flow.is(lb::Flow::kSctp)) return {};
    return {.sequence = flow.client_next,
            .data_len = static_cast<std::uint32_t>(parsed.fragment_len()),
            .acknowledgment = flow.client_ack};
  }
  if constexpr (std::is_same_v<Packet, net::Parsed>) {  // no common packet is one
    if (parsed.proto == net::IpProto::kSctp) return sctp_segment_of(frame, parsed);
  }
  if (parsed.proto != net::IpProto::kTcp) return {.flags = parsed.tcp_flags};
  const auto& tcp = *reinterpret_cast<const net::TcpHeader*>(frame + parsed.l4_offset);
  return {.flags = parsed.tcp_flags,
          .sequence = tcp.sequence.host(),
          .data_len = static_cast<std::uint32_t>(parsed.payload_len()),
          .acknowledgment = tcp.acknowledgment.host()};
}

// The flow and the counters of a packet that goes on.
template <class Packet>
[[gnu::always_inline]] inline void Forward::note_to_backend(rte_mbuf* mbuf, const std::uint8_t* frame,
                                                            const Packet& parsed, lb::Flow& flow, Ms now) noexcept {
  const auto segment = [&]() __attribute__((always_inline)) { return segment_of(frame, parsed, flow); };
  flows_.touch(flow, lb::Direction::kToBackend, parsed.tcp_flags, segment, now);
  const std::size_t bytes = parsed.l3_len();
  counters_.services[flow.service].in.add(1, bytes);
  counters_.backends[flow.backend.index].out.add(1, bytes);
  trim_padding(mbuf, parsed);
}
inline void Forward::note_to_backend(const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept {
  note_to_backend(packet.mbuf, frame_of(packet.mbuf).data(), *packet.parsed, flow, now);
}

template <class Packet>
[[gnu::always_inline]] inline void Forward::note_to_client(rte_mbuf* mbuf, const std::uint8_t* frame,
                                                           const Packet& parsed, lb::Flow& flow, Ms now) noexcept {
  const auto segment = [&]() __attribute__((always_inline)) { return segment_of(frame, parsed, flow); };
  flows_.touch(flow, lb::Direction::kToClient, parsed.tcp_flags, segment, now);
  const std::size_t bytes = parsed.l3_len();
  counters_.services[flow.service].out.add(1, bytes);
  counters_.backends[flow.backend.index].in.add(1, bytes);
  trim_padding(mbuf, parsed);
}
inline void Forward::note_to_client(const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept {
  note_to_client(packet.mbuf, frame_of(packet.mbuf).data(), *packet.parsed, flow, now);
}

}  // namespace sluice::dataplane
