#include <algorithm>
#include <map>
#include <set>
#include <string>

#include <fmt/format.h>

#include "validate.h"

namespace sluice::config {
namespace {

constexpr std::uint64_t kSlotsPerBackend =
    100;  // below, shares are off by more than about a percent (Maglev, NSDI'16 section 5.3)

void check_backends(const Config& config, const Pool& pool, const std::string& base, Reader& reader) {
  std::set<std::string> names;
  std::set<net::Endpoint> endpoints;
  for (std::size_t i = 0; i < pool.backends.size(); ++i) {
    const Backend& backend = pool.backends[i];
    const std::string path = fmt::format("{}.backends[{}]", base, i);
    if (!reader.sound(path)) continue;
    if (!names.insert(backend.name).second)
      reader.error_at(path, fmt::format("backend name '{}' is given twice", backend.name));
    if (!endpoints.insert(backend.endpoint).second) {
      reader.error_at(path, fmt::format("backend {} is given twice", backend.text()));
    }
    const net::IpAddress& address = backend.endpoint.address;
    const std::string address_path = path + ".address";
    if (!is_unicast(address) || address.is_link_local()) {
      reader.error_at(address_path, fmt::format("{} is not the address of a backend", address.text()));
      continue;
    }
    if (const auto problem = no_host_on_link(config, address)) {
      reader.error_at(address_path, *problem);
      continue;
    }
    const bool own = std::ranges::any_of(config.interfaces, [&](const Interface& interface) {
      return std::ranges::any_of(interface.addresses,
                                 [&](const net::Prefix& prefix) { return prefix.address == address; });
    });
    if (own) {
      reader.error_at(address_path, fmt::format("{} is an own address of sluice", address.text()));
    } else if (reader.sound("interfaces") && reader.sound("routes") && !is_reachable(config, address)) {
      reader.error_at(address_path,
                      fmt::format("{} cannot be reached: no interface is on its network, and there is no route and no "
                                  "{} gateway",
                                  address.text(), family(address)));
    }
  }
}

// Ids of one length, so that a balancer knows how much of a connection id is the server's, and each of one backend.
void check_server_ids(const Pool& pool, const std::string& base, Reader& reader) {
  const Backend* first = nullptr;
  std::map<std::vector<std::uint8_t>, std::string> taken;
  for (std::size_t i = 0; i < pool.backends.size(); ++i) {
    const Backend& backend = pool.backends[i];
    const std::string path = fmt::format("{}.backends[{}]", base, i);
    if (backend.server_id.empty() || !reader.sound(path)) continue;
    if (first == nullptr) first = &backend;
    const auto [other, fresh] = taken.try_emplace(backend.server_id, backend.name);
    if (!fresh) {
      reader.error_at(path + ".server_id", fmt::format("is that of backend '{}' too", other->second));
    } else if (backend.server_id.size() != first->server_id.size()) {
      reader.error_at(path + ".server_id",
                      fmt::format("has {} bytes, and that of backend '{}' has {}; all need the same",
                                  backend.server_id.size(), first->name, first->server_id.size()));
    }
  }
}

// Maglev gives a backend weight / sum of weights of the slots.
void check_shares(const Pool& pool, const std::string& base, Reader& reader) {
  if (!reader.sound(base + ".backends")) return;
  std::uint64_t sum = 0;
  for (const Backend& backend : pool.backends) sum += backend.weight;
  if (std::ranges::all_of(pool.backends, &Backend::backup))
    return reader.error_at(base + ".backends", "every backend is a backup; at least one is needed that is not");
  if (sum == 0) return reader.error_at(base + ".backends", "every weight is 0; at least one backend needs more");
  if (!is_hashed(pool.balance)) return;
  if (pool.maglev_table < kSlotsPerBackend * pool.backends.size()) {
    reader.warning_at(reader.has(base + ".maglev_table") ? base + ".maglev_table" : base,
                      fmt::format("a table of {} slots is small for {} backends; at least {} are advised",
                                  pool.maglev_table, pool.backends.size(), kSlotsPerBackend * pool.backends.size()));
  }
  for (std::size_t i = 0; i < pool.backends.size(); ++i) {
    const std::uint64_t weight = pool.backends[i].weight;
    if (weight == 0 || weight * pool.maglev_table >= sum) continue;
    reader.warning_at(fmt::format("{}.backends[{}].weight", base, i),
                      fmt::format("weight {} of {} is less than one of the {} slots", weight, sum, pool.maglev_table));
  }
}

// Where a service leaves the destination as it is, its listener's port is probed.
void check_probes(const Config& config, const Pool& pool, const std::string& base, Reader& reader) {
  const bool as_service = std::ranges::any_of(config.services, [&](const Service& service) {
    return service.forward && service.forward->pool == pool.name && checked_as_service(service.forward->mode);
  });
  if (as_service) return;
  if (!pool.health || pool.health->port || !reader.sound(base + ".backends")) return;
  const auto at = std::ranges::find(pool.backends, 0, [](const Backend& backend) { return backend.endpoint.port; });
  if (at == pool.backends.end()) return;
  reader.error_at(base + ".health", fmt::format("backend '{}' has no port to probe; add 'port' here", at->name));
}

void warn_unused(const Config& config, Reader& reader) {
  std::set<std::string> used;
  for (const Service& service : config.services) {
    if (service.forward) used.insert(service.forward->pool);
    if (!service.proxy) continue;
    for (const HttpRoute& route : service.proxy->routes) {
      if (const auto* to = std::get_if<ToPool>(&route.action)) used.insert(to->pool);
    }
  }
  for (const Pool& pool : config.pools) {
    if (!used.contains(pool.name)) reader.warning_at("pools." + pool.name, "no service uses this pool");
  }
}

}  // namespace

void validate_pools(Config& config, Reader& reader) {
  for (const Pool& pool : config.pools) {
    const std::string base = "pools." + pool.name;
    check_backends(config, pool, base, reader);
    check_shares(pool, base, reader);
    check_probes(config, pool, base, reader);
    check_server_ids(pool, base, reader);
  }
  if (reader.sound("services")) warn_unused(config, reader);
}

}  // namespace sluice::config
