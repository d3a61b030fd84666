#include "rates.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

namespace sluice::tcp::test {
namespace {

constexpr std::uint32_t kPayload = 1448, kPacket = 1500;

class Source final : public Acceptor, public StreamHandler {
 public:
  explicit Source(std::uint64_t bytes) : left_(bytes) {}
  void on_accept(Conn& conn) noexcept override {
    conn_ = &conn;
    conn.set_handler(this);
    write();
  }
  void on_stream(StreamEvents) noexcept override { write(); }

 private:
  void write() noexcept {
    static constexpr std::array<std::uint8_t, 16'384> kBytes{};
    for (;;) {
      const auto piece = static_cast<std::size_t>(std::min<std::uint64_t>(kBytes.size(), left_));
      const std::size_t taken = conn_->write(std::span(kBytes).first(piece));
      left_ -= taken;
      if (taken < piece || left_ == 0) return;
    }
  }
  Conn* conn_ = nullptr;
  std::uint64_t left_;
};

class Drain final : public StreamHandler {
 public:
  void on_stream(StreamEvents) noexcept override {
    for (std::size_t got = conn->rx_peek().size(); got != 0; got = conn->rx_peek().size()) {
      received += got;
      conn->rx_consume(got);
    }
  }
  Conn* conn = nullptr;
  std::uint64_t received = 0;
};

// A server that sends and a client that reads.
struct Transfer {
  Transfer(const Path& path, std::uint64_t bytes)
      : network(path.seed, path.faults, config(path), config(path)), source(bytes) {
    network.trust_checksums = true;
    const net::Endpoint server{*net::IpAddress::parse("192.0.2.1"), 80};
    const net::Endpoint client{*net::IpAddress::parse("198.51.100.7"), 30'000};
    ListenOptions options;
    options.connection.congestion = path.congestion;
    if (!network.b().listen(server, options, source)) throw std::runtime_error("listen");
    drain.conn = network.a().connect(client, server, drain, network.now(), std::chrono::seconds(10), {.ecn = path.ecn});
    if (drain.conn == nullptr) throw std::runtime_error("connect");
  }
  static StackConfig config(const Path& path) {
    StackConfig out;
    out.max_connections = 8;
    out.max_time_wait = 8;
    out.buffer_memory = std::size_t{1} << 30;
    out.secret = {path.seed, 2};
    return out;
  }
  Network network;
  Source source;
  Drain drain;
};

}  // namespace

Duration time_to_deliver(std::uint64_t bytes, const std::function<bool(std::uint32_t)>& drop) {
  Path path;
  path.faults.delay = ms(50);
  Transfer transfer(path, bytes);
  std::uint32_t data = 0;
  transfer.network.on_packet = [&](std::size_t from, Packet& packet) {
    return from == 0 || packet.size() < kPayload || !drop(data++);
  };
  const Instant start = transfer.network.now();
  if (!transfer.network.run(start + std::chrono::minutes(1), [&] { return transfer.drain.received == bytes; })) {
    throw std::runtime_error("not delivered");
  }
  return transfer.network.now() - start;
}

Rate measure_rate(const Path& path) {
  Transfer transfer(path, ~std::uint64_t{0});
  Network& network = transfer.network;
  (void)network.run(network.now() + path.settle, [] { return false; });
  const std::uint64_t before = transfer.drain.received;
  (void)network.run(network.now() + path.measure, [] { return false; });
  const double seconds = std::chrono::duration<double>(path.measure).count();
  return {static_cast<double>(transfer.drain.received - before) / seconds, network.b().stats()};
}

double long_fat_share() {
  constexpr std::uint64_t kLink = 125'000'000;
  Path path{.faults = {}, .settle = ms(4000), .measure = ms(2000)};
  path.faults.delay = ms(50);
  path.faults.bytes_per_second = kLink;
  path.faults.queue_bytes = 16 << 20;
  return measure_rate(path).bytes_per_second / kPayload * kPacket / static_cast<double>(kLink);
}

// RFC 9438 section 5.1, equation 5, in segments: (C (3 + beta) / (4 (1 - beta)))^(1/4) RTT^(3/4) / p^(3/4).
double cubic_model_share() {
  constexpr double kLoss = 0.01, kRtt = 0.050, kC = 0.4, kBeta = 0.7;
  const double window = std::pow(kC * (3 + kBeta) / (4 * (1 - kBeta)), 0.25) * std::pow(kRtt / kLoss, 0.75);
  const double model = window * kPayload / kRtt;
  Path path{.faults = {}, .settle = ms(10'000), .measure = ms(0)};
  path.faults.delay = ms(25);
  path.faults.loss = 10;
  path.measure = std::chrono::seconds(200);
  double sum = 0;
  constexpr int kSeeds = 4;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    path.seed = static_cast<std::uint64_t>(seed);
    sum += measure_rate(path).bytes_per_second;
  }
  return sum / kSeeds / model;
}

}  // namespace sluice::tcp::test
