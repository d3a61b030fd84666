// The stack as its users meet it: handlers that do anything from inside dispatch(), memory that runs out, listeners.
#include "sluice/tcp/stack.h"

#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "segment.h"
#include "sim.h"
#include "stream_app.h"

namespace sluice::tcp::test {
namespace {

const net::IpAddress kServerAddress = *net::IpAddress::parse("192.0.2.1");
const net::IpAddress kClientAddress = *net::IpAddress::parse("198.51.100.7");
const net::Endpoint kServer{kServerAddress, 80};

StackConfig small() {
  StackConfig config;
  config.max_connections = 64;
  config.max_time_wait = 64;
  config.buffer_memory = 1 << 20;
  config.rx_buffer = 32 << 10;
  config.tx_buffer = 32 << 10;
  config.linger = std::chrono::seconds(3);
  config.user_timeout = std::chrono::seconds(20);
  config.secret = {7, 8};
  return config;
}

// Handlers that close, abort, open, write to and shut down any connection from inside their events, themselves too.
class Mob final : public Acceptor {
 public:
  explicit Mob(Network& network) : network_(network) {}

  void on_accept(Conn& conn) noexcept override {
    if (quiet_ || network_.random().below(10) == 0) return;  // not taken: the stack must end it
    adopt(conn);
    if (network_.random().below(5) == 0) act();
  }
  void open_one() {
    const auto port = static_cast<std::uint16_t>(30'000 + network_.random().below(200));
    auto member = std::make_unique<Member>(*this);
    Conn* conn = network_.a().connect({kClientAddress, port}, kServer, *member, network_.now(), ms(500));
    if (conn == nullptr) return;
    member->conn = conn;
    members_.push_back(std::move(member));
  }
  void end_all() {
    quiet_ = true;
    for (auto& member : members_) {
      if (member->conn != nullptr) std::exchange(member->conn, nullptr)->close();
    }
  }
  std::uint64_t events = 0;

 private:
  struct Member final : StreamHandler {
    explicit Member(Mob& mob_in) : mob(mob_in) {}
    void on_stream(StreamEvents e) noexcept override {
      ++mob.events;
      ASSERT_NE(conn, nullptr) << "an event after close() or abort()";
      if (has(e, StreamEvents::kClosed)) {
        std::exchange(conn, nullptr)->close();
      } else if (mob.network_.random().below(3) != 0) {
        conn->rx_consume(conn->rx_peek().size());
      }
      for (std::uint32_t i = mob.network_.random().below(4); i > 0; --i) mob.act();
    }
    Mob& mob;
    Conn* conn = nullptr;
  };
  void adopt(Conn& conn) {
    auto member = std::make_unique<Member>(*this);
    member->conn = &conn;
    conn.set_handler(member.get());
    members_.push_back(std::move(member));
  }
  void act() {
    if (quiet_ || members_.empty()) return;
    Random& random = network_.random();
    Member& member = *members_[random.below(static_cast<std::uint32_t>(members_.size()))];
    if (member.conn == nullptr) return random.below(3) == 0 ? open_one() : void();
    static constexpr std::array<std::uint8_t, 9000> kBytes{};
    switch (random.below(12)) {
      case 0:
        return std::exchange(member.conn, nullptr)->close();
      case 1:
        return std::exchange(member.conn, nullptr)->abort();
      case 2:
        return member.conn->shutdown_write();
      case 3:
        return open_one();
      case 4:
        member.conn->set_handler(nullptr);
        return member.conn->set_handler(&member);
      case 5:
        return member.conn->rx_consume(random.below(5000));
      case 6: {
        const std::span<std::uint8_t> room = member.conn->tx_reserve(1 + random.below(5000));
        return member.conn->tx_commit(room.empty() ? 0 : random.below(static_cast<std::uint32_t>(room.size()) + 1));
      }
      default:
        (void)member.conn->write(std::span(kBytes).first(random.below(9000)));
    }
  }

  Network& network_;
  std::vector<std::unique_ptr<Member>> members_;
  bool quiet_ = false;
};

void expect_empty(TcpStack& stack) {
  EXPECT_EQ(stack.stats().connections, 0u);
  EXPECT_EQ(stack.stats().half_open, 0u);
  EXPECT_EQ(stack.stats().buffer_bytes, 0u);
}

TEST(Stack, HandlersMayDoAnythingFromInsideTheirEvents) {
  std::uint64_t events = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    LinkFaults faults;
    faults.loss = seed % 3 == 0 ? 50 : 0;
    faults.reorder = 100;
    faults.no_room = seed % 5 == 0 ? 100 : 0;
    Network network(seed, faults, small(), small());
    Mob mob(network);
    ASSERT_TRUE(network.b().listen(kServer, {.backlog = 20}, mob));
    for (int i = 0; i < 200; ++i) network.at(network.now() + ms(i * 10), [&] { mob.open_one(); });
    (void)network.run(network.now() + std::chrono::seconds(6), [] { return false; });
    events += mob.events;
    mob.end_all();
    (void)network.run(network.now() + std::chrono::seconds(120), [] { return false; });
    expect_empty(network.a());
    expect_empty(network.b());
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
  EXPECT_GT(events, 10'000u);
}

// An adversary between the two changes header fields and options at will, with right checksums. Nothing may break, no
// memory stay.
TEST(Stack, SegmentsMutatedFromTheStateBreakNothing) {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    LinkFaults faults;
    faults.duplicate = 50;
    faults.reorder = 50;
    Network network(seed, faults, small(), small());
    network.trust_checksums = true;
    Random mutation(seed * 31);
    network.on_packet = [&](std::size_t, Packet& packet) {
      if (mutation.below(4) != 0) return true;
      const std::size_t tcp = 20;
      const auto nudge = [&](std::size_t at, std::uint32_t by) {  // of a 32-bit field
        std::uint32_t value = 0;
        for (std::size_t i = 0; i < 4; ++i) value = value << 8 | packet[at + i];
        value += by;
        for (std::size_t i = 0; i < 4; ++i) packet[at + i] = static_cast<std::uint8_t>(value >> (24 - 8 * i));
      };
      switch (mutation.below(7)) {
        case 0:
          nudge(tcp + 4, mutation.below(6000) - 3000);
          break;
        case 1:
          nudge(tcp + 8, mutation.below(6000) - 3000);
          break;
        case 2:
          packet[tcp + 13] = static_cast<std::uint8_t>(mutation.next() & 0x3f);
          break;
        case 3:
          packet[tcp + 14] = static_cast<std::uint8_t>(mutation.below(3) == 0 ? mutation.next() : 0);
          packet[tcp + 15] = static_cast<std::uint8_t>(mutation.next());
          break;
        case 4:
          packet[tcp + 13] ^= static_cast<std::uint8_t>(1u << mutation.below(6));
          break;
        case 5:
          if (packet.size() > 48) packet[40 + mutation.below(8)] = static_cast<std::uint8_t>(mutation.next());
          break;
        default:
          packet[tcp + mutation.below(20)] ^= static_cast<std::uint8_t>(1u << mutation.below(8));
      }
      return true;
    };
    Mob mob(network);
    ASSERT_TRUE(network.b().listen(kServer, {.backlog = 20}, mob));
    for (int i = 0; i < 40; ++i) network.at(network.now() + ms(i * 20), [&] { mob.open_one(); });
    (void)network.run(network.now() + std::chrono::seconds(5), [] { return false; });
    mob.end_all();
    (void)network.run(network.now() + std::chrono::seconds(120), [] { return false; });
    expect_empty(network.a());
    expect_empty(network.b());
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

// Readers that never read: every window is filled to its edge, across all connections, and everything that was promised
// is kept.
TEST(Stack, AdvertisedWindowsAreKeptWhenMemoryIsShort) {
  StackConfig server = small();
  server.buffer_memory = 64 * 4096;  // for 64 connections that would like 32 KiB each
  StackConfig client = small();
  client.buffer_memory = 64 << 20;
  Network network(1, {}, client, server);
  struct Deaf final : Acceptor, StreamHandler {
    void on_accept(Conn& conn) noexcept override {
      conns.push_back(&conn);
      conn.set_handler(this);
    }
    void on_stream(StreamEvents) noexcept override {}
    std::vector<Conn*> conns;
  } deaf;
  ASSERT_TRUE(network.b().listen(kServer, {}, deaf));
  std::vector<std::unique_ptr<App>> apps;
  for (std::uint16_t i = 0; i < 60; ++i) {
    apps.push_back(std::make_unique<App>(network, AppPlan{.send_bytes = 1 << 20}, i, 0));
    network.at(network.now() + ms(5 * i), [&, i] {  // few at a time are half open
      Conn* conn = network.a().connect({kClientAddress, static_cast<std::uint16_t>(30'000 + i)}, kServer, *apps[i],
                                       network.now(), ms(500));
      ASSERT_NE(conn, nullptr);
      apps[i]->take(*conn);
    });
  }
  (void)network.run(network.now() + std::chrono::seconds(10), [] { return false; });
  const StackStats& stats = network.b().stats();
  EXPECT_GT(stats.no_memory, 0u) << "some had to be refused";
  EXPECT_EQ(stats.connections, deaf.conns.size());
  EXPECT_GT(stats.connections, 10u);
  EXPECT_LE(stats.buffer_bytes, server.buffer_memory);
  EXPECT_EQ(stats.out_of_order, 0u);
  // Clients that wait for memory send what they have sent again, by timeouts alone.
  EXPECT_EQ(network.a().stats().fast_retransmits, 0u) << "data that was sent into a window was dropped";
}

// Writers that fill the pool; what one gives back lets the others go on.
TEST(Stack, WritersWaitForMemoryAndAreWoken) {
  StackConfig client = small();
  client.buffer_memory = 80 * 4096;
  StackConfig server = small();
  server.buffer_memory = 64 << 20;
  Network network(2, {}, client, server);
  struct Sink final : Acceptor {
    explicit Sink(Network& network_in) : network(network_in) {}
    void on_accept(Conn& conn) noexcept override {
      apps.push_back(std::make_unique<App>(network, AppPlan{}, 0, conn.remote().port));
      apps.back()->take(conn);
    }
    Network& network;
    std::vector<std::unique_ptr<App>> apps;
  } sink(network);
  ASSERT_TRUE(network.b().listen(kServer, {}, sink));
  std::vector<std::unique_ptr<App>> apps;
  for (std::uint16_t port = 30'000; port < 30'012; ++port) {
    apps.push_back(std::make_unique<App>(network, AppPlan{.send_bytes = 400'000, .close_early = true}, port, 0));
    Conn* conn = network.a().connect({kClientAddress, port}, kServer, *apps.back(), network.now(), ms(500));
    if (conn == nullptr) {  // no memory for its window
      apps.pop_back();
      break;
    }
    apps.back()->take(*conn);
  }
  ASSERT_GT(apps.size(), 5u);
  const auto done = [&] {
    std::size_t ended = 0;
    for (const auto& app : sink.apps) ended += app->ended ? 1 : 0;
    return ended == apps.size();
  };
  EXPECT_TRUE(network.run(network.now() + std::chrono::seconds(60), done));
  for (const auto& app : sink.apps) {
    EXPECT_EQ(app->received, 400'000u);
    EXPECT_FALSE(app->damaged);
  }
}

class Nobody final : public Acceptor {
 public:
  void on_accept(Conn&) noexcept override {}
};

// As much memory as the configuration gives by default for each connection: all of them get a window.
TEST(Stack, ConnectionsFitTheirMemory) {
  constexpr std::uint32_t kConnections = 2000;
  StackConfig config = small();
  config.max_connections = kConnections;
  config.buffer_memory = std::size_t{kConnections} * 7680;
  Network network(4, {}, config, config);
  struct Both final : Acceptor, StreamHandler {
    void on_accept(Conn& conn) noexcept override { conn.set_handler(this); }
    void on_stream(StreamEvents) noexcept override {}
  } both;
  ASSERT_TRUE(network.b().listen(kServer, {}, both));
  constexpr std::uint32_t kClients = kConnections - kConnections / 16;  // the rest is for those that the server opens
  for (std::uint32_t i = 0; i < kClients; ++i) {
    const auto port = static_cast<std::uint16_t>(20'000 + i);
    ASSERT_NE(network.a().connect({kClientAddress, port}, kServer, both, network.now(), ms(500)), nullptr) << i;
  }
  EXPECT_TRUE(network.run(network.now() + ms(200), [&] { return network.b().stats().accepted == kClients; }));
  EXPECT_EQ(network.b().stats().no_memory, 0u);
}

struct FloodCase {
  const char* name;
  std::uint32_t backlog;
};
const FloodCase kFloodCases[] = {
    {"backlog_is_the_bound", 16},
    {"connections_are_the_bound", 4096},
};
class SynFlood : public ::testing::TestWithParam<FloodCase> {};

// SYNs from ports that never answer fill what there is for half-open connections. A client whose handshake takes a
// round trip comes through all the same, and who was there before stays.
TEST_P(SynFlood, LetsClientsIn) {
  Network network(3, {}, small(), small());
  network.trust_checksums = true;
  struct Client final : Acceptor, StreamHandler {
    void on_accept(Conn& conn) noexcept override { conn.set_handler(this); }
    void on_stream(StreamEvents events) noexcept override {
      connected = connected || has(events, StreamEvents::kConnected);
      closed = closed || has(events, StreamEvents::kClosed);
    }
    bool connected = false;
    bool closed = false;
  } acceptor, before, during;
  ASSERT_TRUE(network.b().listen(kServer, {.backlog = GetParam().backlog}, acceptor));
  Packet syn;
  network.on_packet = [&](std::size_t from, Packet& packet) {
    if (from == 0 && syn.empty()) syn = packet;
    return from == 0 || packet[22] < 160;  // nobody is there to answer the flood's SYN-ACKs
  };
  ASSERT_NE(network.a().connect({kClientAddress, 30'000}, kServer, before, network.now(), ms(500)), nullptr);
  EXPECT_TRUE(network.run(network.now() + ms(100), [&] { return network.b().stats().accepted == 1; }));

  for (int i = 0; i < 2000; ++i) {
    network.at(network.now() + ms(10 * i), [&, i] {
      Packet spoofed = syn;
      spoofed[20] = static_cast<std::uint8_t>(160 + i / 256);
      spoofed[21] = static_cast<std::uint8_t>(i);
      network.b().input(spoofed, {.tx_checksum = false, .rx_checksum_good = true}, network.now());
    });
  }
  network.at(network.now() + ms(10'000), [&] {
    EXPECT_NE(network.a().connect({kClientAddress, 30'001}, kServer, during, network.now(), ms(500)), nullptr);
  });
  EXPECT_TRUE(network.run(network.now() + ms(11'000), [&] { return network.b().stats().accepted == 2; }));
  EXPECT_TRUE(during.connected);
  EXPECT_FALSE(before.closed);
  EXPECT_FALSE(acceptor.closed);
  EXPECT_GT(network.b().stats().syn_cookies_sent, 900u);
  EXPECT_EQ(network.b().stats().half_open_evicted, 0u);
  EXPECT_EQ(network.b().stats().listen_overflow, 0u);
  // Nothing of the flood stays.
  (void)network.run(network.now() + std::chrono::seconds(90), [] { return false; });
  EXPECT_EQ(network.b().stats().half_open, 0u);
  EXPECT_EQ(network.b().stats().connections, 2u);
}
INSTANTIATE_TEST_SUITE_P(Tcp, SynFlood, ::testing::ValuesIn(kFloodCases),
                         [](const auto& param_info) { return param_info.param.name; });

// Only a half-open connection gives way: where the backlog is full of complete ones the SYN is dropped.
TEST(Stack, CompleteConnectionsAreNotDisplaced) {
  QueueSink from_client, from_server;
  const Instant now(ms(1000));
  TcpStack client(small(), from_client, now), server(small(), from_server, now);
  struct Both final : Acceptor, StreamHandler {
    void on_accept(Conn& conn) noexcept override { conn.set_handler(this); }
    void on_stream(StreamEvents) noexcept override {}
  } both;
  ASSERT_TRUE(server.listen(kServer, {.backlog = 2}, both));
  const auto carry = [&](TcpStack& from, QueueSink& sink, TcpStack& to) {
    from.flush(now);
    for (const Packet& packet : std::exchange(sink.packets, {})) to.input(packet, {}, now);
  };
  const auto connect = [&](std::uint16_t port) {
    ASSERT_NE(client.connect({kClientAddress, port}, kServer, both, now, ms(500)), nullptr);
  };
  connect(30'000);
  connect(30'001);
  carry(client, from_client, server);
  carry(server, from_server, client);
  carry(client, from_client, server);  // both complete, none accepted
  EXPECT_EQ(server.stats().half_open, 0u);
  connect(30'002);
  carry(client, from_client, server);
  EXPECT_EQ(server.stats().listen_overflow, 1u);
  EXPECT_EQ(server.stats().half_open_evicted, 0u);
  (void)server.dispatch();
  EXPECT_EQ(server.stats().accepted, 2u);
}

struct ListenCase {
  const char* name;
  const char* endpoint;
  const char* error;  // nullptr: it works
};
const ListenCase kListenCases[] = {
    {"address_and_port", "192.0.2.1:80", nullptr}, {"v6", "[2001:db8::1]:443", nullptr},
    {"port_0", "192.0.2.1:0", "port 0"},           {"wildcard_v4", "0.0.0.0:80", "wildcard"},
    {"wildcard_v6", "[::]:80", "wildcard"},        {"multicast", "224.0.0.1:80", "multicast"},
    {"in_use", "192.0.2.9:9", "already"},
};
class Listen : public ::testing::TestWithParam<ListenCase> {};
TEST_P(Listen, TakesOnlyWhatCanBeServed) {
  QueueSink sink;
  TcpStack stack(small(), sink, Instant(ms(1)));
  Nobody nobody;
  ASSERT_TRUE(stack.listen(*net::Endpoint::parse("192.0.2.9:9"), {}, nobody));
  const Result<void> result = stack.listen(*net::Endpoint::parse(GetParam().endpoint), {}, nobody);
  ASSERT_EQ(result.has_value(), GetParam().error == nullptr);
  if (!result) {
    EXPECT_NE(result.error().message.find(GetParam().error), std::string::npos) << result.error().message;
  }
}
INSTANTIATE_TEST_SUITE_P(Tcp, Listen, ::testing::ValuesIn(kListenCases),
                         [](const auto& param_info) { return param_info.param.name; });

TEST(Stack, AnEndpointCanBeListenedOnAgain) {
  QueueSink sink;
  TcpStack stack(small(), sink, Instant(ms(1)));
  Nobody nobody;
  ASSERT_TRUE(stack.listen(kServer, {}, nobody));
  stack.unlisten(kServer);
  EXPECT_TRUE(stack.listen(kServer, {}, nobody));
}

Seq iss_of(TcpStack& stack, QueueSink& sink, std::uint16_t port, Instant now) {
  struct Quiet final : StreamHandler {
    void on_stream(StreamEvents) noexcept override {}
  } quiet;
  Conn* conn = stack.connect({kClientAddress, port}, kServer, quiet, now, ms(100));
  stack.flush(now);
  Segment s;
  EXPECT_EQ(parse_segment(sink.packets.back(), {}, s), ParseResult::kOk);
  conn->close();
  return s.seq;
}

// RFC 6528 section 3: a clock of 4 us plus a secret offset for each tuple.
TEST(Stack, InitialSequenceNumbers) {
  QueueSink sink;
  const Instant now(std::chrono::seconds(5));
  TcpStack stack(small(), sink, now);
  const Seq first = iss_of(stack, sink, 30'000, now);
  EXPECT_EQ(iss_of(stack, sink, 30'000, now + ms(4)) - first, 1000u) << "the same tuple goes on with the clock";
  EXPECT_NE(iss_of(stack, sink, 30'001, now + ms(4)) - first, 1000u);
  StackConfig other = small();
  other.secret = {9, 9};
  TcpStack another(other, sink, now);
  EXPECT_NE(iss_of(another, sink, 30'000, now), first);
}

TEST(Stack, IsFreeAndConnectAgree) {
  QueueSink sink;
  const Instant now(std::chrono::seconds(5));
  TcpStack stack(small(), sink, now);
  struct Quiet final : StreamHandler {
    void on_stream(StreamEvents) noexcept override {}
  } quiet;
  const net::Endpoint local{kClientAddress, 30'000};
  EXPECT_TRUE(stack.is_free(local, kServer));
  ASSERT_NE(stack.connect(local, kServer, quiet, now, ms(100)), nullptr);
  EXPECT_FALSE(stack.is_free(local, kServer));
  EXPECT_EQ(stack.connect(local, kServer, quiet, now, ms(100)), nullptr);
  EXPECT_TRUE(stack.is_free(local, {kServerAddress, 81})) << "another destination";
  EXPECT_EQ(stack.connect({kClientAddress, 0}, kServer, quiet, now, ms(100)), nullptr);
  EXPECT_EQ(stack.connect(local, {*net::IpAddress::parse("2001:db8::1"), 80}, quiet, now, ms(100)), nullptr);
}

// 100 Mbit/s with 100 ms of round trip and no loss: the windows grow until the line is full.
TEST(Stack, FillsALongFatPipe) {
  LinkFaults line;
  line.delay = ms(50);
  line.bytes_per_second = 12'500'000;
  line.queue_bytes = 8 << 20;
  StackConfig config = small();
  config.buffer_memory = 64 << 20;
  config.rx_buffer = config.tx_buffer = 4 << 20;
  Network network(3, line, config, config);
  struct Download final : Acceptor {
    explicit Download(Network& network) : app(network, {.send_bytes = 1ull << 40, .write_size = 16'384}, 2, 1) {}
    void on_accept(Conn& conn) noexcept override {
      app.take(conn);
      app.step();
    }
    App app;
  } download(network);
  ASSERT_TRUE(network.b().listen(kServer, {}, download));
  App client(network, AppPlan{.wait_for_peer = true}, 1, 2);
  Conn* conn = network.a().connect({kClientAddress, 30'000}, kServer, client, network.now(), ms(500));
  ASSERT_NE(conn, nullptr);
  client.take(*conn);
  (void)network.run(network.now() + std::chrono::seconds(2), [] { return false; });
  const std::uint64_t before = client.received;
  (void)network.run(network.now() + std::chrono::seconds(2), [] { return false; });
  EXPECT_FALSE(client.damaged);
  EXPECT_GE(client.received - before, 25'000'000u * 92 / 100) << "of 25 MB that the line carries, 3.5 % are headers";
}

}  // namespace
}  // namespace sluice::tcp::test
