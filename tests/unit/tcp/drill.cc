#include "drill.h"

#include <deque>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>

#include <fmt/format.h>

#include "drill_packet.h"
#include "sim.h"

namespace sluice::tcp::test {
namespace {

constexpr Seq kPeerBase = 0xfffffc00;  // close to the wrap, so that most scripts cross it
constexpr Duration kLate = ms(3);      // a timer fires up to two of its wheel's ticks late

std::uint8_t byte_at(std::uint32_t relative) { return static_cast<std::uint8_t>(relative * 167 + (relative >> 8)); }

const std::map<std::string, StreamEvents> kEventNames = {
    {"none", StreamEvents::kNone},         {"connected", StreamEvents::kConnected},
    {"readable", StreamEvents::kReadable}, {"writable", StreamEvents::kWritable},
    {"closed", StreamEvents::kClosed},     {"peer_closed", StreamEvents::kPeerClosed},
};
const std::map<std::string, StreamError> kErrorNames = {
    {"none", StreamError::kNone},
    {"refused", StreamError::kRefused},
    {"reset", StreamError::kReset},
    {"timed_out", StreamError::kTimedOut},
    {"unreachable", StreamError::kUnreachable},
    {"aborted", StreamError::kAborted},
};
const std::map<std::string, std::uint64_t StackStats::*> kCounters = {
    {"challenge_acks", &StackStats::challenge_acks},
    {"challenge_acks_limited", &StackStats::challenge_acks_limited},
    {"time_wait_evicted", &StackStats::time_wait_evicted},
    {"out_of_order_dropped", &StackStats::out_of_order_dropped},
    {"retransmits", &StackStats::retransmits},
    {"fast_retransmits", &StackStats::fast_retransmits},
    {"timeouts", &StackStats::timeouts},
    {"duplicate_acks", &StackStats::duplicate_acks},
    {"bad_sack", &StackStats::bad_sack},
    {"duplicate_sacks", &StackStats::duplicate_sacks},
    {"sack_reneging", &StackStats::sack_reneging},
    {"tail_probes", &StackStats::tail_probes},
    {"spurious_recoveries", &StackStats::spurious_recoveries},
    {"spurious_timeouts", &StackStats::spurious_timeouts},
    {"out_of_order_dropped", &StackStats::out_of_order_dropped},
    {"resets_in", &StackStats::resets_in},
    {"resets_out", &StackStats::resets_out},
    {"bad_segment", &StackStats::bad_segment},
    {"listen_overflow", &StackStats::listen_overflow},
    {"half_open_evicted", &StackStats::half_open_evicted},
    {"source_refused", &StackStats::source_refused},
    {"syn_cookies_sent", &StackStats::syn_cookies_sent},
    {"syn_cookies_received", &StackStats::syn_cookies_received},
    {"syn_cookies_failed", &StackStats::syn_cookies_failed},
    {"no_memory", &StackStats::no_memory},
    {"no_buffer", &StackStats::no_buffer},
    {"no_connection", &StackStats::no_connection},
    {"refused", &StackStats::refused},
    {"out_of_window", &StackStats::out_of_window},
    {"old_timestamp", &StackStats::old_timestamp},
    {"path_mtu_lowered", &StackStats::path_mtu_lowered},
    {"path_mtu_ignored", &StackStats::path_mtu_ignored},
    {"path_mtu_deferred", &StackStats::path_mtu_deferred},
    {"path_mtu_raised", &StackStats::path_mtu_raised},
    {"black_holes", &StackStats::black_holes},
    {"ecn_connections", &StackStats::ecn_connections},
    {"ecn_fallbacks", &StackStats::ecn_fallbacks},
    {"ecn_marks_in", &StackStats::ecn_marks_in},
    {"ecn_reductions", &StackStats::ecn_reductions},
    {"bad_ack", &StackStats::bad_ack},
    {"accepted", &StackStats::accepted},
    {"connected", &StackStats::connected},
};
const std::map<std::string, std::uint32_t StackStats::*> kGauges = {
    {"connections", &StackStats::connections},
    {"half_open", &StackStats::half_open},
    {"time_wait", &StackStats::time_wait},
};

template <typename Map>
auto look_up(const Map& map, const std::string& name) {
  const auto found = map.find(name);
  if (found == map.end()) throw std::runtime_error("unknown name: " + name);
  return found->second;
}

class Drill final : private Acceptor, private StreamHandler {
 public:
  void line(const std::string& text);
  void finish();

