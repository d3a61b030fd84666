// What the packet path knows of the configuration and of health: flat arrays that never change once published. A new
// configuration or a change of health is a new Snapshot (build_snapshot.h), published by one pointer (snapshot_slot.h).
// Threading: built by control, then immutable; read by all threads.
// Ownership: by shared_ptr. A poll loop uses the raw pointer for one turn; what lives longer (an exchange) either keeps
//            ids or takes shared_from_this() once per generation.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sluice/base/time.h"
#include "sluice/config/config.h"
#include "sluice/lb/access.h"
#include "sluice/lb/address_index.h"
#include "sluice/lb/esp_table.h"
#include "sluice/lb/flow_limits.h"
#include "sluice/lb/ids.h"
#include "sluice/lb/maglev.h"
#include "sluice/lb/round_robin.h"
#include "sluice/lb/word_index.h"
#include "sluice/net/address.h"

namespace sluice::lb {

enum class ServiceKind : std::uint8_t { kForward, kProxy };

// One address, port and protocol of a service; all that the worker needs to go on with a packet. Port 0: every port; of a
// prefix (Snapshot::listener_prefixes), its first address. Of the protocol ICMP or ICMPv6: echoes, which are forwarded.
struct Listener {
  AddressKey key;  // 20 B
  ListenerId id;
  ServiceIndex service = kNoIndex;
  PoolIndex pool = kNoIndex;  // kForward only
  ServiceKind kind = ServiceKind::kForward;
  bool present = false;                                  // false: a slot of Snapshot::listeners whose listener is gone
  config::ForwardMode mode = config::ForwardMode::kNat;  // kForward only; kNat64 and kNat46 stand here alone
  bool syn_proxy : 1 = false;                            // TCP of a service that has it
  bool persists : 1 = false;    // `persist`: a worker owns all that comes from a client's address
  bool one_packet : 1 = false;  // no flow is kept
  bool many : 1 = false;        // more than one address and port: its flows have destinations (destinations.h)
  bool quic : 1 = false;        // its packets go by their connection ids

  [[nodiscard]] net::Endpoint endpoint() const noexcept { return {key.address, key.port}; }
  [[nodiscard]] net::IpProto proto() const noexcept { return static_cast<net::IpProto>(key.proto); }
};
static_assert(sizeof(Listener) == 32);

// An address that is ours: of an interface, of a service, or a source for NAT or for upstream connections.
struct LocalAddress {
  AddressKey key;                      // port and protocol 0
  SourceIndex source = kNoIndex;       // of Snapshot::sources; kNoIndex: no connection of ours begins here
  std::uint16_t interface = kNoIndex;  // of Config::interfaces, where the address stands
  bool service = false;                // some listener has it
  bool listens = false;                // one of them on a port of the PortPlan's
  std::uint8_t unused[6] = {};
};
static_assert(sizeof(LocalAddress) == 32);

// A backend of `dnat` services: what comes from its endpoint may be an answer to the clients of these listeners.
struct DnatBackend {
  AddressKey key;
  std::uint32_t first = 0;  // of Snapshot::dnat_listeners
  std::uint16_t count = 0;
  std::uint8_t unused[6] = {};
};
static_assert(sizeof(DnatBackend) == 32);

// What the packet path asks first about a packet's destination, in one word: whether somebody listens there (asked with port
// and protocol), and whether it is an address of ours (asked by the address alone). 0: no. Either can be told from the other:
// bits 60 to 62 mean one thing in both.
struct ListenerHit {
  std::uint64_t word = 0;

  [[nodiscard]] static constexpr ListenerHit of(ListenerId id, ServiceKind kind) noexcept {
    return {id.index | (std::uint64_t{id.generation} << 16) | (std::uint64_t{kind == ServiceKind::kForward} << 60) |
            (std::uint64_t{1} << 63)};
  }
  [[nodiscard]] constexpr bool found() const noexcept { return word != 0; }
  [[nodiscard]] constexpr ListenerId id() const noexcept {
    return {static_cast<std::uint16_t>(word), static_cast<std::uint16_t>(word >> 16)};
  }
  [[nodiscard]] constexpr bool forwards() const noexcept { return (word >> 60 & 1) != 0; }
};
struct LocalHit {
  std::uint64_t word = 0;

