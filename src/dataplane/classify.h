// What is to be done with a packet: decided from its headers and the snapshot alone, before anything is changed.
// Threading: reads constants and a snapshot.
#pragma once

#include <cstdint>

#include "sluice/base/siphash.h"
#include "sluice/dataplane/topology.h"
#include "sluice/lb/port_plan.h"
#include "sluice/lb/snapshot.h"
#include "sluice/net/parse.h"
#include "sluice/telemetry/drop.h"

namespace sluice::dataplane {

enum class Action : std::uint8_t {
  kDrop,            // with `drop`
  kToBackend,       // client's packet of a `forward:` service; `owner` is the worker
  kToClient,        // backend's packet to a NAT port; `owner` is the worker
  kToProxy,         // `owner` is the proxy
  kErrorToBackend,  // ICMP error about a packet to a client of a `forward:` service; `owner` is the worker
  kErrorToClient,   // ICMP error about a packet from a NAT port; `owner` is the worker
  kArp,             // for worker 0
  kNeighborDiscovery,
  kEcho,        // answered here
  kPortClosed,  // answered here, then dropped
};

struct Classified {
  Action action = Action::kDrop;
  telemetry::Drop drop = telemetry::Drop::kNone;
  std::uint16_t owner = 0;
  const lb::Listener* listener = nullptr;  // kToBackend, kErrorToBackend
  lb::SourceIndex source = lb::kNoIndex;   // kToClient, kErrorToClient
};

struct Classifier {
  const Topology& topology;
  const lb::PortPlan& ports;
  SipKey secret;
  std::uint32_t workers;
  std::uint32_t proxies;

  // `packet` has been parsed without error.
  [[nodiscard]] Classified classify(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame,
                                    const net::Parsed& packet) const noexcept;

 private:
  [[nodiscard]] Classified service(const lb::Listener& listener, const net::Parsed& packet) const noexcept;
  [[nodiscard]] Classified to_port(const lb::LocalAddress& local, const net::Parsed& packet) const noexcept;
  [[nodiscard]] Classified icmp(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame,
                                const net::Parsed& packet) const noexcept;
  [[nodiscard]] Classified icmp_error(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame,
                                      const net::Parsed& packet) const noexcept;
  [[nodiscard]] std::uint64_t hash_of(const net::IpAddress& client, std::uint16_t client_port,
                                      const net::IpAddress& service, std::uint16_t service_port,
                                      net::IpProto proto) const noexcept;
};

// The drop reason of what parse() found wrong.
[[nodiscard]] telemetry::Drop drop_of(net::ParseError error) noexcept;

}  // namespace sluice::dataplane
