#include "segment_program.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>

#include "segment.h"
#include "sim.h"

namespace sluice::tcp::test {
namespace {

constexpr std::size_t kMaxSteps = 400;
constexpr std::size_t kPassive = 4, kActive = 2;  // tuples

void require(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

// Of the stream that the peer sends, by sequence number; of ours, by position.
std::uint8_t byte_of(std::uint32_t at) { return static_cast<std::uint8_t>(at * 167 + (at >> 7) * 31); }

class Program {
 public:
  explicit Program(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  [[nodiscard]] bool ended() const { return bytes_.empty(); }
  std::uint8_t next() {
    if (bytes_.empty()) return 0;
    const std::uint8_t byte = bytes_[0];
    bytes_ = bytes_.subspan(1);
    return byte;
  }
  std::uint32_t next32() {
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value = value << 8 | next();
    return value;
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

// One tuple as its other end sees it.
struct Peer {
  FourTuple tuple;             // local: the peer
  std::vector<Seq> syns;       // sequence numbers of all that it sent: where a stream may begin
  Seq iss = 0;                 // of the stack, the last
  std::vector<Seq> isses;      // all of them: a cookie may still be used after the next one
  Seq sent = 0;                // end of what the stack has sent
  Seq acked = 0;               // by the stack
  Seq edge = 0;                // of the stack's window
  Seq offered = 0;             // the furthest edge that the stack may send to
  unsigned shift = 0;          // of the stack's window
  unsigned offered_shift = 0;  // the largest in any of its SYNs
  std::uint32_t ts = 1, last_ts = 0;
  bool known = false, has_edge = false, timestamps = false;
};

struct AppConn final : StreamHandler {
  void on_stream(StreamEvents events) noexcept override {
    if (!has(events, StreamEvents::kClosed)) return;
    conn->close();
    conn = nullptr;
  }
  Conn* conn = nullptr;
  Peer* peer = nullptr;
  std::uint32_t written = 0, read = 0;
  std::vector<Seq> beginnings;  // that agree with what was read so far
  bool read_any = false;
};

class Run final : public Acceptor {
 public:
  explicit Run(std::span<const std::uint8_t> program) : program_(program) {
    const std::uint8_t how = program_.next();
    options_.half_open = (how & 1) != 0 ? 0 : 16;
    options_.backlog = 32;
    max_connections_ = (how & 4) != 0 ? 4 : 32;
    options_.connection.congestion = (how & 8) != 0 ? CongestionControl::kReno : CongestionControl::kCubic;
    options_.source_connections = (how & 2) != 0 ? 3 : 0;
    StackConfig config;
    config.max_connections = max_connections_;
    config.max_time_wait = 4;
    config.buffer_memory = kMemory;
    config.rx_buffer = config.tx_buffer = 32 << 10;
    config.linger = ms(1000);
    config.user_timeout = ms(10'000);
    options_.connection.keepalive_idle = ms(20'000);
    config.secret = {3, 4};
    stack_ = std::make_unique<TcpStack>(config, sink_, now_);
    for (std::uint16_t i = 0; i < kPassive + kActive; ++i) {
      const bool passive = i < kPassive;
      peers_[i].tuple.remote = {us_, passive ? std::uint16_t{80} : static_cast<std::uint16_t>(50'000 + i)};
      peers_[i].tuple.local = {them_, static_cast<std::uint16_t>(passive ? 40'000 + i : 8080)};
    }
    if (!stack_->listen(server(), options_, *this)) throw std::runtime_error("no listener");
  }

  void on_accept(Conn& conn) noexcept override {
    for (Peer& peer : peers_) {
      if (peer.tuple.local == conn.remote() && peer.tuple.remote == conn.local()) adopt(conn, peer);
    }
  }

  [[nodiscard]] const StackStats& stats() const { return stack_->stats(); }
  void run() {
    for (std::size_t step = 0; step < kMaxSteps && !program_.ended(); ++step) {
      one_step();
      check_limits();
    }
    end();
  }

 private:
  static constexpr std::size_t kMemory = 256 << 10;

  // A cookie may be used again, and what comes back with it says how windows are scaled.
  [[nodiscard]] bool cookies() const { return stack_->stats().syn_cookies_sent > 0; }
  [[nodiscard]] net::Endpoint server() const { return {us_, 80}; }

  void adopt(Conn& conn, Peer& peer) {
    auto app = std::make_unique<AppConn>();
    app->conn = &conn;
    app->peer = &peer;
    conn.set_handler(app.get());
    apps_.push_back(std::move(app));
  }

  void one_step() {
    now_ += ms(1);  // so that no two connections of a tuple begin with the same number
    const std::uint8_t what = program_.next();
    switch (what % 16) {
      case 0:
        return pass(ms(program_.next()));
      case 1:
        return pass(ms(program_.next() * 40));
      case 2:
        return app_call();
      case 3:
        return app_call();
      case 4:
        return connect();
      case 5:
        sink_.has_room = (what & 0x10) != 0 ? [] { return false; } : std::function<bool()>();
        return;
      case 6:
        return icmp_error();
      default:
        return segment_arrives((what & 0x10) == 0);
    }
  }

  void turn() {
    stack_->dispatch();
    stack_->advance(now_);
    stack_->flush(now_);
    look_at_what_left();
  }

  void look_at_what_left() {
    for (const Packet& packet : std::exchange(sink_.packets, {})) leaves(packet);
  }

  void pass(Duration time) {
    const Instant until = now_ + time;
    for (int guard = 0; guard < 20'000; ++guard) {
      const std::optional<Instant> next = stack_->next_deadline();
      if (!next || *next > until) {
        now_ = until;
        return turn();
      }
      now_ = std::max(now_, *next);
      turn();
    }
    throw std::runtime_error("the stack is never done");
  }

  // --- the application ---

  void app_call() {
    if (apps_.empty()) return;
    AppConn& app = *apps_[program_.next() % apps_.size()];
    const std::uint8_t what = program_.next();
    if (app.conn == nullptr) return;
    switch (what % 8) {
      case 0:
        std::exchange(app.conn, nullptr)->close();
        break;
      case 1:
        std::exchange(app.conn, nullptr)->abort();
        break;
      case 2:
        app.conn->shutdown_write();
        break;
      case 3:
        reserve(app, 64u * program_.next());
        break;
      case 4:
      case 5:
        write(app, 64u * program_.next());
        break;
      default:
        read(app, 64u * program_.next());
    }
    turn();
  }

  void write(AppConn& app, std::uint32_t count) {
    std::vector<std::uint8_t> bytes(count);
    for (std::uint32_t i = 0; i < count; ++i) bytes[i] = byte_of(app.written + i);
    app.written += static_cast<std::uint32_t>(app.conn->write(bytes));
  }

  void reserve(AppConn& app, std::uint32_t count) {
    const std::span<std::uint8_t> room = app.conn->tx_reserve(count);
    const auto used = static_cast<std::uint32_t>(std::min<std::size_t>(room.size(), count));
    for (std::uint32_t i = 0; i < used; ++i) room[i] = byte_of(app.written + i);
    app.conn->tx_commit(used);
    app.written += used;
  }

  void read(AppConn& app, std::uint32_t count) {
    while (count > 0) {
      const std::span<const std::uint8_t> bytes = app.conn->rx_peek();
      const auto part = static_cast<std::uint32_t>(std::min<std::size_t>(bytes.size(), count));
      if (part == 0) return;
      if (!std::exchange(app.read_any, true)) app.beginnings = app.peer->syns;
      std::erase_if(app.beginnings, [&](Seq syn) {
        for (std::uint32_t i = 0; i < part; ++i) {
          if (bytes[i] != byte_of(syn + 1 + app.read + i)) return true;
        }
        return false;
      });
      require(!app.beginnings.empty(), "the application read what nobody sent");
      app.conn->rx_consume(part);
      app.read += part;
      count -= part;
    }
  }

  void connect() {
    Peer& peer = peers_[kPassive + program_.next() % kActive];
    auto app = std::make_unique<AppConn>();
    app->peer = &peer;
    app->conn = stack_->connect(peer.tuple.remote, peer.tuple.local, *app, now_, ms(3000), options_.connection);
    if (app->conn == nullptr) return;
    apps_.push_back(std::move(app));
    turn();
  }

  void icmp_error() {
    if (last_sent_.empty()) return;
    Packet quoted = last_sent_;
    quoted.resize(std::min<std::size_t>(quoted.size(), 20 + program_.next() % 40));
    const std::uint8_t kind = program_.next();
    const bool too_big = kind % 2 == 0;
    stack_->input_icmp_error({.type = static_cast<std::uint8_t>(too_big ? 3 : kind / 2 % 16),
                              .code = static_cast<std::uint8_t>(too_big ? 4 : program_.next() % 16),
                              .mtu = program_.next() * 8u,
                              .quoted = quoted},
                             now_);
    turn();
  }

  // --- what arrives ---

  Seq choose_seq(const Peer& peer) {
    switch (const std::uint8_t how = program_.next(); how % 16) {
      case 8:
        return peer.acked + 1;
      case 9:
        return peer.acked - 1;
      case 10:
        return peer.edge - (how >> 4);
      case 11:
        return peer.edge + (how >> 4);
      case 12:
        return peer.acked + 16u * program_.next();
      case 13:
        return peer.acked - 16u * program_.next();
      case 14:
        return program_.next32();
      default:
        return peer.acked;
    }
  }

  Seq choose_ack(const Peer& peer) {
    switch (const std::uint8_t how = program_.next(); how % 16) {
      case 9:
        return peer.sent + 1 + (how >> 4);
      case 10:
        return peer.sent - 16u * program_.next();
      case 11:
        return peer.iss + 1;
      case 12:
        return peer.iss + (how >> 4);
      case 13:
        return program_.next32();
      default:
        return peer.sent;
    }
  }

  std::uint16_t choose_window() {
    switch (const std::uint8_t how = program_.next(); how % 8) {
      case 5:
        return 0;
      case 6:
        return how >> 3;
      case 7:
        return static_cast<std::uint16_t>(program_.next() << 8 | program_.next());
      default:
        return 0xffff;
    }
  }

  std::uint32_t choose_len() {
    switch (const std::uint8_t how = program_.next(); how % 8) {
      case 4:
        return 1;
      case 5:
        return how;
      case 6:
        return 1448;
      case 7:
        return 8u * program_.next();
      default:
        return 0;
    }
  }

  std::uint8_t choose_flags() {
    static constexpr std::array<std::uint8_t, 12> kUsual{
        kTcpAck, kTcpAck,           kTcpAck, kTcpAck | kTcpPsh, kTcpAck | kTcpFin,           kTcpSyn,
        kTcpSyn, kTcpSyn | kTcpAck, kTcpRst, kTcpRst | kTcpAck, kTcpAck | kTcpFin | kTcpPsh, kTcpAck};
    const std::uint8_t how = program_.next();
    return how % 16 < kUsual.size() ? kUsual[how % 16] : program_.next();
  }

  SegmentOptions choose_options(Peer& peer, bool syn) {
    SegmentOptions options;
    const std::uint8_t how = program_.next();
    if (syn) {
      options.mss = (how & 1) != 0 ? static_cast<std::uint16_t>(1 + program_.next() * 8) : std::uint16_t{1460};
      options.sack_permitted = (how & 2) == 0;
      options.has_timestamp = (how & 4) == 0;
      options.has_window_scale = (how & 8) == 0;
      if (options.has_window_scale) options.window_scale = how >> 4 & 7;
      peer.timestamps = options.has_timestamp;
    } else {
      options.has_timestamp = peer.timestamps != ((how & 15) == 15);
    }
    if (options.has_timestamp) {
      peer.ts += (how & 0x30) == 0x30 ? 10 : 0;
      options.ts_value = (how & 0xc0) == 0xc0 ? peer.ts - program_.next() : peer.ts;
      options.ts_echo = (how & 0xc0) == 0x80 ? peer.last_ts + program_.next() : peer.last_ts;
    }
    if (!syn && (how & 3) == 3) {
      options.sack_count = static_cast<std::uint8_t>(1 + (how >> 2) % 3);
      for (std::size_t i = 0; i < options.sack_count; ++i) {
        options.sack[i].start = peer.iss + 1 + 64u * program_.next() + program_.next();
        options.sack[i].end = options.sack[i].start + 32u * program_.next();
      }
    }
    return options;
  }

  void segment_arrives(bool whole_turn) {
    Peer& peer = peers_[program_.next() % peers_.size()];
    HeaderFields fields;
    fields.flags = choose_flags();
    fields.seq = choose_seq(peer);
    fields.ack = choose_ack(peer);
    fields.window = choose_window();
    const bool syn = (fields.flags & kTcpSyn) != 0;
    const std::uint32_t len = choose_len();
    fields.options = choose_options(peer, syn);
    const std::size_t headers = 20 + 20 + options_len(fields.options);
    Packet bytes(headers + len);
    const Seq first = fields.seq + (syn ? 1 : 0);
    for (std::uint32_t i = 0; i < len; ++i) bytes[headers + i] = byte_of(first + i);
    build_segment(bytes, peer.tuple, fields, len, false);
    if (syn) {
      peer.syns.push_back(fields.seq);
      if (fields.options.has_window_scale)
        peer.offered_shift = std::max<unsigned>(peer.offered_shift, fields.options.window_scale);
    }
    if ((fields.flags & kTcpAck) != 0 && peer.sent - fields.ack < 1u << 20) {
      const Seq edge = fields.ack + (std::uint32_t{fields.window} << (syn ? 0 : peer.offered_shift));
      peer.offered = seq_max(peer.offered, edge);
    }
    stack_->input(bytes, {}, now_);
    look_at_what_left();
    if (whole_turn) turn();
  }

  // --- what leaves ---

  void leaves(const Packet& packet) {
    last_sent_ = packet;
    Segment s;
    require(parse_segment(packet, {}, s) == ParseResult::kOk, "what was sent is not well-formed");
    const auto found = std::ranges::find_if(peers_, [&](const Peer& peer) { return peer.tuple == s.tuple; });
    require(found != peers_.end(), "a segment to nobody");
    Peer& peer = *found;
    if (s.has(kTcpRst)) return;
    if (s.options.has_timestamp) peer.last_ts = s.options.ts_value;
    if (s.has(kTcpSyn)) return syn_leaves(peer, s);
    require(peer.known, "a segment before any SYN");
    const auto len = static_cast<std::uint32_t>(s.payload.size());
    const auto written = [&](Seq iss) {
      for (std::uint32_t i = 0; i < len; ++i) {
        if (s.payload[i] != byte_of(s.seq - (iss + 1) + i)) return false;
      }
      return true;
    };
    require(std::ranges::any_of(peer.isses, written), "what was sent is not what was written");
    // With a cookie the scale of the peer's window is what comes back in the timestamp.
    require(len == 0 || cookies() || seq_le(s.seq + len, peer.offered), "sent beyond the window");
    peer.sent = seq_max(peer.sent, s.seq + s.len());
    peer.acked = s.ack;
    const Seq edge = s.ack + (std::uint32_t{s.window} << peer.shift);
    const bool back = peer.has_edge && !cookies() && seq_lt(edge + (1u << peer.shift) - 1, peer.edge);
    require(!back, "the window went back");
    peer.edge = peer.has_edge ? seq_max(peer.edge, edge) : edge;
  }

  void syn_leaves(Peer& peer, const Segment& s) {
    if (!peer.known || peer.iss != s.seq) {
      peer.isses.push_back(s.seq);
      peer.offered = s.seq + 1;
    }
    peer.known = true;
    peer.iss = s.seq;
    peer.sent = s.seq + 1;
    peer.acked = s.has(kTcpAck) ? s.ack : program_.next32();
    peer.shift = s.options.window_scale;
    // How a window is scaled that begins with our own SYN depends on which answer is taken: not judged.
    peer.has_edge = s.has(kTcpAck) && peer.tuple.remote.port == 80;
    peer.edge = peer.acked + s.window;
  }

  // --- limits, and the end ---

  void check_limits() {
    const StackStats& stats = stack_->stats();
    require(stats.buffer_bytes + stats.promised_bytes <= kMemory, "more memory than there is");
    require(stats.connections <= max_connections_ && stats.half_open <= stats.connections,
            "more connections than there may be");
    require(stats.time_wait <= 4, "more TIME-WAIT than there may be");
  }

  void end() {
    sink_.has_room = {};
    stack_->unlisten(server());
    turn();
    for (auto& app : apps_) {
      if (app->conn != nullptr) read(*app, 1 << 20);
      if (app->conn != nullptr) std::exchange(app->conn, nullptr)->close();
    }
    pass(std::chrono::minutes(15));
    const StackStats& stats = stack_->stats();
    require(stats.connections == 0 && stats.half_open == 0 && stats.time_wait == 0, "a connection is left");
    require(stats.buffer_bytes == 0 && stats.promised_bytes == 0, "memory is left");
    require(!stack_->next_deadline().has_value(), "a timer is left");
  }

  Program program_;
  const net::IpAddress us_ = *net::IpAddress::parse("192.0.2.1"), them_ = *net::IpAddress::parse("198.51.100.7");
  ListenOptions options_;
  std::uint32_t max_connections_ = 0;
  QueueSink sink_;
  Instant now_{ms(10'000)};
  std::array<Peer, kPassive + kActive> peers_;
  std::vector<std::unique_ptr<AppConn>> apps_;
  std::unique_ptr<TcpStack> stack_;
  Packet last_sent_;
};

}  // namespace

ProgramResult run_segment_program(std::span<const std::uint8_t> program) {
  Run run(program);
  ProgramResult result;
  try {
    run.run();
  } catch (const std::exception& wrong) {
    result.violation = wrong.what();
  }
  result.stats = run.stats();
  return result;
}

}  // namespace sluice::tcp::test