  // `listens`: somebody listens on the address, on a port that may be a worker's.
  [[nodiscard]] static constexpr LocalHit of(std::size_t index, SourceIndex source, bool listens) noexcept {
    return {index | (std::uint64_t{source} << 32) | (std::uint64_t{listens} << 61) |
            (std::uint64_t{source != kNoIndex} << 62) | (std::uint64_t{1} << 63)};
  }
  [[nodiscard]] constexpr bool found() const noexcept { return word != 0; }
  [[nodiscard]] constexpr std::size_t index() const noexcept { return word & 0xffffffff; }
  [[nodiscard]] constexpr SourceIndex source() const noexcept { return static_cast<SourceIndex>(word >> 32); }
  [[nodiscard]] constexpr bool has_source() const noexcept { return (word >> 62 & 1) != 0; }
  [[nodiscard]] constexpr bool listens() const noexcept { return (word >> 61 & 1) != 0; }
};

struct Service {
  std::string name;
  ServiceKind kind = ServiceKind::kForward;
  bool present = false;
  PoolIndex pool = kNoIndex;                             // kForward only
  config::ForwardMode mode = config::ForwardMode::kNat;  // kForward only
  FlowLimits limits;                                     // kForward only
  const AccessLists* access = nullptr;                   // in Snapshot::access; nullptr: has no lists
  std::optional<config::SynProxy> syn_proxy;             // kForward in mode nat only
  config::OnDown on_down = config::OnDown::kKeep;        // kForward only
  std::uint32_t persist_ms = 0;                          // kForward only; 0: no persistence
  std::vector<SourceIndex> sources4;  // NAT sources that the operator named; empty: the egress interface's
  std::vector<SourceIndex> sources6;
  std::vector<std::uint16_t> listeners;     // indices of Snapshot::listeners
  const config::Service* config = nullptr;  // in Snapshot::config; nullptr unless present
};

enum class BackendState : std::uint8_t {
  kDown,
  kUp,
};

struct Backend {  // 32 B: what a new flow needs
  net::IpAddress address;
  std::uint16_t port = 0;
  std::uint16_t generation = 0;
  PoolIndex pool = kNoIndex;
  std::uint16_t weight = 0;
  BackendState state = BackendState::kDown;
  bool present = false;      // false: gone from the configuration; its flows may live on
  bool checked = false;      // by a health check; else it counts as up
  bool trusted : 1 = false;  // down, but all of the pool are, and `on_all_down: use_all` says to use them
  bool backup : 1 = false;
  std::uint32_t max_flows = 0;  // of one worker: its share of the configured number; 0: no limit

  [[nodiscard]] net::Endpoint endpoint() const noexcept { return {address, port}; }
  [[nodiscard]] bool serves() const noexcept { return present && (state == BackendState::kUp || trusted); }
  [[nodiscard]] bool takes_new() const noexcept { return serves() && weight > 0; }
};
static_assert(sizeof(Backend) == 32);

// Since when a backend is up, for its slow start.
struct Rise {
  bool was_down = false;         // a check has found it down since the pool was first seen
  std::optional<Instant> began;  // of the slow start that goes on
};

// The backend that a server id of QUIC names. In place of an address the key has the id, filled up with zeros, and in place
// of a port the pool's index.
struct QuicServer {
  AddressKey key;
  BackendIndex backend = kNoBackend;
  std::uint8_t unused[10] = {};

