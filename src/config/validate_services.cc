#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "validate.h"
#include "values.h"

namespace sluice::config {
namespace {

std::string base_of(const Service& service) { return "services." + service.name; }

// nullptr, and an error unless the key is wrong already: no pool has that name.
const Pool* get_pool(const Config& config, const std::string& name, const std::string& path, Reader& reader) {
  const Pool* found = find_pool(config, name);
  if (found != nullptr) return found;
  std::vector<std::string_view> known;
  for (const Pool& pool : config.pools) known.push_back(pool.name);
  report_unknown_name("pool", name, known, path, reader);
  return nullptr;
}

using TakenListens = std::map<Listen, std::string>;  // and the service that took it

// What of the network around has an address in the prefix, and so could not be reached any more.
std::optional<std::string> occupant_of(const Config& config, const net::Prefix& prefix) {
  for (const Interface& interface : config.interfaces) {
    for (const net::Prefix& own : interface.addresses) {
      if (prefix.contains(own.address))
        return fmt::format("{}, an own address of interface '{}'", own.address.text(), interface.name);
    }
    for (const auto& gateway : {interface.gateway4, interface.gateway6}) {
      if (gateway && prefix.contains(*gateway)) return fmt::format("{}, a gateway", gateway->text());
    }
  }
  for (const StaticRoute& route : config.routes) {
    if (prefix.contains(route.via)) return fmt::format("{}, the gateway of a route", route.via.text());
  }
  for (const net::IpAddress& source : config.upstream.source) {
    if (prefix.contains(source)) return fmt::format("{}, a source address", source.text());
  }
  for (const Service& service : config.services) {
    if (!service.forward) continue;
    for (const net::IpAddress& source : service.forward->source) {
      if (prefix.contains(source)) return fmt::format("{}, a source address", source.text());
    }
  }
  return std::nullopt;
}

// What is wrong with a listen of every port or of a prefix.
std::optional<std::string> wildcard_problem(const Config& config, const Service& service, const Listen& listen) {
  const net::Prefix range = listen.range();
  if (service.proxy) return fmt::format("a 'proxy' service listens on one address and one port, not {}", listen.text());
  if (service.forward && !has_destinations(service.forward->mode))
    return "mode 'dnat' needs one address and one port: nothing in a reply would say which it is from";
  if (listen.prefix && network_of(range) != range.address)
    return fmt::format("{} has bits behind its length; the prefix is {}", range.text(),
                       net::Prefix{network_of(range), range.length}.text());
  if (const auto occupant = occupant_of(config, range)) return fmt::format("{} holds {}", listen.text(), *occupant);
  return std::nullopt;
}

TakenListens check_listens(const Config& config, Reader& reader) {
  TakenListens taken;
  for (const Service& service : config.services) {
    for (std::size_t i = 0; i < service.listen.size(); ++i) {
      const std::string path = fmt::format("{}.listen[{}]", base_of(service), i);
      if (!reader.sound(path)) continue;
      const Listen& listen = service.listen[i];
      const net::IpAddress& address = listen.endpoint.address;
      if (!is_unicast(address) || address.is_link_local()) {
        reader.error_at(path, fmt::format("{} is not an address that clients can reach", address.text()));
        continue;
      }
      if (const auto problem = listen.prefix ? std::nullopt : no_host_on_link(config, address)) {
        reader.error_at(path, *problem);
        continue;
      }
      if (const auto problem = listen.is_exact() ? std::nullopt : wildcard_problem(config, service, listen)) {
        reader.error_at(path, *problem);
        continue;
      }
      if (service.proxy && listen.proto != net::IpProto::kTcp) {
        reader.error_at(path, "a 'proxy' service listens on tcp only; QUIC can be forwarded");
        continue;
      }
      Listen packets = listen;  // QUIC is UDP
      packets.quic = false;
      const auto [other, fresh] = taken.try_emplace(packets, service.name);
      if (fresh) continue;
      reader.error_at(path, other->second == service.name
                                ? fmt::format("{} is given twice", listen.text())
                                : fmt::format("{} is taken by service '{}'", listen.text(), other->second));
    }
  }
  return taken;
}

// What is wrong with a backend at an address that we have ourselves: nobody else answers for it, and where a service
// listens, its packets would come back to it for ever. (Interfaces' own addresses: validate_pools().)
std::optional<std::string> own_address_problem(const TakenListens& taken, const std::set<net::IpAddress>& sources,
                                               const net::Endpoint& backend) {
  const auto at = std::ranges::find_if(
      taken, [&](const auto& entry) { return entry.first.is_exact() && entry.first.endpoint == backend; });
  if (at != taken.end()) {
    return fmt::format("{} is service '{}' of this sluice; a service behind another is not supported yet",
                       backend.text(), at->second);
  }
  const auto near =
      std::ranges::find_if(taken, [&](const auto& entry) { return entry.first.range().contains(backend.address); });
  if (near != taken.end()) {
    return fmt::format("{} is the address of service '{}' of this sluice", backend.address.text(), near->second);
  }
  if (!sources.contains(backend.address)) return std::nullopt;
  return fmt::format("{} is a source address of this sluice", backend.address.text());
}

void check_backends(const Config& config, const TakenListens& taken, Reader& reader) {
  std::set<net::IpAddress> sources(config.upstream.source.begin(), config.upstream.source.end());
  for (const Service& service : config.services) {
    if (service.forward) sources.insert(service.forward->source.begin(), service.forward->source.end());
  }
  for (const Pool& pool : config.pools) {
    for (std::size_t i = 0; i < pool.backends.size(); ++i) {
      const std::string path = fmt::format("pools.{}.backends[{}]", pool.name, i);
      if (!reader.sound(path)) continue;
      if (const auto problem = own_address_problem(taken, sources, pool.backends[i].endpoint))
        reader.error_at(path, *problem);
    }
  }
}

void check_announce(const Config& config, const Service& service, Reader& reader) {
  for (std::size_t i = 0; i < service.announce.size(); ++i) {
    const std::string path = fmt::format("{}.announce[{}]", base_of(service), i);
    if (reader.sound(path)) static_cast<void>(get_interface(config, service.announce[i], path, reader));
  }
}

bool has_family(const std::vector<net::IpAddress>& list, bool v4) {
  return std::ranges::any_of(list, [&](const net::IpAddress& address) { return address.is_v4() == v4; });
}

void check_sources(const Config& config, const std::vector<net::IpAddress>& list, const std::string& base,
                   Reader& reader) {
  std::set<net::IpAddress> taken;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string path = fmt::format("{}[{}]", base, i);
    if (!reader.sound(path)) continue;
    if (!is_unicast(list[i]) || list[i].is_link_local()) {
      reader.error_at(path, fmt::format("{} is not an address that backends can answer", list[i].text()));
    } else if (const auto problem = no_host_on_link(config, list[i])) {
      reader.error_at(path, *problem);
    } else if (!taken.insert(list[i]).second) {
      reader.error_at(path, fmt::format("{} is given twice", list[i].text()));
    }
  }
}

bool keeps_family(ForwardMode mode) noexcept { return !has_tunnel(mode); }

// Full NAT may lead to the other family, but each flow's is known before its backend is. The pool is sound.
void check_one_family(const Service& service, const Pool& pool, Reader& reader) {
  const auto is_v4 = [](const Backend& backend) { return backend.endpoint.address.is_v4(); };
  const auto count = std::ranges::count_if(pool.backends, is_v4);
  if (count == 0 || static_cast<std::size_t>(count) == pool.backends.size()) return;
  reader.error_at(base_of(service) + ".forward.pool",
                  fmt::format("pool '{}' has backends of both families; make it two pools", pool.name));
}

// What has no tunnel keeps the family: each listen and each backend must agree. The pool is sound.
void check_families(const Service& service, const Pool& pool, Reader& reader) {
  if (service.forward->mode == ForwardMode::kNat) return check_one_family(service, pool, reader);
  for (std::size_t i = 0; i < service.listen.size(); ++i) {
    const net::IpAddress& here = service.listen[i].endpoint.address;
    const auto other = std::ranges::find_if(
        pool.backends, [&](const Backend& backend) { return backend.endpoint.address.is_v4() != here.is_v4(); });
    const std::string path = fmt::format("{}.listen[{}]", base_of(service), i);
    if (other == pool.backends.end() || !reader.sound(path)) continue;
    reader.error_at(path, fmt::format("{} towards the {} backend {} of pool '{}' is for mode 'nat'", family(here),
                                      family(other->endpoint.address), other->name, pool.name));
  }
}

void check_choice(const Service& service, Reader& reader) {
  const ForwardService& forward = *service.forward;
  const std::string base = base_of(service) + ".forward";
  if (!reader.sound(base)) return;
  if (forward.persist && forward.mode == ForwardMode::kDnat) {
    reader.error_at(base + ".persist",
                    "is not for mode dnat; 'balance: source_hash' keeps a client on its backend there");
  }
  if (forward.mss != 0 && reader.sound(base_of(service) + ".listen") &&
      std::ranges::none_of(service.listen, [](const Listen& at) { return at.proto == net::IpProto::kTcp; }))
    reader.error_at(base + ".mss", "no 'listen' of this service is tcp");
  if (!forward.one_packet) return;
  if (sees_replies(forward.mode)) {
    return reader.error_at(base + ".one_packet",
                           "needs a mode in which backends answer clients themselves: without a flow, "
                           "nothing says whose a reply is");
  }
  if (std::ranges::any_of(service.listen, [](const Listen& at) { return at.proto != net::IpProto::kUdp; }))
    reader.error_at(base + ".one_packet", "is for UDP, and some 'listen' of this service is not");
}

// Each address has one answer to a ping.
void check_echo(const Config& config, const Service& service, Reader& reader) {
  if (service.forward->icmp != EchoTo::kForward) return;
  const std::string path = base_of(service) + ".forward.icmp";
  if (!reader.sound(path)) return;
  if (!forwards_echo(service.forward->mode))
    return reader.error_at(path, "mode 'dnat' cannot forward echoes; use 'answer'");
  for (const Service& other : config.services) {
    if (&other == &service) return;  // only those before it
    if (!other.forward || other.forward->icmp != EchoTo::kForward) continue;
    for (const Listen& mine : service.listen) {
      for (const Listen& theirs : other.listen) {
        if (mine.range() != theirs.range()) continue;
        return reader.error_at(
            path, fmt::format("echoes to {} are forwarded by service '{}' already",
                              mine.prefix ? mine.range().text() : mine.endpoint.address.text(), other.name));
      }
    }
  }
}

// Mode nat leads to backends of the other family, but not echoes.
void check_echo_family(const Service& service, const Pool& pool, Reader& reader) {
  if (service.forward->icmp != EchoTo::kForward || !takes_port(service.forward->mode)) return;
  for (const Listen& listen : service.listen) {
    const bool v4 = listen.endpoint.address.is_v4();
    if (std::ranges::all_of(pool.backends, [v4](const Backend& one) { return one.endpoint.address.is_v4() == v4; }))
      continue;
    return reader.error_at(base_of(service) + ".forward.icmp",
                           fmt::format("echoes to {} cannot be forwarded to backends of the other family",
                                       listen.endpoint.address.text()));
  }
}

void check_quic(const Service& service, const Pool& pool, Reader& reader) {
  for (std::size_t i = 0; i < service.listen.size(); ++i) {
    const std::string path = fmt::format("{}.listen[{}]", base_of(service), i);
    if (!service.listen[i].quic || !reader.sound(path)) continue;
    const auto without =
        std::ranges::find_if(pool.backends, [](const Backend& backend) { return backend.server_id.empty(); });
    if (without == pool.backends.end()) continue;
    reader.error_at(path, fmt::format("backend '{}' of pool '{}' has no 'server_id'; QUIC needs one of each",
                                      without->name, pool.name));
  }
}

// Modes that leave the packet as it is leave its port too. The pool is sound.
void check_ports(const Service& service, const Pool& pool, Reader& reader) {
  if (sees_replies(service.forward->mode)) return;
  for (std::size_t i = 0; i < pool.backends.size(); ++i) {
    const Backend& backend = pool.backends[i];
    const std::string path = fmt::format("pools.{}.backends[{}]", pool.name, i);
    const std::uint16_t port = backend.endpoint.port;
    const auto other =
        std::ranges::find_if(service.listen, [&](const Listen& listen) { return listen.endpoint.port != port; });
    if (port == 0 || other == service.listen.end()) continue;
    reader.error_at(path + ".port",
                    fmt::format("service '{}' sends packets to the port that clients use, {}; leave "
                                "'port' out ('health.port' says where to probe)",
                                service.name, other->endpoint.port == 0 ? "*" : std::to_string(other->endpoint.port)));
  }
}

// The link leads straight to a dsr backend: a router would send the packet back to us, whose address it has.
void check_on_link(const Config& config, const Service& service, const Pool& pool, Reader& reader) {
  for (std::size_t i = 0; i < pool.backends.size(); ++i) {
    const net::IpAddress& address = pool.backends[i].endpoint.address;
    if (find_on_link(config, address) != nullptr) continue;
    reader.error_at(fmt::format("pools.{}.backends[{}].address", pool.name, i),
                    fmt::format("{} is not on the network of an interface, which mode dsr of service '{}' needs",
                                address.text(), service.name));
  }
}

// Sources of the tunnel: at most one of each family, and each family of the backends has one. The pool is sound.
void check_outer(const Config& config, const Service& service, const Pool& pool, Reader& reader) {
  const std::string base = base_of(service) + ".forward";
  const std::vector<net::Prefix>& sources = service.forward->outer.source;
  const auto has = [&](bool v4) {
    return std::ranges::any_of(sources, [&](const net::Prefix& source) { return source.address.is_v4() == v4; });
  };
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const std::string path = fmt::format("{}.outer.source[{}]", base, i);
    if (!reader.sound(path)) continue;
    const net::IpAddress& address = sources[i].address;
    if (!is_unicast(address) || address.is_link_local()) {
      reader.error_at(path, fmt::format("{} is not an address that backends can answer", address.text()));
    } else if (const net::Prefix network{network_of(sources[i]), sources[i].length}; network.address != address) {
      reader.error_at(path, fmt::format("{} has bits behind its length; write {}", sources[i].text(), network.text()));
    } else if (i > 0 && sources[0].address.is_v4() == address.is_v4()) {
      reader.error_at(path, fmt::format("a second {} source; one is enough, and a prefix is many", family(address)));
    } else if (const auto backend = std::ranges::find_if(
                   pool.backends, [&](const Backend& one) { return network.contains(one.endpoint.address); });
               backend != pool.backends.end()) {
      reader.error_at(path, fmt::format("{} holds {}, a backend of pool '{}', which takes no packet from itself",
                                        network.text(), backend->endpoint.address.text(), pool.name));
    }
  }
  for (const bool v4 : {true, false}) {
    const auto needs = std::ranges::find_if(
        pool.backends, [&](const Backend& backend) { return backend.endpoint.address.is_v4() == v4; });
    if (needs == pool.backends.end() || has(v4) || has_own_address(config, v4) || !reader.sound("interfaces")) continue;
    reader.error_at(base, fmt::format("no interface has an {} address to reach pool '{}' from; add one, or "
                                      "'outer.source'",
                                      family(needs->endpoint.address), pool.name));
  }
}

