#include "sluice/lb/snapshot.h"

#include "sluice/net/quic.h"

namespace sluice::lb {
namespace {

constexpr std::uint8_t number(net::IpProto proto) noexcept { return static_cast<std::uint8_t>(proto); }

}  // namespace

const Listener* Snapshot::find_wildcard(const net::IpAddress& address, std::uint16_t port,
                                        net::IpProto proto) const noexcept {
  if (const Listener* any_port = find_listener(address, 0, proto)) return any_port;
  for (const PrefixListeners& at : address.is_v4() ? prefixes4 : prefixes6) {
    const net::IpAddress first = at.first_of(address);
    if (const Listener* listener = at.index.find(first, port, number(proto))) return listener;
    if (const Listener* any_port = at.index.find(first, 0, number(proto))) return any_port;
  }
  return nullptr;
}

const Listener* Snapshot::find_echo(const net::IpAddress& address) const noexcept {
  return find_wildcard(address, 0, address.is_v4() ? net::IpProto::kIcmp : net::IpProto::kIcmpv6);
}

bool Snapshot::is_in_prefix(const net::IpAddress& address) const noexcept {
  for (const PrefixListeners& at : address.is_v4() ? prefixes4 : prefixes6) {
    if (at.index.find(at.first_of(address), 0, 0) != nullptr) return true;
  }
  return false;
}

BackendIndex Snapshot::find_quic_backend(PoolIndex pool, std::span<const std::uint8_t> id) const noexcept {
  const Pool& of = pools[pool];
  if (id.size() <= of.server_id_bytes || (of.quic_configs >> net::quic_configuration(id) & 1) == 0) return kNoBackend;
  const QuicServer* server =
      quic_servers.find(QuicServer::key_of(id.subspan(1, of.server_id_bytes)), pool, of.server_id_bytes);
  if (server == nullptr || backends[server->backend].state != BackendState::kUp) return kNoBackend;
  return server->backend;
}

}  // namespace sluice::lb
