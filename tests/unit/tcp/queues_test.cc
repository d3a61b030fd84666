// The buffers and tables below a connection, each against a simple model.
#include <algorithm>
#include <deque>
#include <map>
#include <vector>

#include <gtest/gtest.h>

#include "block_pool.h"
#include "rx_queue.h"
#include "sluice/base/random.h"
#include "time_wait.h"
#include "tuple_table.h"
#include "tx_queue.h"

namespace sluice::tcp {
namespace {

TEST(BlockPool, KeepsItsPromises) {
  BlockPool pool(10 * kBlockSize + 100);
  ASSERT_EQ(pool.size(), 10u);
  ASSERT_TRUE(pool.promise(4));
  EXPECT_FALSE(pool.promise(7));
  std::vector<BlockId> taken;
  while (const BlockId id = pool.take()) taken.push_back(id);
  EXPECT_EQ(taken.size(), 6u) << "promised blocks are not given to others";
  for (int i = 0; i < 4; ++i) taken.push_back(pool.redeem());
  EXPECT_EQ(pool.free(), 0u);
  std::ranges::sort(taken);
  EXPECT_EQ(std::ranges::adjacent_find(taken), taken.end()) << "a block was given twice";
  pool.give_and_promise(taken.back());
  taken.pop_back();
  EXPECT_EQ(pool.available(), 0u);
  pool.withdraw(1);
  EXPECT_EQ(pool.available(), 1u);
  for (const BlockId id : taken) pool.give(id);
  EXPECT_EQ(pool.available(), 10u);
}

TEST(TxQueue, MatchesAModel) {
  Random random(3);
  for (int round = 0; round < 300; ++round) {
    BlockPool pool(32 * kBlockSize);
    TxQueue queue;
    std::deque<std::uint8_t> model;  // written and not released
    std::size_t sent = 0;            // of these
    std::size_t released = 0;
    struct Sent {
      std::size_t at, len;  // in the whole stream
      TxCursor start;
    };
    std::vector<Sent> segments;
    std::uint8_t next = 0;
    constexpr std::uint32_t kMost = 8;
    for (int step = 0; step < 200; ++step) {
      switch (random.below(5)) {
        case 0: {
          std::vector<std::uint8_t> bytes(random.below(6000));
          for (std::uint8_t& byte : bytes) byte = next++;
          const std::size_t space = queue.space(pool, kMost);
          const std::size_t taken = queue.append(pool, bytes, kMost);
          ASSERT_EQ(taken, std::min(bytes.size(), space));
          next = static_cast<std::uint8_t>(next - (bytes.size() - taken));
          model.insert(model.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(taken));
          break;
        }
        case 1: {
          const std::span<std::uint8_t> room = queue.reserve(pool, 1 + random.below(5000), kMost);
          const std::size_t used = room.empty() ? 0 : random.below(static_cast<std::uint32_t>(room.size()) + 1);
          for (std::size_t i = 0; i < used; ++i) model.push_back(room[i] = next++);
          queue.commit(pool, used);
          break;
        }
        case 2: {
          std::vector<std::uint8_t> out(std::min<std::size_t>(model.size() - sent, random.below(3000)));
          const TxCursor start = queue.copy_next(pool, out);
          ASSERT_TRUE(std::equal(out.begin(), out.end(), model.begin() + static_cast<std::ptrdiff_t>(sent)));
          if (!out.empty()) segments.push_back({released + sent, out.size(), start});
          sent += out.size();
          break;
        }
        case 3: {
          const std::size_t acked = random.below(static_cast<std::uint32_t>(sent) + 1);
          queue.release(pool, static_cast<std::uint32_t>(acked));
          model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(acked));
          sent -= acked;
          released += acked;
          std::erase_if(segments, [&](const Sent& s) { return s.at < released; });
          break;
        }
        default:
          if (segments.empty()) break;  // anything that was copied can be copied again
          const Sent& s = segments[random.below(static_cast<std::uint32_t>(segments.size()))];
          const std::size_t skip = random.below(static_cast<std::uint32_t>(s.len));
          std::vector<std::uint8_t> out(s.len - skip);
          TxQueue::copy_again(pool, TxQueue::advance(pool, s.start, static_cast<std::uint32_t>(skip), true), out);
          ASSERT_TRUE(
              std::equal(out.begin(), out.end(), model.begin() + static_cast<std::ptrdiff_t>(s.at + skip - released)));
      }
      ASSERT_EQ(queue.bytes(), model.size());
      ASSERT_EQ(queue.blocks(), pool.used());
      ASSERT_LE(queue.blocks(), kMost);
    }
    queue.clear(pool);
    ASSERT_EQ(pool.used(), 0u);
  }
}

TEST(TxQueue, AnOpenReservationKeepsItsBlock) {
  BlockPool pool(4 * kBlockSize);
  TxQueue queue;
  const std::vector<std::uint8_t> bytes(100, 7);
  ASSERT_EQ(queue.append(pool, bytes, 4), 100u);
  std::vector<std::uint8_t> out(100);
  queue.copy_next(pool, out);
  const std::span<std::uint8_t> room = queue.reserve(pool, 2000, 4);
  ASSERT_EQ(room.size(), 2000u);
  queue.release(pool, 100);  // all is acknowledged while the application still writes
  EXPECT_EQ(pool.used(), 1u);
  std::ranges::fill(room, std::uint8_t{9});
  queue.commit(pool, 2000);
  out.resize(2000);
  queue.copy_next(pool, out);
  EXPECT_EQ(out, std::vector<std::uint8_t>(2000, 9));
  queue.release(pool, 2000);
  EXPECT_EQ(pool.used(), 0u);
}

TEST(TxQueue, GivesUsefulRoomRatherThanTheRestOfABlock) {
  BlockPool pool(4 * kBlockSize);
  TxQueue queue;
  const std::vector<std::uint8_t> bytes(kBlockSize - 100);
  ASSERT_EQ(queue.append(pool, bytes, 2), bytes.size());
  EXPECT_EQ(queue.reserve(pool, 50, 2).size(), 50u);
  EXPECT_EQ(queue.reserve(pool, 1500, 2).size(), 1500u);
  EXPECT_EQ(queue.blocks(), 2u);
}

std::uint8_t byte_of(Seq seq) { return static_cast<std::uint8_t>(seq * 37 + (seq >> 8)); }

TEST(RxQueue, PutsAnyOrderTogether) {
  Random random(5);
  for (int round = 0; round < 340; ++round) {
    const bool large = round >= 300;  // windows of which the far end is found by strides
    BlockPool pool((large ? 720 : 40) * kBlockSize);
    RxQueue queue;
    ASSERT_TRUE(queue.grow_quota(pool, large ? 50 + random.below(600) : 1 + random.below(12)));
    Seq next = 0xfffff000 + random.below(8192);  // the in-order end; near the wrap
    Seq read = next;                             // what the application has consumed
    for (int step = 0; step < 300; ++step) {
      ASSERT_EQ(pool.used() + pool.promised(), queue.quota() + queue.range_blocks());
      ASSERT_EQ(queue.ready(), next - read);
      const std::uint32_t window = queue.window();
      if (window > 0 && random.below(3) != 0) {
        const std::uint32_t distance = random.below(2) == 0 ? 0 : random.below(window);
        const std::uint32_t len = 1 + random.below(std::min(window - distance, large ? 200'000u : 2000u));
        std::vector<std::uint8_t> bytes(len);
        for (std::uint32_t i = 0; i < len; ++i) bytes[i] = byte_of(next + distance + i);
        bool stored = false;
        const std::uint32_t advance = queue.store(pool, next, distance, bytes, stored);
        ASSERT_EQ(distance != 0, advance == 0);
        ASSERT_LE(advance, window);
        next += advance;
      } else {
        const std::span<const std::uint8_t> bytes = queue.peek(pool);
        std::uint32_t part = bytes.empty() ? 0 : 1 + random.below(static_cast<std::uint32_t>(bytes.size()));
        for (std::uint32_t i = 0; i < part; ++i) ASSERT_EQ(bytes[i], byte_of(read + i));
        if (large) part = random.below(queue.ready() + 1);
        queue.consume(pool, part);
        read += part;
      }
    }
    queue.clear(pool);
    ASSERT_EQ(pool.used(), 0u);
    ASSERT_EQ(pool.promised(), 0u);
  }
}

// SegmentSmack: a queue that is bounded only in bytes can be made to hold any number of pieces.
TEST(RxQueue, HolesAreBounded) {
  BlockPool pool(64 * kBlockSize);
  RxQueue queue;
  ASSERT_TRUE(queue.grow_quota(pool, 32));
  const std::uint8_t one[1] = {1};
  unsigned kept = 0;
  for (std::uint32_t distance = 2; distance < 2000; distance += 2) {
    bool stored = false;
    EXPECT_EQ(queue.store(pool, 0, distance, one, stored), 0u);
    kept += stored ? 1 : 0;
  }
  EXPECT_EQ(kept, RxQueue::kMaxRanges);
  // What touches a known range still finds room.
  bool stored = false;
  EXPECT_EQ(queue.store(pool, 0, 3, one, stored), 0u);
  EXPECT_TRUE(stored);
}

TEST(TupleTable, MatchesAModel) {
  TupleTable table(256);
  std::map<std::uint32_t, std::uint32_t> hash_of;  // by index
  Random random(11);
  for (int step = 0; step < 50'000; ++step) {
    const std::uint32_t index = 1 + random.below(256);
    if (const auto known = hash_of.find(index); known != hash_of.end()) {
      ASSERT_EQ(table.find(known->second, [&](std::uint32_t at) { return at == index; }), index);
      if (random.below(2) == 0) continue;
      table.erase(known->second, index);
      hash_of.erase(known);
    } else {
      const std::uint32_t hash = random.below(8) * 0x1000'0000 + random.below(64);  // many collisions
      ASSERT_EQ(table.find(hash, [&](std::uint32_t at) { return at == index; }), 0u);
      table.insert(hash, index);
      hash_of[index] = hash;
    }
  }
  for (const auto& [index, hash] : hash_of) {
    EXPECT_EQ(table.find(hash, [i = index](std::uint32_t at) { return at == i; }), index);
  }
}

TEST(TupleHash, DependsOnSecretAndEveryField) {
  const net::Endpoint a{*net::IpAddress::parse("192.0.2.1"), 80}, b{*net::IpAddress::parse("198.51.100.7"), 40000};
  const net::Endpoint c{*net::IpAddress::parse("192.0.2.2"), 80}, d{*net::IpAddress::parse("192.0.2.1"), 81};
  const TupleHash hash({1, 2}), other({1, 3});
  EXPECT_NE(hash({a, b}), other({a, b}));
  EXPECT_NE(hash({a, b}), hash({b, a}));
  EXPECT_NE(hash({a, b}), hash({c, b}));
  EXPECT_NE(hash({a, b}), hash({d, b}));
  // Sequential ports spread: no bucket of 1024 gets more than a handful of 1024 tuples.
  std::vector<int> buckets(1024);
  for (std::uint16_t port = 0; port < 1024; ++port) {
    ++buckets[hash({a, {b.address, static_cast<std::uint16_t>(20'000 + port)}}) % 1024];
  }
  EXPECT_LE(*std::ranges::max_element(buckets), 8);
}

TEST(TimeWaitTable, OldestMakesRoomAndTimeEndsAll) {
  const TupleHash hash({1, 2});
  TimeWaitTable table(3, hash);
  const auto tuple = [](std::uint16_t port) {
    return FourTuple{{*net::IpAddress::parse("192.0.2.1"), 80}, {*net::IpAddress::parse("198.51.100.7"), port}};
  };
  const auto add = [&](std::uint16_t port, Ticks now) {
    TimeWaitRecord record{};
    record.tuple = tuple(port);
    record.snd_nxt = port;
    table.add(record, now);
  };
  const auto find = [&](std::uint16_t port) { return table.find(tuple(port), hash(tuple(port))); };
  const Ticks start = 0xffff'f000;  // the clock wraps meanwhile
  add(1, start);
  add(2, start + 10);
  add(3, start + 20);
  table.restart(*find(1), start + 30);
  add(4, start + 40);
  EXPECT_EQ(table.size(), 3u);
  EXPECT_EQ(find(2), nullptr) << "the oldest, since 1 was restarted";
  ASSERT_NE(find(1), nullptr);
  EXPECT_EQ(find(1)->snd_nxt, 1u);
  table.expire(start + 20 + TimeWaitTable::kDuration);
  EXPECT_EQ(find(3), nullptr);
  EXPECT_NE(find(1), nullptr);
  table.remove(*find(4));
  EXPECT_EQ(find(4), nullptr);
  table.expire(start + 30 + TimeWaitTable::kDuration);
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.oldest(), nullptr);
}

TEST(TimeWaitTable, MayHaveNoRoomAtAll) {
  const TupleHash hash({1, 2});
  TimeWaitTable table(0, hash);
  table.add(TimeWaitRecord{}, 5);
  EXPECT_EQ(table.size(), 0u);
}

}  // namespace
}  // namespace sluice::tcp
