#include "sluice/lb/build_snapshot.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "slots.h"
#include "sluice/lb/port_plan.h"
#include "sluice/net/wire.h"

namespace sluice::lb {
namespace {

// Names and values of the backends that get new flows: what the tables of a pool are made from.
struct Eligible {
  std::string_view name;
  BackendIndex index;
  std::uint16_t generation;
  std::uint32_t weight;
  bool operator==(const Eligible&) const = default;
};

std::vector<Eligible> eligible(const Snapshot& snapshot, std::span<const WeightedBackend> backends) {
  std::vector<Eligible> out;
  for (const WeightedBackend& one : backends) {
    out.push_back({snapshot.backend_names[one.index], one.index, snapshot.backends[one.index].generation, one.weight});
  }
  return out;
}

// A slow start goes up in so many steps. Each is a table of its own, so few of them; Maglev moves few flows between two.
constexpr std::uint32_t kSteps = 16;

// All that a service listens on: what its configuration lists, and echoes where it has them forwarded.
std::vector<config::Listen> listens_of(const config::Service& service) {
  std::vector<config::Listen> out = service.listen;
  if (!service.forward || service.forward->icmp != config::EchoTo::kForward) return out;
  for (config::Listen echo : service.listen) {
    echo.endpoint.port = 0;
    echo.proto = echo.endpoint.address.is_v4() ? net::IpProto::kIcmp : net::IpProto::kIcmpv6;
    if (std::ranges::find(out, echo) == out.end()) out.push_back(echo);
  }
  return out;
}

std::vector<PrefixListeners> prefix_tables(
    const std::map<std::uint8_t, std::vector<Listener>, std::greater<>>& by_length) {
  std::vector<PrefixListeners> out;
  for (const auto& [length, listeners] : by_length) {
    std::vector<Listener> entries = listeners;
    std::set<net::IpAddress> firsts;
    for (const Listener& listener : listeners) {
      if (!firsts.insert(listener.key.address).second) continue;
      Listener prefix = listener;
      prefix.key.port = 0;
      prefix.key.proto = 0;
      entries.push_back(prefix);
    }
    std::array<std::uint8_t, 16> mask{};
    const std::size_t bits = listeners.front().key.address.is_v4() ? length + 96u : length;
    for (std::size_t bit = 0; bit < bits; ++bit) {
      mask[bit / 8] = static_cast<std::uint8_t>(mask[bit / 8] | (0x80u >> (bit % 8)));
    }
    out.push_back(
        {.length = length, .mask = net::IpAddress::v6(mask).words(), .index = AddressIndex<Listener>(entries)});
  }
  return out;
}

bool is_echo(const Listener& listener) noexcept {
  return listener.proto() == net::IpProto::kIcmp || listener.proto() == net::IpProto::kIcmpv6;
}

class Builder {
 public:
  Builder(std::shared_ptr<const config::Config> config, const HealthBoard& health, const Snapshot* previous,
          Instant now, std::shared_ptr<const Access> access, std::shared_ptr<esp::KeyLedger> keys)
      : health_(health), previous_(previous), now_(now), keys_(std::move(keys)), out_(std::make_shared<Snapshot>()) {
    out_->config = std::move(config);
    out_->access = access == nullptr && previous != nullptr ? previous->access : std::move(access);
    out_->generation = previous == nullptr ? 1 : previous->generation + 1;
  }

  Result<std::shared_ptr<const Snapshot>> build() {
    add_sources();
    if (!add_pools() || !add_backends() || !add_services() || !add_listeners()) return fail(std::move(problem_));
    if (out_->sources.size() > kMaxSources) return fail(fmt::format("more than {} source addresses", kMaxSources));
    for (Pool& pool : out_->pools) {
      if (!pool.present) continue;
      add_takers(pool);
      add_tables(pool);
    }
    add_tunnel_ports();
    add_dnat_backends();
    add_listened_ports();
    add_local_addresses();
    if (auto added = add_esp(); !added) return std::unexpected(added.error());
    return std::shared_ptr<const Snapshot>(std::move(out_));
  }

 private:
  const config::Config& config() const { return *out_->config; }

  bool full(std::string_view what, std::size_t limit) {
    problem_ = fmt::format("more than {} {}", limit, what);
    return false;
  }