// Source addresses of NAT, and that there is one. The pool is sound.
void check_nat(const Config& config, const Service& service, const Pool& pool, Reader& reader) {
  const ForwardService& forward = *service.forward;
  const std::string base = base_of(service) + ".forward";
  const bool v4 = pool.backends.front().endpoint.address.is_v4();
  const std::string_view name = family(pool.backends.front().endpoint.address);
  for (std::size_t i = 0; i < forward.source.size(); ++i) {
    if (forward.source[i].is_v4() == v4) continue;
    reader.error_at(fmt::format("{}.source[{}]", base, i),
                    fmt::format("{} is {}, the backends of pool '{}' are {}", forward.source[i].text(),
                                family(forward.source[i]), pool.name, name));
  }
  if (!forward.source.empty() || has_own_address(config, v4) || !reader.sound("interfaces")) return;
  reader.error_at(base, fmt::format("no interface has an {} address to reach pool '{}' from; add one, or 'source'",
                                    name, pool.name));
}

void check_forward(const Config& config, const Service& service, Reader& reader) {
  const ForwardService& forward = *service.forward;
  const std::string base = base_of(service) + ".forward";
  check_sources(config, forward.source, base + ".source", reader);
  const Pool* pool = get_pool(config, forward.pool, base + ".pool", reader);
  if (pool == nullptr || !reader.sound("pools." + pool->name)) return;
  check_echo(config, service, reader);
  check_echo_family(service, *pool, reader);
  check_quic(service, *pool, reader);
  if (keeps_family(forward.mode)) check_families(service, *pool, reader);
  if (pool->backends.empty() || !reader.sound(base) || !reader.sound(base_of(service) + ".listen")) return;
  check_ports(service, *pool, reader);
  if (takes_port(forward.mode)) check_nat(config, service, *pool, reader);
  if (forward.mode == ForwardMode::kDsr) check_on_link(config, service, *pool, reader);
  if (has_tunnel(forward.mode)) check_outer(config, service, *pool, reader);
}

