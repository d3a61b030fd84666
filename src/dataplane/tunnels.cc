#include "tunnels.h"

#include <algorithm>
#include <optional>

namespace sluice::dataplane {
namespace {

net::Encapsulation encapsulation_of(const config::ForwardService& forward) noexcept {
  switch (forward.mode) {
    case config::ForwardMode::kGre:
      return net::Encapsulation::kGre;
    case config::ForwardMode::kGue:
      return forward.gue.variant == 0 ? net::Encapsulation::kGueData : net::Encapsulation::kGue;
    case config::ForwardMode::kVxlan:
      return net::Encapsulation::kVxlan;
    case config::ForwardMode::kEsp:
      return net::Encapsulation::kEsp;
    default:
      return net::Encapsulation::kIpIp;
  }
}

// The bits of the last 32 of an address that a prefix of this length leaves free.
std::uint32_t free_bits(const net::Prefix& prefix) noexcept {
  const unsigned free = (prefix.address.is_v4() ? 32u : 128u) - prefix.length;
  return free >= 32 ? ~std::uint32_t{0} : (std::uint32_t{1} << free) - 1;
}

net::MacAddress inner_mac(const config::Config& config, const config::ForwardService& forward,
                          const net::IpAddress& backend) noexcept {
  const config::Pool* pool = config::find_pool(config, forward.pool);
  if (pool != nullptr) {
    const auto at = std::ranges::find_if(
        pool->backends, [&](const config::Backend& one) { return one.endpoint.address == backend && one.mac; });
    if (at != pool->backends.end()) return *at->mac;
  }
  return forward.vxlan.inner_mac();
}

}  // namespace

net::Parsed parse_tunnelled(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame, const net::Parsed& error,
                            const net::Parsed& quoted) noexcept {
  constexpr auto kIp4 = net::IpProto{4}, kIp6 = net::IpProto{41}, kGre = net::IpProto{47};
  std::size_t between = 0;
  if (quoted.ok() && quoted.fragment == net::FragmentKind::kWhole) {
    if (quoted.proto == net::IpProto::kUdp) between = snapshot.bytes_behind_udp(quoted.dst_port);
    if (quoted.proto == kGre) between = sizeof(net::GreHeader);
  }
  if (between == 0 && !(quoted.ok() && (quoted.proto == kIp4 || quoted.proto == kIp6))) {
    net::Parsed none;
    none.error = net::ParseError::kL4Truncated;
    return none;
  }
  return net::parse_quoted_at(frame, error, quoted.l4_offset + between);
}

Tunnel Tunnels::make(const Topology& topology, const lb::Snapshot& snapshot, const lb::Listener& listener,
                     net::Family inner, const net::IpAddress& backend) noexcept {
  Tunnel tunnel;
  const config::ForwardService& forward = *snapshot.services[listener.service].config->forward;
  const Route* route = topology.routes().find(backend);
  if (route == nullptr) return tunnel;
  net::TunnelEnds ends;
  ends.kind = encapsulation_of(forward);
  ends.inner = inner;
  ends.dst = backend;
  ends.ttl = forward.outer.ttl;
  const auto named = std::ranges::find_if(
      forward.outer.source, [&](const net::Prefix& prefix) { return prefix.address.is_v4() == backend.is_v4(); });
  if (named != forward.outer.source.end()) {
    ends.src = named->address;
    ends.src_spread = free_bits(*named);
  } else if (const std::optional<net::IpAddress> own = topology.source_for(backend)) {
    ends.src = *own;
  } else {
    return tunnel;
  }
  if (ends.kind == net::Encapsulation::kVxlan) {
    ends.port = forward.vxlan.port;
    ends.vni = forward.vxlan.vni;
    ends.inner_src = topology.interfaces()[route->interface].mac;
    ends.inner_dst = inner_mac(*snapshot.config, forward, backend);
  } else {
    ends.port = forward.gue.port;
  }
  tunnel.header = net::EncapsulationHeader(ends);
  tunnel.has_source = true;
  return tunnel;
}

}  // namespace sluice::dataplane
