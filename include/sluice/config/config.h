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
#include "sluice/config/template.h"
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

enum class ForwardMode : std::uint8_t {
  kNat,   // destination and source rewritten; replies come back through us
  kDnat,  // destination rewritten; the backend answers the client's address, and its way there leads through us
  kDsr,   // the backend's MAC address and nothing else: it has the service's address, and answers the client itself
  // Never in a Config: what kNat becomes for a listener whose pool is of the other family (lb::Listener::mode).
  kNat64,  // clients of IPv6, backends of IPv4
  kNat46,  // clients of IPv4, backends of IPv6
  // As kDsr, in a tunnel.
  kIpIp,   // the packet in another IP packet
  kGre,    // the same with a GRE header between
  kGue,    // the same with a UDP header between
  kVxlan,  // the packet as an Ethernet frame of a VXLAN
  kEsp,    // the packet encrypted in another IP packet
};
// Whether the packets of the two sides are of different families.
[[nodiscard]] constexpr bool translates(ForwardMode mode) noexcept {
  return mode == ForwardMode::kNat64 || mode == ForwardMode::kNat46;
}
// Whether replies lead to the flow by a port of ours.
[[nodiscard]] constexpr bool takes_port(ForwardMode mode) noexcept {
  return mode == ForwardMode::kNat || translates(mode);
}
// Whether replies come back through us.
[[nodiscard]] constexpr bool sees_replies(ForwardMode mode) noexcept {
  return takes_port(mode) || mode == ForwardMode::kDnat;
}
// Whether packets leave with other headers than they came with.
[[nodiscard]] constexpr bool changes_headers(ForwardMode mode) noexcept { return mode >= ForwardMode::kNat64; }
// Whether packets get a header in front of them.
[[nodiscard]] constexpr bool has_tunnel(ForwardMode mode) noexcept {
  return mode >= ForwardMode::kIpIp && mode <= ForwardMode::kEsp;
}
// Of those, all but esp, which does more.
[[nodiscard]] constexpr bool is_tunnel(ForwardMode mode) noexcept {
  return has_tunnel(mode) && mode != ForwardMode::kEsp;
}

// Whether a backend's health checks go to the service's address, the way that its packets go. In kEsp they go to the
// backend's own, outside the tunnel: associations are the workers'.
[[nodiscard]] constexpr bool checked_as_service(ForwardMode mode) noexcept {
  return !sees_replies(mode) && mode != ForwardMode::kEsp;
}

struct FlowTimeouts {             // a flow without a packet for so long is forgotten
  Duration established = 124min;  // RFC 5382 section 5: not less than 2 h 4 min
  Duration opening = 60s;         // SYN or INIT seen, handshake not complete
  Duration closing = 120s;        // FIN or SHUTDOWN both ways, RST or ABORT seen
  Duration udp = 120s;            // RFC 4787 section 4.3: not less than 2 min
  Duration sctp = 124min;         // an association that is established: as TCP's
  bool operator==(const FlowTimeouts&) const = default;
};

struct Outer {  // the header that a tunnel adds
  // At most one of each family; for a family that has none here: the egress interface's address. What a prefix leaves
  // free are bits of each flow, so that the backends' NICs spread the flows.
  std::vector<net::Prefix> source;
  std::uint8_t ttl = 64;
  bool operator==(const Outer&) const = default;
};

struct Gue {
  std::uint16_t port = 6080;
  std::uint8_t variant = 1;  // 1: the packet follows UDP at once | 0: behind a GUE header
  bool operator==(const Gue&) const = default;
};

struct Vxlan {
  std::uint32_t vni = 0;  // 24 bits
  std::uint16_t port = 4789;
  std::optional<net::MacAddress> mac;                         // of the backends' VXLAN interfaces
  [[nodiscard]] net::MacAddress inner_mac() const noexcept {  // without the key: from the VNI
    const auto byte = [&](unsigned shift) { return static_cast<std::uint8_t>(vni >> shift); };
    return mac.value_or(net::MacAddress{{2, 0, 0, byte(16), byte(8), byte(0)}});
  }
  bool operator==(const Vxlan&) const = default;
};
enum class EchoTo : std::uint8_t {
  kAnswer,   // pings of the service's addresses are answered by us
  kForward,  // they go to a backend, as flows by their identifier
};
// Whether the mode can carry echoes: in `dnat` nothing in a backend's reply would say which service it is of.
[[nodiscard]] constexpr bool forwards_echo(ForwardMode mode) noexcept { return mode != ForwardMode::kDnat; }
// Whether its services may listen on every port or on a prefix: where replies lead to their flow by more than a listener.
[[nodiscard]] constexpr bool has_destinations(ForwardMode mode) noexcept { return mode != ForwardMode::kDnat; }

