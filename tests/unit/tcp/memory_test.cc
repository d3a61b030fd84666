// Memory that runs short: windows shrink, new connections are refused, old ones go on. Tested at the borders, in blocks.
#include <algorithm>

#include "victim.h"

namespace sluice::tcp::test {
namespace {

constexpr std::uint32_t kBlock = 4096;

StackConfig with_blocks(std::uint32_t blocks) {
  StackConfig config;
  config.max_connections = 1024;
  config.max_time_wait = 16;
  config.buffer_memory = std::size_t{blocks} * kBlock;
  config.rx_buffer = 64 << 10;
  config.tx_buffer = 512 << 10;
  config.secret = {7, 8};
  return config;
}

std::uint32_t blocks(std::size_t bytes) { return static_cast<std::uint32_t>(bytes / kBlock); }

std::uint32_t available(const Victim& victim, std::uint32_t size) {
  const StackStats& stats = victim.stack.stats();
  return size - blocks(stats.buffer_bytes) - blocks(stats.promised_bytes);
}

// Eight blocks, four once an eighth is promised, two after a quarter, one after a half; none at seven eighths, but for
// connections that we open.
TEST(Memory, WindowsShrinkWithWhatIsPromised) {
  for (const std::uint32_t size : {16u, 64u, 100u, 1000u}) {
    Victim victim({}, with_blocks(size));
    std::uint32_t promised = 0, connections = 0;
    for (;;) {
      std::uint32_t want = promised > size / 2 ? 1 : promised > size / 4 ? 2 : promised > size / 8 ? 4 : 8;
      if (promised + want > size / 8 * 7) break;
      ASSERT_TRUE(victim.connect(source(connections++))) << size << ": " << promised;
      promised += want;
      ASSERT_EQ(blocks(victim.stack.stats().promised_bytes), promised) << size;
    }
    EXPECT_FALSE(victim.connect(source(9999))) << size;
    EXPECT_EQ(victim.stack.stats().no_memory, 1u);
    EXPECT_EQ(victim.stack.stats().connections, connections);
    EXPECT_NE(victim.stack.connect({kServer.address, 50'000}, kClient, victim, victim.now, ms(500)), nullptr) << size;
    // Two go, one may come.
    victim.conns.back()->abort();
    victim.conns.front()->abort();
    (void)victim.turn();
    EXPECT_TRUE(victim.connect(source(9999))) << size;
  }
}

// Readers that take nothing: each gets less as memory goes, and half of the reserve, a sixteenth of all, is left to those
// that are there already and hold nothing.
TEST(Memory, WritersLeaveTheReserveToOthers) {
  constexpr std::uint32_t kSize = 1024, kReserve = kSize / 8;
  Victim victim({}, with_blocks(kSize));
  const std::vector<std::uint8_t> all(1 << 20);
  ASSERT_TRUE(victim.connect(kClient));
  Conn* quiet = victim.conns[0];
  std::uint32_t connected = 0;
  while (connected < 1000 && victim.connect(source(connected))) {
    ++connected;
    const std::uint32_t before = available(victim, kSize);
    const std::size_t taken = victim.conns.back()->write(all);
    const std::uint32_t most = before > kReserve + 16 * 16 ? 16 : before > kReserve / 2 ? 16 : 1;
    EXPECT_LE(taken, std::size_t{most} * kBlock);
    if (before <= kReserve) {
      EXPECT_LE(taken, std::size_t{4} * kBlock);
    }
    EXPECT_GT(taken, 0u) << connected;
    (void)victim.turn();
  }
  EXPECT_GT(connected, 40u);
  EXPECT_GT(victim.stack.stats().no_memory, 0u) << "new ones are refused";
  EXPECT_LE(available(victim, kSize), kReserve / 2 + 1);
  EXPECT_GT(available(victim, kSize), 0u);
  for (Conn* conn : victim.conns) {
    if (conn != quiet) (void)conn->write(all);
  }
  EXPECT_GT(available(victim, kSize), kReserve / 4) << "those who have a block get no second one";
  EXPECT_EQ(quiet->write(all), kBlock) << "who was quiet gets one";
  // Some readers go: there is room again for new ones and for more.
  for (int i = 0; i < 20; ++i) {
    victim.conns.back()->abort();
    victim.conns.pop_back();
  }
  (void)victim.turn();
  EXPECT_TRUE(victim.connect(source(5000)));
  EXPECT_GE(victim.conns.back()->write(all), 4 * kBlock);
}

// A receiver's window under pressure: what is used up is not opened again, and no edge moves back; when memory is there again
// it grows as before.
TEST(Memory, WindowsCloseUnderPressureAndGrowAgain) {
  constexpr std::uint32_t kSize = 512;
  Victim victim({}, with_blocks(kSize));
  ASSERT_TRUE(victim.connect(kClient));
  Conn* reader = victim.conns[0];
  const Seq ack = victim.ack;
  Seq seq = victim.seq, edge = seq;
  std::uint32_t window = 0;
  const auto send = [&](int segments) {
    for (int i = 0; i < segments; ++i) {
      victim.now += std::chrono::microseconds(20);  // so fast that it needs a large window
      const HeaderFields fields{.seq = seq, .ack = ack, .window = 65535, .flags = kTcpAck, .options = {}};
      std::vector<Packet> answers = victim.turn(segment(kClient, fields, 1024));
      reader->rx_consume(1 << 20);
      for (Packet& more : victim.turn()) answers.push_back(std::move(more));
      for (const Packet& answer : answers) {
        const Segment s = Victim::parsed(answer);
        if (s.tuple.local.port != kClient.port || s.tuple.local.address != kClient.address) continue;
        seq = s.ack;  // what was not taken is sent again
        window = s.window;
        EXPECT_LE(static_cast<std::int32_t>(edge - (s.ack + s.window)), 0) << "the window went back";
        edge = s.ack + s.window;
      }
      if (answers.empty()) seq += 1024;
    }
  };
  send(200);
  EXPECT_GT(window, 40'000u);
  // Connections that take what there is.
  const std::vector<std::uint8_t> all(1 << 20);
  std::uint32_t others = 0;
  while (victim.connect(source(others++))) {
    (void)victim.conns.back()->write(all);
    (void)victim.turn();
  }
  ASSERT_LT(available(victim, kSize), kSize / 8);
  send(200);
  EXPECT_LE(window, 2 * kBlock);
  EXPECT_GT(window, 0u) << "it goes on all the same";
  while (victim.conns.size() > 1) {
    victim.conns.back()->abort();
    victim.conns.pop_back();
  }
  (void)victim.turn();
  send(400);
  EXPECT_GT(window, 40'000u);
  reader->abort();
  (void)victim.turn();
  EXPECT_EQ(victim.stack.stats().buffer_bytes, 0u);
  EXPECT_EQ(victim.stack.stats().promised_bytes, 0u);
}

}  // namespace
}  // namespace sluice::tcp::test
