// Paths that carry less than the ends can send, whether a router says so or not; and what is remembered of them.
#include <memory>
#include <set>

#include <gtest/gtest.h>

#include "path_cache.h"
#include "sim.h"
#include "stream_app.h"

namespace sluice::tcp::test {
namespace {

net::IpAddress address(std::uint32_t number) { return net::IpAddress::v4(Be32(0xc0000200 + number)); }

TEST(PathCache, ForgetsAfterTenMinutes) {
  PathCache cache{TupleHash(SipKey{1, 2})};
  for (const Ticks start : {Ticks{0}, Ticks{0xffffff00}}) {  // the clock wraps
    EXPECT_EQ(cache.find(address(1), start), nullptr);
    cache.learn(address(1), 1400, start);
    ASSERT_NE(cache.find(address(1), start), nullptr);
    EXPECT_EQ(cache.find(address(1), start)->mtu, 1400u);
    EXPECT_EQ(cache.find(address(2), start), nullptr);
    EXPECT_NE(cache.find(address(1), start + PathCache::kLife - 1), nullptr);
    EXPECT_EQ(cache.find(address(1), start + PathCache::kLife), nullptr);
    EXPECT_EQ(cache.find(address(1), start + 0x80000000u + 5), nullptr) << "long ago is not to come";
  }
}

TEST(PathCache, TakesWhatIsSmaller) {
  PathCache cache{TupleHash(SipKey{1, 2})};
  cache.learn(address(1), 1400, 0);
  cache.learn(address(1), 1450, 1000);
  EXPECT_EQ(cache.find(address(1), 1000)->mtu, 1400u);
  EXPECT_EQ(cache.find(address(1), 1000)->expires, PathCache::kLife);
  cache.learn(address(1), 1300, 2000);
  EXPECT_EQ(cache.find(address(1), 2000)->mtu, 1300u);
  EXPECT_EQ(cache.find(address(1), 2000)->expires, 2000 + PathCache::kLife);
}

TEST(PathCache, IsBoundedAndDropsWhatExpiresFirst) {
  PathCache cache{TupleHash(SipKey{1, 2})};
  constexpr std::uint32_t kMany = 100'000;
  for (std::uint32_t i = 0; i < kMany; ++i) cache.learn(address(i), 1400, i);
  std::uint32_t known = 0;
  for (std::uint32_t i = 0; i < kMany; ++i) known += cache.find(address(i), kMany) != nullptr ? 1 : 0;
  EXPECT_EQ(known, PathCache::kSets * PathCache::kWays);
  EXPECT_NE(cache.find(address(kMany - 1), kMany), nullptr);
}

struct Transfer final : Acceptor {
  Transfer(const LinkFaults& faults, std::uint64_t bytes_back)
      : network(1, faults, {.max_connections = 8, .buffer_memory = 16 << 20},
                {.max_connections = 8, .buffer_memory = 16 << 20}),
        client(network, {.send_bytes = kBytes}, 1, 2),
        server(network, {.send_bytes = bytes_back}, 2, 1),
        back(bytes_back) {}
  void on_accept(Conn& conn) noexcept override {
    server.take(conn);
    server.step();
  }
  void run() {
    const net::Endpoint to{address(1), 80};
    ASSERT_TRUE(network.b().listen(to, {}, *this));
    Conn* conn = network.a().connect({address(2), 40'000}, to, client, network.now(), Duration::zero(), {});
    ASSERT_NE(conn, nullptr);
    client.take(*conn);
    const Instant start = network.now();
    EXPECT_TRUE(network.run(network.now() + std::chrono::minutes(1), [&] { return !client.open() && !server.open(); }));
    took = network.now() - start;
    EXPECT_EQ(client.received, back);
    EXPECT_EQ(server.received, kBytes);
    EXPECT_FALSE(client.damaged || server.damaged);
  }
  static constexpr std::uint64_t kBytes = 2'000'000;
  Network network;
  App client, server;
  std::uint64_t back;
  Duration took{};
};

TEST(PathMtu, TransfersAreNotSlowedByMessages) {
  Transfer small({.path_mtu = 1300}, Transfer::kBytes);
  ASSERT_NO_FATAL_FAILURE(small.run());
  for (TcpStack* stack : {&small.network.a(), &small.network.b()}) {
    EXPECT_EQ(stack->stats().path_mtu_lowered, 1u);
    EXPECT_EQ(stack->stats().timeouts, 0u);
    EXPECT_EQ(stack->stats().fast_retransmits, 0u);
    EXPECT_LE(stack->stats().retransmits, 20u) << "the first ten segments, in two pieces each";
  }
  Transfer full({}, Transfer::kBytes);
  ASSERT_NO_FATAL_FAILURE(full.run());
  EXPECT_LT(small.took, full.took + ms(40)) << "it costs one round trip, and what the ends make of it";
}

TEST(PathMtu, BlackHolesAreFound) {
  Transfer hole({.path_mtu = 1300, .says_too_big = false}, 0);
  ASSERT_NO_FATAL_FAILURE(hole.run());
  EXPECT_EQ(hole.network.a().stats().black_holes, 1u);
  EXPECT_LE(hole.network.a().stats().timeouts, 2u);
  EXPECT_LT(hole.took, ms(1500)) << "600 ms until it is suspected";
}

}  // namespace
}  // namespace sluice::tcp::test
