#include "classify.h"

#include <bit>
#include <utility>

#include "sluice/base/mix.h"
#include "sluice/dataplane/worker.h"
#include "sluice/net/esp.h"
#include "tunnels.h"

namespace sluice::dataplane {

using telemetry::Drop;

namespace {

Classified dropped(Drop reason) noexcept { return {.action = Action::kDrop, .drop = reason}; }

bool is_icmp(const net::Parsed& packet) noexcept {
  return packet.proto == net::IpProto::kIcmp || packet.proto == net::IpProto::kIcmpv6;
}

bool is_echo_request(const net::Parsed& packet) noexcept {
  return packet.icmp_type == (packet.proto == net::IpProto::kIcmp
                                  ? static_cast<std::uint8_t>(net::IcmpType::kEchoRequest)
                                  : static_cast<std::uint8_t>(net::Icmpv6Type::kEchoRequest));
}

// New ports change SCTP's checksum in a way that depends on how much lies behind them; another family has fragments of
// another form; and where no flow is kept, nothing would bring the fragments of a packet to one backend.
bool needs_the_whole(const net::Parsed& packet, const Classified& what) noexcept {
  if (what.action == Action::kToBackend && (config::translates(what.listener->mode) || what.listener->one_packet))
    return true;
  if (packet.proto != net::IpProto::kSctp) return false;
  if (what.action == Action::kToBackend) return config::sees_replies(what.listener->mode);
  return what.action == Action::kToClient || what.action == Action::kDnatToClient;
}

// Who listens where the packet goes to: by name, on every port, or on a prefix. Own addresses are no service's but by name.
const lb::Listener* find_listener(const lb::Snapshot& snapshot, const net::Parsed& packet,
                                  const lb::LocalAddress* local) noexcept {
  const lb::Listener* listener = snapshot.find_listener(packet.dst, packet.dst_port, packet.proto);
  if (listener != nullptr || !snapshot.has_wildcards || (local != nullptr && local->source != lb::kNoIndex))
    return listener;
  return snapshot.find_wildcard(packet.dst, packet.dst_port, packet.proto);
}

// An error that says what became of a packet: unreachable, too big, time exceeded, parameter problem. Redirects are for
// hosts, and we have configured routes (RFC 1812 section 5.2.7.2); source quench is of the past (RFC 6633).
bool reports_failure(const net::Parsed& packet) noexcept {
  if (!net::is_icmp_error(packet)) return false;
  if (packet.proto == net::IpProto::kIcmpv6) {
    return packet.icmp_type >= static_cast<std::uint8_t>(net::Icmpv6Type::kUnreachable) &&
           packet.icmp_type <= static_cast<std::uint8_t>(net::Icmpv6Type::kParameterProblem);
  }
  return packet.icmp_type != static_cast<std::uint8_t>(net::IcmpType::kRedirect) &&
         packet.icmp_type != static_cast<std::uint8_t>(net::IcmpType::kSourceQuench);
}

}  // namespace

std::uint64_t tuple_hash(const SipKey& secret, const net::IpAddress& client, std::uint16_t client_port,
                         const net::IpAddress& service, std::uint16_t service_port, net::IpProto proto) noexcept {
  const auto c = std::bit_cast<std::array<std::uint64_t, 2>>(client.bytes());
  const auto s = std::bit_cast<std::array<std::uint64_t, 2>>(service.bytes());
  const std::uint64_t ports =
      (std::uint64_t{client_port} << 32) | (std::uint64_t{service_port} << 16) | static_cast<std::uint64_t>(proto);
  // Folded 128-bit products with secret operands, as wyhash does it: an outsider cannot aim at one worker.
  std::uint64_t hash = mix(c[0] ^ secret[0], c[1] ^ secret[1] ^ 0x9e3779b97f4a7c15u);
  hash = mix(hash ^ s[0] ^ secret[1], s[1] ^ secret[0] ^ 0xd6e8feb86659fd93u);
  return mix(hash ^ ports, secret[0] ^ 0xbf58476d1ce4e5b9u);
}

Classified Classifier::classify(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame,
                                const net::Parsed& packet) const noexcept {
  if (!has_flow(packet)) return without_flow(snapshot, frame, packet);
  const lb::LocalAddress* local = snapshot.find_local(packet.dst);
  const lb::Listener* listener = find_listener(snapshot, packet, local);
  if (listener == nullptr && local == nullptr) return to_another(snapshot, frame, packet);
  if (to_group(frame)) return dropped(Drop::kBadEthernet);
  return listener != nullptr ? service(*listener, packet) : to_port(*local, packet);
}

namespace {

std::uint16_t owner_of(std::uint64_t hash, std::uint32_t workers) noexcept {
  return static_cast<std::uint16_t>(((hash >> 32) * workers) >> 32);
}

}  // namespace

std::uint16_t Classifier::owner_of_client(const net::IpAddress& client, std::uint16_t port,
                                          net::IpProto proto) const noexcept {
  return owner_of(tuple_hash(secret, client, port, net::IpAddress(), 0, proto), workers);
}

bool Classifier::owns(const lb::Snapshot& snapshot, lb::ListenerHit listener, const net::FiveTuple& packet,
                      RoleId worker) const noexcept {
  return listener.forwards() && service_of_many(snapshot.listeners[listener.id().index], packet).owner == worker;
}

Classified Classifier::service_of_many(const lb::Listener& listener, const net::FiveTuple& packet) const noexcept {
  if (listener.kind == lb::ServiceKind::kForward && listener.mode == config::ForwardMode::kDnat) {
    const std::uint16_t owner = owner_of_client(packet.src.address, packet.src.port, packet.proto);
    return {.action = Action::kToBackend, .owner = owner, .listener = &listener};
  }
  if (listener.persists) {  // of a proxy's listener it is never set
    const std::uint64_t hash = tuple_hash(secret, packet.src.address, 0, net::IpAddress(), 0, net::IpProto{});
    return {.action = Action::kToBackend, .owner = owner_of(hash, workers), .listener = &listener};
  }
  const lb::RssMap* nic = rss.of_clients;
  if (nic != nullptr && listener.kind == lb::ServiceKind::kForward &&
      nic->knows(packet.proto, packet.src.address.is_v4())) {
    const std::uint16_t owner = nic->worker_of(packet.src, packet.dst);
    return {.action = Action::kToBackend, .owner = owner, .listener = &listener};
  }
  const std::uint64_t hash =
      tuple_hash(secret, packet.src.address, packet.src.port, packet.dst.address, packet.dst.port, packet.proto);
  if (listener.kind == lb::ServiceKind::kForward) {
    return {.action = Action::kToBackend, .owner = owner_of(hash, workers), .listener = &listener};
  }
  if (proxies == 0) return dropped(Drop::kShutdown);
  return {.action = Action::kToProxy,
          .owner = static_cast<std::uint16_t>(((hash & 0xffffffff) * proxies) >> 32),
          .listener = &listener};
}

Classified Classifier::to_another(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame,
                                  const net::Parsed& packet) const noexcept {
  if (!snapshot.has_dnat || snapshot.dnat_listeners_of(packet.src, packet.src_port, packet.proto).empty())
    return without_flow(snapshot, frame, packet);
  if (to_group(frame)) return dropped(Drop::kBadEthernet);
  return {.action = Action::kDnatToClient, .owner = owner_of_client(packet.dst, packet.dst_port, packet.proto)};
}

Classified Classifier::icmp(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame,
                            const net::Parsed& packet) const noexcept {
  if (is_echo_request(packet)) {
    const lb::Listener* listener = snapshot.has_echo ? snapshot.find_echo(packet.dst) : nullptr;
    if (listener == nullptr) return {.action = Action::kEcho};
    return to_group(frame) ? dropped(Drop::kBadEthernet) : service(*listener, packet);
  }
  if (snapshot.has_echo && net::is_echo(packet)) {  // a reply, to an identifier of ours
    const lb::LocalAddress* local = snapshot.find_local(packet.dst);
    if (local == nullptr || to_group(frame)) return dropped(Drop::kIcmpUnhandled);
    const Classified to = to_port(*local, packet);
    return to.action == Action::kToClient ? to : dropped(Drop::kIcmpUnhandled);
  }
  if (reports_failure(packet)) return icmp_error(snapshot, frame, packet);
  return dropped(Drop::kIcmpUnhandled);
}

// Errors go to who sent the packet that they quote: to whom an answer to that packet would go.
Classified Classifier::icmp_error(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame,
                                  const net::Parsed& packet) const noexcept {
  if (to_group(frame)) return dropped(Drop::kBadEthernet);
  if (!net::l4_checksum_ok(frame, packet)) return dropped(Drop::kBadChecksum);  // RFC 5508 REQ-3
  net::Parsed answer = net::parse_quoted(frame, packet);
  if (answer.ok() && answer.src == packet.dst) {
    // About a packet of ours in its tunnel, as far as the quote reaches to the client's packet inside.
    const net::Parsed inner = parse_tunnelled(snapshot, frame, packet, answer);
    if (inner.ok() && net::has_ports(inner.proto)) {
      const lb::Listener* to = snapshot.find_listener(inner.dst, inner.dst_port, inner.proto);
      if (to == nullptr && snapshot.has_wildcards) to = snapshot.find_wildcard(inner.dst, inner.dst_port, inner.proto);
      if (to == nullptr || !config::has_tunnel(to->mode)) return dropped(Drop::kIcmpNoFlow);
      Classified found = service(*to, inner);
      if (found.action == Action::kToBackend) found.action = Action::kErrorFromTunnel;
      return found;
    }
  }
  const bool echo = answer.ok() && net::is_echo(answer);
  if (!answer.ok() || !(net::has_ports(answer.proto) || (echo && snapshot.has_echo)))
    return dropped(Drop::kIcmpUnhandled);
  if (answer.src != packet.dst || answer.fragment == net::FragmentKind::kLater) return dropped(Drop::kIcmpNoFlow);
  std::swap(answer.src, answer.dst);
  std::swap(answer.src_port, answer.dst_port);
  const lb::Listener* listener =
      echo ? snapshot.find_echo(answer.dst) : snapshot.find_listener(answer.dst, answer.dst_port, answer.proto);
  if (listener == nullptr && snapshot.has_wildcards && !echo)
    listener = snapshot.find_wildcard(answer.dst, answer.dst_port, answer.proto);
  const lb::LocalAddress* local = snapshot.find_local(answer.dst);
  if (listener == nullptr && local == nullptr) {
    // About a packet that kept its client's source address on the way to a backend of a `dnat` service.
    if (snapshot.dnat_listeners_of(answer.src, answer.src_port, answer.proto).empty())
      return dropped(Drop::kIcmpNoFlow);
    return {.action = Action::kErrorToClient, .owner = owner_of_client(answer.dst, answer.dst_port, answer.proto)};
  }
  Classified to = listener != nullptr ? service(*listener, answer) : to_port(*local, answer);
  if (to.action == Action::kToBackend) to.action = Action::kErrorToBackend;
  if (to.action == Action::kToClient) to.action = Action::kErrorToClient;
  return to.action == Action::kPortClosed ? dropped(Drop::kIcmpNoFlow) : to;
}

Classified Classifier::without_flow(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame,
                                    const net::Parsed& packet) const noexcept {
  if (packet.vlan != 0) return dropped(Drop::kVlanUnknown);
  if (packet.family == net::Family::kArp) return {.action = Action::kArp};
  const bool whole = packet.fragment == net::FragmentKind::kWhole;
  if (whole && packet.proto == net::IpProto::kIcmpv6 &&
      (packet.icmp_type == static_cast<std::uint8_t>(net::Icmpv6Type::kNeighborSolicitation) ||
       packet.icmp_type == static_cast<std::uint8_t>(net::Icmpv6Type::kNeighborAdvertisement))) {
    return {.action = Action::kNeighborDiscovery};
  }
  const lb::LocalAddress* local = snapshot.find_local(packet.dst);
  // A link-local address of ours has ICMPv6 and nothing else.
  const bool link_local = local == nullptr && packet.dst.is_link_local() && topology.is_own(packet.dst);
  const bool in_prefix = local == nullptr && snapshot.has_wildcards && snapshot.is_in_prefix(packet.dst);
  if (local == nullptr && !link_local && !in_prefix) {
    if (!snapshot.has_dnat) return dropped(Drop::kNotForUs);
    if (!whole) return {.action = Action::kFragment};  // a backend's to a client, perhaps: its first one says
    if (reports_failure(packet)) {
      const Classified error = icmp_error(snapshot, frame, packet);
      if (error.action == Action::kErrorToClient) return error;
    }
    return dropped(Drop::kNotForUs);
  }
  if (!whole) return {.action = Action::kFragment};
  if (is_icmp(packet)) return icmp(snapshot, frame, packet);
  if (net::has_ports(packet.proto)) return {.action = Action::kPortClosed, .drop = Drop::kPortClosed};
  if (packet.proto == net::kEspProto && !snapshot.esp.inbound.empty()) return esp(frame, packet);
  return dropped(Drop::kProtocolUnknown);
}

Classified Classifier::classify_fragment(const lb::Snapshot& snapshot, std::span<const std::uint8_t> frame,
                                         const net::Parsed& packet) const noexcept {
  if (to_group(frame)) return dropped(Drop::kBadEthernet);
  const lb::LocalAddress* local = snapshot.find_local(packet.dst);
  if (net::has_ports(packet.proto)) {
    const lb::Listener* listener = find_listener(snapshot, packet, local);
    const Classified what = listener != nullptr ? service(*listener, packet)
                            : local != nullptr  ? to_port(*local, packet)
                                                : to_another(snapshot, frame, packet);
    if (local == nullptr && listener == nullptr && what.action != Action::kDnatToClient)
      return dropped(Drop::kNotForUs);
    return needs_the_whole(packet, what) ? dropped(Drop::kFragmentUnsupported) : what;
  }
  if (local == nullptr && !topology.is_own(packet.dst) &&
      !(snapshot.has_wildcards && snapshot.is_in_prefix(packet.dst)))
    return dropped(Drop::kNotForUs);
  // An echo request may be as long as it likes. Errors are short (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 (c)), and
  // neighbour discovery does not come in fragments (RFC 6980).
  // One that is forwarded needs its flow in one piece.
  if (is_icmp(packet) && snapshot.has_echo && snapshot.find_echo(packet.dst) != nullptr)
    return dropped(Drop::kFragmentUnsupported);
  if (is_icmp(packet))
    return is_echo_request(packet) ? Classified{.action = Action::kEcho} : dropped(Drop::kIcmpUnhandled);
  return dropped(Drop::kProtocolUnknown);
}

// An association has one window, so one worker has all its packets.
Classified Classifier::esp(std::span<const std::uint8_t> frame, const net::Parsed& packet) const noexcept {
  if (to_group(frame)) return dropped(Drop::kBadEthernet);
  if (packet.l4_len() < sizeof(net::EspHeader)) return dropped(Drop::kEspMalformed);
  const std::uint32_t spi = net::header_at<net::EspHeader>(frame, packet.l4_offset).spi.host();
  return {.action = Action::kEsp, .owner = owner_of(mix(spi ^ secret[0], secret[1]), workers)};
}

Drop drop_of(net::ParseError error) noexcept {
  switch (error) {
    case net::ParseError::kNone:
      return Drop::kNone;
    case net::ParseError::kEthernetTruncated:
      return Drop::kLinkTruncated;
    case net::ParseError::kEtherTypeUnknown:
      return Drop::kEtherTypeUnknown;
    case net::ParseError::kArpTruncated:
      return Drop::kBadArp;
    case net::ParseError::kIpTruncated:
    case net::ParseError::kExtensionTruncated:
      return Drop::kIpTruncated;
    case net::ParseError::kIpVersion:
    case net::ParseError::kIpHeaderLength:
    case net::ParseError::kIpTotalLength:
      return Drop::kBadIpHeader;
    case net::ParseError::kIpChecksum:
      return Drop::kBadIpChecksum;
    case net::ParseError::kIpSource:
    case net::ParseError::kIpDestination:
      return Drop::kBadIpAddress;
    case net::ParseError::kLand:
      return Drop::kLand;
    case net::ParseError::kIpOption:
    case net::ParseError::kExtensionLimit:
    case net::ParseError::kExtensionUnknown:
      return Drop::kIpOptions;
    case net::ParseError::kFragment:
      return Drop::kFragment;
    case net::ParseError::kL4Truncated:
      return Drop::kL4Truncated;
    case net::ParseError::kTcpDataOffset:
    case net::ParseError::kUdpLength:
    case net::ParseError::kSctpChunk:
      return Drop::kBadL4Header;
    case net::ParseError::kTcpFlags:
      return Drop::kBadTcpFlags;
  }
  return Drop::kBadIpHeader;
}

}  // namespace sluice::dataplane