// Whoever opens connections to backends needs their ports. The pool is sound.
void check_dialled_ports(const Pool& pool, std::string_view who, Reader& reader) {
  for (std::size_t i = 0; i < pool.backends.size(); ++i) {
    if (pool.backends[i].endpoint.port != 0) continue;
    reader.error_at(fmt::format("pools.{}.backends[{}]", pool.name, i), fmt::format("{} needs its port", who));
  }
}

void check_proxy(const Config& config, const Service& service, Reader& reader) {
  const ProxyService& proxy = *service.proxy;
  const std::string base = base_of(service) + ".proxy";
  for (std::size_t i = 0; i < proxy.routes.size(); ++i) {
    const auto* to = std::get_if<ToPool>(&proxy.routes[i].action);
    const std::string path = fmt::format("{}.routes[{}]", base, i);
    if (to == nullptr || !reader.sound(path)) continue;
    const Pool* pool = get_pool(config, to->pool, path + ".pool", reader);
    if (pool == nullptr || !reader.sound("pools." + pool->name)) continue;
    if (std::ranges::any_of(pool->backends, [](const Backend& one) { return one.max_flows != 0; })) {
      reader.error_at(path + ".pool",
                      fmt::format("pool '{}' has 'max_flows', which counts flows of layer 4", pool->name));
    }
    check_dialled_ports(*pool, fmt::format("service '{}'", service.name), reader);
  }
  validate_http_routes(service, reader);
  if (!proxy.tls || !reader.sound(base + ".tls")) return;
  std::set<std::string> certificates;
  for (std::size_t i = 0; i < proxy.tls->certificates.size(); ++i) {
    const std::string& cert = proxy.tls->certificates[i].cert;
    if (certificates.insert(cert).second) continue;
    reader.error_at(fmt::format("{}.tls.certificates[{}].cert", base, i),
                    fmt::format("{} is given twice", quote(cert)));
  }
}

