// What the operator asked for: plain values, one struct for each section of the YAML file, checked and with defaults
// filled in. A Config that load_file() returned is sound: every name refers to something, every number is in its range.
// Threading: values; copy, compare or share as const.
// Ownership: no pointers into anything; names refer to names, which find_pool() and find_interface() look up.
// Units:     durations are nanoseconds (Duration), sizes are bytes (the name says so), ports and cpus plain numbers.
// Spec:      docs/configuration.md says what each key means to a user; config/sluice.yaml shows every one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sluice/base/time.h"
#include "sluice/config/defence.h"
#include "sluice/config/esp.h"
#include "sluice/config/forward_service.h"
#include "sluice/config/proxy_service.h"
#include "sluice/config/tcp_options.h"
#include "sluice/net/address.h"

namespace sluice::config {

using namespace std::chrono_literals;  // defaults below read like the file: 30s, 500ms

// ---- runtime: cpus, memory, limits of the process ----

enum class HugePages : std::uint8_t {
  kAuto,      // hugepages if the machine has reserved enough, else ordinary memory
  kRequired,  // refuse to start without
  kOff,       // ordinary memory (EAL's --no-huge)
};

enum class PollMode : std::uint8_t {
  kBusy,      // a poll loop never sleeps
  kAdaptive,  // a poll loop sleeps shortly once all of its roles are idle
};

// With so much memory for each all connections can be open at once: a new one is promised a receive window, which is the smaller the
// fuller the memory is (docs/tcp.md).
inline constexpr std::uint64_t kBytesPerConnection = 7680;
[[nodiscard]] constexpr std::uint64_t connection_bytes_for(std::uint64_t connections) noexcept {
  constexpr std::uint64_t kUnit = 1u << 20, kLeast = 256 * kUnit;
  const std::uint64_t bytes = (connections * kBytesPerConnection + kUnit - 1) / kUnit * kUnit;
  return bytes < kLeast ? kLeast : bytes;
}

struct Runtime {
  unsigned main_cpu = 0;  // of the control thread, which mostly sleeps
  // The cpu of each worker and of each proxy, by id. One loop per cpu runs all roles that name it, so a cpu may stand
  // in both lists, and several times in one. Workers: never empty. Proxies: without the key, the workers' cpus (each
  // once) if there is a `proxy:` service, else none; never empty where there is such a service.
  std::vector<unsigned> workers{0};
  std::vector<unsigned> proxies;
  std::uint64_t memory_bytes = 512ull << 20;  // for EAL
  HugePages hugepages = HugePages::kAuto;
  PollMode poll = PollMode::kBusy;
  std::vector<std::string> eal;                // extra EAL arguments, passed as they are
  std::optional<std::string> file_prefix;      // EAL's --file-prefix; without: the app makes one from its process id
  std::optional<std::uint32_t> mbufs;          // in the packet pool; without: the app computes it from queues and rings
  std::uint32_t flows = 1u << 20;              // entries of the flow table, all workers together
  std::uint32_t persistent_clients = 256'000;  // remembered for services with `persist`, all workers together
  std::uint32_t connections = 100'000;         // client connections and upstream connections, all proxies together
  // Send and receive buffers of all connections, all proxies together. Without the key: as much as `connections` need.
  std::uint64_t connection_bytes = connection_bytes_for(100'000);
  Duration drain = 30s;                    // SIGTERM: how long open connections may take to end
  std::optional<Duration> stop_when_idle;  // tests only: stop as SIGTERM does after so long without a packet (net_pcap)
  bool operator==(const Runtime&) const = default;
};

// ---- interfaces, neighbours, routes: the network around ----

enum class DeviceKind : std::uint8_t { kPci, kVdev };

inline constexpr std::size_t kMaxInterfaces = 128;  // VLANs among them

// The type that the outer one of two VLAN tags is sent with; received, either counts.
enum class OuterTag : std::uint8_t { k8021ad, k8021q };

// What the device hashes addresses and ports with, to choose a receive queue: random bytes of the process's own; 0x6d5a over
// and over, which gives both directions of a flow the same queue; or what its driver came with.
enum class RssKey : std::uint8_t { kRandom, kSymmetric, kDriver };

struct Interface {
  std::string name;
  std::string device;                      // "0000:3b:00.0", or a vdev string "net_af_xdp0,iface=veth-in"
  std::string parent;                      // a VLAN: the interface that has the device; `device` is empty then
  std::uint16_t vlan = 0;                  // 1..4094, of the outer tag where there are two; 0: not a VLAN
  std::uint16_t inner_vlan = 0;            // 1..4094; 0: one tag
  OuterTag outer_tag = OuterTag::k8021ad;  // of two tags
  DeviceKind kind = DeviceKind::kVdev;     // which of the two `device` is
  std::vector<net::Prefix> addresses;      // own addresses with the length of their on-link prefix; host bits kept
  std::optional<net::IpAddress> gateway4;  // on-link in one of `addresses`; one per family in the whole file
  std::optional<net::IpAddress> gateway6;  // on-link, or link-local
  std::uint16_t mtu = 1500;                // bytes of an IP packet; a VLAN without the key has its parent's
  std::optional<std::uint16_t> rx_queues;  // without: one per worker, as far as the port can
  std::optional<std::uint16_t> tx_queues;  // without: one per cpu that sends, as far as the port can
  RssKey rss_key = RssKey::kRandom;
  bool announce = true;  // at start: gratuitous ARP and unsolicited neighbour advertisements
  bool promiscuous = false;

