// Spellings that are allowed, and what is filled in where the file says nothing.
#include "values.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <ostream>
#include <string>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "error_case.h"
#include "sluice/config/load.h"

namespace sluice::config {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Config load(Part part, const std::string& yaml) {
  auto config = load_text(file_with(part, yaml), "t.yaml");
  EXPECT_TRUE(config.has_value()) << text(config.error());
  return config.value_or(Config{});
}

struct SpellingCase {
  const char* name;
  const char* yaml;
  std::function<bool(const Config&)> holds;
};
const SpellingCase kSpellings[] = {
    {"duration_ms", "runtime: { drain: 1500ms }", [](const Config& c) { return c.runtime.drain == 1500ms; }},
    {"duration_of_two_units", "runtime: { drain: 1h30m }", [](const Config& c) { return c.runtime.drain == 90min; }},
    {"duration_zero", "runtime: { drain: 0 }", [](const Config& c) { return c.runtime.drain == 0s; }},
    {"duration_day", "runtime: { drain: 1d }", [](const Config& c) { return c.runtime.drain == 24h; }},
    {"size_binary", "runtime: { memory: 1GiB }", [](const Config& c) { return c.runtime.memory_bytes == 1u << 30; }},
    {"size_decimal", "cache: { memory: 20MB }", [](const Config& c) { return c.cache.memory_bytes == 20'000'000; }},
    {"size_in_bytes", "cache: { memory: 2097152 }", [](const Config& c) { return c.cache.memory_bytes == 2u << 20; }},
    {"count_k", "runtime: { flows: 64k }", [](const Config& c) { return c.runtime.flows == 64'000; }},
    {"count_plain", "runtime: { flows: 65536 }", [](const Config& c) { return c.runtime.flows == 65'536; }},
    {"quoted_number", "runtime: { flows: \"65536\" }", [](const Config& c) { return c.runtime.flows == 65'536; }},
    {"one_cpu", "runtime: { workers: 3 }", [](const Config& c) { return c.runtime.workers == std::vector{3u}; }},
    {"cpu_range", "runtime: { workers: 2-4 }",
     [](const Config& c) { return c.runtime.workers == std::vector{2u, 3u, 4u}; }},
    {"cpu_twice", "runtime: { workers: [1, 1] }",
     [](const Config& c) { return c.runtime.workers == std::vector{1u, 1u}; }},
    {"cpu_ranges", "runtime: { workers: [0, 2-3] }",
     [](const Config& c) { return c.runtime.workers == std::vector{0u, 2u, 3u}; }},
    {"proxies_without_need", "runtime: { proxies: [1] }",
     [](const Config& c) { return c.runtime.proxies == std::vector{1u}; }},
    {"connection_memory_goes_with_the_connections", "runtime: { connections: 1M }",
     [](const Config& c) { return c.runtime.connection_bytes == 7325ull << 20; }},
    {"connection_memory_is_not_tiny", "runtime: { connections: 100 }",
     [](const Config& c) { return c.runtime.connection_bytes == 256ull << 20; }},
    {"connection_memory_as_said", "runtime: { connections: 1M, connection_memory: 64MiB }",
     [](const Config& c) { return c.runtime.connection_bytes == 64ull << 20; }},
    {"section_left_empty", "cache:", [](const Config& c) { return c.cache.memory_bytes == 256u << 20; }},
    {"socket_off", "admin: { socket: off }", [](const Config& c) { return !c.admin.socket; }},
    {"socket_default", "", [](const Config& c) { return c.admin.socket == "/run/sluice/admin.sock"; }},
    {"small_cache_lowers_the_object_limit", "cache: { memory: 1MiB }",
     [](const Config& c) { return c.cache.object_bytes == 1u << 20; }},
    {"anchors",
     "neighbors: [ &a { interface: edge, address: 198.51.100.1, mac: &m \"00:00:5e:00:53:01\" }, { interface: edge, "
     "address: 198.51.100.3, mac: *m } ]",
     [](const Config& c) { return c.neighbors.size() == 2 && c.neighbors[1].mac == c.neighbors[0].mac; }},
    {"yaml_1_1_base_60_is_text", "neighbors: { interface: edge, address: 198.51.100.1, mac: 00:00:5e:00:53:01 }",
     [](const Config& c) { return c.neighbors.at(0).mac.text() == "00:00:5e:00:53:01"; }},
};
void PrintTo(const SpellingCase& row, std::ostream* out) { *out << row.name; }
class Spelling : public ::testing::TestWithParam<SpellingCase> {};
TEST_P(Spelling, IsRead) { EXPECT_TRUE(GetParam().holds(load(Part::kRest, GetParam().yaml))); }
INSTANTIATE_TEST_SUITE_P(Config, Spelling, ::testing::ValuesIn(kSpellings), row_name);

TEST(Pools, WhatChoosesABackend) {
  const auto pool = [](const std::string& keys) {
    return load(Part::kPools,
                "pools: { web: { backends: { address: 198.51.100.11, port: 80, weight: 65535, max_flows: 10k }, " +
                    keys + " } }")
        .pools.at(0);
  };
  const Pool turns = pool("balance: weighted_round_robin, on_all_down: use_all, slow_start: 30s");
  EXPECT_EQ(turns.balance, Balance::kRoundRobin);
  EXPECT_EQ(turns.on_all_down, OnAllDown::kUseAll);
  EXPECT_EQ(turns.slow_start, 30s);
  EXPECT_EQ(turns.backends[0].weight, 65535u);
  EXPECT_EQ(turns.backends[0].max_flows, 10'000u);
  EXPECT_EQ(pool("balance: source_hash").hash, FlowHash::kSource);
  EXPECT_EQ(pool("balance: least_conn").balance, Balance::kLeastConn);
  EXPECT_EQ(pool("hash: destination_port").hash, FlowHash::kDestinationPort);
  EXPECT_EQ(pool("hash: source_and_service").hash, FlowHash::kSourceAndService);
}

TEST(Services, ChecksOfBackendsThatHaveTheServicesAddressNeedNoPort) {
  EXPECT_TRUE(load_text("interfaces: { edge: { device: net_null0, addresses: 198.51.100.2/24 } }\n"
                        "pools: { web: { backends: { address: 198.51.100.11 }, health: { tcp: {} } } }\n"
                        "services: { web: { listen: '198.51.100.80:80', forward: { mode: ipip, pool: web } } }\n",
                        "t.yaml")
                  .has_value());
}

TEST(Services, WhatKeepsAFlowOnItsBackend) {
  const auto forward = [](const std::string& keys) {
    return *load(Part::kServices,
                 R"(services: { web: { listen: "198.51.100.80:80/udp", forward: { pool: web, )" + keys + " } } }")
                .services.at(0)
                .forward;
  };
  const ForwardService keeps = forward("mode: nat, persist: 5m, on_down: reset");
  EXPECT_EQ(keeps.persist, 5min);
  EXPECT_EQ(keeps.on_down, OnDown::kReset);
  EXPECT_FALSE(keeps.one_packet);
  EXPECT_TRUE(forward("mode: dsr, one_packet: true").one_packet);
  EXPECT_EQ(forward("mode: dsr").on_down, OnDown::kKeep);
  EXPECT_EQ(forward("mode: dsr").persist, std::nullopt);
}

TEST(Defaults, OfTheSmallestUsefulFile) {
  const Config config = load(Part::kRest, "");
  EXPECT_THAT(config.runtime.workers, ElementsAre(0u));
  EXPECT_THAT(config.runtime.proxies, IsEmpty());
  EXPECT_EQ(config.runtime.hugepages, HugePages::kAuto);
  EXPECT_EQ(config.runtime.poll, PollMode::kBusy);
  const Pool& pool = config.pools.at(0);
  EXPECT_EQ(pool.balance, Balance::kMaglev);
  EXPECT_EQ(pool.maglev_table, 65537u);
  EXPECT_EQ(pool.backends.at(0).name, "198.51.100.11:80");
  EXPECT_EQ(pool.backends.at(0).weight, 1u);
  EXPECT_FALSE(pool.health.has_value());
  EXPECT_EQ(config.services.at(0).listen.at(0).text(), "198.51.100.80:80/tcp");
  EXPECT_EQ(config.log.level, LogLevel::kInfo);
}

TEST(Defaults, OfAHealthCheck) {
  const Config config =
      load(Part::kPools, "pools: { web: { backends: { address: 198.51.100.11, port: 80 }, health: { http: } } }");
  const HealthCheck& health = config.pools.at(0).health.value();
  const auto& probe = std::get<HttpCheck>(health.probe);
  EXPECT_EQ(probe.method, "HEAD");
  EXPECT_EQ(probe.path, "/");
  EXPECT_EQ(probe.host, "");
  ASSERT_THAT(probe.expect, SizeIs(1));
  EXPECT_EQ(probe.expect[0].first, 200);
  EXPECT_EQ(probe.expect[0].last, 399);
  EXPECT_EQ(health.interval, 2s);
  EXPECT_EQ(health.timeout, 1s);
  EXPECT_EQ(health.fall, 3u);
  EXPECT_EQ(health.rise, 2u);
}

TEST(Defaults, AShortIntervalShortensTheTimeout) {
  const Config config =
      load(Part::kPools,
           "pools: { web: { backends: { address: 198.51.100.11, port: 80 }, health: { tcp: {}, interval: "
           "500ms } } }");
  EXPECT_EQ(config.pools.at(0).health->timeout, 500ms);
}

TEST(Defaults, HealthChecksRunWhereWorkersDo) {
  const Config config = load(Part::kPools,
                             "pools: { web: { backends: { address: 198.51.100.11, port: 80 }, health: { tcp: {} } } }\n"
                             "runtime: { workers: [2, 3] }");
  EXPECT_THAT(config.runtime.proxies, ElementsAre(2u, 3u));
}

TEST(Defaults, ProxiesRunWhereWorkersDo) {
  const Config config = load(Part::kServices,
                             "services: { web: { listen: '198.51.100.80:80', proxy: { routes: { pool: web } } } }\n"
                             "runtime: { workers: [2, 2, 3] }");
  EXPECT_THAT(config.runtime.proxies, ElementsAre(2u, 3u));
}

TEST(Network, ShortPciAddressGetsItsDomain) {
  const Config config =
      load(Part::kInterfaces, "interfaces: { edge: { device: '3b:00.1', addresses: 198.51.100.2/24 } }");
  EXPECT_EQ(config.interfaces.at(0).kind, DeviceKind::kPci);
  EXPECT_EQ(config.interfaces.at(0).device, "0000:3b:00.1");
}

TEST(Network, LinkLocalGatewayAndRouteAreAllowed) {
  const Config config =
      load(Part::kInterfaces,
           "interfaces: { edge: { device: net_null0, addresses: [198.51.100.2/24, '2001:db8:1::2/64'], "
           "gateway: 'fe80::1' } }\n"
           "routes: { prefix: '2001:db8:9::/48', via: 'fe80::2', interface: edge }");
  EXPECT_EQ(config.interfaces.at(0).gateway6->text(), "fe80::1");
  EXPECT_FALSE(config.interfaces.at(0).gateway4.has_value());
  EXPECT_EQ(config.routes.at(0).interface, "edge");
}

TEST(Network, AVlanTakesTheMtuOfItsParent) {
  const Config config = load(Part::kInterfaces,
                             "interfaces: { v: { parent: edge, vlan: 7 }, edge: { device: net_null0, addresses: "
                             "198.51.100.2/24, mtu: 9000 } }");
  ASSERT_THAT(config.interfaces, SizeIs(2));
  EXPECT_EQ(config.interfaces[0].mtu, 9000);
  EXPECT_TRUE(config.interfaces[0].is_vlan());
  EXPECT_FALSE(config.interfaces[1].is_vlan());
}

TEST(Network, PointToPointPrefixesHaveNoBroadcast) {
  const Config config = load(Part::kInterfaces,
                             "interfaces: { edge: { device: net_null0, addresses: [198.51.100.2/24, 192.0.2.0/31, "
                             "192.0.2.9/32] } }");
  EXPECT_THAT(config.interfaces.at(0).addresses, SizeIs(3));
}

TEST(Services, HostsAreKeptInLowerCase) {
  const Config config = load(Part::kServices,
                             "services: { web: { listen: '[2001:db8:1::80]:80', proxy: { routes: { match: { host: "
                             "WWW.Example.COM }, pool: web } } } }");
  EXPECT_THAT(config.services.at(0).proxy->routes.at(0).hosts, ElementsAre("www.example.com"));
}

TEST(Services, TcpAndUdpMayShareAPort) {
  const Config config =
      load(Part::kServices,
           "services: { a: { listen: '198.51.100.80:53/tcp', forward: { mode: nat, pool: web } }, b: { "
           "listen: '198.51.100.80:53/udp', forward: { mode: nat, pool: web } } }");
  EXPECT_THAT(config.services, SizeIs(2));
}

TEST(Services, ASmallHeaderLimitLowersTheDefaultForTheTarget) {
  const Config config = load(Part::kServices,
                             "services: { web: { listen: '198.51.100.80:80', proxy: { routes: { pool: web }, limits: { "
                             "header_size: 4KiB } } } }");
  EXPECT_EQ(config.services.at(0).proxy->limits.uri_bytes, 4u << 10);
}

struct TemplateCase {
  const char* name;
  const char* text;
  std::vector<Template::Part> parts;
};
const TemplateCase kTemplates[] = {
    {"empty", "", {}},
    {"literal", "public", {{"public", Variable::kNone}}},
    {"variable", "${client.address}", {{"", Variable::kClientAddress}}},
    {"both", "a${client.port}b${local.port}", {{"a", Variable::kClientPort}, {"b", Variable::kLocalPort}}},
    {"rest", "${request.host}/x", {{"", Variable::kRequestHost}, {"/x", Variable::kNone}}},
    {"dollar", "5$$ for ${request.method}", {{"5$ for ", Variable::kRequestMethod}}},
};
void PrintTo(const TemplateCase& row, std::ostream* out) { *out << row.name; }
class TemplateText : public ::testing::TestWithParam<TemplateCase> {};
TEST_P(TemplateText, IsParsedAndWrittenBack) {
  const auto parsed = Template::parse(GetParam().text);
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  EXPECT_EQ(parsed->parts, GetParam().parts);
  EXPECT_EQ(parsed->text(), GetParam().text);
}
INSTANTIATE_TEST_SUITE_P(Config, TemplateText, ::testing::ValuesIn(kTemplates), row_name);

TEST(Units, AreWrittenInTheLargestThatFits) {
  EXPECT_EQ(duration_text(90s), "90s");
  EXPECT_EQ(duration_text(2h), "2h");
  EXPECT_EQ(duration_text(Duration::zero()), "0s");
  EXPECT_EQ(size_text(64u << 10), "64KiB");
  EXPECT_EQ(size_text(1500), "1500B");
}

// check_files() looks at the disk; the paths are those of a folder that the test makes.
TEST(Files, AreCheckedWhenAskedFor) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "sluice-config-files";
  std::filesystem::create_directories(folder / "www");
  std::ofstream(folder / "site.crt") << "certificate";
  std::ofstream(folder / "empty.key");
  const std::string at = folder.string();
  const Config config =
      load(Part::kServices,
           "services:\n  web:\n    listen: '198.51.100.80:443'\n    proxy:\n      tls:\n        certificates:\n"
           "          - { cert: " +
               at + "/site.crt, key: " + at +
               "/empty.key }\n"
               "          - { cert: " +
               at + "/www, key: " + at +
               "/none.key }\n"
               "      routes:\n        - static: { alias: " +
               at + "/www }\n        - static: { alias: " + at + "/site.crt }\n");
  std::vector<std::string> found;
  for (const ConfigError& error : check_files(config)) found.push_back(error.path + ": " + error.message);
  const std::string proxy = "services.web.proxy.";
  EXPECT_THAT(found, ElementsAre(proxy + "tls.certificates[0].key: '" + at + "/empty.key' is empty",
                                 proxy + "tls.certificates[1].cert: '" + at + "/www' is not a regular file",
                                 proxy + "tls.certificates[1].key: '" + at + "/none.key': No such file or directory",
                                 proxy + "routes[1].static.alias: '" + at + "/site.crt' is not a directory"));
  EXPECT_EQ(check_files(config).at(0).line, 9u);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace sluice::config