// Connections of ours (proxied requests, health checks) need an address of each family that backends have.
void check_upstream(const Config& config, Reader& reader) {
  check_sources(config, config.upstream.source, "upstream.source", reader);
  if (!reader.sound("upstream") || !reader.sound("interfaces")) return;
  std::set<std::string> dialled;
  for (const Service& service : config.services) {
    if (!service.proxy) continue;
    for (const HttpRoute& route : service.proxy->routes) {
      if (const auto* to = std::get_if<ToPool>(&route.action)) dialled.insert(to->pool);
    }
  }
  for (const Pool& pool : config.pools) {
    if (!pool.health && !dialled.contains(pool.name)) continue;
    for (std::size_t i = 0; i < pool.backends.size(); ++i) {
      const std::string path = fmt::format("pools.{}.backends[{}]", pool.name, i);
      const net::IpAddress& address = pool.backends[i].endpoint.address;
      if (!reader.sound(path) || has_family(config.upstream.source, address.is_v4()) ||
          has_own_address(config, address.is_v4()))
        continue;
      reader.error_at(path + ".address",
                      fmt::format("no interface has an {} address to connect from; add one, or 'upstream.source'",
                                  family(address)));
    }
  }
}

// Without the key, proxies run on the workers' cpus, once each. They run the health checks too, of pools of both layers:
// without one, a checked backend would stay down for ever.
void settle_proxies(Config& config, Reader& reader) {
  const bool serve =
      std::ranges::any_of(config.services, [](const Service& service) { return service.proxy.has_value(); });
  const bool check = std::ranges::any_of(config.pools, [](const Pool& pool) { return pool.health.has_value(); });
  if (!reader.sound("runtime") || !(serve || check) || !config.runtime.proxies.empty()) return;
  if (reader.has("runtime.proxies")) {
    return reader.error_at("runtime.proxies", fmt::format("no cpu, but a {}; at least one is needed",
                                                          serve ? "service has 'proxy'" : "pool has 'health'"));
  }
  for (const unsigned cpu : config.runtime.workers) {
    if (std::ranges::find(config.runtime.proxies, cpu) == config.runtime.proxies.end())
      config.runtime.proxies.push_back(cpu);
  }
}