  [[nodiscard]] bool is_vlan() const noexcept { return !parent.empty(); }
  bool operator==(const Interface&) const = default;
};

struct Neighbor {  // a static entry: never resolved, never ages
  std::string interface;
  net::IpAddress address;
  net::MacAddress mac;
  bool operator==(const Neighbor&) const = default;
};

struct StaticRoute {
  net::Prefix prefix;     // host bits are zero; 0.0.0.0/0 and ::/0 only by an interface's gateway
  net::IpAddress via;     // on-link on `interface`
  std::string interface;  // always set: found by `via` where the file leaves it out
  bool operator==(const StaticRoute&) const = default;
};

// Packets in fragments, of each worker: how many are followed at once, how many fragments wait for others of theirs, and
// how long a packet that does not become whole is remembered.
struct Fragments {
  std::uint32_t packets = 4096;
  std::uint32_t waiting = 256;
  Duration timeout = 2s;
  bool operator==(const Fragments&) const = default;
};

// ---- pools: backends, how to choose among them, how to know that they live ----

enum class Balance : std::uint8_t {
  kMaglev,
  kRoundRobin,  // in proportion to the weights
  kLeastConn,   // fewest flows or connections for its weight
  kSourceHash,  // Maglev over the client's address
};
// Whether the choice follows from a hash of the flow.
[[nodiscard]] constexpr bool is_hashed(Balance balance) noexcept {
  return balance == Balance::kMaglev || balance == Balance::kSourceHash;
}

enum class FlowHash : std::uint8_t {  // what of a flow Maglev looks at
  kTuple,                             // both addresses, both ports and the protocol
  kSource,                            // the client's address
  kSourceAndService,                  // that, and the service's address, port and protocol
  kDestinationPort,                   // the service's port
};

enum class OnAllDown : std::uint8_t {
  kRefuse,  // new flows are refused, requests answered with 503
  kUseAll,  // the health checks are not believed: all backends count as up
};

struct Backend {
  std::string name;        // unique in its pool; without the key: "address:port"
  net::Endpoint endpoint;  // address and port; port 0: that to which the client's packet was sent (layer 4)
  std::vector<std::uint8_t> server_id{};  // in QUIC connection ids; empty: none
  std::uint32_t weight = 1;               // 0..65535, share of new flows and requests; 0: gets none that are new
  std::optional<net::MacAddress> mac{};   // mode vxlan: of its VXLAN interface; without: the service's
  bool backup = false;                    // takes new flows only where no other backend of the pool does
  std::uint32_t max_flows = 0;            // layer 4 flows at a time, all workers together; 0: no limit

