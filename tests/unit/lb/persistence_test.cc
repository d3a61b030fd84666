#include "sluice/lb/persistence.h"

#include <gtest/gtest.h>

namespace sluice::lb {
namespace {

constexpr BackendId kNobody{};
constexpr BackendId kWeb1{7, 1}, kWeb2{8, 1};

net::IpAddress client(std::uint32_t number) { return net::IpAddress::v4(Be32(0xc0000200 + number)); }
Ms at(std::uint32_t ms) { return static_cast<Ms>(ms); }

class PersistenceTest : public testing::Test {
 protected:
  telemetry::Counter evicted_;
  Persistence table_{64, {1, 2, 3, 4}, evicted_};
};

TEST_F(PersistenceTest, AClientIsKnownUntilItHasBeenAwayTooLong) {
  EXPECT_EQ(table_.find(client(1), 0, 1000, at(0)), kNobody);
  table_.remember(client(1), 0, kWeb1, 1000, at(0));
  EXPECT_EQ(table_.find(client(1), 0, 1000, at(1000)), kWeb1);
  EXPECT_EQ(table_.find(client(1), 0, 1000, at(1001)), kNobody);
  table_.remember(client(1), 0, kWeb1, 1000, at(900));
  EXPECT_EQ(table_.find(client(1), 0, 1000, at(1900)), kWeb1);
}

TEST_F(PersistenceTest, ServicesAndClientsAreApart) {
  table_.remember(client(1), 0, kWeb1, 1000, at(0));
  table_.remember(client(1), 1, kWeb2, 1000, at(0));
  EXPECT_EQ(table_.find(client(1), 0, 1000, at(1)), kWeb1);
  EXPECT_EQ(table_.find(client(1), 1, 1000, at(1)), kWeb2);
  EXPECT_EQ(table_.find(client(2), 0, 1000, at(1)), kNobody);
}

TEST_F(PersistenceTest, TheLastWordHolds) {
  table_.remember(client(1), 0, kWeb1, 1000, at(0));
  table_.remember(client(1), 0, kWeb2, 1000, at(1));
  EXPECT_EQ(table_.find(client(1), 0, 1000, at(2)), kWeb2);
  EXPECT_EQ(evicted_.read(), 0u);
}

TEST_F(PersistenceTest, AFullSetForgetsWhoHasBeenAwayLongest) {
  for (std::uint32_t i = 0; i < 1000; ++i) table_.remember(client(i), 0, kWeb1, 10'000, at(i));
  EXPECT_EQ(table_.find(client(999), 0, 10'000, at(1000)), kWeb1);
  EXPECT_EQ(table_.find(client(0), 0, 10'000, at(1000)), kNobody);
  std::size_t known = 0;
  for (std::uint32_t i = 0; i < 1000; ++i) known += table_.find(client(i), 0, 10'000, at(1000)) == kWeb1;
  EXPECT_EQ(known, 64u);
  EXPECT_EQ(evicted_.read(), 1000u - 64);
}

TEST_F(PersistenceTest, WhoHasBeenAwayTooLongIsNoLoss) {
  for (std::uint32_t i = 0; i < 1000; ++i) table_.remember(client(i), 0, kWeb1, 10, at(i * 1000));
  EXPECT_EQ(evicted_.read(), 0u);
}

TEST(Persistence, WithoutRoomNothingIsRemembered) {
  telemetry::Counter evicted;
  Persistence table(0, {1, 2, 3, 4}, evicted);
  table.remember(client(1), 0, kWeb1, 1000, at(0));
  EXPECT_EQ(table.find(client(1), 0, 1000, at(0)), kNobody);
}

}  // namespace
}  // namespace sluice::lb