  [[nodiscard]] static net::IpAddress key_of(std::span<const std::uint8_t> server_id) noexcept {
    std::array<std::uint8_t, 16> bytes{};
    std::copy(server_id.begin(), server_id.end(), bytes.begin());
    return net::IpAddress::v6(bytes);
  }
};
static_assert(sizeof(QuicServer) == 32);

struct Pool {
  config::Balance balance = config::Balance::kMaglev;
  bool present = false;
  config::FlowHash hash = config::FlowHash::kTuple;
  bool limited = false;                       // some backend has a limit of flows
  std::uint16_t up = 0;                       // backends that take new flows; 0: both tables are empty
  std::shared_ptr<const MaglevTable> maglev;  // never nullptr in a pool that is present
  std::shared_ptr<const RoundRobinTable> round_robin;
  std::vector<WeightedBackend> takers;   // what the tables are made from: the backends that take new flows now
  std::vector<WeightedBackend> backups;  // that take new flows where no taker has room
  std::vector<BackendIndex> backends;    // in the order of the configuration
  std::uint8_t server_id_bytes = 0;      // of QUIC connection ids; 0: backends have none
  std::uint8_t quic_configs = 0;         // bit n: they make ids by configuration n
  std::string name;
  const config::Pool* config = nullptr;  // in Snapshot::config; nullptr unless present
};

// The ports of one source address on which services listen, sorted. No connection of ours may begin there: what comes
// back would be taken for a client's packet.
struct ListenedPorts {
  std::vector<std::uint16_t> tcp, udp, sctp;
  [[nodiscard]] const std::vector<std::uint16_t>& of(net::IpProto proto) const noexcept {
    return proto == net::IpProto::kTcp ? tcp : proto == net::IpProto::kSctp ? sctp : udp;
  }
};

// The listeners on prefixes of one length and family, by their first address. An entry of port and protocol 0 stands for
// the prefix itself.
struct PrefixListeners {
  std::uint8_t length = 0;
  std::array<std::uint64_t, 2> mask{};  // of IpAddress::words()
  AddressIndex<Listener> index;

  [[nodiscard]] net::IpAddress first_of(const net::IpAddress& address) const noexcept {
    const auto words = address.words();
    return net::IpAddress::from_words({words[0] & mask[0], words[1] & mask[1]});
  }
};

struct InterfaceSources {  // by index of Config::interfaces: the first address of each family
  SourceIndex source4 = kNoIndex;
  SourceIndex source6 = kNoIndex;
};

// A UDP port that tunnels of ours go to, and how much lies between the UDP header's first byte and the packet inside.
struct TunnelPort {
  std::uint16_t port = 0;
  std::uint16_t bytes = 0;
};

struct Snapshot : std::enable_shared_from_this<Snapshot> {
  std::uint64_t generation = 0;  // from 1, one more with each snapshot
  std::shared_ptr<const config::Config> config;
  std::shared_ptr<const Access> access;  // nullptr: there are no lists

  // By index; slots of things that are gone stay, with present == false, until another takes them.
  std::vector<Listener> listeners;
  std::vector<Service> services;
  std::vector<Pool> pools;
  std::vector<Backend> backends;
  std::vector<std::string> backend_names;  // parallel to backends
  std::vector<Rise> rises;                 // parallel to backends
  std::optional<Instant> next_step;        // when some backend's slow start goes on: then build again
  std::vector<net::IpAddress> sources;
  std::vector<ListenedPorts> listened;  // parallel to sources
  std::vector<InterfaceSources> interfaces;
  EspTable esp;
  std::vector<SourceIndex> upstream_sources4, upstream_sources6;  // `upstream.source`; empty: the egress interface's

  // IPv4 by one word (the values are those of ListenerHit, and of LocalHit by the address alone), IPv6 by its address.
  WordIndex index4;
  AddressIndex<Listener> listener_index6;
  AddressIndex<LocalAddress> local_index6;
  std::vector<LocalAddress> local_addresses;  // IPv4

  AddressIndex<QuicServer> quic_servers;
  // The backend of the pool that this connection id names. kNoBackend: none, or it is down.
  [[nodiscard]] BackendIndex find_quic_backend(PoolIndex pool, std::span<const std::uint8_t> id) const noexcept;

  std::vector<std::uint8_t> listener_prefixes;        // parallel to listeners: length; 0: the one address
  std::vector<PrefixListeners> prefixes4, prefixes6;  // longest first
  std::vector<TunnelPort> tunnel_ports;               // by port, each once
  bool has_wildcards = false;                         // some listener is of a prefix, or of every port
  bool has_echo = false;                              // some service has echoes forwarded