 private:
  void on_accept(Conn& conn) noexcept override {
    waiting_.push_back(&conn);
    conn.set_handler(this);
  }
  void on_stream(StreamEvents events) noexcept override { events_ |= events; }

  void start();
  void configure(const std::string& key, std::istringstream& in);
  void run_to(Instant when);
  void turn();
  void inject(const std::string& text, bool whole_turn);
  void expect(const std::string& text);
  void call(const std::string& verb, std::istringstream& in);
  void read(std::uint32_t bytes);
  void write(std::istringstream& in);
  void icmp_error(std::istringstream& in);
  void too_big(std::istringstream& in);
  void nothing_left();
  [[nodiscard]] DrillPacket take(const Packet& packet);
  [[nodiscard]] net::Endpoint us() const { return {v6_ ? kUs6 : kUs4, our_port_}; }
  [[nodiscard]] net::Endpoint peer() const { return {v6_ ? kPeer6 : kPeer4, peer_port_}; }

  const net::IpAddress kUs4 = *net::IpAddress::parse("192.0.2.1"), kPeer4 = *net::IpAddress::parse("198.51.100.7");
  const net::IpAddress kUs6 = *net::IpAddress::parse("2001:db8::1"), kPeer6 = *net::IpAddress::parse("2001:db8:1::7");

