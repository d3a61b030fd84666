// Two stacks over a network that loses, repeats, reorders, delays and damages: whatever it does, both streams arrive
// intact and both sides end in bounded virtual time, with all memory returned.
#include <map>
#include <memory>

#include <gtest/gtest.h>

#include "sim.h"
#include "stream_app.h"

namespace sluice::tcp::test {
namespace {

const net::Endpoint kServer4{*net::IpAddress::parse("192.0.2.1"), 80};
const net::Endpoint kClient4{*net::IpAddress::parse("198.51.100.7"), 40000};
const net::Endpoint kServer6{*net::IpAddress::parse("2001:db8::1"), 80};
const net::Endpoint kClient6{*net::IpAddress::parse("2001:db8:1::7"), 40000};

// Watches the packets of one direction: what is acknowledged plus the window never goes back by more than the scale's
// rounding.
class WindowWatch {
 public:
  void see(const Packet& packet) {
    const std::size_t ip = packet[0] >> 4 == 4 ? 20 : 40;
    const std::uint8_t* tcp = packet.data() + ip;
    const std::uint8_t flags = tcp[13];
    if ((flags & 4) != 0) return;
    const std::uint32_t ack = word(tcp + 8);
    const std::uint32_t window = static_cast<std::uint32_t>(tcp[14] << 8 | tcp[15]);
    if ((flags & 2) != 0) {
      shift_ = find_shift(tcp);
      edge_ = ack + window;
      known_ = (flags & 16) != 0;
      return;
    }
    const std::uint32_t edge = ack + (window << shift_);
    if (known_ && static_cast<std::int32_t>(edge + (1u << shift_) - 1 - edge_) < 0) shrunk = true;
    if (!known_ || static_cast<std::int32_t>(edge - edge_) > 0) edge_ = edge;
    known_ = true;
  }
  bool shrunk = false;

 private:
  static std::uint32_t word(const std::uint8_t* at) {
    return static_cast<std::uint32_t>(at[0]) << 24 | static_cast<std::uint32_t>(at[1]) << 16 |
           static_cast<std::uint32_t>(at[2]) << 8 | at[3];
  }
  static unsigned find_shift(const std::uint8_t* tcp) {
    const std::size_t end = (tcp[12] >> 4) * 4u;
    for (std::size_t at = 20; at < end;) {
      if (tcp[at] == 1) {
        ++at;
      } else if (tcp[at] == 3) {
        return tcp[at + 2];
      } else {
        at += tcp[at + 1];
      }
    }
    return 0;
  }
  unsigned shift_ = 0;
  std::uint32_t edge_ = 0;
  bool known_ = false;
};

// A middlebox that does not like SACK: the option of a SYN becomes NOPs, and the checksum is mended.
void strip_sack_permitted(Packet& packet) {
  const std::size_t ip = packet[0] >> 4 == 4 ? 20 : 40;
  std::uint8_t* tcp = packet.data() + ip;
  if ((tcp[13] & 2) == 0) return;
  const std::size_t end = (tcp[12] >> 4) * 4u;
  for (std::size_t at = 20; at < end; at += tcp[at] == 1 ? 1 : tcp[at + 1]) {
    if (tcp[at] != 4) continue;
    std::uint32_t sum = static_cast<std::uint32_t>(tcp[16] << 8 | tcp[17]);
    const bool odd = at % 2 != 0;  // RFC 1624, equation 4: each word that changes
    sum += odd ? 0x0004 + 0x0200 : 0x0402;
    sum -= odd ? 0x0001 + 0x0100 : 0x0101;
    sum = (sum & 0xffff) + (sum >> 16);
    tcp[16] = static_cast<std::uint8_t>(sum >> 8);
    tcp[17] = static_cast<std::uint8_t>(sum);
    tcp[at] = tcp[at + 1] = 1;
    return;
  }
}

class OneConnection final : public Acceptor {
 public:
  OneConnection(std::uint64_t seed, const LinkFaults& faults, const StackConfig& client, const StackConfig& server)
      : network(seed, faults, client, server) {
    network.on_packet = [this](std::size_t from, Packet& packet) {
      if (without_sack) strip_sack_permitted(packet);
      watch_[from].see(packet);
      return true;
    };
  }
  void on_accept(Conn& conn) noexcept override {
    server_app->take(conn);
    server_app->step();
  }
  void start(const net::Endpoint& client, const net::Endpoint& server, const AppPlan& client_plan,
             const AppPlan& server_plan, const ListenOptions& options) {
    client_app = std::make_unique<App>(network, client_plan, 1, 2);
    server_app = std::make_unique<App>(network, server_plan, 2, 1);
    ASSERT_TRUE(network.b().listen(server, options, *this));
    Conn* conn = network.a().connect(client, server, *client_app, network.now(), std::chrono::minutes(5),
                                     {.ecn = ecn ? Ecn::kOn : Ecn::kOff});
    ASSERT_NE(conn, nullptr);
    client_app->take(*conn);
  }
  [[nodiscard]] bool over() const {
    return !client_app->open() && !server_app->open() && (server_app->received > 0 || server_app->ended);
  }
  [[nodiscard]] bool shrunk() const { return watch_[0].shrunk || watch_[1].shrunk; }

  Network network;
  bool without_sack = false;
  bool ecn = false;
  std::unique_ptr<App> client_app, server_app;

