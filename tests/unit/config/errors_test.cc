// Runs the tables of errors_*_test.cc; and what holds for errors as a whole.
#include <ostream>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "error_case.h"
#include "sluice/config/load.h"

namespace sluice::config {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<std::string> texts(const ConfigErrors& errors) {
  std::vector<std::string> out;
  for (const ConfigError& error : errors) out.push_back(error.text());
  return out;
}

std::vector<std::string> errors_of(const std::string& yaml) {
  const auto config = load_text(yaml, "t.yaml");
  return config ? std::vector<std::string>{} : texts(config.error());
}

std::vector<std::string> warnings_of(const std::string& yaml) {
  ConfigErrors warnings;
  EXPECT_TRUE(load_text(yaml, "t.yaml", &warnings).has_value());
  return texts(warnings);
}

TEST_P(ErrorText, IsExact) {
  EXPECT_THAT(errors_of(file_with(GetParam().part, GetParam().yaml)), ElementsAreArray(GetParam().errors));
}

TEST(Errors, TheFileThatTheTablesChangeIsSound) { EXPECT_THAT(errors_of(file_with(Part::kRest, "")), IsEmpty()); }

TEST(Errors, MaxFlowsIsForLayer4) {
  EXPECT_THAT(
      errors_of("interfaces: { edge: { device: net_null0, addresses: 198.51.100.2/24 } }\n"
                "pools: { web: { backends: { address: 198.51.100.11, port: 80, max_flows: 10 } } }\n"
                "services: { web: { listen: '198.51.100.80:80', proxy: { routes: { pool: web } } } }\n"),
      ElementsAre(
          "t.yaml:3:73: services.web.proxy.routes.pool: pool 'web' has 'max_flows', which counts flows of layer 4"));
}

TEST(Errors, AreReportedAllAtOnceInTheOrderOfTheFile) {
  const std::string yaml =
      "runtime: { drain: 30, flows: many }\n"
      "pools:\n"
      "  web:\n"
      "    backends:\n"
      "      - { address: 198.51.100.11, port: 70000 }\n"
      "      - { address: 198.51.100.300, port: 80 }\n"
      "services:\n"
      "  web:\n"
      "    lisen: '198.51.100.80:80'\n"
      "    forward: { mode: lvs, pool: web }\n"
      "  site:\n"
      "    listen: ['198.51.100.80:443']\n"
      "    proxy: { routes: [ { pool: site } ] }\n"
      "interfaces:\n"
      "  edge: { device: eth0, addresses: 198.51.100.2/24 }\n";
  EXPECT_THAT(
      errors_of(yaml),
      ElementsAre("t.yaml:1:19: runtime.drain: '30' is not a duration such as 500ms, 30s, 2m, 1h30m",
                  "t.yaml:1:30: runtime.flows: 'many' is not a count (such as 65536, 10k, 4M) in 1024..1073741824",
                  "t.yaml:5:41: pools.web.backends[0].port: 70000 is not in 1..65535",
                  "t.yaml:6:20: pools.web.backends[1].address: '198.51.100.300' is not an IPv4 or IPv6 address (host "
                  "names are not supported yet)",
                  "t.yaml:9:5: services.web: required key 'listen' is missing",
                  "t.yaml:9:5: services.web.lisen: unknown key; did you mean 'listen'?",
                  "t.yaml:10:22: services.web.forward.mode: 'lvs' is not one of nat, dnat, dsr, ipip, gre, gue, "
                  "vxlan, esp",
                  "t.yaml:13:32: services.site.proxy.routes[0].pool: no pool is called 'site'; known: web",
                  "t.yaml:15:19: interfaces.edge.device: 'eth0' is not a PCI address (0000:3b:00.0) or a DPDK vdev "
                  "(net_af_xdp0,iface=eth0)"));
}

TEST(Errors, AreCutAtAHundred) {
  std::string yaml = file_with(Part::kRest, "runtime:");
  for (int i = 0; i < 150; ++i) yaml += "  zebra" + std::to_string(i) + ": 1\n";
  const auto errors = errors_of(yaml);
  ASSERT_THAT(errors, SizeIs(kMaxErrors + 1));
  EXPECT_EQ(errors.back(), "t.yaml: 50 more are not shown");
}

TEST(Errors, OfAMissingFileNamesIt) {
  const auto config = load_file("/nonexistent/sluice.yaml");
  ASSERT_FALSE(config.has_value());
  EXPECT_THAT(texts(config.error()),
              ElementsAre("/nonexistent/sluice.yaml: cannot be opened: No such file or directory"));
  const auto folder = load_file("/");
  ASSERT_FALSE(folder.has_value());
  EXPECT_THAT(texts(folder.error()), ElementsAre("/: is a directory; a YAML file is needed"));
}

struct WarningCase {
  const char* name;
  Part part;
  const char* yaml;
  std::vector<std::string> warnings;
};
const WarningCase kWarnings[] = {
    {"unused_pool",
     Part::kPools,
     "pools: { web: { backends: { address: 198.51.100.11, port: 80 } }, old: { backends: { address: 198.51.100.12, "
     "port: 80 } } }",
     {"t.yaml:2:72: pools.old: no service uses this pool"}},
    {"no_services",
     Part::kServices,
     "services: {}",
     {"t.yaml:2:15: pools.web: no service uses this pool",
      "t.yaml:3:11: services: no services: sluice answers ARP, ND and ICMP echo, and nothing else"}},
    {"connection_memory_too_small",
     Part::kRest,
     "runtime: { proxies: 1, connections: 200k, connection_memory: 1GiB }",
     {"t.yaml:4:62: runtime.connection_memory: 1GiB are too little for 200000 connections at once: beyond about 139810 "
      "new ones are refused; 1465MiB are enough"}},
    {"connection_memory_without_proxies", Part::kRest, "runtime: { connection_memory: 1MiB }", {}},
    {"small_maglev_table",
     Part::kPools,
     "pools: { web: { maglev_table: 101, backends: [ { address: 198.51.100.11, port: 80 }, { address: 198.51.100.12, "
     "port: 80 } ] } }",
     {"t.yaml:2:31: pools.web.maglev_table: a table of 101 slots is small for 2 backends; at least 200 are advised"}},
    {"weight_below_one_slot",
     Part::kPools,
     "pools: { web: { maglev_table: 211, backends: [ { address: 198.51.100.11, port: 80, weight: 1000 }, { address: "
     "198.51.100.12, port: 80, weight: 1 } ] } }",
     {"t.yaml:2:144: pools.web.backends[1].weight: weight 1 of 1001 is less than one of the 211 slots"}},
    {"interfaces_on_one_network",
     Part::kInterfaces,
     "interfaces: { a: { device: net_null0, addresses: 198.51.100.2/24 }, b: { device: net_null1, addresses: "
     "198.51.100.3/25 } }",
     {"t.yaml:1:104: interfaces.b.addresses: 198.51.100.3/25 overlaps a prefix of interface 'a', which is used "
      "first"}},
    {"route_behind_one_that_takes_all",
     Part::kServices,
     "services: { web: { listen: '198.51.100.80:80', proxy: { routes: [ { match: { path: /api }, pool: web }, { "
     "match: { host: a.example.com, path: /api/v1 }, pool: web }, { match: { path: /apiary }, pool: web } ] } } }",
     {"t.yaml:3:105: services.web.proxy.routes[1]: is never chosen: routes[0] matches everything that it does"}},
    {"route_behind_a_wildcard",
     Part::kServices,
     "services: { web: { listen: '198.51.100.80:80', proxy: { routes: [ { match: { host: '*.example.com' }, pool: web "
     "}, { match: { host: a.b.example.com }, pool: web }, { match: { host: example.com }, pool: web } ] } } }",
     {"t.yaml:3:116: services.web.proxy.routes[1]: is never chosen: routes[0] matches everything that it does"}},
};
void PrintTo(const WarningCase& row, std::ostream* out) { *out << row.name; }
class Warnings : public ::testing::TestWithParam<WarningCase> {};
TEST_P(Warnings, AreExact) {
  EXPECT_THAT(warnings_of(file_with(GetParam().part, GetParam().yaml)), ElementsAreArray(GetParam().warnings));
}
INSTANTIATE_TEST_SUITE_P(Config, Warnings, ::testing::ValuesIn(kWarnings), row_name);

}  // namespace
}  // namespace sluice::config
