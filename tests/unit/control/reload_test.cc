// What is taken over of a configuration that was read again, what is left for a restart, and what is refused.
#include "sluice/control/reload.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control_fixture.h"

namespace sluice::control {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr const char* kBase = R"(
runtime: { workers: [0, 0] }
interfaces:
  edge: { device: "net_null0", addresses: [198.51.100.2/24], gateway: 198.51.100.1 }
pools:
  web: { backends: [ { name: web1, address: 198.51.100.11 } ] }
  plain: { backends: [ { name: web2, address: 198.51.100.12, port: 80 } ] }
services:
  web: { listen: "203.0.113.10:80", forward: { mode: esp, pool: web } }
  plain: { listen: "203.0.113.11:80", deny: /a.txt, forward: { mode: nat, pool: plain } }
esp:
  state: /var/lib/sluice/esp.state
  peers:
    - address: 198.51.100.11
      out: { spi: 0x1000, key: 0x1111111111111111111111111111111111111111 }
      in: { spi: 0x2000, key: 0x2222222222222222222222222222222222222222 }
)";

config::Config parsed(const std::string& yaml) {
  auto loaded = config::load_text(yaml, "test.yaml");
  EXPECT_TRUE(loaded) << config::text(loaded.error());
  return loaded.value_or(config::Config{});
}
std::string with(std::string_view from, std::string_view to) {
  std::string yaml = kBase;
  const std::size_t at = yaml.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return yaml.replace(at, from.size(), to);
}
std::string without_esp() {
  std::string yaml = with("mode: esp", "mode: ipip");
  return yaml.erase(yaml.find("esp:\n"));
}

TEST(TakeOver, TheSameFileLeavesNothing) {
  const auto taken = take_over(parsed(kBase), parsed(kBase));
  ASSERT_TRUE(taken);
  EXPECT_THAT(taken->left, IsEmpty());
}

TEST(TakeOver, KeysAndPeers) {
  const std::string yaml =
      with("      in:", R"(      in: { spi: 0x3000, key: 0x3333333333333333333333333333333333333333 }
    - address: 198.51.100.12
      out: { spi: 0x4000, key: 0x4444444444444444444444444444444444444444 }
      in:)");
  const auto taken = take_over(parsed(kBase), parsed(yaml));
  ASSERT_TRUE(taken);
  EXPECT_THAT(taken->left, IsEmpty());
  ASSERT_EQ(taken->config->esp.peers.size(), 2u);
  EXPECT_EQ(taken->config->esp.peers[0].in[0].spi, 0x3000u);
}

TEST(TakeOver, WhichListsThereAre) {
  std::string yaml = with("deny: /a.txt", "allow: [/b.txt, /c.txt]");
  yaml += "defence: { deny: /d.txt }\n";
  const auto taken = take_over(parsed(kBase), parsed(yaml));
  ASSERT_TRUE(taken);
  EXPECT_THAT(taken->left, IsEmpty());
  EXPECT_THAT(taken->config->services[1].access.allow, ElementsAre("/b.txt", "/c.txt"));
  EXPECT_THAT(taken->config->services[1].access.deny, IsEmpty());
  EXPECT_THAT(taken->config->defence.access.deny, ElementsAre("/d.txt"));
}

// Sections are compared by the table that reads them, so none can be forgotten; a row for each, lest one always differs or never.
TEST(TakeOver, WhatElseChangesIsNamed) {
  struct Row {
    std::string_view from, to;
    const char* section;
  };
  const Row rows[] = {
      {"workers: [0, 0]", "workers: [0]", "runtime"},
      {"gateway: 198.51.100.1", "gateway: 198.51.100.1, mtu: 1400", "interfaces"},
      {"pools:", "neighbors: { interface: edge, address: 198.51.100.1, mac: '02:00:00:00:00:01' }\npools:",
       "neighbors"},
      {"pools:", "routes: [ { prefix: 192.0.2.0/24, via: 198.51.100.3 } ]\npools:", "routes"},
      {"pools:", "fragments: { packets: 100 }\npools:", "fragments"},
      {"address: 198.51.100.12, port: 80", "address: 198.51.100.12, port: 81", "pools"},
      {"203.0.113.11:80", "203.0.113.11:81", "services"},
      {"/var/lib/sluice/esp.state", "/var/lib/sluice/other.state", "esp"},
      {"pools:", "cache: { memory: 1MiB, object_limit: 1MiB }\npools:", "cache"},
      {"pools:", "defence: { bogons: true }\npools:", "defence"},
      {"pools:", "admin: { socket: off }\npools:", "admin"},
      {"pools:", "log: { level: error }\npools:", "log"},
      {"pools:", "upstream: { source: 198.51.100.9 }\npools:", "upstream"},
  };
  for (const Row& row : rows) {
    const auto taken = take_over(parsed(kBase), parsed(with(row.from, row.to)));
    ASSERT_TRUE(taken) << row.section << ": " << taken.error().message;
    EXPECT_THAT(taken->left, ElementsAre(row.section));
  }
}