 private:
  WindowWatch watch_[2];
};

StackConfig small_config(std::uint64_t seed) {
  StackConfig config;
  config.max_connections = 8;
  config.max_time_wait = 8;
  config.buffer_memory = 2 << 20;
  config.rx_buffer = 64 << 10;
  config.tx_buffer = 64 << 10;
  config.user_timeout = std::chrono::minutes(20);
  config.linger = std::chrono::minutes(20);  // the worst seeds are slow, and a reset would be right
  config.secret = {seed, ~seed};
  return config;
}

LinkFaults random_faults(Random& random) {
  LinkFaults faults;
  faults.loss = random.below(120);
  faults.duplicate = random.below(60);
  faults.reorder = random.below(300);
  faults.corrupt = random.below(40);
  faults.no_room = random.below(4) == 0 ? random.below(200) : 0;
  faults.delay = std::chrono::microseconds(random.below(40'000));
  faults.reorder_by = std::chrono::microseconds(random.below(30'000));
  if (random.below(3) == 0) faults.bytes_per_second = 100'000 + random.below(10'000'000);
  if (random.below(2) == 0) faults.mark = random.below(300);
  if (random.below(3) == 0) {
    faults.path_mtu = 1280 + random.below(220);
    faults.says_too_big = random.below(2) == 0;
  }
  return faults;
}

AppPlan random_plan(Random& random) {
  AppPlan plan;
  plan.send_bytes = random.below(4) == 0 ? random.below(10) : random.below(120'000);
  plan.write_size = 1 + random.below(random.below(2) == 0 ? 16'000 : 700);
  plan.in_place = random.below(2) == 0;
  plan.wait_for_peer = random.below(3) == 0;
  if (random.below(4) == 0) {
    plan.read_size = 100 + random.below(20'000);
    plan.read_pause = std::chrono::microseconds(1'000 + random.below(60'000));
  }
  return plan;
}

void run_seed(std::uint64_t seed) {
  Random random(seed * 7919 + 1);
  StackConfig client = small_config(seed), server = small_config(seed + 1);
  if (random.below(2) == 0) client.mtu = 1280;
  if (random.below(4) == 0) server.rx_buffer = 8 << 10;
  const LinkFaults faults = random_faults(random);
  AppPlan client_plan = random_plan(random), server_plan = random_plan(random);
  if (client_plan.wait_for_peer) server_plan.wait_for_peer = false;
  OneConnection one(seed, faults, client, server);
  const bool v6 = random.below(2) == 0;
  one.without_sack = seed % 4 == 0;
  one.ecn = seed % 2 == 0;
  // Now and then the network holds everything back for longer than the retransmission timeout.
  for (std::uint32_t stalls = seed % 3 == 0 ? 1 + random.below(4) : 0; stalls > 0; --stalls) {
    const Instant begin = one.network.now() + ms(random.below(3000));
    one.network.at(begin, [&one, by = ms(100 + random.below(1200))] { one.network.stall(by); });
  }
  ListenOptions options;
  // Cookies need a client that says something: a lost acknowledgment is not sent again by who waits. A SYN-ACK that comes
  // twice is acknowledged twice, and an acknowledgment that overtakes the data before it brings no cookie: a RST.
  if (random.below(4) == 0 && client_plan.send_bytes > 0) {
    options.half_open = 0;
    LinkFaults once = faults;
    once.duplicate = 0;
    one.network.set_faults(once);
  }
  one.start(v6 ? kClient6 : kClient4, v6 ? kServer6 : kServer4, client_plan, server_plan, options);
  const Instant limit = one.network.now() + std::chrono::minutes(30);
  const bool over = one.network.run(limit, [&] { return one.over(); });
  EXPECT_TRUE(over) << "not over after 30 minutes";
  EXPECT_FALSE(one.client_app->damaged || one.server_app->damaged);
  EXPECT_FALSE(one.client_app->failed) << static_cast<int>(one.client_app->error);
  EXPECT_FALSE(one.server_app->failed) << static_cast<int>(one.server_app->error);
  EXPECT_EQ(one.server_app->received, client_plan.send_bytes);
  EXPECT_EQ(one.client_app->received, server_plan.send_bytes);
  EXPECT_FALSE(one.shrunk()) << "a window went back";
  // TIME_WAIT and lingering ends are over after a while, whatever was lost.
  (void)one.network.run(one.network.now() + std::chrono::minutes(30), [] { return false; });
  for (TcpStack* stack : {&one.network.a(), &one.network.b()}) {
    EXPECT_EQ(stack->stats().connections, 0u);
    EXPECT_EQ(stack->stats().half_open, 0u);
    EXPECT_EQ(stack->stats().time_wait, 0u);
    EXPECT_EQ(stack->stats().buffer_bytes, 0u);
    EXPECT_FALSE(stack->next_deadline().has_value()) << "a timer without a connection";
    EXPECT_EQ(stack->stats().bad_sack, 0u);
    EXPECT_EQ(stack->stats().sack_reneging, 0u);
  }
  if (::testing::Test::HasFailure()) {
    const std::string path = ::testing::TempDir() + "sluice_tcp_seed_" + std::to_string(seed) + ".pcap";
    one.network.write_pcap(path);
    FAIL() << "seed " << seed << ", packets in " << path;
  }
}

TEST(HostileNetwork, DeliversBothStreamsAndEnds) {
  for (std::uint64_t seed = 1; seed <= 1200; ++seed) {
    ASSERT_NO_FATAL_FAILURE(run_seed(seed));
  }
}

}  // namespace
}  // namespace sluice::tcp::test
