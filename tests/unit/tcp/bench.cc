// What a received segment costs: many established connections, bursts of 32 in-order segments on connections in random
// order, each burst with its up-calls (the bytes are consumed) and its acknowledgments. Only the stack's calls are
// timed.
// Use: tcp_bench [connections] [payload bytes]
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <time.h>

#include "rates.h"
#include "rx_queue.h"
#include "segment.h"
#include "sluice/base/random.h"
#include "sluice/tcp/stack.h"

namespace sluice::tcp {
namespace {

constexpr std::size_t kBurst = 32;
constexpr Seq kPeerIss = 1000;

class CountSink final : public PacketSink {
 public:
  std::span<std::uint8_t> reserve(std::size_t bytes) noexcept override { return std::span(room_).first(bytes); }
  void commit(std::size_t) noexcept override { ++packets; }
  [[nodiscard]] std::span<const std::uint8_t> last() const { return room_; }
  std::uint64_t packets = 0;

 private:
  std::array<std::uint8_t, 2048> room_{};
};

class Reader final : public StreamHandler, public Acceptor {
 public:
  struct Handler final : StreamHandler {
    Conn* conn = nullptr;
    std::uint64_t* bytes = nullptr;
    void on_stream(StreamEvents) noexcept override {
      for (std::span<const std::uint8_t> got = conn->rx_peek(); !got.empty(); got = conn->rx_peek()) {
        *bytes += got.size();
        conn->rx_consume(got.size());
      }
    }
  };
  explicit Reader(std::size_t connections) : handlers_(connections) {}
  void on_stream(StreamEvents) noexcept override {}
  void on_accept(Conn& conn) noexcept override {
    Handler& handler = handlers_[used_++];
    handler.conn = &conn;
    handler.bytes = &bytes;
    conn.set_handler(&handler);
  }
  [[nodiscard]] Conn& first() { return *handlers_[0].conn; }
  std::uint64_t bytes = 0;

