// What attackers do to a TCP host, and what bounds it: each test shows the limit and the counter that tells of it.
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "segment.h"
#include "sim.h"
#include "sluice/tcp/stack.h"
#include "stream_app.h"

namespace sluice::tcp::test {
namespace {

const net::Endpoint kServer{*net::IpAddress::parse("192.0.2.1"), 80};
const net::Endpoint kServer6{*net::IpAddress::parse("2001:db8::1"), 80};
const net::Endpoint kClient{*net::IpAddress::parse("198.51.100.7"), 40'000};

constexpr Offloads kChecked{.tx_checksum = false, .rx_checksum_good = true};

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

// A segment from `from` to the server.
Packet segment(const net::Endpoint& from, const HeaderFields& fields, std::size_t payload = 0) {
  const FourTuple tuple{from, from.address.is_v4() ? kServer : kServer6};
  Packet bytes(ip_header_len(tuple) + 20 + options_len(fields.options) + payload, 0x5a);
  build_segment(bytes, tuple, fields, payload, false);
  return bytes;
}

Packet syn_from(const net::Endpoint& from, Seq seq) {
  HeaderFields fields{.seq = seq, .window = 65535, .flags = kTcpSyn, .options = {.mss = 1460}};
  return segment(from, fields);
}

net::Endpoint source(std::uint32_t number) {
  return {net::IpAddress::v4(Be32(0xcb007100u + (number >> 14) % 256)),  // 203.0.113.0/24
          static_cast<std::uint16_t>(10'000 + number % 16'384)};
}

// A server alone; the tests write what arrives and read what it sends.
class Victim final : public Acceptor, public StreamHandler {
 public:
  explicit Victim(const ListenOptions& options, const StackConfig& config = small()) : stack(config, sink_, now) {
    EXPECT_TRUE(stack.listen(kServer, options, *this));
    EXPECT_TRUE(stack.listen(kServer6, options, *this));
  }
  void on_accept(Conn& conn) noexcept override {
    conns.push_back(&conn);
    conn.set_handler(this);
  }
  void on_stream(StreamEvents events) noexcept override { closed += has(events, StreamEvents::kClosed) ? 1 : 0; }

  // A turn with this packet; what the stack then sends.
  std::vector<Packet> turn(const Packet& packet) {
    stack.input(packet, kChecked, now);
    return turn();
  }
  std::vector<Packet> turn() {
    stack.dispatch();
    stack.advance(now);
    stack.flush(now);
    return std::exchange(sink_.packets, {});
  }
  static Segment parsed(const Packet& packet) {
    Segment s;
    EXPECT_EQ(parse_segment(packet, kChecked, s), ParseResult::kOk);
    return s;
  }
  // Shakes hands; false: it was reset. Leaves seq and ack for what the client sends next.
  bool connect(const net::Endpoint& from, const SegmentOptions& options = {.mss = 1460}) {
    seq = 1000;
    HeaderFields syn{.seq = seq, .window = 65535, .flags = kTcpSyn, .options = options};
    const std::vector<Packet> answer = turn(segment(from, syn));
    if (answer.size() != 1) return false;
    ack = parsed(answer[0]).seq + 1;
    ++seq;
    const std::vector<Packet> reply = turn(segment(from, fields(kTcpAck)));
    return reply.empty() || !parsed(reply[0]).has(kTcpRst);
  }
  [[nodiscard]] HeaderFields fields(std::uint8_t flags) const {
    return {.seq = seq, .ack = ack, .window = 65535, .flags = flags, .options = {}};
  }

 private:
  QueueSink sink_;

 public:
  Instant now{ms(1000)};
  TcpStack stack;
  std::vector<Conn*> conns;
  std::uint32_t closed = 0;
  Seq seq = 0, ack = 0;
};

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
  Victim victim(GetParam().options);
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
  Victim victim({.source_connections = 2, .service = 1});
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

}  // namespace
}  // namespace sluice::tcp::test
