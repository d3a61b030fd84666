#include "sluice/dataplane/neighbors.h"

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

namespace sluice::dataplane {
namespace {

net::IpAddress ip4(std::uint32_t host) { return net::IpAddress::v4(Be32(host)); }
net::MacAddress mac(std::uint8_t last) { return {{2, 0, 0, 0, 0, last}}; }

TEST(Neighbors, AnEntryGoesThroughItsStates) {
  Neighbors table(64);
  EXPECT_EQ(table.find(0, ip4(0xc6336401)).state, NeighborState::kFree);
  const std::size_t slot = table.insert(0, ip4(0xc6336401));
  EXPECT_EQ(table.find(0, ip4(0xc6336401)).state, NeighborState::kIncomplete);
  EXPECT_FALSE(table.find(0, ip4(0xc6336401)).usable());
  table.set(slot, NeighborState::kReachable, mac(7));
  const NeighborView view = table.find(0, ip4(0xc6336401));
  EXPECT_TRUE(view.usable());
  EXPECT_EQ(view.mac, mac(7));
  EXPECT_EQ(table.slot_of(0, ip4(0xc6336401)), slot);
  EXPECT_EQ(table.address_of(slot), ip4(0xc6336401));
  table.erase(slot);
  EXPECT_EQ(table.find(0, ip4(0xc6336401)).state, NeighborState::kFree);
  EXPECT_EQ(table.size(), 0u);
}

TEST(Neighbors, TheSameAddressOnTwoInterfacesIsTwoNeighbours) {
  Neighbors table(64);
  const net::IpAddress address = *net::IpAddress::parse("fe80::1");
  table.set(table.insert(0, address), NeighborState::kReachable, mac(1));
  table.set(table.insert(1, address), NeighborState::kReachable, mac(2));
  EXPECT_EQ(table.find(0, address).mac, mac(1));
  EXPECT_EQ(table.find(1, address).mac, mac(2));
}

TEST(Neighbors, NeighbouringAddressesSpread) {
  // A /20 of clients and a /64's first hosts each fill half of the table without a miss.
  for (const char* base : {"198.51.96.0", "2001:db8::"}) {
    Neighbors table(8192);
    auto bytes = net::IpAddress::parse(base)->bytes();
    for (std::uint32_t i = 0; i < 4096; ++i) {
      bytes[14] = static_cast<std::uint8_t>((net::IpAddress::parse(base)->bytes()[14] & 0xf0u) | i >> 8);
      bytes[15] = static_cast<std::uint8_t>(i);
      ASSERT_NE(table.insert(0, net::IpAddress::v6(bytes)), Neighbors::kNone) << base << " " << i;
    }
  }
}

TEST(Neighbors, KnowsWhoGivesWayWhenItIsFull) {
  Neighbors table(64);
  std::uint32_t host = 0xc0000200;
  while (table.insert(0, ip4(host)) != Neighbors::kNone) ++host;
  const std::size_t asked = table.expendable_near(0, ip4(host));
  ASSERT_NE(asked, Neighbors::kNone);
  EXPECT_EQ(table.view(asked).state, NeighborState::kIncomplete);
  for (std::uint32_t i = 0xc0000200; i < host; ++i) {
    table.set(table.slot_of(0, ip4(i)), NeighborState::kReachable, mac(1));
  }
  EXPECT_EQ(table.expendable_near(0, ip4(host)), Neighbors::kNone);  // who answered stays
  (void)table.take_used(asked);
  EXPECT_EQ(table.expendable_near(0, ip4(host)), asked);  // but for one that nobody has sent to
  table.set(asked, NeighborState::kFailed, {});
  EXPECT_EQ(table.expendable_near(0, ip4(host)), asked);
  table.erase(asked);
  EXPECT_EQ(table.insert(0, ip4(host)), asked);
}

TEST(Neighbors, WhatIsNeededTakesThePlaceOfTheOldestAndKeepsItsOwn) {
  Neighbors table(64);
  std::uint32_t host = 0xc0000200;
  for (std::size_t slot; (slot = table.insert(0, ip4(host))) != Neighbors::kNone; ++host)
    table.set(slot, NeighborState::kReachable, mac(1));
  EXPECT_EQ(table.expendable_near(0, ip4(host)), Neighbors::kNone);
  const std::size_t oldest = table.expendable_near(0, ip4(host), true);
  ASSERT_NE(oldest, Neighbors::kNone);
  table.set(oldest, NeighborState::kReachable, mac(1));  // confirmed again
  const std::size_t second = table.expendable_near(0, ip4(host), true);
  EXPECT_NE(second, oldest);
  EXPECT_EQ(table.expendable_near(1, ip4(host), true, Neighbors::Among::kThisInterface), Neighbors::kNone);

  // Of two that nobody has sent to, the one that was confirmed longest ago.
  (void)table.take_used(oldest);
  EXPECT_EQ(table.expendable_near(0, ip4(host)), oldest);
  (void)table.take_used(second);
  EXPECT_EQ(table.expendable_near(0, ip4(host)), second);

  table.erase(second);
  ASSERT_EQ(table.insert(0, ip4(host), true), second);
  table.set(second, NeighborState::kFailed, {});
  EXPECT_EQ(table.expendable_near(0, ip4(host)), oldest);
}

TEST(Neighbors, SaysWhenItIsFullAndKeepsWhatItHas) {
  Neighbors table(64);
  std::size_t inserted = 0;
  for (std::uint32_t i = 0; i < 200; ++i)
    inserted += table.insert(0, ip4(0xc0000200 + i)) != Neighbors::kNone ? 1u : 0u;
  EXPECT_LE(inserted, 64u);
  EXPECT_GE(inserted, 32u);
  EXPECT_EQ(table.size(), inserted);
  EXPECT_EQ(table.find(0, ip4(0xc0000200)).state, NeighborState::kIncomplete);
}

TEST(Neighbors, RemembersThatAnEntryWasUsed) {
  Neighbors table(64);
  const std::size_t slot = table.insert(0, ip4(0xc6336401));
  EXPECT_TRUE(table.take_used(slot));  // it was made because somebody asked
  EXPECT_FALSE(table.take_used(slot));
  (void)table.find(0, ip4(0xc6336401));
  EXPECT_TRUE(table.take_used(slot));
}

// A reader never gets the MAC of an address that it did not ask for, while the slot changes hands.
TEST(Neighbors, AReaderSeesNoMixture) {
  Neighbors table(64);
  const net::IpAddress a = ip4(0xc6336401), b = ip4(0xc6336402);
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::thread reader([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      const NeighborView of_a = table.find(0, a), of_b = table.find(0, b);
      if (of_a.usable() && of_a.mac != mac(1)) ++wrong;
      if (of_b.usable() && of_b.mac != mac(2)) ++wrong;
    }
  });
  for (int round = 0; round < 20'000; ++round) {
    const std::size_t slot = table.insert(0, (round & 1) != 0 ? a : b);
    table.set(slot, NeighborState::kReachable, mac((round & 1) != 0 ? 1 : 2));
    table.erase(slot);
  }
  stop = true;
  reader.join();
  EXPECT_EQ(wrong.load(), 0);
}

}  // namespace
}  // namespace sluice::dataplane
