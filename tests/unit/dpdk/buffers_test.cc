// The packet pool, the rings between CPUs, and reclamation.
#include <array>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "sluice/dpdk/eal.h"
#include "sluice/dpdk/mempool.h"
#include "sluice/dpdk/qsbr.h"
#include "sluice/dpdk/ring.h"

namespace sluice::dpdk {
namespace {

TEST(Mempool, CountsWhatIsInUse) {
  Result<Mempool> pool = Mempool::create({.name = "count", .mbufs = 511, .cache = 0, .mtu = 1500});
  ASSERT_TRUE(pool.has_value()) << pool.error().message;
  EXPECT_EQ(pool->size(), 511u);
  EXPECT_GE(pool->room(), 1514u);
  rte_mbuf* mbuf = pool->alloc();
  ASSERT_NE(mbuf, nullptr);
  EXPECT_EQ(pool->in_use(), 1u);
  rte_pktmbuf_free(mbuf);
  EXPECT_EQ(pool->in_use(), 0u);
}

TEST(Mempool, HoldsAPacketOfTheMtuInOneBuffer) {
  Result<Mempool> pool = Mempool::create({.name = "jumbo", .mbufs = 63, .cache = 0, .mtu = 9000});
  ASSERT_TRUE(pool.has_value()) << pool.error().message;
  EXPECT_GE(pool->room(), 9014u);
}

TEST(Mempool, SaysWhatItCouldNotHave) {
  const Result<Mempool> pool = Mempool::create({.name = "huge", .mbufs = 10'000'000, .cache = 0, .mtu = 1500});
  ASSERT_FALSE(pool.has_value());
  EXPECT_NE(pool.error().message.find("10000000"), std::string::npos) << pool.error().message;
}

TEST(MbufsFor, IsBoundedByMemory) {
  EXPECT_EQ(mbufs_for(std::size_t{4} << 30, 1500, 8192, 4096, 2), 16383u);
  const std::uint32_t tight = mbufs_for(std::size_t{64} << 20, 1500, 1 << 20, 0, 2);
  EXPECT_LT(std::size_t{tight} * 2048, std::size_t{64} << 20);
  EXPECT_GE(tight, 512u);
}

class RingTest : public ::testing::Test {
 protected:
  Mempool pool_ = *Mempool::create({.name = "ring", .mbufs = 255, .cache = 0, .mtu = 1500});
  std::vector<rte_mbuf*> some(std::size_t count) {
    std::vector<rte_mbuf*> mbufs(count);
    for (rte_mbuf*& mbuf : mbufs) mbuf = pool_.alloc();
    return mbufs;
  }
};

TEST_F(RingTest, KeepsOrderAndTakesNoMoreThanItHolds) {
  MbufRing ring = *MbufRing::create("order", 7);
  const std::vector<rte_mbuf*> in = some(10);
  EXPECT_EQ(ring.send(in), 7u);
  std::array<rte_mbuf*, 16> out{};
  ASSERT_EQ(ring.receive(out), 7u);
  for (std::size_t i = 0; i < 7; ++i) EXPECT_EQ(out[i], in[i]);
  EXPECT_TRUE(ring.empty());
  for (rte_mbuf* mbuf : in) rte_pktmbuf_free(mbuf);
  EXPECT_EQ(pool_.in_use(), 0u);
}

TEST_F(RingTest, FreesWhatIsLeftInIt) {
  {
    MbufRing ring = *MbufRing::create("left", 64);
    ASSERT_EQ(ring.send(some(40)), 40u);
    EXPECT_EQ(pool_.in_use(), 40u);
  }
  EXPECT_EQ(pool_.in_use(), 0u);
}

TEST_F(RingTest, TwoSendersLoseNothing) {
  MbufRing ring = *MbufRing::create("two", 255);
  constexpr std::size_t kRounds = 2000;
  rte_mbuf* token = pool_.alloc();
  const auto sender = [&] {
    for (std::size_t sent = 0; sent < kRounds;) sent += ring.send({&token, 1});
  };
  std::thread a(sender), b(sender);
  std::size_t got = 0;
  std::array<rte_mbuf*, 32> out{};
  while (got < 2 * kRounds) got += ring.receive(out);
  a.join();
  b.join();
  EXPECT_EQ(got, 2 * kRounds);
  EXPECT_TRUE(ring.empty());
  rte_pktmbuf_free(token);
}

TEST(Qsbr, WaitsForEveryReaderThatIsOnline) {
  Qsbr qsbr = *Qsbr::create();
  qsbr.add(1);
  qsbr.add(2);
  qsbr.online(1);
  const std::uint64_t token = qsbr.start();
  EXPECT_FALSE(qsbr.passed(token));
  qsbr.quiescent(1);
  EXPECT_TRUE(qsbr.passed(token));  // 2 is offline and delays nobody
  qsbr.online(2);
  const std::uint64_t next = qsbr.start();
  qsbr.quiescent(1);
  EXPECT_FALSE(qsbr.passed(next));
  qsbr.offline(2);
  EXPECT_TRUE(qsbr.passed(next));
  qsbr.remove(1);
  qsbr.remove(2);
}

}  // namespace
}  // namespace sluice::dpdk
