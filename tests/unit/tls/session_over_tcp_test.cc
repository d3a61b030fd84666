// Sessions over the real stack on a bad network: both streams arrive intact, both sides end, nothing is left behind.
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "pair.h"
#include "tests/unit/tcp/sim.h"

namespace sluice::tls::test {
namespace {

using tcp::StreamEvents;
using tcp::test::LinkFaults;
using tcp::test::ms;
using tcp::test::Network;

const net::Endpoint kServer{*net::IpAddress::parse("192.0.2.1"), 443};
const net::Endpoint kClient{*net::IpAddress::parse("198.51.100.7"), 40000};

struct NetworkCase {
  const char* name;
  LinkFaults faults;
  std::size_t buffer_memory;
  std::size_t bytes;
};
const NetworkCase kNetworkCases[] = {
    {"clean", {}, 64 << 20, 1 << 20},
    {"one_in_a_hundred_lost", {.loss = 10}, 64 << 20, 1 << 20},
    {"everything_wrong", {.loss = 20, .duplicate = 10, .reorder = 50, .corrupt = 10, .no_room = 20}, 64 << 20, 300'000},
    {"hardly_any_buffers", {.loss = 10}, 128 << 10, 300'000},
};

tcp::StackConfig stack_config(std::uint64_t seed, std::size_t memory) {
  tcp::StackConfig config;
  config.max_connections = 16;
  config.max_time_wait = 16;
  config.buffer_memory = memory;
  config.seed = seed;
  return config;
}

// The client's end of the TCP connection: carries between it and the libssl client.
class ClientEnd final : public tcp::StreamHandler {
 public:
  explicit ClientEnd(TlsClient& client) : client_(client) {}
  void connect(Network& network) {
    conn = network.a().connect(kClient, kServer, *this, network.now(), std::chrono::seconds(10));
  }
  void on_stream(StreamEvents events) noexcept override {
    if (tcp::has(events, StreamEvents::kClosed)) failed = true;
    step();
  }
  void step() {
    if (conn == nullptr || failed) return;
    for (auto piece = conn->rx_peek(); !piece.empty(); piece = conn->rx_peek()) {
      client_.give(piece);
      conn->rx_consume(piece.size());
    }
    client_.step();
    const std::vector<std::uint8_t> fresh = client_.take();
    waiting_.insert(waiting_.end(), fresh.begin(), fresh.end());
    const std::size_t taken = conn->write(waiting_);
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(taken));
  }
  [[nodiscard]] bool all_written() const { return waiting_.empty(); }

  tcp::Conn* conn = nullptr;
  bool failed = false;

 private:
  TlsClient& client_;
  std::vector<std::uint8_t> waiting_;
};

// The server: answers with a stream of its own, reads the client's, closes when both are through.
class ServerEnd final : public tcp::Acceptor, public tcp::StreamHandler {
 public:
  ServerEnd(ServerContext& context, std::string answer, std::size_t want)
      : context_(context), answer_(std::move(answer)), want_(want) {}
  void on_accept(tcp::Conn& conn) noexcept override {
    session_ = context_.accept(conn);
    session_->set_handler(this);
  }
  void on_stream(StreamEvents events) noexcept override {
    if (tcp::has(events, StreamEvents::kClosed)) {
      failed = true;
      session_->close();
      return;
    }
    for (auto piece = session_->rx_peek(); !piece.empty(); piece = session_->rx_peek()) {
      received.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      session_->rx_consume(piece.size());
    }
    sent_ += session_->write(bytes_of(std::string_view(answer_).substr(sent_)));
    if (sent_ < answer_.size() || received.size() < want_) return;
    closed = true;
    session_->close();
  }
  std::string received;
  bool closed = false, failed = false;

 private:
  ServerContext& context_;
  std::string answer_;
  std::size_t want_, sent_ = 0;
  Session* session_ = nullptr;
};

TEST(SessionOverTcp, CarriesBothStreamsWhateverTheNetworkDoes) {
  for (const NetworkCase& row : kNetworkCases) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      SCOPED_TRACE(std::string(row.name) + " seed " + std::to_string(seed));
      const std::string up = pattern(row.bytes, seed), down = pattern(row.bytes, seed + 100);
      const auto stack_of = [&](std::uint64_t of) { return stack_config(of, row.buffer_memory); };
      Network network(seed, row.faults, stack_of(seed), stack_of(seed + 1));
      const auto library = make_library(seed % 2 == 0 ? Crypto::kIpsecMb : Crypto::kOpenssl);
      const auto context = make_context(*library);
      ServerEnd server(*context, down, up.size());
      ASSERT_TRUE(network.b().listen(kServer, {}, server));
      TlsClient client({.version = seed % 3 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION});
      client.send(up);
      ClientEnd client_end(client);
      client_end.connect(network);
      const auto turn = [&] {
        const std::size_t worked = library->run_handshakes() + library->dispatch(network.now());
        if (worked != 0) network.at(network.now(), [] {});  // one more turn, to send it
        return client.got_close_notify() || client_end.failed || server.failed;
      };
      EXPECT_TRUE(network.run(network.now() + std::chrono::minutes(30), turn));
      EXPECT_EQ(client.error(), "");
      EXPECT_FALSE(client_end.failed);
      EXPECT_FALSE(server.failed);
      EXPECT_TRUE(server.closed);
      EXPECT_TRUE(server.received == up) << server.received.size();
      EXPECT_TRUE(client.received() == down) << client.received().size();
      if (!client_end.failed) client_end.conn->close();
      const auto all_gone = [&] { return network.a().stats().connections + network.b().stats().connections == 0; };
      EXPECT_TRUE(network.run(network.now() + std::chrono::minutes(10), all_gone));
      EXPECT_EQ(network.b().stats().buffer_bytes, 0u);
      EXPECT_EQ(library->stats().sessions, 0u);
      EXPECT_EQ(library->stats().rx_buffers, 0u);
    }
  }
}

}  // namespace
}  // namespace sluice::tls::test