inline constexpr std::uint16_t kMssAuto = 1;

// What becomes of the flows of a backend that goes down. UDP flows, and connections that it has not answered, move in any case.
enum class OnDown : std::uint8_t {
  kKeep,    // they stay, in case it is only its checks that fail
  kReset,   // TCP: both ends are sent a reset, so that the client connects anew at once; others move
  kRehash,  // the next packet of each goes to another backend (nat: is answered with a reset)
};

struct ForwardService {  // layer 4
  ForwardMode mode = ForwardMode::kNat;
  std::string pool;  // backends are of the family of every `listen`, but in a tunnel; of kNat of one, whichever
  std::vector<net::IpAddress> source;  // NAT source addresses; for a family that has none here: the egress interface's
  FlowTimeouts timeouts;
  OnDown on_down = OnDown::kKeep;
  std::optional<Duration>
      persist;              // a client's flows go to one backend until it has opened none for so long; not for dnat
  bool one_packet = false;  // each packet is balanced by itself, and no flow kept; UDP, modes without replies
  std::uint16_t mss = 0;    // of SYNs, at most; kMssAuto: as the MTUs on the way allow | 0: as it comes
  Outer outer;              // modes with a tunnel
  Gue gue;
  Vxlan vxlan;
  EchoTo icmp = EchoTo::kAnswer;
  bool operator==(const ForwardService&) const = default;
};

// SYNs are answered with a cookie, and a backend hears of a client only once it has come back with it.
struct SynProxy {
  std::uint32_t above = 0;           // SYNs a second to the service, all workers together; 0: always
  std::optional<std::uint16_t> mss;  // announced to clients; without: as the interface's MTU allows
  std::uint8_t window_scale = 7;     // announced to clients, 0..14: the backends' own, or nearly
  bool sack = true;                  // what the backends can: clients are told so before a backend is asked
  bool timestamps = true;            // without them neither SACK nor window scales can be kept
  bool operator==(const SynProxy&) const = default;
};

struct Certificate {  // PEM files; the first certificate of a service answers unknown names
  std::string cert;   // leaf first, then its chain; absolute path
  std::string key;    // absolute path
  bool operator==(const Certificate&) const = default;
};

enum class TlsVersion : std::uint8_t { kTls12, kTls13 };
enum class TlsCrypto : std::uint8_t { kIpsecMb, kOpenSsl };  // who does AES-GCM

struct Tls {
  std::vector<Certificate> certificates;  // 1 or more; chosen by SNI
  TlsVersion min_version = TlsVersion::kTls12;
  TlsVersion max_version = TlsVersion::kTls13;
  std::vector<std::string> ciphers;  // OpenSSL's names, TLS 1.3 ones ("TLS_...") among them; empty: sluice's own order
  std::vector<std::string> alpn{"http/1.1"};  // in the order of preference
  TlsCrypto crypto = TlsCrypto::kIpsecMb;
  bool operator==(const Tls&) const = default;
};

struct Header {
  std::string name;  // a token (RFC 9110 section 5.6.2); spelling of the file kept
  Template value;
  bool operator==(const Header&) const = default;
};

struct HeaderRules {  // applied in this order; names compare without case
  std::vector<std::string> remove;
  std::vector<Header> set;  // replaces every header of that name
  [[nodiscard]] bool empty() const noexcept { return remove.empty() && set.empty(); }
  bool operator==(const HeaderRules&) const = default;
};

struct StaticFiles {
  std::string alias;                 // absolute path; what follows the matched path is looked up below it
  std::string index = "index.html";  // what a path that ends in '/' means; one file name
  std::optional<Duration> expires;   // adds Expires and Cache-Control: max-age; whole seconds
  std::vector<Header> headers;       // added to answers 200, 206 and 304 (a Cache-Control joins the max-age)
  bool operator==(const StaticFiles&) const = default;
};

struct ToPool {
  std::string pool;
  bool operator==(const ToPool&) const = default;
};

struct Respond {               // a fixed answer
  std::uint16_t status = 200;  // 200..599
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";  // of a body that is not empty
  bool operator==(const Respond&) const = default;
};

struct Redirect {
  std::uint16_t status = 301;  // 301 | 302 | 303 | 307 | 308
  Template location;           // "https://${request.host}${request.target}"
  bool operator==(const Redirect&) const = default;
};

enum class ClientControl : std::uint8_t { kIgnore, kObey };

struct RouteCache {
  ClientControl client_control = ClientControl::kIgnore;  // Cache-Control of requests, but for only-if-cached
  bool operator==(const RouteCache&) const = default;
};

