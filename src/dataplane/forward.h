// Layer 4 forwarding: the packets of services with `forward:` to backends, and what comes back to the clients. Finds or
// opens each packet's flow, and sends it the way that the service's mode has (mode_*.h). Works on the packets of a burst
// that this worker owns, in stages.
// Threading: one per worker.
// Ownership: owns the worker's flow table and NAT ports; takes the mbufs it is given.
// Spec:      RFC 5382 and RFC 4787 (what a NAT owes TCP and UDP), RFC 5508 (ICMP errors), RFC 1812 section 5.3 (TTL).
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "answers.h"
#include "sluice/dataplane/egress.h"
#include "sluice/lb/flow_table.h"
#include "sluice/lb/nat_ports.h"
#include "sluice/lb/round_robin.h"
#include "sluice/lb/snapshot.h"
#include "sluice/net/parse.h"
#include "sluice/net/rewrite.h"
#include "sluice/telemetry/counters.h"

namespace sluice::dataplane {

inline constexpr std::size_t kMaxBurst = 32;

// A packet of a client for a service, or of a backend for a NAT port.
struct FlowPacket {
  rte_mbuf* mbuf;
  const net::Parsed* parsed;
  const lb::Listener* listener;  // of the client's packet; of an error: that the quoted packet left from
  lb::SourceIndex source;        // of the backend's packet or error: which of our source addresses it was sent to
};

class Forward {
 public:
  Forward(std::size_t flows, const lb::FlowTable::Secret& secret, lb::PortBlock ports, std::size_t nat_sets,
          std::uint64_t seed, Egress& egress, Answers& answers, telemetry::WorkerCounters& counters);

  // At most kMaxBurst each.
  void to_backends(const lb::Snapshot& snapshot, std::span<const FlowPacket> packets, Ms now) noexcept;
  void to_clients(const lb::Snapshot& snapshot, std::span<const FlowPacket> packets, Ms now) noexcept;
  // From backends of `dnat` services, to clients' own addresses.
  void dnat_to_clients(const lb::Snapshot& snapshot, std::span<const FlowPacket> packets, Ms now) noexcept;

  // An ICMP error about a packet that we sent to a backend (from `source`; kNoIndex: of a `dnat` service, from the client's
  // own), for the client whose flow that was; and one about a packet to a client (from `listener`), for the backend.
  void error_to_client(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept;
  void error_to_backend(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept;

  // While stopping: what has no flow is refused with Drop::kShutdown.
  void refuse_new_flows(bool refuse) noexcept { refuse_new_ = refuse; }
  // Once a turn: forgets what is idle, within a bound. True: something was removed.
  bool expire(Ms now) noexcept;
  [[nodiscard]] const lb::FlowTable& flows() const noexcept { return flows_; }

 private:
  void forward(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept;
  void forward_checked(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept;
  void edit_to_backend(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept;
  void forward_unknown(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept;
  // Of a `dnat` service, from the backend's endpoint. nullptr: no listener that the backend answers for has such a flow.
  [[nodiscard]] lb::Flow* find_dnat(const lb::Snapshot& snapshot, const net::Endpoint& backend,
                                    const net::Endpoint& client, net::IpProto proto, Ms now) noexcept;
  // Whether the new flow of a `dnat` service could not be told from another by what comes back.
  [[nodiscard]] telemetry::Drop check_dnat(const lb::Snapshot& snapshot, const lb::NewFlow& made, Ms now) noexcept;
  void dnat_reply_without_flow(const FlowPacket& packet, const lb::Listener& listener, Ms now) noexcept;
  void reply(const lb::Snapshot& snapshot, const FlowPacket& packet, lb::Flow& flow, Ms now) noexcept;
  void reply_checked(const lb::Snapshot& snapshot, const FlowPacket& packet, const lb::Listener& listener,
                     lb::Flow& flow, Ms now) noexcept;
  void edit_to_client(const lb::Snapshot& snapshot, const FlowPacket& packet, const lb::Listener& listener,
                      lb::Flow& flow, Ms now) noexcept;
  // The flow of a first packet; the reason why there is none was counted and answered.
  [[nodiscard]] lb::Flow* open(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now) noexcept;
  [[nodiscard]] telemetry::Drop try_open(const lb::Snapshot& snapshot, const FlowPacket& packet, Ms now,
                                         lb::Flow*& flow) noexcept;
  // Gives the new flow its source address and port.
  [[nodiscard]] telemetry::Drop take_port(const lb::Snapshot& snapshot, const lb::Service& service, const Route& route,
                                          std::uint64_t hash, Ms now, lb::NewFlow& made) noexcept;
  void pass_error(const FlowPacket& packet, const net::Parsed& quoted, const net::IcmpErrorTuple& to, Ms now) noexcept;
  // Judges what any router judges on the way; false: the packet is gone.
  [[nodiscard]] bool may_pass(const FlowPacket& packet, const Route* route, Ms now) noexcept {
    const net::Parsed& parsed = *packet.parsed;
    if (parsed.ttl > 1 && route != nullptr && parsed.l3_len() <= route->mtu) [[likely]]
      return true;
    stop(packet, route, now);
    return false;
  }
  void stop(const FlowPacket& packet, const Route* route, Ms now) noexcept;

  // Of the burst at hand: here and not on the stack, where they would be cleared each time.
  std::array<lb::FlowKey, kMaxBurst> keys_;
  std::array<lb::ReplyKey, kMaxBurst> reply_keys_;

  lb::NatPorts ports_;
  lb::FlowTable flows_;
  lb::RoundRobinTurns turns_;
  Egress& egress_;
  Answers& answers_;
  telemetry::WorkerCounters& counters_;
  lb::Flow without_entry_;  // what try_open() gives where the table is full and the mode needs no entry
  bool refuse_new_ = false;
  Ms last_scan_{};             // of expire()
  std::size_t scan_owed_ = 0;  // places that its pace demands and that were not looked at yet
};

}  // namespace sluice::dataplane
