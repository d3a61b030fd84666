// Applications for the simulator: one end that sends a known stream, takes the other's, and says when both have ended.
// Threading: one thread.
// Ownership: an App holds its Conn until it closes it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "sim.h"

namespace sluice::tcp::test {

// Byte `at` of the stream that `id` sends.
[[nodiscard]] constexpr std::uint8_t stream_byte(std::uint32_t id, std::uint64_t at) {
  std::uint64_t x = (at / 8 + 1) * 0x9e3779b97f4a7c15u + id;
  x ^= x >> 29;
  x *= 0xbf58476d1ce4e5b9u;
  return static_cast<std::uint8_t>(x >> (at % 8 * 8));
}

struct AppPlan {
  std::uint64_t send_bytes = 0;
  std::uint32_t write_size = 4096;    // at most so many at a time
  std::uint32_t read_size = 1 << 20;  // at most so many an event
  Duration read_pause{};              // between reads: a slow reader closes its window
  bool in_place = false;              // tx_reserve/tx_commit rather than write
  bool wait_for_peer = false;         // ends its direction only after the peer has
  bool close_early = false;           // close() as soon as all is written, rather than after the peer's end
};

class App final : public StreamHandler {
 public:
  App(Network& network, const AppPlan& plan, std::uint32_t sends, std::uint32_t receives)
      : network_(network), plan_(plan), sends_(sends), receives_(receives) {}

  void take(Conn& conn) {
    conn_ = &conn;
    conn.set_handler(this);
    conn.set_user(this);
  }
  void on_stream(StreamEvents events) noexcept override {
    if (has(events, StreamEvents::kClosed)) {
      error = conn_->error();
      failed = true;
      conn_->close();
      conn_ = nullptr;
      return;
    }
    if (has(events, StreamEvents::kConnected)) connected = true;
    if (has(events, StreamEvents::kPeerClosed)) peer_closed = true;
    step();
  }
  void step() noexcept {
    if (conn_ == nullptr) return;
    write_some();
    if (!pausing_) read_some();
    if (conn_ != nullptr && conn_->rx_ended()) ended = true;
    finish_if_done();
  }

  [[nodiscard]] bool open() const { return conn_ != nullptr; }

  std::uint64_t written = 0;
  std::uint64_t received = 0;
  bool connected = false, peer_closed = false, ended = false, failed = false, damaged = false;
  StreamError error = StreamError::kNone;

 private:
  void write_some() noexcept {
    while (written < plan_.send_bytes) {
      std::array<std::uint8_t, 16384> bytes;
      const std::size_t want =
          std::min({plan_.send_bytes - written, std::uint64_t{plan_.write_size}, std::uint64_t{16384}});
      std::size_t done = 0;
      if (plan_.in_place) {
        const std::span<std::uint8_t> room = conn_->tx_reserve(want);
        done = std::min(room.size(), want);
        for (std::size_t i = 0; i < done; ++i) room[i] = stream_byte(sends_, written + i);
        conn_->tx_commit(done);
      } else {
        for (std::size_t i = 0; i < want; ++i) bytes[i] = stream_byte(sends_, written + i);
        done = conn_->write({bytes.data(), want});
      }
      written += done;
      if (done < want && !(plan_.in_place && done > 0)) return;
    }
  }
  void read_some() noexcept {
    std::size_t left = plan_.read_size;
    while (left > 0) {
      const std::span<const std::uint8_t> bytes = conn_->rx_peek();
      if (bytes.empty()) break;
      const std::size_t part = std::min(left, bytes.size());
      for (std::size_t i = 0; i < part; ++i) damaged |= bytes[i] != stream_byte(receives_, received + i);
      received += part;
      left -= part;
      conn_->rx_consume(part);
    }
    if (plan_.read_pause > Duration::zero() && !conn_->rx_ended()) {
      pausing_ = true;
      network_.at(network_.now() + plan_.read_pause, [this] {
        pausing_ = false;
        step();
      });
    }
  }
  void finish_if_done() noexcept {
    if (conn_ == nullptr || written < plan_.send_bytes) return;
    if (plan_.wait_for_peer && !ended) return;
    if (plan_.close_early || ended) {
      conn_->close();
      conn_ = nullptr;
    } else if (!shut_) {
      shut_ = true;
      conn_->shutdown_write();
    }
  }

  Network& network_;
  AppPlan plan_;
  std::uint32_t sends_, receives_;
  Conn* conn_ = nullptr;
  bool pausing_ = false;
  bool shut_ = false;
};

}  // namespace sluice::tcp::test