 private:
  std::vector<Handler> handlers_;
  std::size_t used_ = 0;
};

// Of this thread: on a machine with other work the wall clock says nothing.
Duration cpu_time() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

struct Peer {
  FourTuple tuple;  // local: the peer
  Seq seq = kPeerIss;
  Seq ack = 0;
};

std::vector<std::uint8_t> packet_of(const Peer& peer, std::uint8_t flags, std::size_t payload, std::uint32_t ts,
                                    bool syn) {
  HeaderFields fields;
  fields.seq = peer.seq;
  fields.ack = peer.ack;
  fields.flags = flags;
  fields.window = 65535;
  fields.options.has_timestamp = true;
  fields.options.ts_value = ts;
  if (syn) {
    fields.options.mss = 1460;
    fields.options.has_window_scale = true;
    fields.options.window_scale = 7;
  }
  const std::size_t headers = ip_header_len(peer.tuple) + 20 + options_len(fields.options);
  std::vector<std::uint8_t> bytes(headers + payload, 0x5a);
  build_segment(bytes, peer.tuple, fields, payload, false);
  return bytes;
}

void run(std::size_t connections, std::size_t payload, bool checked) {
  StackConfig config;
  config.max_connections = static_cast<std::uint32_t>(connections + connections / 8 + 16);  // a share is for our own
  config.max_time_wait = 16;
  config.buffer_memory = connections * (48u << 10);
  config.secret = {1, 2};
  CountSink sink;
  Reader reader(connections);
  Instant now{std::chrono::seconds(1)};
  TcpStack stack(config, sink, now);
  const net::Endpoint server{*net::IpAddress::parse("192.0.2.1"), 80};
  if (!stack.listen(server, {.backlog = static_cast<std::uint32_t>(connections)}, reader)) std::abort();
  std::vector<Peer> peers(connections);
  for (std::size_t i = 0; i < connections; ++i) {
    Peer& peer = peers[i];
    const auto host = static_cast<std::uint32_t>(0xc6336400u + i / 50'000);
    peer.tuple = {{net::IpAddress::v4(Be32(host)), static_cast<std::uint16_t>(10'000 + i % 50'000)}, server};
    stack.input(packet_of(peer, kTcpSyn, 0, 1, true), {}, now);
    stack.flush(now);
    Segment answer;
    const std::size_t total = sink.last()[2] * 256u + sink.last()[3];
    if (parse_segment(sink.last().first(total), {}, answer) != ParseResult::kOk) std::abort();
    peer.seq += 1;
    peer.ack = answer.seq + 1;
    stack.input(packet_of(peer, kTcpAck, 0, 1, false), {}, now);
    stack.dispatch();
  }
  Random random(7);
  const Offloads offloads{.tx_checksum = false, .rx_checksum_good = checked};
  Duration best = Duration::max();
  const std::uint64_t sent_before = sink.packets;
  std::uint64_t segments = 0;
  for (int repeat = 0; repeat < 7; ++repeat) {
    Duration spent{};
    const std::size_t bursts = 4000;
    for (std::size_t b = 0; b < bursts; ++b) {
      std::array<std::vector<std::uint8_t>, kBurst> burst;
      for (auto& packet : burst) {
        Peer& peer = peers[random.below(static_cast<std::uint32_t>(connections))];
        packet = packet_of(peer, kTcpAck, payload, 2, false);
        peer.seq += static_cast<Seq>(payload);
      }
      now += std::chrono::microseconds(10);
      const Duration start = cpu_time();
      std::array<Received, kBurst> received;
      for (std::size_t i = 0; i < kBurst; ++i) received[i] = {burst[i], offloads};
      stack.input(received, now);
      stack.dispatch();
      stack.advance(now);
      stack.flush(now);
      spent += cpu_time() - start;
      segments += kBurst;
    }
    best = std::min(best, spent / static_cast<std::int64_t>(bursts * kBurst));
  }
  if (reader.bytes != segments * payload) std::abort();
  std::printf("tcp.segment.%s.%zu_connections.%zu_bytes %lld ns (%.2f acknowledgments a segment)\n",
              checked ? "rx_checksum_by_nic" : "rx_checksum", connections, payload,
              static_cast<long long>(best.count()),
              static_cast<double>(sink.packets - sent_before) / static_cast<double>(segments));
}

// One connection sends as fast as its peer acknowledges: written in pieces of 16 KiB, copied and checksummed into
// packets.
void run_bulk() {
  StackConfig config;
  config.max_connections = 16;
  config.max_time_wait = 16;
  config.tx_buffer = 512 << 10;  // what stays in the cache
  config.secret = {1, 2};
  CountSink sink;
  Reader reader(1);
  Instant now{std::chrono::seconds(1)};
  TcpStack stack(config, sink, now);
  const net::Endpoint server{*net::IpAddress::parse("192.0.2.1"), 80};
  if (!stack.listen(server, {}, reader)) std::abort();
  Peer peer{.tuple = {{*net::IpAddress::parse("198.51.100.7"), 40'000}, server}};
  stack.input(packet_of(peer, kTcpSyn, 0, 1, true), {}, now);
  stack.flush(now);
  Segment answer;
  if (parse_segment(sink.last().first(60), {}, answer) != ParseResult::kOk) std::abort();
  peer.seq += 1;
  peer.ack = answer.seq + 1;
  stack.input(packet_of(peer, kTcpAck, 0, 1, false), {}, now);
  stack.dispatch();
  Conn& conn = reader.first();
  static std::array<std::uint8_t, 16'384> bytes{};
  Duration best = Duration::max();
  for (int repeat = 0; repeat < 7; ++repeat) {
    const Duration start = cpu_time();
    const std::uint64_t before = sink.packets;
    for (int turn = 0; turn < 4000; ++turn) {
      now += std::chrono::microseconds(10);
      while (conn.write(bytes) == bytes.size()) {
      }
      stack.flush(now);
      if (parse_segment(sink.last().first(sink.last()[2] * 256u + sink.last()[3]), {.rx_checksum_good = true},
                        answer) != ParseResult::kOk) {
        std::abort();
      }
      Peer at = peer;
      at.ack = answer.seq + static_cast<Seq>(answer.payload.size());  // all that was sent
      stack.input(packet_of(at, kTcpAck, 0, 2, false), {}, now);
      stack.dispatch();
    }
    const std::uint64_t segments = sink.packets - before;
    best = std::min(best, (cpu_time() - start) / static_cast<std::int64_t>(segments));
  }
  std::printf("tcp.bulk_send.segment %lld ns (%.1f Gbit/s)\n", static_cast<long long>(best.count()),
              1448.0 * 8 / static_cast<double>(best.count()));
}

// A flood of SYNs with Linux' options from addresses that never come back, each answered with a cookie: parsed, looked up,
// answered, forgotten. Checksums are the NIC's.
void run_cookies() {
  StackConfig config;
  config.max_connections = 10'000;
  config.max_time_wait = 16;
  config.secret = {1, 2};
  config.offloads.tx_checksum = true;
  CountSink sink;
  Reader reader(1);
  Instant now{std::chrono::seconds(1)};
  TcpStack stack(config, sink, now);
  const net::Endpoint server{*net::IpAddress::parse("192.0.2.1"), 443};
  if (!stack.listen(server, {.half_open = 0}, reader)) std::abort();
  constexpr std::size_t kSources = 16'384;
  std::vector<std::vector<std::uint8_t>> packets;
  std::vector<Received> received;
  Random random(11);
  for (std::size_t i = 0; i < kSources; ++i) {
    const net::IpAddress address = net::IpAddress::v4(Be32(0x0a000000u + random.below(1u << 24)));
    const Peer peer{.tuple = {{address, static_cast<std::uint16_t>(1024 + random.below(60'000))}, server},
                    .seq = random.below(0xffffffff)};
    packets.push_back(packet_of(peer, kTcpSyn, 0, 1, true));
  }
  for (const auto& packet : packets) received.push_back({packet, {.tx_checksum = false, .rx_checksum_good = true}});
  Duration best = Duration::max();
  for (int repeat = 0; repeat < 15; ++repeat) {
    const Duration start = cpu_time();
    for (std::size_t i = 0; i < kSources; i += kBurst) {
      now += std::chrono::microseconds(6);
      stack.input(std::span(received).subspan(i, kBurst), now);
      stack.dispatch();
      stack.advance(now);
      stack.flush(now);
    }
    best = std::min(best, cpu_time() - start);
  }
  const StackStats& stats = stack.stats();
  if (stats.syn_cookies_sent != 15 * kSources || stats.connections != 0 || stats.buffer_bytes != 0) std::abort();
  std::printf("tcp.syn_cookies.mpps %.2f Mpps\n", 1e3 * kSources / static_cast<double>(best.count()));
}

// Bytes far beyond a gap, in the largest window that a connection can have, each in another place than the one before.
void run_far_segments() {
  constexpr std::uint32_t kBlocks = 8192;
  BlockPool pool(std::size_t{kBlocks + 8} * kBlockSize);
  RxQueue queue;
  if (!queue.grow_quota(pool, kBlocks)) std::abort();
  Random random(5);
  std::array<std::uint32_t, RxQueue::kMaxRanges> places;
  for (std::uint32_t& place : places) place = 1 + random.below(kBlocks * kBlockSize - 2);
  const std::array<std::uint8_t, 1> byte{};
  Duration best = Duration::max();
  for (int repeat = 0; repeat < 20; ++repeat) {
    const Duration start = cpu_time();
    for (const std::uint32_t place : places) {
      bool stored = false;
      (void)queue.store(pool, 0, place, byte, stored);
    }
    best = std::min(best, (cpu_time() - start) / static_cast<std::int64_t>(places.size()));
  }
  std::printf("tcp.far_segment.ns %lld ns\n", static_cast<long long>(best.count()));
}

// A peer that acknowledges nothing and SACKs every second of many small segments, three blocks at a time, from the last
// to the first, again and again: what one such acknowledgment costs, the retransmissions that it causes with it.
void run_hostile_sacks() {
  constexpr std::uint32_t kMss = 100, kSegments = 20'000;
  StackConfig config;
  config.max_connections = 16;
  config.max_time_wait = 16;
  config.secret = {1, 2};
  CountSink sink;
  Reader reader(1);
  Instant now{std::chrono::seconds(1)};
  TcpStack stack(config, sink, now);
  const net::Endpoint server{*net::IpAddress::parse("192.0.2.1"), 80};
  if (!stack.listen(server, {}, reader)) std::abort();
  const FourTuple tuple{{*net::IpAddress::parse("198.51.100.7"), 40'000}, server};
  const auto packet = [&](std::uint8_t flags, Seq seq, Seq ack, const SegmentOptions& options) {
    const HeaderFields fields{.seq = seq, .ack = ack, .window = 65535, .flags = flags, .options = options};
    std::vector<std::uint8_t> bytes(ip_header_len(tuple) + 20 + options_len(options));
    build_segment(bytes, tuple, fields, 0, false);
    return bytes;
  };
  const auto answered = [&] {
    Segment answer;
    const std::size_t total = sink.last()[2] * 256u + sink.last()[3];
    if (parse_segment(sink.last().first(total), {}, answer) != ParseResult::kOk) std::abort();
    return answer;
  };
  const SegmentOptions syn{.mss = kMss, .window_scale = 14, .has_window_scale = true, .sack_permitted = true};
  stack.input(packet(kTcpSyn, kPeerIss, 0, syn), {}, now);
  stack.flush(now);
  Seq una = answered().seq + 1;
  stack.input(packet(kTcpAck, kPeerIss + 1, una, {}), {}, now);
  stack.dispatch();
  static constexpr std::array<std::uint8_t, 16'384> kBytes{};
  const auto write = [&] {
    while (reader.first().write(kBytes) == kBytes.size()) {
    }
    stack.flush(now);
    const Segment last = answered();
    return last.seq + static_cast<Seq>(last.payload.size());
  };
  Seq max = write();
  while (max - una < kSegments * kMss) {  // slow start
    now += std::chrono::microseconds(10);
    una += std::min(8 * kMss, max - una);
    stack.input(packet(kTcpAck, kPeerIss + 1, una, {}), {}, now);
    stack.dispatch();
    max = write();
  }
  now += std::chrono::milliseconds(1);
  constexpr std::uint32_t kAcks = 40'000;
  std::vector<std::vector<std::uint8_t>> acks;
  for (std::uint32_t i = 0; i < kAcks; ++i) {
    SegmentOptions sacks{.sack_count = 3};
    for (std::uint32_t block = 0; block < 3; ++block) {
      const std::uint32_t back = 2 * ((3 * i + block) % (kSegments / 2 - 1) + 1);
      sacks.sack[block] = {max - back * kMss, max - (back - 1) * kMss};
    }
    acks.push_back(packet(kTcpAck, kPeerIss + 1, una, sacks));
  }
  const std::uint64_t sent_before = sink.packets;
  const Duration start = cpu_time();
  for (const auto& ack : acks) {
    now += std::chrono::microseconds(1);
    stack.input(ack, {}, now);
    stack.advance(now);
    stack.flush(now);
  }
  const Duration spent = cpu_time() - start;
  std::printf("tcp.hostile_sack.ack %lld ns (%u segments in flight, %.2f packets sent for each)\n",
              static_cast<long long>((spent / kAcks).count()), (max - una) / kMss,
              static_cast<double>(sink.packets - sent_before) / kAcks);
}

// A server's whole short connection: SYN, request, response, both FINs. TIME_WAIT is the client's.
void run_short(std::size_t connections) {
  StackConfig config;
  config.max_connections = 1000;
  config.max_time_wait = 16;
  config.secret = {1, 2};
  CountSink sink;
  struct Server final : Acceptor {
    struct Exchange final : StreamHandler {
      Conn* conn = nullptr;
      void on_stream(StreamEvents events) noexcept override {
        static constexpr std::array<std::uint8_t, 1000> kAnswer{};
        if (has(events, StreamEvents::kReadable)) {
          conn->rx_consume(conn->rx_peek().size());
          (void)conn->write(kAnswer);
        }
        if (has(events, StreamEvents::kPeerClosed)) conn->close();
      }
    } exchange;
    void on_accept(Conn& conn) noexcept override {
      exchange.conn = &conn;
      conn.set_handler(&exchange);
    }
  } server;
  Instant now{std::chrono::seconds(1)};
  TcpStack stack(config, sink, now);
  const net::Endpoint local{*net::IpAddress::parse("192.0.2.1"), 80};
  if (!stack.listen(local, {}, server)) std::abort();
  Duration spent{};
  const auto turn = [&](const Peer& peer, std::uint8_t flags, std::size_t payload) {
    const std::vector<std::uint8_t> packet = packet_of(peer, flags, payload, 1, (flags & kTcpSyn) != 0);
    now += std::chrono::microseconds(1);
    const Duration start = cpu_time();
    stack.input(packet, {}, now);
    stack.dispatch();
    stack.advance(now);
    stack.flush(now);
    spent += cpu_time() - start;
  };
  for (std::size_t i = 0; i < connections; ++i) {
    const auto host = static_cast<std::uint32_t>(0xc6336400u + i / 50'000);
    Peer peer{.tuple = {{net::IpAddress::v4(Be32(host)), static_cast<std::uint16_t>(10'000 + i % 50'000)}, local}};
    turn(peer, kTcpSyn, 0);
    Segment answer;
    if (parse_segment(sink.last().first(60), {}, answer) != ParseResult::kOk) std::abort();
    peer.seq += 1;
    peer.ack = answer.seq + 1;
    turn(peer, kTcpAck, 0);
    turn(peer, kTcpAck | kTcpPsh, 100);
    peer.seq += 100;
    peer.ack += 1000;
    turn(peer, kTcpAck | kTcpFin, 0);
    peer.seq += 1;
    peer.ack += 1;
    turn(peer, kTcpAck, 0);
  }
  if (stack.stats().connections != 0 || stack.stats().accepted != connections) std::abort();
  Duration clock{};  // what the measuring itself takes
  for (std::size_t i = 0; i < 10'000; ++i) {
    const Duration start = cpu_time();
    clock += cpu_time() - start;
  }
  std::printf("tcp.short_connection %lld ns\n",
              static_cast<long long>((spent / static_cast<std::int64_t>(connections) - 5 * (clock / 10'000)).count()));
}

}  // namespace
}  // namespace sluice::tcp

int main(int argc, char** argv) {
  const std::size_t connections = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10'000;
  const std::size_t payload = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1448;
  for (const bool checked : {true, false}) sluice::tcp::run(connections, payload, checked);
  sluice::tcp::run_bulk();
  sluice::tcp::run_short(100'000);
  sluice::tcp::run_cookies();
  sluice::tcp::run_hostile_sacks();
  sluice::tcp::run_far_segments();
  std::printf("tcp.lfn_1g_100ms.pct_of_link %.1f percent\n", 100 * sluice::tcp::test::long_fat_share());
  std::printf("tcp.loss_1pct_50ms.vs_cubic_model %.2f ratio\n", sluice::tcp::test::cubic_model_share());
  return 0;
}