struct HttpRoute {
  // Matching: the first route of the service whose host and path both match. A host pattern is a name in lower case
  // without port, or "*.example.com" (one or more labels in front). No host: any. A path is a prefix of whole segments:
  // "/api/" matches "/api/x", "/api" matches "/api" and "/api/x" but not "/apiary". "/" matches all.
  std::vector<std::string> hosts;
  std::string path = "/";
  std::variant<ToPool, StaticFiles, Respond, Redirect> action;
  std::optional<RouteCache> cache;  // store what the origin allows (RFC 9111); with ToPool only
  HeaderRules request_headers;      // towards the backend, after X-Forwarded-*, X-Real-IP and Via were added
  HeaderRules response_headers;     // towards the client; also on answers out of the cache
  bool operator==(const HttpRoute&) const = default;
};

struct HttpLimits {
  std::uint32_t header_bytes = 32u << 10;  // request line and headers together; else 431
  std::uint32_t uri_bytes = 8u << 10;      // request target; else 414
  std::uint32_t headers = 100;             // number of header lines; else 431
  std::uint64_t body_bytes = 1ull << 30;   // request body; else 413
  Duration header_timeout = 10s;           // from the first byte of a request to the end of its headers; else 408
  Duration body_timeout = 30s;             // longest silence inside a request body; else 408
  Duration send_timeout = 60s;             // longest time without progress of a response; then reset
  Duration idle_timeout = 75s;             // a kept connection without a request is closed
  std::uint32_t requests = 1000;           // per connection, then Connection: close
  bool operator==(const HttpLimits&) const = default;
};

struct ProxyService {             // layer 7
  std::optional<Tls> tls;         // without: plain HTTP
  std::vector<HttpRoute> routes;  // 1 or more; no match: 404
  HttpLimits limits;
  bool operator==(const ProxyService&) const = default;
};

// Files of prefixes. A source on an allow list is not asked for on the deny list beside it.
struct AccessFiles {
  std::vector<std::string> allow, deny;  // absolute paths
  [[nodiscard]] bool empty() const noexcept { return allow.empty() && deny.empty(); }
  bool operator==(const AccessFiles&) const = default;
};

struct PortRange {
  std::uint16_t first = 0, last = 65535;  // both inclusive
  bool operator==(const PortRange&) const = default;
};

struct AclRule {  // what it does not name may be anything
  bool allow = false;
  std::optional<net::Prefix> src, dst;  // of one family
  std::optional<PortRange> src_ports, dst_ports;
  std::optional<std::uint8_t> proto;  // TCP or UDP where ports are named
  bool operator==(const AclRule&) const = default;
};

struct Limits {  // a second, all workers together; 0: none
  std::uint64_t packets = 0;
  std::uint64_t bits = 0;   // of IP packets
  std::uint64_t flows = 0;  // new ones
  Duration burst = 1s;      // what was not used for so long may come at once
  [[nodiscard]] bool empty() const noexcept { return packets == 0 && bits == 0 && flows == 0; }
  bool operator==(const Limits&) const = default;
};

struct SourceLimits {  // of each source prefix
  Limits limits;
  std::uint8_t prefix4 = 32, prefix6 = 64;
  std::uint32_t entries = 65536;  // of each worker
  bool operator==(const SourceLimits&) const = default;
};

struct Defence {  // of all services
  AccessFiles access;
  std::vector<AclRule> acl;       // the first that matches decides; none: allowed
  bool bogons = false;            // sources that cannot come from outside are dropped
  bool verify_checksums = false;  // of layer 4, in software where the device does not
  SourceLimits source_limits;
  bool operator==(const Defence&) const = default;
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

// ---- IPsec ESP, towards the backends of services with mode `esp` ----

struct EspSa {
  std::uint32_t spi = 0;  // `out`: of the first worker, the others have those that follow
  std::vector<std::uint8_t>
      key;                // key and salt (RFC 4106 section 8.1): 20 bytes, or 36; empty until read from key_file
  std::string key_file;   // absolute path; empty: the key stands in the file itself
  bool extended = false;  // sequence numbers of 64 bits
  bool operator==(const EspSa&) const = default;
};

struct EspPeer {
  net::IpAddress address;  // of a backend: the outer destination
  EspSa out;
  std::vector<EspSa> in;  // what the peer may send by: while a key is changed, the new and the old one
  bool operator==(const EspPeer&) const = default;
};

struct Esp {
  std::string state = "/var/lib/sluice/esp.state";  // which sequence numbers are used up; absolute path
  std::vector<EspPeer> peers;                       // one for each address
  bool operator==(const Esp&) const = default;
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

}  // namespace sluice::config