  void add_sources();
  SourceIndex source(const net::IpAddress& address);
  std::vector<SourceIndex> sources(const std::vector<net::IpAddress>& addresses, bool ipv4);
  bool add_pools();
  bool add_backends();
  bool add_services();
  void add_tunnel_ports();
  [[nodiscard]] config::ForwardMode mode_of(const Service& service, const config::Listen& listen) const;
  bool add_listeners();
  [[nodiscard]] Rise rise_of(const Slot& slot, bool up) const;
  [[nodiscard]] std::uint32_t step_of(const Pool& pool, Rise& rise);
  void add_takers(Pool& pool);
  void add_tables(Pool& pool);
  void add_dnat_backends();
  void add_listened_ports();
  void add_local_addresses();
  Result<void> add_esp();

  const HealthBoard& health_;
  const Snapshot* previous_;
  const Instant now_;
  std::shared_ptr<esp::KeyLedger> keys_;
  std::shared_ptr<Snapshot> out_;
  std::string problem_;
  std::map<net::IpAddress, LocalAddress> local_;
  std::vector<WordIndex::Entry> entries4_;  // of Snapshot::index4
  std::unordered_map<std::string_view, PoolIndex> pool_by_name_;
  std::vector<ServiceIndex> service_slots_;  // by index of config().services
};

// Addresses of the previous snapshot keep their index for ever: flows hold it.
void Builder::add_sources() {
  if (previous_ != nullptr) out_->sources = previous_->sources;
  for (std::size_t i = 0; i < config().interfaces.size(); ++i) {
    InterfaceSources first;
    for (const net::Prefix& prefix : config().interfaces[i].addresses) {
      const SourceIndex index = source(prefix.address);
      local_[prefix.address].interface = static_cast<std::uint16_t>(i);
      SourceIndex& slot = prefix.address.is_v4() ? first.source4 : first.source6;
      if (slot == kNoIndex && !prefix.address.is_link_local()) slot = index;
    }
    out_->interfaces.push_back(first);
  }
  out_->upstream_sources4 = sources(config().upstream.source, true);
  out_->upstream_sources6 = sources(config().upstream.source, false);
}

SourceIndex Builder::source(const net::IpAddress& address) {
  auto& all = out_->sources;
  auto at = std::ranges::find(all, address);
  if (at == all.end()) at = all.insert(all.end(), address);
  const auto index = static_cast<SourceIndex>(at - all.begin());
  local_[address].source = index;
  return index;
}

std::vector<SourceIndex> Builder::sources(const std::vector<net::IpAddress>& addresses, bool ipv4) {
  std::vector<SourceIndex> out;
  for (const net::IpAddress& address : addresses) {
    if (address.is_v4() == ipv4) out.push_back(source(address));
  }
  return out;
}

bool Builder::add_pools() {
  Slots<std::string_view> slots(kMaxPools);
  if (previous_ != nullptr) {
    for (const Pool& pool : previous_->pools) slots.add_previous(pool.name, pool.present, 0);
  }
  std::vector<std::string_view> names;
  for (const config::Pool& pool : config().pools) names.push_back(pool.name);
  const auto assigned = slots.assign(names);
  if (!assigned) return full("pools", kMaxPools);
  out_->pools.resize(slots.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const config::Pool& from = config().pools[i];
    Pool& pool = out_->pools[(*assigned)[i].index];
    pool.name = from.name;
    pool.balance = from.balance;
    pool.hash = from.hash;
    for (const std::uint8_t number : from.quic_configs)
      pool.quic_configs = static_cast<std::uint8_t>(pool.quic_configs | 1u << number);
    pool.present = true;
    pool.config = &from;
    pool_by_name_[from.name] = (*assigned)[i].index;
  }
  return true;
}

bool Builder::add_backends() {
  using Key = std::tuple<std::string_view, std::string_view, net::Endpoint>;  // pool, name, endpoint
  Slots<Key> slots(kMaxBackends);
  if (previous_ != nullptr) {
    for (std::size_t i = 0; i < previous_->backends.size(); ++i) {
      const Backend& backend = previous_->backends[i];
      const std::string_view pool = backend.present ? std::string_view(previous_->pools[backend.pool].name) : "";
      slots.add_previous({pool, previous_->backend_names[i], backend.endpoint()}, backend.present, backend.generation);
    }
  }
  std::vector<Key> keys;
  for (const config::Pool& pool : config().pools) {
    for (const config::Backend& backend : pool.backends) keys.emplace_back(pool.name, backend.name, backend.endpoint);
  }
  const auto assigned = slots.assign(keys);
  if (!assigned) return full("backends", kMaxBackends);
  if (previous_ != nullptr) {  // what is gone keeps its address and name for those who look at its flows
    out_->backends = previous_->backends;
    out_->backend_names = previous_->backend_names;
    for (Backend& backend : out_->backends) backend.present = false;
  }
  out_->backends.resize(slots.size());
  out_->backend_names.resize(slots.size());
  out_->rises.resize(slots.size());
  const auto workers = static_cast<std::uint32_t>(config().runtime.workers.size());

  std::size_t next = 0;
  std::vector<QuicServer> quic_servers;
  for (const config::Pool& pool : config().pools) {
    const PoolIndex pool_index = pool_by_name_.at(pool.name);
    for (const config::Backend& from : pool.backends) {
      const Slot slot = (*assigned)[next++];
      const bool up = !pool.health || health_.read({slot.index, slot.generation}).health == Health::kUp;
      out_->backends[slot.index] = {.address = from.endpoint.address,
                                    .port = from.endpoint.port,
                                    .generation = slot.generation,
                                    .pool = pool_index,
                                    .weight = static_cast<std::uint16_t>(from.weight),
                                    .state = up ? BackendState::kUp : BackendState::kDown,
                                    .present = true,
                                    .checked = pool.health.has_value(),
                                    .backup = from.backup,
                                    .max_flows = (from.max_flows + workers - 1) / workers};
      out_->rises[slot.index] = rise_of(slot, up);
      out_->pools[pool_index].limited |= from.max_flows != 0;
      out_->backend_names[slot.index] = from.name;
      if (!from.server_id.empty()) {
        const auto bytes = static_cast<std::uint8_t>(from.server_id.size());
        out_->pools[pool_index].server_id_bytes = bytes;
        quic_servers.push_back(
            {.key = {QuicServer::key_of(from.server_id), pool_index, bytes, 1}, .backend = slot.index});
      }
      out_->pools[pool_index].backends.push_back(slot.index);
    }
  }
  out_->quic_servers = AddressIndex<QuicServer>(quic_servers);
  return true;
}

bool Builder::add_services() {
  Slots<std::string_view> slots(kMaxServices);
  if (previous_ != nullptr) {
    for (const Service& service : previous_->services) slots.add_previous(service.name, service.present, 0);
  }
  std::vector<std::string_view> names;
  for (const config::Service& service : config().services) names.push_back(service.name);
  const auto assigned = slots.assign(names);
  if (!assigned) return full("services", kMaxServices);
  out_->services.resize(slots.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const config::Service& from = config().services[i];
    Service& service = out_->services[(*assigned)[i].index];
    service_slots_.push_back((*assigned)[i].index);
    service.name = from.name;
    service.present = true;
    service.config = &from;
    if (out_->access != nullptr) {
      const auto lists = out_->access->services.find(from.name);
      if (lists != out_->access->services.end()) service.access = &lists->second;
    }
    service.kind = from.forward ? ServiceKind::kForward : ServiceKind::kProxy;
    if (!from.forward) continue;
    service.pool = pool_by_name_.at(from.forward->pool);
    service.mode = from.forward->mode;
    service.syn_proxy = from.syn_proxy;
    service.on_down = from.forward->on_down;
    if (from.forward->persist) {
      service.persist_ms = static_cast<std::uint32_t>(
          std::chrono::duration_cast<std::chrono::milliseconds>(*from.forward->persist).count());
    }
    service.limits = FlowLimits::from(from.forward->timeouts);
    for (const net::Prefix& outer : from.forward->outer.source) {
      if (outer.is_one()) local_[outer.address];  // errors about packets in their tunnels are sent there
    }
    service.sources4 = sources(from.forward->source, true);
    service.sources6 = sources(from.forward->source, false);
  }
  return true;
}

// Of services that share a port, the first says what is behind it.
void Builder::add_tunnel_ports() {
  std::map<std::uint16_t, std::size_t> bytes;
  for (const config::Service& service : config().services) {
    if (!service.forward) continue;
    const config::ForwardService& forward = *service.forward;
    if (forward.mode == config::ForwardMode::kGue) {
      bytes.try_emplace(forward.gue.port,
                        sizeof(net::UdpHeader) + (forward.gue.variant == 0 ? sizeof(net::GueHeader) : 0));
    } else if (forward.mode == config::ForwardMode::kVxlan) {
      bytes.try_emplace(forward.vxlan.port,
                        sizeof(net::UdpHeader) + sizeof(net::VxlanHeader) + sizeof(net::EthernetHeader));
    }
  }
  for (const auto& [port, behind] : bytes)
    out_->tunnel_ports.push_back({.port = port, .bytes = static_cast<std::uint16_t>(behind)});
}

config::ForwardMode Builder::mode_of(const Service& service, const config::Listen& listen) const {
  if (service.kind != ServiceKind::kForward || service.mode != config::ForwardMode::kNat) return service.mode;
  const bool client4 = listen.endpoint.address.is_v4();
  const bool backend4 = out_->backends[out_->pools[service.pool].backends.front()].address.is_v4();
  if (client4 == backend4) return config::ForwardMode::kNat;
  return client4 ? config::ForwardMode::kNat46 : config::ForwardMode::kNat64;
}

bool Builder::add_listeners() {
  // The mode too: what a flow holds is for the mode that it was opened in.
  using Key = std::tuple<net::Endpoint, std::uint8_t, std::uint8_t, ServiceKind, config::ForwardMode>;
  Slots<Key> slots(kMaxListeners);
  if (previous_ != nullptr) {
    for (std::size_t i = 0; i < previous_->listeners.size(); ++i) {
      const Listener& listener = previous_->listeners[i];
      slots.add_previous(
          {listener.endpoint(), previous_->listener_prefixes[i], listener.key.proto, listener.kind, listener.mode},
          listener.present, listener.id.generation);
    }
  }
  std::vector<Key> keys;
  for (std::size_t i = 0; i < config().services.size(); ++i) {
    const Service& service = out_->services[service_slots_[i]];
    for (const config::Listen& listen : listens_of(config().services[i])) {
      keys.emplace_back(listen.endpoint, listen.prefix.value_or(0), static_cast<std::uint8_t>(listen.proto),
                        service.kind, mode_of(service, listen));
    }
  }
  const auto assigned = slots.assign(keys);
  if (!assigned) return full("listeners", kMaxListeners);
  if (previous_ != nullptr) out_->listeners = previous_->listeners;  // generations of free slots
  for (Listener& listener : out_->listeners) listener.present = false;
  out_->listeners.resize(slots.size());
  if (previous_ != nullptr) out_->listener_prefixes = previous_->listener_prefixes;
  out_->listener_prefixes.resize(slots.size());

  std::map<std::uint8_t, std::vector<Listener>, std::greater<>> prefixes4, prefixes6;  // by length, longest first
  std::vector<Listener> entries6;
  std::size_t next = 0;
  for (std::size_t i = 0; i < config().services.size(); ++i) {
    const ServiceIndex service_index = service_slots_[i];
    Service& service = out_->services[service_index];
    for (const config::Listen& listen : listens_of(config().services[i])) {
      const Slot slot = (*assigned)[next++];
      Listener& listener = out_->listeners[slot.index];
      listener = {.key = {listen.endpoint.address, listen.endpoint.port, static_cast<std::uint8_t>(listen.proto), 1},
                  .id = {slot.index, slot.generation},
                  .service = service_index,
                  .pool = service.pool,
                  .kind = service.kind,
                  .present = true,
                  .mode = mode_of(service, listen),
                  .syn_proxy = service.syn_proxy && listen.proto == net::IpProto::kTcp,
                  .persists = service.persist_ms != 0,
                  .one_packet = service.config->forward && service.config->forward->one_packet,
                  .many = listen.prefix || (listen.endpoint.port == 0 && net::has_ports(listen.proto)),
                  .quic = listen.quic};
      out_->listener_prefixes[slot.index] = listen.prefix.value_or(0);
      out_->has_echo |= is_echo(listener);
      out_->has_wildcards |= listener.many;
      service.listeners.push_back(slot.index);
      const net::IpAddress& address = listen.endpoint.address;
      if (listen.prefix) {
        (address.is_v4() ? prefixes4 : prefixes6)[*listen.prefix].push_back(listener);
        continue;
      }
      if (address.is_v4()) {
        entries4_.emplace_back(WordIndex::word_of(address.v4(), listener.key.port, listener.key.proto),
                               ListenerHit::of(listener.id, listener.kind).word);
      } else {
        entries6.push_back(listener);
      }
      local_[address].service = true;
      local_[address].listens |= listener.key.port >= PortPlan::kFirstPort;
    }
  }
  out_->prefixes4 = prefix_tables(prefixes4);
  out_->prefixes6 = prefix_tables(prefixes6);
  out_->listener_index6 = AddressIndex<Listener>(entries6);
  return true;
}

// A backend that was down, or that joins a pool that others were in, rises slowly. At the start all rise at once, which would
// be no different from none: there they have never been down.
Rise Builder::rise_of(const Slot& slot, bool up) const {
  const Health health = health_.read({slot.index, slot.generation}).health;
  const bool known = previous_ != nullptr && slot.index < previous_->backends.size() &&
                     previous_->backends[slot.index].generation == slot.generation;
  Rise rise = known ? previous_->rises[slot.index] : Rise{};
  if (!up) return {.was_down = rise.was_down || health == Health::kDown, .began = std::nullopt};
  if (rise.was_down || (!known && previous_ != nullptr)) rise = {.was_down = false, .began = now_};
  return rise;
}

// 1..kSteps
std::uint32_t Builder::step_of(const Pool& pool, Rise& rise) {
  const Duration whole = pool.config->slow_start;
  if (!rise.began || now_ - *rise.began >= whole) {
    rise.began.reset();
    return kSteps;
  }
  const auto step = std::max(1u, static_cast<std::uint32_t>((now_ - *rise.began) * kSteps / whole));
  // One nanosecond more, so that rounding does not make it the same step.
  const Instant next = *rise.began + whole * (step + 1) / kSteps + Duration(1);
  if (!out_->next_step || next < *out_->next_step) out_->next_step = next;
  return step;
}

void Builder::add_takers(Pool& pool) {
  const auto any_takes = [&] {
    return std::ranges::any_of(pool.backends, [&](BackendIndex index) { return out_->backends[index].takes_new(); });
  };
  if (pool.config->on_all_down == config::OnAllDown::kUseAll && !any_takes()) {
    for (const BackendIndex index : pool.backends) out_->backends[index].trusted = !out_->backends[index].backup;
  }
  // With a slow start all weights are in sixteenths: the same shares, and so the same table, once it is over.
  const std::uint32_t unit = pool.config->slow_start > Duration(0) ? kSteps : 1;
  for (const BackendIndex index : pool.backends) {
    const Backend& backend = out_->backends[index];
    if (!backend.takes_new()) continue;
    const std::uint32_t step = unit == 1 ? 1 : step_of(pool, out_->rises[index]);
    (backend.backup ? pool.backups : pool.takers).push_back({index, backend.weight * step});
  }
  if (pool.takers.empty()) pool.takers.swap(pool.backups);
  pool.up = static_cast<std::uint16_t>(pool.takers.size());
}

void Builder::add_tables(Pool& pool) {
  static const auto kNoMaglev = std::make_shared<const MaglevTable>();
  static const auto kNoRoundRobin = std::make_shared<const RoundRobinTable>();
  pool.maglev = kNoMaglev;
  pool.round_robin = kNoRoundRobin;
  std::vector<Eligible> now = eligible(*out_, pool.takers);

  const auto index = static_cast<std::size_t>(&pool - out_->pools.data());
  const Pool* before = nullptr;
  if (previous_ != nullptr && index < previous_->pools.size() && previous_->pools[index].present &&
      previous_->pools[index].name == pool.name) {
    before = &previous_->pools[index];
  }
  if (before != nullptr && config::is_hashed(before->balance) == config::is_hashed(pool.balance) &&
      before->config->maglev_table == pool.config->maglev_table) {
    std::vector<Eligible> then = eligible(*previous_, before->takers);
    if (config::is_hashed(pool.balance)) {  // its table does not depend on the order
      std::ranges::sort(now, {}, &Eligible::name);
      std::ranges::sort(then, {}, &Eligible::name);
    }
    if (now == then) {
      pool.maglev = before->maglev;
      pool.round_robin = before->round_robin;
      return;
    }
  }
  if (config::is_hashed(pool.balance)) {
    std::vector<MaglevBackend> backends;
    for (const Eligible& one : now) backends.push_back({one.name, one.index, one.weight});
    pool.maglev = std::make_shared<const MaglevTable>(backends, pool.config->maglev_table);
  } else {
    pool.round_robin = std::make_shared<const RoundRobinTable>(pool.takers);
  }
}

void Builder::add_dnat_backends() {
  std::map<std::pair<net::Endpoint, std::uint8_t>, std::set<std::uint16_t>> answers;  // by the backend's endpoint
  for (const Listener& listener : out_->listeners) {
    if (!listener.present || listener.mode != config::ForwardMode::kDnat) continue;
    for (const BackendIndex index : out_->pools[listener.pool].backends) {
      const Backend& backend = out_->backends[index];
      const net::Endpoint endpoint{backend.address, backend.port == 0 ? listener.key.port : backend.port};
      answers[{endpoint, listener.key.proto}].insert(listener.id.index);
    }
  }
  // Flows stay with a backend that is gone, or that another pool has now.
  std::set<net::Endpoint> known;
  for (const Backend& backend : out_->backends) known.insert(backend.endpoint());
  if (previous_ != nullptr) {
    for (const DnatBackend& backend : previous_->dnat_backends) {
      const net::Endpoint endpoint{backend.key.address, backend.key.port};
      if (!known.contains(endpoint) && !known.contains({endpoint.address, 0})) continue;
      for (const std::uint16_t index : std::span(previous_->dnat_listeners).subspan(backend.first, backend.count)) {
        const Listener* listener = out_->find_listener(previous_->listeners[index].id);
        if (listener != nullptr) answers[{endpoint, backend.key.proto}].insert(index);
      }
    }
  }
  for (const auto& [from, listeners] : answers) {
    const auto& [endpoint, proto] = from;
    out_->dnat_backends.push_back({.key = {endpoint.address, endpoint.port, proto, 1},
                                   .first = static_cast<std::uint32_t>(out_->dnat_listeners.size()),
                                   .count = static_cast<std::uint16_t>(listeners.size())});
    out_->dnat_listeners.insert(out_->dnat_listeners.end(), listeners.begin(), listeners.end());
  }
  out_->has_dnat = !out_->dnat_backends.empty();
  out_->dnat_index = AddressIndex<DnatBackend>(out_->dnat_backends);
}

void Builder::add_listened_ports() {
  out_->listened.resize(out_->sources.size());
  for (const Listener& listener : out_->listeners) {
    if (!listener.present || listener.many || is_echo(listener)) continue;  // those are on no source address
    const SourceIndex source = local_.at(listener.key.address).source;
    if (source == kNoIndex) continue;
    ListenedPorts& ports = out_->listened[source];
    (listener.proto() == net::IpProto::kTcp    ? ports.tcp
     : listener.proto() == net::IpProto::kSctp ? ports.sctp
                                               : ports.udp)
        .push_back(listener.key.port);
  }
  for (ListenedPorts& ports : out_->listened) {
    std::ranges::sort(ports.tcp);
    std::ranges::sort(ports.udp);
    std::ranges::sort(ports.sctp);
  }
}

void Builder::add_local_addresses() {
  std::vector<LocalAddress> entries6;
  for (auto& [address, entry] : local_) {
    entry.key = {address, 0, 0, 1};
    if (address.is_v4()) {
      entries4_.emplace_back(WordIndex::word_of(address.v4(), 0, 0),
                             LocalHit::of(out_->local_addresses.size(), entry.source, entry.listens).word);
      out_->local_addresses.push_back(entry);
    } else {
      entries6.push_back(entry);
    }
  }
  out_->index4 = WordIndex(entries4_);
  out_->local_index6 = AddressIndex<LocalAddress>(entries6);
}

// By address alone: a backend of several pools is one peer, and one that is gone is sealed for as long as its flows live.
Result<void> Builder::add_esp() {
  auto table = build_esp_table(config(), previous_, std::move(keys_));
  if (!table) return std::unexpected(table.error());
  out_->esp = std::move(*table);
  if (out_->esp.peers.empty()) return {};
  std::map<net::IpAddress, const esp::OutboundSa*> by_address;
  for (std::size_t i = 0; i < out_->esp.peers.size(); ++i) {
    by_address[config().esp.peers[i].address] = out_->esp.peers[i].out.get();
  }
  for (const Backend& backend : out_->backends) {
    const auto at = by_address.find(backend.address);
    out_->esp.outbound.push_back(at != by_address.end() ? at->second : nullptr);
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<const Snapshot>> build_snapshot(std::shared_ptr<const config::Config> config,
                                                       const HealthBoard& health, const Snapshot* previous, Instant now,
                                                       std::shared_ptr<const Access> access,
                                                       std::shared_ptr<esp::KeyLedger> keys) {
  return Builder(std::move(config), health, previous, now, std::move(access), std::move(keys)).build();
}

}  // namespace sluice::lb
