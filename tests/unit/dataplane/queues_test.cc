// How packets go from role to role, and out: Inbox, Handoff, Tx.
#include <array>

#include <gtest/gtest.h>

#include "sluice/dataplane/handoff.h"
#include "sluice/dataplane/memory_device.h"
#include "sluice/dataplane/tx.h"
#include "sluice/dpdk/mempool.h"

namespace sluice::dataplane {
namespace {

using telemetry::Drop;

constexpr net::MacAddress kMac{{2, 0, 0, 0, 0, 1}};

class Queues : public ::testing::Test {
 protected:
  ~Queues() override { EXPECT_EQ(pool_.in_use(), 0u); }

  rte_mbuf* packet(std::uint16_t bytes = 60) {
    rte_mbuf* mbuf = pool_.alloc();
    rte_pktmbuf_append(mbuf, bytes);
    return mbuf;
  }
  std::uint64_t dropped(Drop reason) { return drops_[static_cast<std::size_t>(reason)].read(); }

  dpdk::Mempool pool_ = *dpdk::Mempool::create({.name = "queues", .mbufs = 2047, .cache = 0, .mtu = 1500});
  DropCounters drops_;
};

TEST_F(Queues, AnInboxKeepsOrderOnBothWays) {
  for (const unsigned from : {0u, 1u}) {  // the same CPU, another
    auto inbox = *Inbox::create("inbox", 0, 64);
    std::array<rte_mbuf*, 3> in{packet(), packet(), packet()};
    EXPECT_EQ(inbox->send(from, in), 3u);
    std::array<rte_mbuf*, 8> out{};
    ASSERT_EQ(inbox->receive(out), 3u);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(out[i], in[i]);
    rte_pktmbuf_free_bulk(out.data(), 3);
  }
}

TEST_F(Queues, AFullInboxIsCountedAndFreesWhatItCannotTake) {
  for (const unsigned from : {0u, 1u}) {
    auto inbox = *Inbox::create("inbox", 0, 64);
    Handoff handoff(from, {inbox.get()});
    std::size_t lost = 0;
    for (int i = 0; i < 200; ++i) lost += handoff.give(0, packet());
    lost += handoff.flush();
    EXPECT_GE(lost, 200u - 128u);
    EXPECT_EQ(pool_.in_use(), 200u - lost);
  }  // the inbox frees what nobody has taken
}

TEST_F(Queues, TxSendsWhatIsQueued) {
  MemoryDevice device(kMac);
  Tx tx({{.device = &device}}, drops_);
  for (int i = 0; i < 40; ++i) tx.queue(0, packet());
  EXPECT_TRUE(tx.flush());
  EXPECT_FALSE(tx.flush());
  EXPECT_EQ(device.stats().tx_packets, 40u);
}

TEST_F(Queues, TxKeepsWhatTheDeviceRefusesAndCountsWhatIsTooMuch) {
  MemoryDevice device(kMac);
  device.refuse_sends_after(10);
  Tx tx({{.device = &device}}, drops_);
  for (std::size_t i = 0; i < Tx::kBacklog + 20; ++i) tx.queue(0, packet());
  EXPECT_EQ(dropped(Drop::kTxFull), 10u);  // ten were sent, the backlog is full
  tx.flush();
  EXPECT_EQ(device.stats().tx_packets, 10u);
  device.refuse_sends_after(~std::size_t{0});
  tx.flush();
  EXPECT_EQ(device.stats().tx_packets, 10u + Tx::kBacklog);
}

TEST_F(Queues, ACpuWithoutAQueueSendsThroughOneThatHasIt) {
  MemoryDevice device(kMac);
  dpdk::MbufRing ring = *dpdk::MbufRing::create("tx", 64);
  Tx without({{.to_owner = &ring}}, drops_);
  Tx owner({{.device = &device, .from_others = &ring}}, drops_);
  without.queue(0, packet());
  EXPECT_TRUE(without.flush());
  EXPECT_EQ(device.stats().tx_packets, 0u);
  EXPECT_TRUE(owner.flush());
  EXPECT_EQ(device.stats().tx_packets, 1u);
}

TEST_F(Queues, ChainedPacketsAreMadeOnePieceForADeviceThatNeedsIt) {
  for (const bool takes_chains : {false, true}) {
    MemoryDevice device(kMac);
    Tx tx({{.device = &device, .multi_segment = takes_chains}}, drops_);
    rte_mbuf* head = packet(100);
    rte_pktmbuf_chain(head, packet(50));
    tx.queue(0, head);
    tx.flush();
    const std::vector<rte_mbuf*> sent = device.take_sent();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0]->nb_segs, takes_chains ? 2 : 1);
    EXPECT_EQ(rte_pktmbuf_pkt_len(sent[0]), 150u);
    rte_pktmbuf_free(sent[0]);
  }
}

}  // namespace
}  // namespace sluice::dataplane