  StackConfig config_{.max_connections = 16,
                      .max_time_wait = 16,
                      .buffer_memory = 4 << 20,
                      .rx_buffer = 256 << 10,
                      .tx_buffer = 256 << 10};
  ConnOptions options_{.congestion = CongestionControl::kReno};  // the simpler sums
  QueueSink sink_;
  std::unique_ptr<TcpStack> stack_;
  Instant now_{ms(10'000)};
  bool v6_ = false;
  std::uint16_t our_port_ = 80, peer_port_ = 40000;
  std::map<std::uint16_t, Seq> our_base_;  // by peer port: our initial sequence number
  std::uint32_t last_ts_ = 0;
  bool timestamps_ = false;  // in what the stack has sent last
  std::deque<std::pair<Instant, Packet>> out_;
  Packet last_syn_;
  std::deque<Conn*> waiting_;
  Conn* conn_ = nullptr;
  StreamEvents events_ = StreamEvents::kNone;
  std::uint32_t written_ = 0, read_ = 0;
};

void Drill::start() {
  if (!stack_) stack_ = std::make_unique<TcpStack>(config_, sink_, now_);
}

void Drill::configure(const std::string& key, std::istringstream& in) {
  if (stack_) throw std::runtime_error("configure before the first timed line");
  std::uint64_t value = 0;
  if (key == "family") {
    std::string family;
    in >> family;
    v6_ = family == "v6";
    return;
  }
  if (key == "congestion") {
    std::string algorithm;
    in >> algorithm;
    options_.congestion = algorithm == "cubic" ? CongestionControl::kCubic : CongestionControl::kReno;
    return;
  }
  if (key == "ecn") {
    std::string how;
    in >> how;
    options_.ecn = how == "on" ? Ecn::kOn : how == "accept" ? Ecn::kAccept : Ecn::kOff;
    return;
  }
  in >> value;
  const std::map<std::string, Duration*> times = {{"connect_timeout_ms", &config_.connect_timeout},
                                                  {"user_timeout_ms", &config_.user_timeout},
                                                  {"keepalive_ms", &options_.keepalive_idle},
                                                  {"linger_ms", &config_.linger}};
  if (const auto time = times.find(key); time != times.end()) {
    *time->second = ms(static_cast<std::int64_t>(value));
  } else if (key == "initial_window") {
    options_.initial_window = static_cast<std::uint8_t>(value);
  } else if (key == "rx_buffer") {
    config_.rx_buffer = value;
  } else if (key == "tx_buffer") {
    config_.tx_buffer = value;
  } else if (key == "buffer_memory") {
    config_.buffer_memory = value;
  } else if (key == "max_connections") {
    config_.max_connections = static_cast<std::uint32_t>(value);
  } else if (key == "max_time_wait") {
    config_.max_time_wait = static_cast<std::uint32_t>(value);
  } else if (key == "mtu") {
    config_.mtu = static_cast<std::uint16_t>(value);
  } else {
    throw std::runtime_error("unknown key: " + key);
  }
}

void Drill::turn() {
  stack_->dispatch();
  stack_->advance(now_);
  stack_->flush(now_);
  for (Packet& packet : std::exchange(sink_.packets, {})) out_.emplace_back(now_, std::move(packet));
}

void Drill::run_to(Instant when) {
  for (int guard = 0; guard < 100'000; ++guard) {
    const std::optional<Instant> next = stack_->next_deadline();
    if (!next || *next > when) {
      now_ = std::max(now_, when);
      turn();
      return;
    }
    now_ = std::max(now_, *next);
    turn();
  }
  throw std::runtime_error("the stack is never done");
}

void Drill::nothing_left() {
  if (!out_.empty()) throw std::runtime_error("unexpected: " + packet_text(take(out_.front().second)));
}

void Drill::inject(const std::string& text, bool whole_turn) {
  nothing_left();
  DrillPacket packet = parse_packet(text);
  HeaderFields fields;
  fields.seq = kPeerBase + packet.seq;
  fields.flags = packet.flags;
  if (packet.ack) fields.ack = our_base_[peer_port_] + *packet.ack;
  fields.window = static_cast<std::uint16_t>(packet.window.value_or(65535));
  fields.ecn_capable = packet.ecn && *packet.ecn != "none";
  fields.options = packet.options;
  for (SackBlock& block : fields.options.sack) {
    block = {our_base_[peer_port_] + block.start, our_base_[peer_port_] + block.end};
  }
  if (packet.echo_last) fields.options.ts_echo = last_ts_ - packet.options.ts_echo;
  const FourTuple tuple{peer(), us()};
  const std::size_t headers = ip_header_len(tuple) + 20 + options_len(fields.options);
  Packet bytes(headers + packet.len);
  for (std::uint32_t i = 0; i < packet.len; ++i) bytes[headers + i] = byte_at(packet.seq + i);
  build_segment(bytes, tuple, fields, packet.len, false);
  if (packet.ecn == "marked") mark_congestion(bytes);
  stack_->input(bytes, {}, now_);
  if (whole_turn) turn();
}

// What we sent, with sequence numbers counted as scripts count them.
DrillPacket Drill::take(const Packet& packet) {
  Segment s;
  if (parse_segment(packet, {}, s) != ParseResult::kOk)
    throw std::runtime_error("sent a segment that is not well-formed");
  if (s.has(kTcpSyn)) our_base_[s.tuple.local.port] = s.seq;
  if (s.has(kTcpSyn)) last_syn_ = packet;
  const Seq base = our_base_[s.tuple.local.port];
  DrillPacket out;
  out.flags = s.flags;
  // A RST to no connection has a sequence number of its own: 0 with ACK, else the one that was acknowledged.
  out.seq = s.has(kTcpRst) && s.seq == 0 ? 0 : s.seq - base;
  out.len = static_cast<std::uint32_t>(s.payload.size());
  if (s.has(kTcpAck)) out.ack = s.ack - kPeerBase;
  out.window = s.window;
  out.ecn = s.marked ? "marked" : is_ecn_capable(packet) ? "capable" : "none";
  out.options = s.options;
  for (std::size_t i = 0; i < s.options.sack_count; ++i) {
    out.options.sack[i] = {s.options.sack[i].start - kPeerBase, s.options.sack[i].end - kPeerBase};
  }
  timestamps_ = s.options.has_timestamp;
  if (timestamps_) last_ts_ = s.options.ts_value;
  if (s.tuple.local.port != peer_port_) throw std::runtime_error("to another port: " + packet_text(out));
  for (std::uint32_t i = 0; i < out.len; ++i) {
    if (s.payload[i] != byte_at(out.seq + i)) throw std::runtime_error("wrong bytes in " + packet_text(out));
  }
  return out;
}

void Drill::expect(const std::string& text) {
  const Instant due = now_;
  if (out_.empty()) run_to(now_ + kLate);
  const DrillPacket want = parse_packet(text);
  if (out_.empty()) {
    const std::optional<Instant> next = stack_->next_deadline();
    throw std::runtime_error("nothing was sent; next timer in " +
                             (next ? std::to_string((*next - due).count() / 1'000'000) + " ms" : "never"));
  }
  const auto [at, packet] = out_.front();
  out_.pop_front();
  const DrillPacket got = take(packet);
  now_ = std::max(due, at);
  if (at + ms(1) < due) {
    throw std::runtime_error(fmt::format("{} ms too early: {}", (due - at).count() / 1'000'000, packet_text(got)));
  }
  bool same = got.flags == want.flags && got.seq == want.seq && got.len == want.len;
  if (want.ack) same &= got.ack == want.ack;
  if (want.window) same &= got.window == want.window;
  if (want.ecn) same &= got.ecn == want.ecn;
  if (want.options_given) {
    const SegmentOptions &g = got.options, &w = want.options;
    same &= g.mss == w.mss && g.has_window_scale == w.has_window_scale && g.window_scale == w.window_scale &&
            g.sack_permitted == w.sack_permitted && g.has_timestamp == w.has_timestamp &&
            g.sack_count == w.sack_count && (g.sack_count == 0 || g.sack == w.sack) &&
            (want.any_ts_value || g.ts_value == w.ts_value) && (want.echo_last || g.ts_echo == w.ts_echo);
  }
  if (!same) throw std::runtime_error("sent: " + packet_text(got));
}

void Drill::write(std::istringstream& in) {
  std::string word;
  while (in >> word) {
    std::uint32_t want_taken = 0, size = 0;
    if (const std::size_t arrow = word.find("->"); arrow != std::string::npos) {
      size = static_cast<std::uint32_t>(std::stoul(word.substr(0, arrow)));
      want_taken = static_cast<std::uint32_t>(std::stoul(word.substr(arrow + 2)));
    } else {
      size = want_taken = static_cast<std::uint32_t>(std::stoul(word));
    }
    std::vector<std::uint8_t> bytes(size);
    for (std::uint32_t i = 0; i < size; ++i) bytes[i] = byte_at(1 + written_ + i);
    const auto taken = static_cast<std::uint32_t>(conn_->write(bytes));
    written_ += taken;
    if (taken != want_taken) throw std::runtime_error(fmt::format("write took {}", taken));
  }
}

void Drill::read(std::uint32_t bytes) {
  for (std::uint32_t left = bytes; left > 0;) {
    const std::span<const std::uint8_t> got = conn_->rx_peek();
    if (got.empty()) throw std::runtime_error(fmt::format("{} bytes are not there to read", left));
    const auto part = static_cast<std::uint32_t>(std::min<std::size_t>(left, got.size()));
    for (std::uint32_t i = 0; i < part; ++i) {
      if (got[i] != byte_at(1 + read_ + i)) throw std::runtime_error("wrong bytes received");
    }
    conn_->rx_consume(part);
    read_ += part;
    left -= part;
  }
}

// Says of a segment of ours that no more than so much of it can be forwarded.
void Drill::too_big(std::istringstream& in) {
  std::uint32_t mtu = 0, seq = 0, len = 0;
  if (!(in >> mtu >> seq >> len))
    throw std::runtime_error("too_big needs the MTU, and the sequence number and length of what it quotes");
  HeaderFields fields;
  fields.seq = our_base_[peer_port_] + seq;
  fields.flags = kTcpAck;
  fields.options.has_timestamp = timestamps_;
  const FourTuple tuple{us(), peer()};
  Packet quoted(ip_header_len(tuple) + 20 + options_len(fields.options) + len);
  build_segment(quoted, tuple, fields, len, false);
  quoted.resize(ip_header_len(tuple) + 8);
  stack_->input_icmp_error({.type = static_cast<std::uint8_t>(v6_ ? 2 : 3),
                            .code = static_cast<std::uint8_t>(v6_ ? 0 : 4),
                            .mtu = mtu,
                            .quoted = quoted},
                           now_);
}

void Drill::icmp_error(std::istringstream& in) {
  if (last_syn_.empty()) throw std::runtime_error("no SYN to quote");
  Packet quoted = last_syn_;
  quoted.resize(v6_ ? 48 : 28);
  std::uint32_t type = 0, code = 0, ahead = 0;
  if (!(in >> type >> code)) throw std::runtime_error("icmp needs type and code");
  if (in >> ahead) quoted[quoted.size() - 1] = static_cast<std::uint8_t>(quoted.back() + ahead);
  stack_->input_icmp_error(
      {.type = static_cast<std::uint8_t>(type), .code = static_cast<std::uint8_t>(code), .quoted = quoted}, now_);
}

void Drill::call(const std::string& verb, std::istringstream& in) {
  std::string name;
  std::uint32_t number = 0;
  if (verb == "listen") {
    ListenOptions options;
    options.connection = options_;
    const std::map<std::string, std::uint32_t ListenOptions::*> keys = {
        {"backlog", &ListenOptions::backlog},
        {"half_open", &ListenOptions::half_open},
        {"source_connections", &ListenOptions::source_connections}};
    while (in >> name >> number) options.*look_up(keys, name) = number;
    if (const Result<void> ok = stack_->listen(us(), options, *this); !ok) throw std::runtime_error(ok.error().message);
  } else if (verb == "unlisten") {
    stack_->unlisten(us());
  } else if (verb == "connect" || verb == "connect_fails") {
    our_port_ = 40000;
    peer_port_ = 80;
    Conn* conn = stack_->connect(us(), peer(), *this, now_, Duration::zero(), options_);
    if ((conn == nullptr) != (verb == "connect_fails")) throw std::runtime_error("connect() did otherwise");
    conn_ = conn;
    written_ = read_ = 0;
  } else if (verb == "accept") {
    if (waiting_.empty()) throw std::runtime_error("nothing to accept");
    conn_ = waiting_.front();
    waiting_.pop_front();
    written_ = read_ = 0;
  } else if (verb == "event") {
    in >> name;
    StreamEvents want = StreamEvents::kNone;
    std::istringstream names(name);
    while (std::getline(names, name, '|')) want |= look_up(kEventNames, name);
    const StreamEvents got = std::exchange(events_, StreamEvents::kNone);
    if (got != want) throw std::runtime_error(fmt::format("events were {:#x}", static_cast<unsigned>(got)));
  } else if (verb == "error") {
    in >> name;
    if (conn_->error() != look_up(kErrorNames, name)) {
      throw std::runtime_error(fmt::format("error() is {}", static_cast<unsigned>(conn_->error())));
    }
  } else if (verb == "stat") {
    std::uint64_t want = 0;
    in >> name >> want;
    const StackStats& stats = stack_->stats();
    const std::uint64_t got = kGauges.contains(name) ? stats.*look_up(kGauges, name) : stats.*look_up(kCounters, name);
    if (got != want) throw std::runtime_error(fmt::format("{} is {}", name, got));
  } else if (verb == "write") {
    write(in);
  } else if (verb == "read") {
    in >> number;
    read(number);
  } else if (verb == "ended") {
    if (!conn_->rx_ended()) throw std::runtime_error("not at the end");
  } else if (verb == "not_ended") {
    if (conn_->rx_ended()) throw std::runtime_error("at the end");
  } else if (verb == "drained") {
    if (!conn_->tx_drained()) throw std::runtime_error("not drained");
  } else if (verb == "shutdown") {
    conn_->shutdown_write();
  } else if (verb == "close") {
    conn_->close();
  } else if (verb == "abort") {
    conn_->abort();
  } else if (verb == "icmp") {
    icmp_error(in);
  } else if (verb == "too_big") {
    too_big(in);
  } else if (verb == "sink") {
    in >> name;
    sink_.has_room = name == "full" ? [] { return false; } : std::function<bool()>();
  } else if (verb != "nothing") {
    throw std::runtime_error("unknown: " + verb);
  }
}

void Drill::line(const std::string& text) {
  std::istringstream in(text);
  std::string first, verb, rest;
  in >> first;
  if (first.empty() || first[0] == '#') return;
  if (first[0] != '+') return configure(first, in);
  start();
  const double seconds = std::stod(first.substr(1));
  if (seconds > 0) run_to(now_ + Duration(static_cast<std::int64_t>(seconds * 1e9 + 0.5)));
  in >> verb;
  if (verb == "<" || verb == "<+" || verb == ">") {
    std::getline(in, rest);
    if (verb == ">") return expect(rest);
    return inject(rest, verb == "<");
  }
  if (verb == "peer_port") {
    in >> peer_port_;
    return;
  }
  nothing_left();
  call(verb, in);
  turn();
}

void Drill::finish() {
  if (!stack_) throw std::runtime_error("an empty script");
  turn();
  nothing_left();
}

}  // namespace

std::string run_drill(const std::string& path) {
  std::ifstream file(path);
  if (!file) return path + ": cannot be read";
  Drill drill;
  std::string text;
  unsigned number = 0;
  try {
    while (std::getline(file, text)) {
      ++number;
      drill.line(text);
    }
    drill.finish();
  } catch (const std::exception& wrong) {
    return fmt::format("{}:{}: {}\n  {}", path, number, text, wrong.what());
  }
  return {};
}

}  // namespace sluice::tcp::test
