#include "sluice/lb/build_snapshot.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "slots.h"
#include "sluice/lb/balance.h"
#include "sluice/lb/snapshot_slot.h"

namespace sluice::lb {
namespace {

const std::vector<telemetry::EntityCounters> kIdle(16);  // nothing is open anywhere

net::IpAddress ip(const char* text) { return *net::IpAddress::parse(text); }
net::Endpoint endpoint(const char* text) { return *net::Endpoint::parse(text); }

config::Backend backend(const char* name, const char* where, std::uint32_t weight = 1) {
  return {.name = name, .endpoint = endpoint(where), .weight = weight};
}

config::Interface interface(const char* name, std::vector<net::Prefix> addresses) {
  config::Interface out;
  out.name = name;
  out.addresses = std::move(addresses);
  return out;
}

config::Pool pool(const char* name, std::vector<config::Backend> backends) {
  config::Pool out;
  out.name = name;
  out.backends = std::move(backends);
  return out;
}

config::Service service(const char* name, std::vector<config::Listen> listen) {
  config::Service out;
  out.name = name;
  out.listen = std::move(listen);
  return out;
}

config::Config base_config() {
  const auto prefix = [](const char* text) { return *net::Prefix::parse(text); };
  config::Config config;
  config.interfaces = {interface("edge", {prefix("198.51.100.2/24"), prefix("2001:db8:1::2/64")}),
                       interface("inside", {prefix("fe80::7/64"), prefix("192.0.2.2/24"), prefix("192.0.2.3/24")})};

  config.pools = {pool("web", {backend("web1", "192.0.2.11:8080", 2), backend("web2", "192.0.2.12:8080")}),
                  pool("dns", {backend("dns1", "192.0.2.53:53"), backend("dns2", "192.0.2.54:53")})};
  config.pools[0].health = config::HealthCheck{};
  config.pools[1].balance = config::Balance::kRoundRobin;

  config.services = {service("resolve", {{endpoint("203.0.113.53:53"), net::IpProto::kUdp},
                                         {endpoint("203.0.113.53:53"), net::IpProto::kTcp}}),
                     service("site", {{endpoint("203.0.113.10:443"), net::IpProto::kTcp}})};
  config.services[0].forward.emplace().pool = "dns";
  config.services[0].forward->source = {ip("192.0.2.100"), ip("192.0.2.101")};
  config.services[1].proxy.emplace();
  return config;
}

std::shared_ptr<const Snapshot> build(const config::Config& config, const HealthBoard& board,
                                      const Snapshot* previous = nullptr) {
  auto snapshot = build_snapshot(std::make_shared<const config::Config>(config), board, previous);
  EXPECT_TRUE(snapshot) << snapshot.error().message;
  return *snapshot;
}

void report_all_up(HealthBoard& board, const Snapshot& snapshot) {
  for (BackendIndex i = 0; i < snapshot.backends.size(); ++i) {
    board.report(snapshot.id_of(i), {Health::kUp, HealthReason::kSuccess});
  }
}

BackendIndex index_of(const Snapshot& snapshot, const std::string& name) {
  for (std::size_t i = 0; i < snapshot.backends.size(); ++i) {
    if (snapshot.backend_names[i] == name && snapshot.backends[i].present) return static_cast<BackendIndex>(i);
  }
  return kNoBackend;
}

TEST(BuildSnapshot, ListenersLeadToTheirServiceAndPool) {
  HealthBoard board;
  const auto snapshot = build(base_config(), board);
  EXPECT_EQ(snapshot->generation, 1u);
  const Listener* dns = snapshot->find_listener(ip("203.0.113.53"), 53, net::IpProto::kUdp);
  ASSERT_NE(dns, nullptr);
  EXPECT_EQ(dns->kind, ServiceKind::kForward);
  EXPECT_EQ(snapshot->services[dns->service].name, "resolve");
  EXPECT_EQ(snapshot->pools[dns->pool].name, "dns");
  EXPECT_EQ(snapshot->find_listener(dns->id)->endpoint(), endpoint("203.0.113.53:53"));
  const Listener* tcp = snapshot->find_listener(ip("203.0.113.53"), 53, net::IpProto::kTcp);
  ASSERT_NE(tcp, nullptr);
  EXPECT_NE(tcp->id, dns->id);
  const Listener* site = snapshot->find_listener(ip("203.0.113.10"), 443, net::IpProto::kTcp);
  ASSERT_NE(site, nullptr);
  EXPECT_EQ(site->kind, ServiceKind::kProxy);
  EXPECT_EQ(snapshot->find_listener(ip("203.0.113.10"), 443, net::IpProto::kUdp), nullptr);
  EXPECT_EQ(snapshot->find_listener(ip("203.0.113.10"), 444, net::IpProto::kTcp), nullptr);
  EXPECT_EQ(snapshot->find_listener(ip("203.0.113.11"), 443, net::IpProto::kTcp), nullptr);
  EXPECT_EQ(snapshot->find_listener(ip("2001:db8::1"), 443, net::IpProto::kTcp), nullptr);
}

config::Config wildcard_config() {
  config::Config config = base_config();
  for (config::Service& service : config.services) {
    if (service.name != "resolve") continue;
    service.forward->icmp = config::EchoTo::kForward;
    service.listen.push_back({endpoint("203.0.113.53:0"), net::IpProto::kUdp, std::nullopt});
    service.listen.push_back({endpoint("203.0.113.64:53"), net::IpProto::kUdp, std::uint8_t{26}});
    service.listen.push_back({endpoint("203.0.113.64:0"), net::IpProto::kUdp, std::uint8_t{28}});
    service.listen.push_back({endpoint("[2001:db8:5::]:53"), net::IpProto::kUdp, std::uint8_t{64}});
  }
  return config;
}

TEST(BuildSnapshot, FindsListenersOnEveryPortAndOnPrefixes) {
  HealthBoard board;
  const auto snapshot = build(wildcard_config(), board);
  EXPECT_TRUE(snapshot->has_wildcards);
  const auto found = [&](const char* address, std::uint16_t port, net::IpProto proto = net::IpProto::kUdp) {
    const Listener* listener = snapshot->find_wildcard(ip(address), port, proto);
    return listener == nullptr ? std::string() : listener->endpoint().text();
  };
  EXPECT_EQ(found("203.0.113.53", 99), "203.0.113.53");
  EXPECT_EQ(found("203.0.113.53", 99, net::IpProto::kTcp), "");
  EXPECT_EQ(found("203.0.113.65", 53), "203.0.113.64");  // the longer prefix, whatever its ports
  EXPECT_EQ(found("203.0.113.127", 53), "203.0.113.64:53");
  EXPECT_EQ(found("203.0.113.127", 54), "");
  EXPECT_EQ(found("203.0.113.128", 53), "");
  EXPECT_EQ(found("2001:db8:5::1:2:3", 53), "[2001:db8:5::]:53");
  EXPECT_EQ(found("2001:db8:5:1::", 53), "");
  EXPECT_TRUE(snapshot->is_in_prefix(ip("203.0.113.64")));
  EXPECT_FALSE(snapshot->is_in_prefix(ip("203.0.113.53")));
  EXPECT_TRUE(snapshot->is_ours(ip("203.0.113.53")));
  EXPECT_TRUE(snapshot->is_ours(ip("2001:db8:5::7")));
  EXPECT_FALSE(snapshot->is_ours(ip("2001:db8:6::7")));
  EXPECT_TRUE(snapshot->find_wildcard(ip("203.0.113.65"), 53, net::IpProto::kUdp)->many);
  EXPECT_FALSE(snapshot->find_listener(ip("203.0.113.53"), 53, net::IpProto::kUdp)->many);
}

TEST(BuildSnapshot, FindsWhoGetsEchoes) {
  HealthBoard board;
  EXPECT_FALSE(build(base_config(), board)->has_echo);
  const auto snapshot = build(wildcard_config(), board);
  EXPECT_TRUE(snapshot->has_echo);
  ASSERT_NE(snapshot->find_echo(ip("203.0.113.53")), nullptr);
  EXPECT_FALSE(snapshot->find_echo(ip("203.0.113.53"))->many);
  ASSERT_NE(snapshot->find_echo(ip("203.0.113.70")), nullptr);
  EXPECT_TRUE(snapshot->find_echo(ip("203.0.113.70"))->many);
  EXPECT_NE(snapshot->find_echo(ip("2001:db8:5::70")), nullptr);
  EXPECT_EQ(snapshot->find_echo(ip("203.0.113.10")), nullptr);
}

TEST(BuildSnapshot, AWildcardKeepsItsIdWhileItStays) {
  HealthBoard board;
  const auto first = build(wildcard_config(), board);
  const auto second = build(wildcard_config(), board, first.get());
  for (const char* address : {"203.0.113.53", "203.0.113.65", "203.0.113.127", "2001:db8:5::1"}) {
    EXPECT_EQ(first->find_wildcard(ip(address), 53, net::IpProto::kUdp)->id,
              second->find_wildcard(ip(address), 53, net::IpProto::kUdp)->id)
        << address;
  }
  const auto third = build(base_config(), board, second.get());
  EXPECT_FALSE(third->has_wildcards);
  EXPECT_EQ(third->find_listener(first->find_wildcard(ip("203.0.113.53"), 99, net::IpProto::kUdp)->id), nullptr);
}

TEST(BuildSnapshot, FindsTheBackendThatAConnectionIdNames) {
  HealthBoard board;
  config::Config config = base_config();
  config::Pool& pool = config.pools.front();
  ASSERT_GE(pool.backends.size(), 2u);
  pool.quic_configs = {0, 2};
  for (std::size_t i = 0; i < pool.backends.size(); ++i)
    pool.backends[i].server_id = {0xab, static_cast<std::uint8_t>(i)};
  const auto unchecked = build(config, board);
  report_all_up(board, *unchecked);
  const auto snapshot = build(config, board, unchecked.get());
  const BackendIndex second = index_of(*snapshot, pool.backends[1].name);
  const PoolIndex index = snapshot->backends[second].pool;
  const auto found = [&](std::vector<std::uint8_t> id) { return snapshot->find_quic_backend(index, id); };
  EXPECT_EQ(found({0x00, 0xab, 1}), second);
  EXPECT_EQ(found({0x5f, 0xab, 1, 9, 9}), second);  // configuration 2, and something of the server's own behind
  EXPECT_EQ(found({0x20, 0xab, 1}), kNoBackend);    // configuration 1
  EXPECT_EQ(found({0xe0, 0xab, 1}), kNoBackend);    // none
  EXPECT_EQ(found({0x00, 0xab, 77}), kNoBackend);
  EXPECT_EQ(found({0x00, 0xab}), kNoBackend);
  EXPECT_EQ(found({}), kNoBackend);
  if (snapshot->backends[second].checked) {
    board.report(snapshot->id_of(second), {Health::kDown, HealthReason::kRefused});
    EXPECT_EQ(build(config, board, snapshot.get())->find_quic_backend(index, std::vector<std::uint8_t>{0, 0xab, 1}),
              kNoBackend);
  }
}

TEST(BuildSnapshot, KnowsWhatIsBehindThePortsOfTunnels) {
  const HealthBoard board;
  EXPECT_TRUE(build(base_config(), board)->tunnel_ports.empty());
  config::Config config = base_config();
  config.services.clear();
  const auto add = [&](std::uint16_t number, config::ForwardMode mode, std::uint16_t port, std::uint8_t variant = 1) {
    const std::string name = "s" + std::to_string(number);
    config.services.push_back(
        service(name.c_str(), {{endpoint(("203.0.113.10:" + std::to_string(number)).c_str()), net::IpProto::kUdp}}));
    config::ForwardService& forward = config.services.back().forward.emplace();
    forward.pool = "dns";
    forward.mode = mode;
    forward.gue.port = forward.vxlan.port = port;
    forward.gue.variant = variant;
  };
  add(1, config::ForwardMode::kIpIp, 7000);
  add(2, config::ForwardMode::kVxlan, 4789);
  for (std::uint16_t number = 3; number < 100; ++number) add(number, config::ForwardMode::kGue, 6080);
  add(100, config::ForwardMode::kGue, 666, 0);
  const auto snapshot = build(config, board);
  EXPECT_EQ(snapshot->tunnel_ports.size(), 3u);  // however many services there are
  EXPECT_EQ(snapshot->bytes_behind_udp(4789), 8u + 8 + 14);
  EXPECT_EQ(snapshot->bytes_behind_udp(6080), 8u);
  EXPECT_EQ(snapshot->bytes_behind_udp(666), 8u + 4);
  for (const int other : {0, 53, 665, 667, 7000, 65535})
    EXPECT_EQ(snapshot->bytes_behind_udp(static_cast<std::uint16_t>(other)), 0u);
}

TEST(BuildSnapshot, KnowsWhichAddressesAreOurs) {
  HealthBoard board;
  const auto snapshot = build(base_config(), board);
  const LocalAddress* own = snapshot->find_local(ip("192.0.2.2"));
  ASSERT_NE(own, nullptr);
  EXPECT_EQ(own->interface, 1);
  EXPECT_FALSE(own->service);
  EXPECT_EQ(snapshot->sources[own->source], ip("192.0.2.2"));
  const LocalAddress* virtual_one = snapshot->find_local(ip("203.0.113.10"));
  ASSERT_NE(virtual_one, nullptr);
  EXPECT_TRUE(virtual_one->service);
  EXPECT_EQ(virtual_one->source, kNoIndex);
  EXPECT_EQ(virtual_one->interface, kNoIndex);
  const LocalAddress* named = snapshot->find_local(ip("192.0.2.101"));
  ASSERT_NE(named, nullptr);
  EXPECT_EQ(snapshot->sources[named->source], ip("192.0.2.101"));
  EXPECT_EQ(snapshot->find_local(ip("192.0.2.53")), nullptr);
}

TEST(BuildSnapshot, KnowsThePortsOfItsSourcesOnWhichServicesListen) {
  HealthBoard board;
  config::Config config = base_config();
  config.services[0].listen.push_back({endpoint("192.0.2.101:9053"), net::IpProto::kUdp});
  config.services[0].listen.push_back({endpoint("192.0.2.101:5353"), net::IpProto::kUdp});
  config.services[1].listen.push_back({endpoint("192.0.2.2:8443"), net::IpProto::kTcp});
  const auto first = build(config, board);
  const auto ports = [](const Snapshot& snapshot, const char* source, net::IpProto proto) {
    const auto all = snapshot.listened_ports(snapshot.find_local(ip(source))->source, proto);
    return std::vector<std::uint16_t>(all.begin(), all.end());
  };
  EXPECT_EQ(ports(*first, "192.0.2.101", net::IpProto::kUdp), (std::vector<std::uint16_t>{5353, 9053}));
  EXPECT_TRUE(ports(*first, "192.0.2.101", net::IpProto::kTcp).empty());
  EXPECT_EQ(ports(*first, "192.0.2.2", net::IpProto::kTcp), std::vector<std::uint16_t>{8443});
  EXPECT_TRUE(ports(*first, "192.0.2.100", net::IpProto::kUdp).empty());
  const auto second = build(base_config(), board, first.get());
  EXPECT_TRUE(ports(*second, "192.0.2.101", net::IpProto::kUdp).empty());
}

TEST(BuildSnapshot, SourceIsTheNamedOneElseTheEgressInterfaces) {
  HealthBoard board;
  const auto snapshot = build(base_config(), board);
  const Service& resolve = snapshot->services[0];
  const auto at = [&](SourceIndex index) { return snapshot->sources[index].text(); };
  EXPECT_EQ(at(snapshot->choose_source(resolve.sources4, 1, true, 0)), "192.0.2.100");
  EXPECT_EQ(at(snapshot->choose_source(resolve.sources4, 1, true, 0xffffffff)), "192.0.2.101");
  EXPECT_EQ(at(snapshot->choose_source(resolve.sources6, 0, false, 0)), "2001:db8:1::2");
  EXPECT_EQ(at(snapshot->choose_source({}, 1, true, 9)), "192.0.2.2");
  EXPECT_EQ(snapshot->choose_source({}, 1, false, 9), kNoIndex);  // only a link-local address there
  EXPECT_EQ(snapshot->choose_source({}, 9, true, 9), kNoIndex);
}

TEST(BuildSnapshot, ACheckedBackendIsDownUntilItsFirstSuccess) {
  HealthBoard board;
  const auto first = build(base_config(), board);
  RoundRobinTurns turns(Random(1));
  EXPECT_EQ(first->pools[0].name, "web");
  EXPECT_EQ(first->pools[0].up, 0);
  EXPECT_EQ(choose(*first, 0, 1, turns, kIdle), kNoBackend);
  EXPECT_EQ(first->pools[1].up, 2);  // not checked: up

  board.report(first->id_of(index_of(*first, "web2")), {Health::kUp, HealthReason::kSuccess});
  const auto second = build(base_config(), board, first.get());
  EXPECT_EQ(second->generation, 2u);
  EXPECT_EQ(second->pools[0].up, 1);
  for (std::uint64_t hash = 0; hash < 1000; ++hash) {
    ASSERT_EQ(choose(*second, 0, hash * 0x01000193, turns, kIdle), index_of(*second, "web2"));
  }
}

TEST(BuildSnapshot, TablesOfUnchangedPoolsAreTakenOver) {
  HealthBoard board;
  report_all_up(board, *build(base_config(), board));
  const auto first = build(base_config(), board);
  config::Config config = base_config();
  std::swap(config.pools[0].backends[0], config.pools[0].backends[1]);  // Maglev does not depend on the order
  const auto second = build(config, board, first.get());
  EXPECT_EQ(second->pools[0].maglev, first->pools[0].maglev);
  EXPECT_EQ(second->pools[1].round_robin, first->pools[1].round_robin);

  config.pools[0].backends[0].weight = 9;
  const auto third = build(config, board, second.get());
  EXPECT_NE(third->pools[0].maglev, second->pools[0].maglev);
  EXPECT_EQ(third->pools[1].round_robin, first->pools[1].round_robin);

  config.pools[0].maglev_table = 251;
  const auto fourth = build(config, board, third.get());
  EXPECT_EQ(fourth->pools[0].maglev->slots().size(), 251u);

  board.report(fourth->id_of(index_of(*fourth, "web1")), {Health::kDown, HealthReason::kTimeout});
  const auto fifth = build(config, board, fourth.get());
  EXPECT_NE(fifth->pools[0].maglev, fourth->pools[0].maglev);
}

TEST(BuildSnapshot, WhatStaysKeepsItsIndexAndGeneration) {
  HealthBoard board;
  const auto first = build(base_config(), board);
  const BackendId web2 = first->id_of(index_of(*first, "web2"));
  const ListenerId site = first->find_listener(ip("203.0.113.10"), 443, net::IpProto::kTcp)->id;
  const ListenerId dns = first->find_listener(ip("203.0.113.53"), 53, net::IpProto::kUdp)->id;

  config::Config config = base_config();
  config.pools.erase(config.pools.begin() + 1);  // dns
  config.services.erase(config.services.begin());
  config.pools[0].backends.erase(config.pools[0].backends.begin());  // web1
  config.pools.insert(config.pools.begin(),
                      pool("api", {backend("api1", "192.0.2.21:80"), backend("web2", "192.0.2.12:8080")}));
  const auto second = build(config, board, first.get());
  EXPECT_NE(second->find_backend(web2), nullptr);
  EXPECT_EQ(second->backends[web2.index].address, ip("192.0.2.12"));
  EXPECT_EQ(second->pools[second->backends[web2.index].pool].name, "web");
  EXPECT_EQ(second->find_listener(ip("203.0.113.10"), 443, net::IpProto::kTcp)->id, site);
  EXPECT_EQ(second->find_listener(dns), nullptr);
  EXPECT_EQ(second->services[second->find_listener(site)->service].name, "site");
  EXPECT_EQ(second->services[0].present, false);
  // What is gone is still known by its id.
  const Backend* web1 = second->find_backend(first->id_of(index_of(*first, "web1")));
  ASSERT_NE(web1, nullptr);
  EXPECT_FALSE(web1->present);
  EXPECT_FALSE(web1->takes_new());

  // It comes back: to a new place, since flows of before may still hold the old one.
  const auto third = build(base_config(), board, second.get());
  EXPECT_EQ(third->id_of(index_of(*third, "web2")), web2);
  EXPECT_NE(third->find_listener(ip("203.0.113.53"), 53, net::IpProto::kUdp)->id, dns);
  EXPECT_EQ(third->sources, first->sources);
}

std::vector<std::string> dnat_listeners(const Snapshot& snapshot, const char* backend, net::IpProto proto) {
  std::vector<std::string> out;
  const net::Endpoint from = endpoint(backend);
  for (const std::uint16_t index : snapshot.dnat_listeners_of(from.address, from.port, proto))
    out.push_back(snapshot.listeners[index].endpoint().text());
  return out;
}

TEST(BuildSnapshot, ABackendsEndpointLeadsToItsDnatListeners) {
  using Texts = std::vector<std::string>;
  HealthBoard board;
  const auto nat = build(base_config(), board);
  EXPECT_FALSE(nat->has_dnat);
  EXPECT_EQ(dnat_listeners(*nat, "192.0.2.53:53", net::IpProto::kUdp), Texts{});

  config::Config config = base_config();
  config.services[0].forward->mode = config::ForwardMode::kDnat;
  config.services[0].listen.push_back({endpoint("203.0.113.54:53"), net::IpProto::kUdp});
  const auto first = build(config, board, nat.get());
  EXPECT_TRUE(first->has_dnat);
  EXPECT_EQ(dnat_listeners(*first, "192.0.2.53:53", net::IpProto::kUdp), (Texts{"203.0.113.53:53", "203.0.113.54:53"}));
  EXPECT_EQ(dnat_listeners(*first, "192.0.2.54:53", net::IpProto::kTcp), Texts{"203.0.113.53:53"});
  EXPECT_EQ(dnat_listeners(*first, "192.0.2.53:54", net::IpProto::kUdp), Texts{});
  EXPECT_EQ(dnat_listeners(*first, "192.0.2.11:8080", net::IpProto::kTcp), Texts{});

  // A backend that is gone may still have flows; a listener that is gone has none.
  config.pools[1].backends.erase(config.pools[1].backends.begin());
  config.services[0].listen.pop_back();
  const auto second = build(config, board, first.get());
  EXPECT_EQ(dnat_listeners(*second, "192.0.2.53:53", net::IpProto::kUdp), Texts{"203.0.113.53:53"});
}

TEST(BuildSnapshot, NatToAPoolOfTheOtherFamilyIsAModeOfItsOwn) {
  HealthBoard board;
  config::Config config = base_config();
  config.services[0].listen.push_back({endpoint("[2001:db8:5::53]:53"), net::IpProto::kUdp});
  const auto mode = [](const Snapshot& snapshot, const char* address) {
    return snapshot.find_listener(ip(address), 53, net::IpProto::kUdp)->mode;
  };
  const auto four = build(config, board);
  EXPECT_EQ(mode(*four, "203.0.113.53"), config::ForwardMode::kNat);
  EXPECT_EQ(mode(*four, "2001:db8:5::53"), config::ForwardMode::kNat64);
  const ListenerId id = four->find_listener(ip("203.0.113.53"), 53, net::IpProto::kUdp)->id;
  config.pools[1].backends = {backend("dns1", "[2001:db8:1::53]:53")};
  const auto six = build(config, board, four.get());
  EXPECT_EQ(mode(*six, "203.0.113.53"), config::ForwardMode::kNat46);
  EXPECT_EQ(mode(*six, "2001:db8:5::53"), config::ForwardMode::kNat);
  EXPECT_EQ(six->find_listener(id), nullptr);  // flows of before lead to IPv4
}

// What a flow holds is for the mode that it was opened in.
TEST(BuildSnapshot, AListenerOfAnotherModeIsAnother) {
  HealthBoard board;
  config::Config config = base_config();
  const auto first = build(config, board);
  const ListenerId nat = first->find_listener(ip("203.0.113.53"), 53, net::IpProto::kUdp)->id;
  config.services[0].forward->mode = config::ForwardMode::kDnat;
  const auto second = build(config, board, first.get());
  EXPECT_EQ(second->find_listener(nat), nullptr);
  EXPECT_NE(second->find_listener(ip("203.0.113.53"), 53, net::IpProto::kUdp)->id, nat);
}

TEST(BuildSnapshot, RefusesMoreThanItsLimits) {
  HealthBoard board;
  config::Config config = base_config();
  for (std::size_t i = 0; i <= kMaxBackends; ++i) {
    config.pools[1].backends.push_back(backend(("b" + std::to_string(i)).c_str(), "192.0.2.60:53"));
  }
  const auto snapshot = build_snapshot(std::make_shared<const config::Config>(config), board, nullptr);
  ASSERT_FALSE(snapshot);
  EXPECT_EQ(snapshot.error().message, "more than 16384 backends");
}

TEST(Slots, ReusesAFreeSlotWithANewGenerationOnceAllWereUsed) {
  Slots<std::string> slots(3);
  slots.add_previous("a", true, 1);
  slots.add_previous("b", false, 4);
  slots.add_previous("c", true, 1);
  const auto assigned = slots.assign({"c", "x"});
  ASSERT_TRUE(assigned);
  EXPECT_EQ((*assigned)[0].index, 2);
  EXPECT_EQ((*assigned)[0].generation, 1);
  EXPECT_EQ((*assigned)[1].index, 0);  // "a" is gone
  EXPECT_EQ((*assigned)[1].generation, 2);
}

TEST(Slots, RefusesMoreThanTheLimit) {
  Slots<std::string> slots(2);
  EXPECT_FALSE(slots.assign({"a", "b", "c"}));
}

TEST(Choose, RoundRobinTakesTurnsAndARetryGoesElsewhere) {
  HealthBoard board;
  const auto snapshot = build(base_config(), board);
  RoundRobinTurns turns(Random(1));
  const BackendIndex first = choose(*snapshot, 1, 0, turns, kIdle);
  const BackendIndex second = choose(*snapshot, 1, 0, turns, kIdle);
  EXPECT_NE(first, second);
  const BackendIndex tried[] = {first, second};
  for (int i = 0; i < 4; ++i) EXPECT_EQ(choose_other(*snapshot, 1, 0, turns, kIdle, std::span(tried).first(1)), second);
  EXPECT_EQ(choose_other(*snapshot, 1, 0, turns, kIdle, tried), kNoBackend);
}

TEST(Choose, MaglevRetryIsTheSameEachTime) {
  HealthBoard board;
  report_all_up(board, *build(base_config(), board));
  const auto snapshot = build(base_config(), board);
  RoundRobinTurns turns(Random(1));
  for (std::uint64_t hash = 0; hash < 100; ++hash) {
    const std::uint64_t spread = hash * 0x9e3779b97f4a7c15u;
    const BackendIndex first = choose(*snapshot, 0, spread, turns, kIdle);
    EXPECT_EQ(choose(*snapshot, 0, spread, turns, kIdle), first);
    const BackendIndex other = choose_other(*snapshot, 0, spread, turns, kIdle, {&first, 1});
    EXPECT_NE(other, first);
    EXPECT_NE(other, kNoBackend);
  }
}

struct MoveCase {
  const char* name;
  FlowState state;
  Health health;
  bool want;
};
const MoveCase kMoveCases[] = {
    {"udp_to_a_backend_that_is_up", FlowState::kUdp, Health::kUp, false},
    {"udp_to_a_backend_that_is_down", FlowState::kUdp, Health::kDown, true},
    {"syn_to_a_backend_that_is_down", FlowState::kSynSent, Health::kDown, true},
    {"connection_to_a_backend_that_is_down", FlowState::kEstablished, Health::kDown, false},
};

TEST(ShouldMove, OnlyWhatLosesNothing) {
  for (const MoveCase& row : kMoveCases) {
    HealthBoard board;
    const auto first = build(base_config(), board);
    Flow flow;
    flow.backend = first->id_of(index_of(*first, "web1"));
    flow.set_state(row.state);
    board.report(flow.backend, {row.health, HealthReason::kNone});
    const auto snapshot = build(base_config(), board, first.get());
    EXPECT_EQ(should_move(*snapshot, flow), row.want) << row.name;
    ++flow.backend.generation;  // another backend took the slot
    EXPECT_EQ(should_move(*snapshot, flow), row.state != FlowState::kEstablished) << row.name;
  }
}

TEST(SnapshotSlot, PublishGivesTheOneBeforeBack) {
  HealthBoard board;
  SnapshotSlot slot;
  EXPECT_EQ(slot.load(), nullptr);
  const auto first = build(base_config(), board);
  EXPECT_EQ(slot.publish(first), nullptr);
  EXPECT_EQ(slot.load(), first.get());
  const auto second = build(base_config(), board, slot.owner().get());
  EXPECT_EQ(slot.publish(second), first);
  EXPECT_EQ(slot.load(), second.get());
  EXPECT_EQ(slot.load()->shared_from_this(), second);
}

}  // namespace
}  // namespace sluice::lb