TEST(TakeOver, ServicesAreFoundByName) {
  std::string yaml =
      with("  plain: { listen",
           "  fresh: { listen: \"203.0.113.12:80\", deny: /x.txt, forward: { mode: nat, pool: plain } }\n"
           "  plain: { listen");
  yaml.replace(yaml.find("/a.txt"), 6, "/b.txt");
  const auto taken = take_over(parsed(kBase), parsed(yaml));
  ASSERT_TRUE(taken);
  EXPECT_THAT(taken->left, ElementsAre("services"));
  ASSERT_EQ(taken->config->services.size(), 2u);
  EXPECT_THAT(taken->config->services[1].access.deny, ElementsAre("/b.txt"));
}

TEST(TakeOver, TheFirstPeerAndTheFirstListNeedARestart) {
  std::string bare = without_esp();
  bare.erase(bare.find("deny: /a.txt, "), 14);
  auto taken = take_over(parsed(bare), parsed(without_esp()));
  ASSERT_TRUE(taken);
  EXPECT_THAT(taken->left, ElementsAre("services"));
  EXPECT_TRUE(taken->config->services[1].access.empty());

  taken = take_over(parsed(without_esp()), parsed(with("mode: esp", "mode: ipip")));
  ASSERT_TRUE(taken);
  EXPECT_THAT(taken->left, ElementsAre("esp"));
  EXPECT_THAT(taken->config->esp.peers, IsEmpty());
}

TEST(TakeOver, WhatDoesNotGoWithTheRestIsRefused) {
  struct Row {
    const char* name;
    std::string yaml;
    const char* error;
  };
  const std::string other_backend = [] {
    std::string yaml = with("198.51.100.11", "198.51.100.13");
    return yaml.replace(yaml.rfind("198.51.100.11"), 13, "198.51.100.13");
  }();
  const std::string fewer_workers = [] {
    std::string yaml = with("[0, 0]", "[0]");
    return yaml.replace(yaml.find("0x1000"), 6, "0xffffffff");
  }();
  const std::string swapped = [] {
    std::string yaml = with("0x1111111111111111111111111111111111111111", "0x2222222222222222222222222222222222222222");
    return yaml.replace(yaml.rfind("0x2222222222222222222222222222222222222222"), 42,
                        "0x5555555555555555555555555555555555555555");
  }();
  const Row rows[] = {
      {"a backend that stays has no peer", other_backend,
       "test.yaml: esp.peers: none has 198.51.100.11, and backend web1 of pool web has it until a restart"},
      {"there are more workers than the file says", fewer_workers,
       "test.yaml: esp.peers[0].out.spi: 0xffffffff leaves no SPI for each of the 2 workers behind it"},
      {"a peer's key becomes ours", swapped,
       "test.yaml: esp.peers[0].out: has the key that 'in' of peer 198.51.100.11 has had so far; IVs would come twice "
       "under it"},
      {"our key becomes a peer's",
       [] {
         std::string yaml =
             with("0x2222222222222222222222222222222222222222", "0x1111111111111111111111111111111111111111");
         return yaml.replace(yaml.find("0x1111111111111111111111111111111111111111"), 42,
                             "0x5555555555555555555555555555555555555555");
       }(),
       "test.yaml: esp.peers[0].in[0]: has the key that 'out' of peer 198.51.100.11 has had so far; IVs would come "
       "twice under it"},
  };
  for (const Row& row : rows) {
    const auto taken = take_over(parsed(kBase), parsed(row.yaml));
    ASSERT_FALSE(taken) << row.name;
    EXPECT_EQ(taken.error().message, row.error);
  }
}

}  // namespace
}  // namespace sluice::control
