// What attackers do to a TCP host, and what bounds it: each test shows the limit and the counter that tells of it.
#include <memory>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "stream_app.h"
#include "victim.h"

namespace sluice::tcp::test {
namespace {

StackConfig small() {
  StackConfig config;
  config.max_connections = 1024;
  config.max_time_wait = 64;
  config.buffer_memory = 8 << 20;
  config.rx_buffer = 64 << 10;
  config.tx_buffer = 64 << 10;
  config.secret = {7, 8};
  return config;
}

Packet syn_from(const net::Endpoint& from, Seq seq) {
  HeaderFields fields{.seq = seq, .window = 65535, .flags = kTcpSyn, .options = {.mss = 1460}};
  return segment(from, fields);
}

// Sends as fast as the network takes it, from one end to the other.
class Stream final : public Acceptor {
 public:
  Stream(Network& network, const ListenOptions& options)
      : sender_(network, {.send_bytes = 1ull << 40, .write_size = 16'384}, 1, 2), receiver_(network, {}, 2, 1) {
    EXPECT_TRUE(network.b().listen(kServer, options, *this));
    Conn* conn = network.a().connect(kClient, kServer, sender_, network.now(), ms(500));
    EXPECT_NE(conn, nullptr);
    sender_.take(*conn);
  }
  void on_accept(Conn& conn) noexcept override { receiver_.take(conn); }
  [[nodiscard]] const App& receiver() const { return receiver_; }

 private:
  App sender_, receiver_;
};

// RFC 4987: 20,000 SYNs a second from addresses that never come back. What is half open stays bounded, the rest costs
// nothing, and who was connected before does not feel it.
TEST(Attack, SynFlood) {
  LinkFaults line;
  line.delay = ms(5);
  line.bytes_per_second = 1'000'000;
  Network network(1, line, small(), small());
  network.on_packet = [&](std::size_t from, Packet& packet) {  // the flood's addresses are nobody's
    return from == 0 || packet[16] == 198;
  };
  const Stream stream(network, {.backlog = 512});
  const auto received_in_a_second = [&] {
    const std::uint64_t before = stream.receiver().received;
    (void)network.run(network.now() + std::chrono::seconds(1), [] { return false; });
    return stream.receiver().received - before;
  };
  (void)received_in_a_second();
  const std::uint64_t before = received_in_a_second();
  const std::size_t memory = network.b().stats().buffer_bytes;
  constexpr std::uint32_t kSyns = 40'000;
  for (std::uint32_t i = 0; i < kSyns; ++i) {
    network.at(network.now() + std::chrono::microseconds(50 * i),
               [&, i] { network.b().input(syn_from(source(i), i * 77), kChecked, network.now()); });
  }
  (void)received_in_a_second();
  const std::uint64_t during = received_in_a_second();
  const StackStats& stats = network.b().stats();
  EXPECT_GE(during, before * 99 / 100) << "the established connection lost its rate";
  EXPECT_EQ(stats.half_open, 256u) << "half of the backlog, a quarter of the stack";
  EXPECT_EQ(stats.connections, 1u + stats.half_open);
  EXPECT_EQ(stats.syn_cookies_sent, kSyns - stats.half_open);
  EXPECT_LE(stats.buffer_bytes, memory + (64 << 10));
  EXPECT_FALSE(stream.receiver().failed);
  (void)network.run(network.now() + std::chrono::seconds(100), [] { return false; });
  EXPECT_EQ(network.b().stats().half_open, 0u);
  EXPECT_EQ(network.b().stats().connections, 1u);
}

struct SourceCase {
  const char* name;
  ListenOptions options;
  const char* from[3];  // addresses
  std::uint32_t come_in;
};
const SourceCase kSourceCases[] = {
    {"one_address", {.source_connections = 10}, {"203.0.113.1", "203.0.113.1", "203.0.113.1"}, 10},
    {"three_addresses", {.source_connections = 10}, {"203.0.113.1", "203.0.113.2", "203.0.113.3"}, 30},
    {"a_24", {.source_connections = 10, .source_prefix4 = 24}, {"203.0.113.1", "203.0.113.2", "203.0.113.3"}, 10},
    {"a_64", {.source_connections = 10}, {"2001:db8:1::1", "2001:db8:1::2", "2001:db8:1::3"}, 10},
    {"three_64s", {.source_connections = 10}, {"2001:db8:1::1", "2001:db8:1:1::1", "2001:db8:1:2::1"}, 30},
    {"by_cookie", {.half_open = 0, .source_connections = 10}, {"203.0.113.1", "203.0.113.1", "203.0.113.2"}, 20},
    {"no_limit", {}, {"203.0.113.1", "203.0.113.1", "203.0.113.1"}, 300},
};
class ConnectionFlood : public ::testing::TestWithParam<SourceCase> {};

// 300 handshakes completed from three addresses: no more come in than their sources may have, until some have gone.
TEST_P(ConnectionFlood, IsBoundedBySource) {
  Victim victim(GetParam().options, small());
  const auto flood = [&](std::uint16_t port) {
    for (std::uint16_t i = 0; i < 300; ++i) {
      const net::IpAddress address = *net::IpAddress::parse(GetParam().from[i % 3]);
      (void)victim.connect({address, static_cast<std::uint16_t>(port + i)});
    }
  };
  flood(10'000);
  const StackStats& stats = victim.stack.stats();
  EXPECT_EQ(victim.conns.size(), GetParam().come_in);
  EXPECT_EQ(stats.connections, GetParam().come_in);
  EXPECT_EQ(stats.source_refused, 300 - GetParam().come_in);
  for (Conn* conn : std::exchange(victim.conns, {})) conn->abort();
  (void)victim.turn();  // their RSTs
  flood(20'000);
  EXPECT_EQ(victim.conns.size(), GetParam().come_in) << "places that are free again";
}
INSTANTIATE_TEST_SUITE_P(Tcp, ConnectionFlood, ::testing::ValuesIn(kSourceCases),
                         [](const auto& param_info) { return param_info.param.name; });

// Listeners of one service count together, those of another do not.
TEST(Attack, SourcesAreCountedByService) {
  Victim victim({.source_connections = 2, .service = 1}, small());
  const net::Endpoint also{*net::IpAddress::parse("192.0.2.1"), 443}, other{*net::IpAddress::parse("192.0.2.1"), 8080};
  ASSERT_TRUE(victim.stack.listen(also, {.source_connections = 2, .service = 1}, victim));
  ASSERT_TRUE(victim.stack.listen(other, {.source_connections = 2, .service = 2}, victim));
  QueueSink to_victim;
  StackConfig config = small();
  TcpStack client(config, to_victim, victim.now);
  std::uint16_t port = 30'000;
  for (const net::Endpoint& to : {kServer, also, also, other}) {
    ASSERT_NE(client.connect({kClient.address, ++port}, to, victim, victim.now, ms(500)), nullptr);
  }
  for (int round = 0; round < 3; ++round) {
    client.flush(victim.now);
    for (const Packet& packet : std::exchange(to_victim.packets, {})) {
      for (const Packet& answer : victim.turn(packet)) client.input(answer, {}, victim.now);
    }
  }
  EXPECT_EQ(victim.stack.stats().source_refused, 1u);
  EXPECT_EQ(victim.stack.stats().accepted, 3u);
}

struct BlindCase {
  const char* name;
  std::uint8_t flags;
  std::size_t payload;
};
const BlindCase kBlindCases[] = {
    {"rst", kTcpRst, 0},           {"rst_with_ack", kTcpRst | kTcpAck, 0}, {"syn", kTcpSyn, 0},
    {"fin", kTcpFin | kTcpAck, 0}, {"data", kTcpAck | kTcpPsh, 100},       {"ack", kTcpAck, 0},
};
class BlindInjection : public ::testing::TestWithParam<BlindCase> {};

// RFC 5961: who knows addresses and ports but not the numbers sends 20,000 segments in 20 s. The connection stays, nothing
// is delivered, and answers are two a second at most.
TEST_P(BlindInjection, ChangesNothing) {
  Victim victim({}, small());
  ASSERT_TRUE(victim.connect(kClient));
  Random random(3);
  std::size_t answers = 0;
  for (int i = 0; i < 20'000; ++i) {
    victim.now += ms(1);
    // Half of them hit the window by luck, but for the one number that would count.
    const Seq seq = i % 2 == 0 ? random.below(0xffffffff) : victim.seq + 1 + random.below(20'000);
    const HeaderFields fields{
        .seq = seq, .ack = random.below(0xffffffff), .window = 65535, .flags = GetParam().flags, .options = {}};
    answers += victim.turn(segment(kClient, fields, GetParam().payload)).size();
  }
  const StackStats& stats = victim.stack.stats();
  EXPECT_EQ(stats.connections, 1u);
  EXPECT_EQ(victim.closed, 0u);
  EXPECT_EQ(stats.bytes_in, 0u);
  EXPECT_LE(stats.challenge_acks, 41u);
  EXPECT_EQ(stats.resets_in, 0u);
  // What has a length is acknowledged each time, as it would be when our acknowledgment was lost.
  const bool has_length = GetParam().payload > 0 || (GetParam().flags & kTcpFin) != 0;
  EXPECT_LE(answers, has_length ? 20'000u : 41u);
  // Data in order is taken as before.
  (void)victim.turn(segment(kClient, victim.fields(kTcpAck), 10));
  EXPECT_EQ(stats.bytes_in, 10u);
}
INSTANTIATE_TEST_SUITE_P(Tcp, BlindInjection, ::testing::ValuesIn(kBlindCases),
                         [](const auto& param_info) { return param_info.param.name; });

// RFC 5961 section 7: resets with wrong numbers to 900 connections. A connection challenges twice a second, all of them
// together about 1,000 times, and how often exactly nobody can foresee.
TEST(Attack, ChallengesAreLimitedForAllConnections) {
  StackConfig config = small();
  config.buffer_memory = 32 << 20;
  Victim victim({}, config);
  constexpr std::uint32_t kConnections = 900;
  for (std::uint32_t i = 0; i < kConnections; ++i) ASSERT_TRUE(victim.connect(source(i)));
  victim.now = Instant(std::chrono::seconds(10));
  std::set<std::uint64_t> sent_in_a_second;
  for (int second = 0; second < 8; ++second) {
    const std::uint64_t before = victim.stack.stats().challenge_acks;
    for (int half = 0; half < 2; ++half) {
      for (std::uint32_t i = 0; i < kConnections; ++i) {
        (void)victim.turn(segment(source(i), {.seq = victim.seq + 77, .flags = kTcpRst, .options = {}}));
      }
      victim.now += ms(500);
    }
    const std::uint64_t sent = victim.stack.stats().challenge_acks - before;
    EXPECT_GE(sent, 500u);
    EXPECT_LT(sent, 1500u);
    sent_in_a_second.insert(sent);
  }
  EXPECT_GT(sent_in_a_second.size(), 5u);
  EXPECT_GT(victim.stack.stats().challenge_acks_limited, 0u);
  EXPECT_EQ(victim.stack.stats().connections, kConnections);
}

// Somebody on the path has given each end data that the other never sent. Each now acknowledges what the other does not
// know, and neither can tell who is wrong: they must not answer each other's answers for ever.
TEST(Attack, AckStorm) {
  Network network(1, {}, small(), small());
  std::uint64_t packets = 0;
  Segment last[2];
  network.on_packet = [&](std::size_t host, Packet& packet) {
    ++packets;
    last[host] = Victim::parsed(packet);
    last[host].payload = {};
    return true;
  };
  struct Quiet final : Acceptor, StreamHandler {
    void on_accept(Conn& conn) noexcept override { conn.set_handler(this); }
    void on_stream(StreamEvents events) noexcept override { closed |= has(events, StreamEvents::kClosed); }
    bool closed = false;
  } quiet;
  ASSERT_TRUE(network.b().listen(kServer, {}, quiet));
  ASSERT_NE(network.a().connect(kClient, kServer, quiet, network.now(), ms(500)), nullptr);
  (void)network.run(network.now() + ms(100), [] { return false; });
  ASSERT_EQ(packets, 3u);
  const Seq of_client = last[0].seq, of_server = last[0].ack;
  for (const bool to_server : {true, false}) {
    const FourTuple tuple = to_server ? FourTuple{kClient, kServer} : FourTuple{kServer, kClient};
    HeaderFields fields{.seq = to_server ? of_client : of_server,
                        .ack = to_server ? of_server : of_client,
                        .window = 1000,
                        .flags = kTcpAck,
                        .options = {}};
    fields.options.has_timestamp = true;
    fields.options.ts_value = last[to_server ? 0 : 1].options.ts_value;
    Packet bytes(20 + 20 + 12 + 100, 0x5a);
    build_segment(bytes, tuple, fields, 100, false);
    (to_server ? network.b() : network.a()).input(bytes, kChecked, network.now());
  }
  (void)network.run(network.now() + std::chrono::seconds(20), [] { return false; });
  EXPECT_GT(packets, 4u);
  EXPECT_LE(packets, 3u + 2 * 2 * 20 + 2) << "more than two a second from each end";
  EXPECT_GT(network.a().stats().challenge_acks_limited + network.b().stats().challenge_acks_limited, 0u);
  EXPECT_FALSE(quiet.closed);
}

// The same of a connection in TIME-WAIT: a thousand acknowledgments in a second that do not agree with it.
TEST(Attack, AckStormInTimeWait) {
  Victim victim({}, small());
  ASSERT_TRUE(victim.connect(kClient));
  victim.conns[0]->shutdown_write();
  (void)victim.turn();
  ++victim.ack;
  (void)victim.turn(segment(kClient, victim.fields(kTcpAck | kTcpFin)));
  ASSERT_EQ(victim.stack.stats().time_wait, 1u);
  victim.ack += 50;
  std::size_t answers = 0;
  for (int i = 0; i < 1000; ++i) {
    victim.now += ms(1);
    answers += victim.turn(segment(kClient, victim.fields(kTcpAck))).size();
  }
  EXPECT_GE(answers, 1u);
  EXPECT_LE(answers, 3u);
  EXPECT_EQ(victim.stack.stats().challenge_acks_limited, 1000 - answers);
}

// SegmentSmack: a window full of single bytes, each beyond a gap of one. What is kept is bounded in ranges, which have one
// block beyond the window; the bytes lie inside the window, which was promised.
TEST(Attack, OutOfOrderFlood) {
  Victim victim({}, small());
  ASSERT_TRUE(victim.connect(kClient));
  const std::size_t window = 32 << 10;
  HeaderFields fields = victim.fields(kTcpAck);
  constexpr std::uint32_t kSegments = 10'000;
  for (std::uint32_t i = 0; i < kSegments; ++i) {
    fields.seq = victim.seq + 1 + 2 * ((i * 7919) % kSegments);
    (void)victim.turn(segment(kClient, fields, 1));
  }
  const StackStats& stats = victim.stack.stats();
  EXPECT_EQ(stats.out_of_order, kSegments);
  EXPECT_GE(stats.out_of_order_dropped, kSegments - 512);
  EXPECT_LE(stats.buffer_bytes, window + 4096);
  EXPECT_EQ(stats.bytes_in, 0u);
  // It is a connection like any other: what comes in order is taken.
  fields.seq = victim.seq;
  for (std::size_t sent = 0; sent < window; sent += 1024) {
    (void)victim.turn(segment(kClient, fields, 1024));
    fields.seq += 1024;
  }
  EXPECT_EQ(stats.bytes_in, window);
  victim.conns[0]->abort();
  EXPECT_EQ(victim.stack.stats().buffer_bytes, 0u);
}

// Slow readers: 100 clients ask for all there is and take a byte in 2 s. Each holds 64 KiB at the most and a block that says
// what is on its way; all together leave memory to others, and once the application has let go it is over within ten times the linger bound.
TEST(Attack, SlowReaders) {
  StackConfig config = small();
  config.linger = std::chrono::seconds(3);
  config.buffer_memory = 32 << 20;
  Victim victim({}, config);
  constexpr std::uint16_t kReaders = 100;
  std::vector<Seq> acks(kReaders);
  for (std::uint16_t i = 0; i < kReaders; ++i) {
    ASSERT_TRUE(victim.connect(source(i)));
    acks[i] = victim.ack;
  }
  const std::vector<std::uint8_t> all(1 << 20);
  for (Conn* conn : victim.conns) (void)conn->write(all);
  (void)victim.turn();
  EXPECT_LE(victim.stack.stats().buffer_bytes, kReaders * std::size_t{68 << 10});
  EXPECT_LE(victim.stack.stats().buffer_bytes, config.buffer_memory / 8 * 7);
  ASSERT_TRUE(victim.connect(kClient)) << "somebody else";
  for (Conn* conn : std::exchange(victim.conns, {})) conn->close();
  Duration passed{};
  std::uint64_t sent = 0;
  while (victim.stack.stats().connections > 0 && passed < std::chrono::minutes(10)) {
    victim.now += ms(500);
    passed += ms(500);
    for (std::uint16_t i = 0; i < kReaders; ++i) {
      HeaderFields fields = victim.fields(kTcpAck);
      fields.ack = passed % std::chrono::seconds(2) == Duration::zero() ? ++acks[i] : acks[i];
      fields.window = 1;
      sent += victim.turn(segment(source(i), fields)).size();
    }
  }
  EXPECT_LE(passed, 10 * config.linger + std::chrono::seconds(2));
  EXPECT_EQ(victim.stack.stats().buffer_bytes, 0u);
  EXPECT_LE(sent, 2 * kReaders * (passed / ms(500))) << "never more than the reader asks for";
}

// An MSS of 1 would have us send 40 bytes of headers for each byte; at least 88 bytes go into a segment.
TEST(Attack, TinySegmentSize) {
  Victim victim({}, small());
  for (const bool timestamps : {false, true}) {
    const std::uint16_t port = timestamps ? 40'001 : 40'000;
    SegmentOptions options{.mss = 1};
    options.has_timestamp = timestamps;
    ASSERT_TRUE(victim.connect({kClient.address, port}, options));
    const std::vector<std::uint8_t> bytes(704);
    ASSERT_EQ(victim.conns.back()->write(bytes), bytes.size());
    std::size_t payload = 0, segments = 0;
    for (const Packet& packet : victim.turn()) {
      payload += Victim::parsed(packet).payload.size();
      ++segments;
    }
    EXPECT_GE(payload, 704u);
    EXPECT_LE(segments, 10u);
  }
}

// What is closed by us stays for a minute: 5,000 connections in a moment, and room for 64. The oldest records go.
TEST(Attack, TimeWaitExhaustion) {
  Victim victim({}, small());
  ASSERT_TRUE(victim.connect(kClient));
  for (std::uint32_t i = 0; i < 5'000; ++i) {
    ASSERT_TRUE(victim.connect(source(i)));
    victim.conns.back()->close();
    victim.conns.pop_back();
    (void)victim.turn();
    ++victim.ack;
    (void)victim.turn(segment(source(i), victim.fields(kTcpAck | kTcpFin)));
  }
  const StackStats& stats = victim.stack.stats();
  EXPECT_EQ(stats.time_wait, 64u);
  EXPECT_EQ(stats.time_wait_evicted, 5'000u - 64);
  EXPECT_EQ(stats.connections, 1u);
  EXPECT_EQ(stats.buffer_bytes, 0u);
  victim.now += std::chrono::seconds(61);
  (void)victim.turn();
  EXPECT_EQ(victim.stack.stats().time_wait, 0u);
}

// Optimistic acknowledgments: of what was not sent yet. They open no window and release nothing.
TEST(Attack, OptimisticAcks) {
  Victim victim({}, small());
  ASSERT_TRUE(victim.connect(kClient));
  const std::vector<std::uint8_t> all(1 << 20);
  (void)victim.conns[0]->write(all);
  const std::size_t at_first = victim.turn().size();
  EXPECT_EQ(at_first, 10u) << "the initial window";
  const std::size_t memory = victim.stack.stats().buffer_bytes;
  std::size_t sent = 0;
  HeaderFields fields = victim.fields(kTcpAck);
  for (std::uint32_t i = 1; i <= 100; ++i) {
    fields.ack = victim.ack + 14'600 + i * 1460;
    sent += victim.turn(segment(kClient, fields)).size();
  }
  EXPECT_EQ(sent, 1u) << "a challenge";
  EXPECT_EQ(victim.stack.stats().bad_ack, 100u);
  EXPECT_EQ(victim.stack.stats().buffer_bytes, memory);
}

// A flood of duplicate acknowledgments, each of which may say that a segment has left the network (RFC 5681 section 3.2). What
// they let out is never acknowledged, so it is bounded by the send buffer: 64 KiB, or four congestion windows.
TEST(Attack, DuplicateAckFlood) {
  Victim victim({}, small());
  ASSERT_TRUE(victim.connect(kClient));
  const std::vector<std::uint8_t> all(1 << 20);
  std::size_t bytes = 0;
  for (int i = 0; i < 10'000; ++i) {
    (void)victim.conns[0]->write(all);
    for (const Packet& packet : victim.turn(segment(kClient, victim.fields(kTcpAck)))) {
      bytes += Victim::parsed(packet).payload.size();
    }
  }
  EXPECT_LE(bytes, (64u << 10) + 1460) << "and the first one again";
  EXPECT_GE(victim.stack.stats().duplicate_acks, 9'000u);
}

// Bytes in a SYN are not taken before the handshake is complete, nor acknowledged: the client sends them again.
TEST(Attack, DataInSyns) {
  for (const std::uint32_t half_open : {0u, 100u}) {
    Victim victim({.half_open = half_open}, small());
    for (std::uint32_t i = 0; i < 1000; ++i) {
      HeaderFields syn{.seq = 5, .window = 65535, .flags = kTcpSyn, .options = {.mss = 1460}};
      const std::vector<Packet> answer = victim.turn(segment(source(i), syn, 1000));
      ASSERT_EQ(answer.size(), 1u);
      EXPECT_EQ(Victim::parsed(answer[0]).ack, 6u);
    }
    EXPECT_EQ(victim.stack.stats().buffer_bytes, 0u);
    EXPECT_EQ(victim.stack.stats().bytes_in, 0u);
  }
}

// Many acknowledgments for what one would do: the window grows by the bytes acknowledged (RFC 3465 section 2.1), so nothing
// is gained.
TEST(Attack, AckSplitting) {
  const auto segments_after = [](std::uint32_t parts) {
    Victim victim({}, small());
    EXPECT_TRUE(victim.connect(kClient));
    const std::vector<std::uint8_t> all(1 << 20);
    (void)victim.conns[0]->write(all);
    EXPECT_EQ(victim.turn().size(), 10u);
    std::size_t sent = 0;
    victim.now += ms(50);
    for (std::uint32_t part = 1; part <= parts; ++part) {
      HeaderFields fields = victim.fields(kTcpAck);
      fields.ack = victim.ack + 1460 * 2 * part / parts;
      sent += victim.turn(segment(kClient, fields)).size();
    }
    return sent;
  };
  const std::size_t honest = segments_after(2);
  EXPECT_EQ(honest, 4u) << "two acknowledged, two of growth";
  for (const std::uint32_t parts : {10u, 100u, 2920u}) EXPECT_LE(segments_after(parts), honest) << parts;
}

}  // namespace
}  // namespace sluice::tcp::test