void warn_connection_memory(const Config& config, Reader& reader) {
  const Runtime& runtime = config.runtime;
  if (runtime.proxies.empty() || !reader.sound("runtime")) return;
  if (runtime.connection_bytes >= runtime.connections * kBytesPerConnection) return;
  reader.warning_at(
      "runtime.connection_memory",
      fmt::format("{} are too little for {} connections at once: beyond about {} new ones are refused; {} "
                  "are enough",
                  size_text(runtime.connection_bytes), runtime.connections,
                  runtime.connection_bytes / kBytesPerConnection,
                  size_text(connection_bytes_for(runtime.connections))));
}

// Between two halves of a connection stands a flow of ours: nat has one in both directions.
void check_syn_proxy(const Service& service, Reader& reader) {
  const std::string path = base_of(service) + ".syn_proxy";
  if (!reader.sound(path)) return;
  if (service.proxy) return reader.error_at(path, "is for 'forward' services: a proxy ends TCP itself");
  if (!service.forward || !reader.sound(base_of(service) + ".forward")) return;
  if (service.forward->mode != ForwardMode::kNat)
    return reader.error_at(path,
                           "needs mode nat: in other modes sluice does not see both directions, or not as one end");
  if (std::ranges::none_of(service.listen, [](const Listen& at) { return at.proto == net::IpProto::kTcp; }))
    reader.error_at(path, "no 'listen' of this service is tcp");
}

}  // namespace

void validate_services(Config& config, Reader& reader) {
  check_backends(config, check_listens(config, reader), reader);
  for (const Service& service : config.services) {
    check_announce(config, service, reader);
    if (service.syn_proxy) check_syn_proxy(service, reader);
    if (service.forward) check_forward(config, service, reader);
    if (service.forward) check_choice(service, reader);
    if (service.proxy) check_proxy(config, service, reader);
  }
  check_upstream(config, reader);
  settle_proxies(config, reader);
  warn_connection_memory(config, reader);
  if (config.services.empty() && reader.sound("services")) {
    reader.warning_at("services", "no services: sluice answers ARP, ND and ICMP echo, and nothing else");
  }
}

}  // namespace sluice::config
