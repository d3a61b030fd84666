// A server alone, and a test that plays everybody else: it writes the packets that arrive and reads those that leave.
// Threading: one thread.
#pragma once

#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "segment.h"
#include "sim.h"
#include "sluice/tcp/stack.h"

namespace sluice::tcp::test {

inline const net::Endpoint kServer{*net::IpAddress::parse("192.0.2.1"), 80};
inline const net::Endpoint kServer6{*net::IpAddress::parse("2001:db8::1"), 80};
inline const net::Endpoint kClient{*net::IpAddress::parse("198.51.100.7"), 40'000};

inline constexpr Offloads kChecked{.tx_checksum = false, .rx_checksum_good = true};

// A segment from `from` to the server.
inline Packet segment(const net::Endpoint& from, const HeaderFields& fields, std::size_t payload = 0) {
  const FourTuple tuple{from, from.address.is_v4() ? kServer : kServer6};
  Packet bytes(ip_header_len(tuple) + 20 + options_len(fields.options) + payload, 0x5a);
  build_segment(bytes, tuple, fields, payload, false);
  return bytes;
}

inline net::Endpoint source(std::uint32_t number) {
  return {net::IpAddress::v4(Be32(0xcb007100u + (number >> 14) % 256)),  // 203.0.113.0/24
          static_cast<std::uint16_t>(10'000 + number % 16'384)};
}

// A server alone; the tests write what arrives and read what it sends.
class Victim final : public Acceptor, public StreamHandler {
 public:
  explicit Victim(const ListenOptions& options, const StackConfig& config) : stack(config, sink_, now) {
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
    timestamps = options.has_timestamp;
    HeaderFields syn{.seq = seq, .window = 65535, .flags = kTcpSyn, .options = options};
    const std::vector<Packet> answer = turn(segment(from, syn));
    if (answer.size() != 1) return false;
    ack = parsed(answer[0]).seq + 1;
    ++seq;
    const std::vector<Packet> reply = turn(segment(from, fields(kTcpAck)));
    return reply.empty() || !parsed(reply[0]).has(kTcpRst);
  }
  [[nodiscard]] HeaderFields fields(std::uint8_t flags) const {
    HeaderFields out{.seq = seq, .ack = ack, .window = 65535, .flags = flags, .options = {}};
    out.options.has_timestamp = timestamps;
    return out;
  }

 private:
  QueueSink sink_;

 public:
  Instant now{ms(1000)};
  TcpStack stack;
  std::vector<Conn*> conns;
  std::uint32_t closed = 0;
  Seq seq = 0, ack = 0;
  bool timestamps = false;
};

}  // namespace sluice::tcp::test
