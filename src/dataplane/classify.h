// What is to be done with a packet: decided from its headers and the snapshot alone, before anything is changed.
// Threading: reads constants and a snapshot.
#pragma once

#include <cstdint>

#include "sluice/base/siphash.h"
#include "sluice/dataplane/handoff.h"
#include "sluice/dataplane/rss_maps.h"
#include "sluice/dataplane/topology.h"
#include "sluice/lb/flow_limits.h"
#include "sluice/lb/port_plan.h"
#include "sluice/lb/snapshot.h"
#include "sluice/net/parse.h"
#include "sluice/net/parse_common.h"
#include "sluice/telemetry/drop.h"

namespace sluice::dataplane {

enum class Action : std::uint8_t {
  kDrop,             // with `drop`
  kToBackend,        // client's packet of a `forward:` service; `owner` is the worker
  kToClient,         // backend's packet to a NAT port; `owner` is the worker
  kDnatToClient,     // backend's packet of a `dnat` service to a client's own address; `owner` is the worker
  kEsp,              // backend's packet in ESP, to an address of ours; `owner` is the worker
  kToProxy,          // `owner` is the proxy
  kErrorToBackend,   // ICMP error about a packet to a client of a `forward:` service; `owner` is the worker
  kErrorFromTunnel,  // ICMP error about a packet to a backend in its tunnel; `owner` is the worker
  kErrorToClient,    // ICMP error about a packet that we sent to a backend; `owner` is the worker
  kArp,              // for worker 0
  kNeighborDiscovery,
  kFragment,    // of something that may be for us; FragmentPath says what is to be done
  kEcho,        // answered here
  kPortClosed,  // answered here, then dropped
  kNone,        // it was taken
};

struct Classified {
  Action action = Action::kDrop;
  telemetry::Drop drop = telemetry::Drop::kNone;
  std::uint16_t owner = 0;
  lb::SourceIndex source = lb::kNoIndex;   // kToClient, kErrorToClient; there kNoIndex: of a `dnat` service
  const lb::Listener* listener = nullptr;  // kToBackend, kErrorToBackend, kErrorFromTunnel
};
static_assert(sizeof(Classified) == 16);  // comes back in registers

struct Classifier {
  const Topology& topology;
  const lb::PortPlan& ports;
  const RssMaps& rss;
  SipKey secret;
  std::uint32_t workers;
  std::uint32_t proxies;

  // What a packet is that net::parse_common() took, addressed to this host alone on the link: of a flow of this worker, as
  // nearly all are, or something for classify(). Both directions are looked up without a branch between them, since the
  // next packet's cannot be predicted.
  struct Common {
    bool ours;
    bool to_client;
    lb::SourceIndex source;   // to a client
    lb::ListenerId listener;  // to a backend
  };
  template <net::Family kFamily>
  [[nodiscard, gnu::always_inline]] Common classify_common(const lb::Snapshot& snapshot,
                                                           const net::CommonHeaders<kFamily>& packet,
                                                           RoleId worker) const noexcept {
    const auto proto = static_cast<std::uint8_t>(packet.proto);
    const lb::PortOwner owner = ports.owner_of(packet.dst_port);
    const bool is_mine = owner.kind == lb::PortOwnerKind::kWorker && owner.index == worker;
    const std::uint64_t mine = 0 - std::uint64_t{is_mine};
    std::uint64_t hit = 0;  // a LocalHit if the port is mine, unless somebody listens there; else a ListenerHit
    if constexpr (kFamily == net::Family::kIp4) {
      const Be32 address = packet.dst.v4();
      const std::uint64_t alone = lb::WordIndex::word_of(address, 0, 0);
      const std::uint64_t whole = lb::WordIndex::word_of(address, packet.dst_port, proto);
      hit = snapshot.index4.find((alone & mine) | (whole & ~mine));
      if (lb::LocalHit{hit}.listens()) [[unlikely]] {
        const std::uint64_t listener = snapshot.index4.find(whole);
        if (listener != 0) hit = listener;
      }
    } else {
      const lb::Listener& listens = snapshot.listener_index6.probe(packet.dst, packet.dst_port, proto);
      const lb::LocalAddress& is_ours = snapshot.local_index6.probe(packet.dst, 0, 0);
      const std::uint64_t found = 0 - std::uint64_t{listens.key.used};
      hit = (lb::ListenerHit::of(listens.id, listens.kind).word & found) |
            (lb::LocalHit::of(0, is_ours.source, false).word & ~found & mine & (0 - std::uint64_t{is_ours.key.used}));
    }
    const lb::ListenerHit listener{hit};
    const lb::LocalHit local{hit};
    const unsigned to_client = local.has_source();
    unsigned to_backend = listener.forwards();
    if (workers > 1) {
      const net::FiveTuple tuple{{packet.src, packet.src_port}, {packet.dst, packet.dst_port}, packet.proto};
      to_backend &= unsigned{owns(snapshot, listener, tuple, worker)};
    }
    unsigned ours = to_client | to_backend;
    // Or the compiler makes two branches of it, and which one a packet takes cannot be predicted.
    __asm__("" : "+r"(ours));
    const std::uint64_t backend_mask = 0 - std::uint64_t{to_backend};
    return {.ours = ours != 0,
            .to_client = to_client != 0,
            .source = local.source(),
            .listener = lb::ListenerHit{hit & backend_mask}.id()};
  }