  [[nodiscard]] std::string text() const;  // the endpoint, or the address alone where no port is given
  bool operator==(const Backend&) const = default;
};

struct StatusRange {
  std::uint16_t first = 200;  // 100..599
  std::uint16_t last = 399;   // inclusive
  bool operator==(const StatusRange&) const = default;
};

struct HttpCheck {              // one request over HTTP/1.0, no TLS
  std::string method = "HEAD";  // HEAD | GET | OPTIONS
  std::string path = "/";
  std::string host;                                // Host header; empty: the backend's "address:port"
  std::vector<StatusRange> expect{StatusRange{}};  // statuses that count as success; any of them
  bool operator==(const HttpCheck&) const = default;
};

struct TcpCheck {  // a connection that is established is a success
  bool operator==(const TcpCheck&) const = default;
};

struct HealthCheck {
  std::variant<TcpCheck, HttpCheck> probe;
  std::optional<std::uint16_t> port;  // to probe; without: the backend's
  Duration interval = 2s;             // from the start of one probe to the next
  Duration timeout = 1s;              // a probe without success by then has failed; <= interval
  std::uint32_t fall = 3;             // failures in a row that take a backend down
  std::uint32_t rise = 2;             // successes in a row that bring it back (the first success after start is enough)
  bool operator==(const HealthCheck&) const = default;
};

struct Keepalive {
  std::uint32_t idle = 32;  // idle connections kept to the pool's backends, all proxies together; 0: none
  Duration timeout = 60s;   // an idle connection is closed after so long
  bool operator==(const Keepalive&) const = default;
};

struct PoolTimeouts {       // of upstream connections (L7)
  Duration connect = 5s;    // TCP established, else the next backend or 504
  Duration response = 60s;  // longest silence of a backend that owes an answer, and of one that is sent a request
  bool operator==(const PoolTimeouts&) const = default;
};

struct Pool {
  std::string name;
  Balance balance = Balance::kMaglev;
  FlowHash hash = FlowHash::kTuple;    // of `balance: maglev`; source_hash has kSource
  std::uint32_t maglev_table = 65537;  // slots, a prime; same on every machine that shares the traffic
  std::vector<Backend> backends;       // 1 or more
  std::optional<HealthCheck> health;   // without: every backend counts as up
  OnAllDown on_all_down = OnAllDown::kRefuse;
  Duration slow_start{};  // a backend that comes back has its whole weight after so long; 0: at once
  // QUIC: the configurations, 0..6, by which the backends make their connection ids; server_id is the same in all of them.
  std::vector<std::uint8_t> quic_configs{0};
  Keepalive keepalive;
  PoolTimeouts timeouts;
  TcpOptions tcp;  // of upstream connections (L7)
  bool operator==(const Pool&) const = default;
};

// ---- services ----

struct Listen {
  net::Endpoint endpoint;                             // a unicast address, or a prefix' first one; port 0: every port
  net::IpProto proto = net::IpProto::kTcp;            // kTcp | kUdp | kSctp
  std::optional<std::uint8_t> prefix = std::nullopt;  // length: every address of it; without: the one address
  bool quic = false;                                  // udp, and its packets go by their connection ids
  auto operator<=>(const Listen&) const = default;
  [[nodiscard]] std::string text() const;  // 192.0.2.1:80/tcp, 192.0.2.0/28:*/udp, [2001:db8::/64]:443/tcp
  [[nodiscard]] bool is_exact() const noexcept { return !prefix && endpoint.port != 0; }
  [[nodiscard]] net::Prefix range() const noexcept {
    const std::uint8_t whole = endpoint.address.is_v4() ? 32 : 128;
    return {endpoint.address, prefix.value_or(whole)};
  }
};

struct Service {
  std::string name;
  std::vector<Listen> listen;         // 1 or more; no two services share one
  std::vector<std::string> announce;  // interfaces that answer ARP/ND for `listen` addresses beside those whose prefix
                                      // holds them
  AccessFiles access;
  std::vector<AclRule> acl;  // after that of `defence`
  Limits limits;
  std::optional<SynProxy> syn_proxy;      // `forward` in mode nat only
  std::optional<ForwardService> forward;  // exactly one of the two is set
  std::optional<ProxyService> proxy;
  bool operator==(const Service&) const = default;
};

// ---- the rest ----

struct Cache {  // shared by all routes with `cache`
  std::uint64_t memory_bytes = 256ull << 20;
  std::uint64_t object_bytes = 8ull << 20;  // a larger answer is not stored; <= memory_bytes
  bool operator==(const Cache&) const = default;
};

struct Admin {
  std::optional<std::string> socket = "/run/sluice/admin.sock";  // absolute path; none with `socket: off`
  bool operator==(const Admin&) const = default;
};

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };

struct Log {
  LogLevel level = LogLevel::kInfo;
  bool operator==(const Log&) const = default;
};

struct Upstream {
  std::vector<net::IpAddress> source;  // of connections to backends; a family without one: the egress interface's
  bool operator==(const Upstream&) const = default;
};

// ---- the whole ----

struct Mark {
  std::uint32_t line = 0;    // from 1; 0: not from a file
  std::uint32_t column = 0;  // from 1
};

// A key of the file that names another file; load.h's check_files() looks at them.
struct FileReference {
  enum class Kind : std::uint8_t { kCertificate, kKey, kDirectory, kPrefixes, kEspKey };
  Kind kind = Kind::kCertificate;
  std::string file;  // the absolute path that was written
  std::string path;  // of the key: services.site.proxy.tls.certificates[0].cert
  Mark mark;
};

struct Config {
  std::string file;  // as given to load_file() or load_text()
  Runtime runtime;
  std::vector<Interface> interfaces;  // lists of named things keep the order of the file; names are unique
  std::vector<Neighbor> neighbors;
  std::vector<StaticRoute> routes;
  Fragments fragments;
  std::vector<Pool> pools;
  std::vector<Service> services;
  Esp esp;
  Cache cache;
  Defence defence;
  Admin admin;
  Log log;
  Upstream upstream;

  std::vector<FileReference> files;
};

[[nodiscard]] const Pool* find_pool(const Config& config, std::string_view name) noexcept;  // nullptr: unknown
[[nodiscard]] const EspPeer* find_esp_peer(const Config& config,
                                           const net::IpAddress& address) noexcept;  // nullptr: none
[[nodiscard]] const Interface* find_interface(const Config& config,
                                              std::string_view name) noexcept;  // nullptr: unknown
// The top-level keys of the file whose values are not the same in both.
[[nodiscard]] std::vector<std::string_view> differing_sections(const Config& a, const Config& b);

}  // namespace sluice::config
