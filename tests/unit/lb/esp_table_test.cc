// Security associations over snapshots: what stays, what goes on behind where it was, and that no IV comes twice.
#include "sluice/lb/esp_table.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "sluice/lb/build_snapshot.h"

namespace sluice::lb {
namespace {

using Key = std::vector<std::uint8_t>;

Key key(std::uint8_t of) { return Key(20, of); }
net::IpAddress ip(const char* text) { return *net::IpAddress::parse(text); }

config::Config with(std::vector<config::EspPeer> peers) {
  config::Config config;
  config.runtime.workers = {0, 1};
  config.interfaces.emplace_back().name = "edge";
  config.interfaces[0].addresses = {*net::Prefix::parse("198.51.100.2/24")};
  config.pools.emplace_back().name = "web";
  for (const char* where : {"198.51.100.11:80", "198.51.100.12:80", "198.51.100.11:443"}) {
    config.pools[0].backends.push_back({.name = where, .endpoint = *net::Endpoint::parse(where)});
  }
  config.esp.peers = std::move(peers);
  return config;
}

config::EspSa sa(std::uint32_t spi, Key of, bool extended = false) {
  return {.spi = spi, .key = std::move(of), .key_file = {}, .extended = extended};
}
config::EspPeer peer(config::EspSa out, std::vector<config::EspSa> in = {}) {
  return {.address = ip("198.51.100.11"), .out = std::move(out), .in = std::move(in)};
}

std::shared_ptr<const Snapshot> build(const config::Config& config, const Snapshot* previous = nullptr) {
  const HealthBoard health;
  auto built = build_snapshot(std::make_shared<const config::Config>(config), health, previous);
  EXPECT_TRUE(built) << built.error().message;
  return *built;
}

TEST(EspTable, LeadsFromABackendToItsAssociation) {
  const auto snapshot = build(with({peer(sa(0x1000, key(1)))}));
  ASSERT_EQ(snapshot->esp.outbound.size(), 3u);
  EXPECT_EQ(snapshot->esp.outbound[0], snapshot->esp.peers[0].out.get());
  EXPECT_EQ(snapshot->esp.outbound[1], nullptr);
  EXPECT_EQ(snapshot->esp.outbound[2], snapshot->esp.outbound[0]) << "another port of the same machine";
}

TEST(EspTable, IsEmptyWithoutPeers) {
  const auto snapshot = build(with({}));
  EXPECT_TRUE(snapshot->esp.outbound.empty());
  EXPECT_EQ(snapshot->esp.keys, nullptr);
}

TEST(EspTable, FindsInboundBySpi) {
  const auto snapshot = build(with({peer(sa(0x1000, key(1)), {sa(0x2001, key(3)), sa(0x2000, key(2))})}));
  ASSERT_NE(snapshot->esp.find_inbound(0x2000), nullptr);
  EXPECT_EQ(snapshot->esp.find_inbound(0x2000)->sa->spi, 0x2000u);
  EXPECT_EQ(snapshot->esp.find_inbound(0x2001)->sa->spi, 0x2001u);
  EXPECT_EQ(snapshot->esp.find_inbound(0x2000)->peer, ip("198.51.100.11"));
  EXPECT_EQ(snapshot->esp.find_inbound(0x1000), nullptr);
  EXPECT_EQ(snapshot->esp.find_inbound(0x2002), nullptr);
}

TEST(EspTable, WhatStaysTheSameGoesOnAsItIs) {
  const auto config = with({peer(sa(0x1000, key(1)), {sa(0x2000, key(2))})});
  const auto first = build(config);
  const auto second = build(config, first.get());
  EXPECT_EQ(second->esp.peers[0].out, first->esp.peers[0].out);
  EXPECT_EQ(second->esp.peers[0].in[0], first->esp.peers[0].in[0]);
  EXPECT_EQ(second->esp.keys, first->esp.keys);
}

TEST(EspTable, ANewKeyIsANewAssociationWhileTheOldOneIsStillTaken) {
  const auto first = build(with({peer(sa(0x1000, key(1)), {sa(0x2000, key(2))})}));
  EXPECT_EQ(first->esp.peers[0].out->use->take(0, esp::kMaxSequence), 1u);
  const auto second = build(with({peer(sa(0x1100, key(5)), {sa(0x2100, key(6)), sa(0x2000, key(2))})}), first.get());
  EXPECT_EQ(second->esp.outbound[0]->spi, 0x1100u);
  EXPECT_EQ(second->esp.outbound[0]->use->take(0, esp::kMaxSequence), 1u);
  EXPECT_EQ(second->esp.find_inbound(0x2000)->sa, first->esp.find_inbound(0x2000)->sa) << "with its window";
  EXPECT_NE(second->esp.find_inbound(0x2100), nullptr);
  const auto third = build(with({peer(sa(0x1100, key(5)), {sa(0x2100, key(6))})}), second.get());
  EXPECT_EQ(third->esp.find_inbound(0x2000), nullptr);
}

// Whatever becomes of the rest of an association: under one key the numbers go on, or an IV would come twice.
TEST(EspTable, AKeyThatIsUsedAgainGoesOnBehindItsNumbers) {
  const auto first = build(with({peer(sa(0x1000, key(1)))}));
  for (std::uint64_t i = 1; i <= 5; ++i) EXPECT_EQ(first->esp.peers[0].out->use->take(0, esp::kMaxSequence), i);
  const auto other = build(with({peer(sa(0x1000, key(9)))}), first.get());
  const auto none = build(with({}), other.get());
  struct Row {
    const char* name;
    config::EspSa sa;
  };
  std::uint64_t next = 6;
  for (const Row& row : {Row{"taken back", sa(0x1000, key(1))}, Row{"with another SPI", sa(0x3000, key(1))},
                         Row{"with extended numbers", sa(0x1000, key(1), true)}}) {
    const auto again = build(with({peer(row.sa)}), none.get());
    EXPECT_EQ(again->esp.peers[0].out->use->take(0, esp::kMaxSequence), next++) << row.name;
  }
}

TEST(EspTable, APeerThatIsGoneLeavesItsBackendWithoutAnAssociation) {
  const auto first = build(with({peer(sa(0x1000, key(1)))}));
  auto config = with({peer(sa(0x1000, key(1)))});
  config.esp.peers[0].address = ip("198.51.100.12");
  const auto second = build(config, first.get());
  EXPECT_EQ(second->esp.outbound[0], nullptr);
  EXPECT_EQ(second->esp.outbound[1], second->esp.peers[0].out.get());
}

}  // namespace
}  // namespace sluice::lb