  // Where find_listener() gave nullptr: on every port of the address, then on a prefix, the longest first, there too on the
  // port before every port.
  [[nodiscard]] const Listener* find_wildcard(const net::IpAddress& address, std::uint16_t port,
                                              net::IpProto proto) const noexcept;
  // Who gets echoes to the address; nullptr: we answer them.
  [[nodiscard]] const Listener* find_echo(const net::IpAddress& address) const noexcept;
  // Some service listens on a prefix that holds the address.
  [[nodiscard]] bool is_in_prefix(const net::IpAddress& address) const noexcept;
  [[nodiscard]] bool is_ours(const net::IpAddress& address) const noexcept {
    return find_local(address) != nullptr || (has_wildcards && is_in_prefix(address));
  }

  // Of `dnat` services. A backend that is gone stays here as long as its slot is not taken: its flows live on.
  bool has_dnat = false;
  std::vector<DnatBackend> dnat_backends;
  std::vector<std::uint16_t> dnat_listeners;  // indices of `listeners`; each backend has a run of them
  AddressIndex<DnatBackend> dnat_index;

  // nullptr: nobody listens there.
  [[nodiscard]] const Listener* find_listener(const net::IpAddress& address, std::uint16_t port,
                                              net::IpProto proto) const noexcept {
    if (!address.is_v4()) return listener_index6.find(address, port, static_cast<std::uint8_t>(proto));
    const ListenerHit hit{index4.find(WordIndex::word_of(address.v4(), port, static_cast<std::uint8_t>(proto)))};
    return hit.found() ? &listeners[hit.id().index] : nullptr;
  }
  // nullptr: not an address of ours.
  [[nodiscard]] const LocalAddress* find_local(const net::IpAddress& address) const noexcept {
    if (!address.is_v4()) return local_index6.find(address, 0, 0);
    const LocalHit hit{index4.find(WordIndex::word_of(address.v4(), 0, 0))};
    return hit.found() ? &local_addresses[hit.index()] : nullptr;
  }
  // The listeners whose clients this endpoint answers; none: it is no backend of a `dnat` service.
  [[nodiscard]] std::span<const std::uint16_t> dnat_listeners_of(const net::IpAddress& backend, std::uint16_t port,
                                                                 net::IpProto proto) const noexcept {
    const DnatBackend* found = dnat_index.find(backend, port, static_cast<std::uint8_t>(proto));
    if (found == nullptr) return {};
    return std::span(dnat_listeners).subspan(found->first, found->count);
  }
  // Of a tunnel over UDP to this port; 0: no service has one.
  [[nodiscard]] std::size_t bytes_behind_udp(std::uint16_t port) const noexcept {
    const auto at = std::ranges::lower_bound(tunnel_ports, port, {}, &TunnelPort::port);
    return at != tunnel_ports.end() && at->port == port ? at->bytes : 0;
  }
  // nullptr: the slot holds another backend by now.
  [[nodiscard]] const Backend* find_backend(BackendId id) const noexcept {
    if (id.index >= backends.size() || backends[id.index].generation != id.generation) return nullptr;
    return &backends[id.index];
  }
  [[nodiscard]] const Listener* find_listener(ListenerId id) const noexcept {
    if (id.index >= listeners.size() || listeners[id.index].id != id || !listeners[id.index].present) return nullptr;
    return &listeners[id.index];
  }
  [[nodiscard]] BackendId id_of(BackendIndex index) const noexcept { return {index, backends[index].generation}; }

  [[nodiscard]] std::span<const std::uint16_t> listened_ports(SourceIndex source, net::IpProto proto) const noexcept {
    return listened[source].of(proto);
  }

  // The source address of a new connection that leaves by `interface`: one of `named` by the hash, else the interface's
  // own of that family. kNoIndex: the interface has none.
  [[nodiscard]] SourceIndex choose_source(const std::vector<SourceIndex>& named, std::uint16_t interface, bool ipv4,
                                          std::uint64_t hash) const noexcept {
    if (!named.empty()) return named[static_cast<std::size_t>((hash & 0xffffffff) * named.size() >> 32)];
    if (interface >= interfaces.size()) return kNoIndex;
    return ipv4 ? interfaces[interface].source4 : interfaces[interface].source6;
  }
};

}  // namespace sluice::lb
