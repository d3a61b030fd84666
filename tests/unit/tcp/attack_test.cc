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
const net::Endpoint kClient{*net::IpAddress::parse("198.51.100.7"), 40'000};

constexpr Offloads kChecked{.tx_checksum = false, .rx_checksum_good = true};

StackConfig small() {
  StackConfig config;
  config.max_connections = 1024;
  config.max_time_wait = 64;
  config.buffer_memory = 4 << 20;
  config.rx_buffer = 64 << 10;
  config.tx_buffer = 64 << 10;
  config.secret = {7, 8};
  return config;
}

// A segment from `from` to the server.
Packet segment(const net::Endpoint& from, const HeaderFields& fields, std::size_t payload = 0) {
  const FourTuple tuple{from, kServer};
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

}  // namespace
}  // namespace sluice::tcp::test