  // A first fragment, or a later one that has been given the first one's ports and protocol.
  [[nodiscard]] Classified classify_fragment(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame,
                                             const net::Parsed& packet) const noexcept;

  // Any packet that has been parsed without error.
  [[nodiscard]] Classified classify(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame,
                                    const net::Parsed& packet) const noexcept;

 private:
  // A whole TCP, UDP or SCTP packet, by which a flow can be known.
  [[nodiscard]] static bool has_flow(const net::Parsed& packet) noexcept {
    return net::has_ports(packet.proto) && packet.fragment == net::FragmentKind::kWhole && packet.vlan == 0 &&
           packet.family != net::Family::kArp;
  }
  // A packet for one host that came as a broadcast: not forwarded and not answered (RFC 1812 section 5.3.4, RFC 1122
  // section 3.3.6), or each of those that hear it would do so.
  [[nodiscard]] static bool to_group(std::span<const std::uint8_t> frame) noexcept {
    return net::header_at<net::EthernetHeader>(frame, 0).dst.is_multicast();
  }
  [[nodiscard]] Classified service(const lb::Listener& listener, const net::Parsed& packet) const noexcept {
    if (listener.kind == lb::ServiceKind::kForward && workers == 1) {  // there is nothing to choose
      return {.action = Action::kToBackend, .owner = 0, .listener = &listener};
    }
    return service_of_many(listener, packet.tuple());
  }
  [[nodiscard]] bool owns(const lb::Snapshot& snapshot, lb::ListenerHit listener, const net::FiveTuple& packet,
                          RoleId worker) const noexcept;
  [[nodiscard]] Classified service_of_many(const lb::Listener& listener, const net::FiveTuple& packet) const noexcept;
  [[nodiscard]] Classified to_port(const lb::LocalAddress& local, const net::Parsed& packet) const noexcept {
    const lb::PortOwner owner = ports.owner_of(packet.dst_port);
    if (local.source != lb::kNoIndex) [[likely]] {
      if (owner.kind == lb::PortOwnerKind::kWorker) {
        return {.action = Action::kToClient, .owner = owner.index, .source = local.source};
      }
      // Proxies speak TCP alone.
      if (owner.kind == lb::PortOwnerKind::kProxy && packet.proto == net::IpProto::kTcp) {
        return {.action = Action::kToProxy, .owner = owner.index};
      }
    }
    return {.action = Action::kPortClosed, .drop = telemetry::Drop::kPortClosed};
  }
  // To an address that is none of ours: a backend of a `dnat` service answers its client so.
  [[nodiscard]] Classified to_another(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame,
                                      const net::Parsed& packet) const noexcept;
  // Of a `dnat` service's flows: both directions know the client's endpoint, and the backend's replies no more than that.
  [[nodiscard]] std::uint16_t owner_of_client(const net::IpAddress& client, std::uint16_t port,
                                              net::IpProto proto) const noexcept;
  [[nodiscard]] Classified without_flow(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame,
                                        const net::Parsed& packet) const noexcept;
  [[nodiscard]] Classified esp(std::span<const std::uint8_t> frame, const net::Parsed& packet) const noexcept;
  [[nodiscard]] Classified icmp(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame,
                                const net::Parsed& packet) const noexcept;
  [[nodiscard]] Classified icmp_error(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame,
                                      const net::Parsed& packet) const noexcept;
};

// The drop reason of what parse() found wrong.
[[nodiscard]] telemetry::Drop drop_of(net::ParseError error) noexcept;

}  // namespace sluice::dataplane
