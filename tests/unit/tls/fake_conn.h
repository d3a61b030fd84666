// A tcp::Conn without a network: the test puts in what the peer sends and takes out what we sent.
// Threading: one thread. Events are kept until dispatch(), as in TcpStack.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "sluice/tcp/stack.h"

namespace sluice::tls::test {

class FakeConn final : public tcp::Conn {
 public:
  using Bytes = std::vector<std::uint8_t>;

  std::size_t tx_capacity = 256 << 10;
  std::size_t rx_piece = SIZE_MAX;  // rx_peek() shows at most so much at a time

  // ---- the network's side
  void receive(std::span<const std::uint8_t> bytes) {
    rx_.insert(rx_.end(), bytes.begin(), bytes.end());
    pending_ |= tcp::StreamEvents::kReadable;
  }
  void receive_fin() {
    fin_received_ = true;
    pending_ |= tcp::StreamEvents::kPeerClosed;
  }
  void receive_reset() {
    error_ = tcp::StreamError::kReset;
    rx_.clear();
    pending_ |= tcp::StreamEvents::kClosed;
  }
  // What was sent, at most so much of it; the room is free then.
  Bytes take_sent(std::size_t most = SIZE_MAX) {
    const auto bytes = static_cast<std::ptrdiff_t>(std::min(most, tx_.size()));
    Bytes taken(tx_.begin(), tx_.begin() + bytes);
    tx_.erase(tx_.begin(), tx_.begin() + bytes);
    if (bytes != 0 && std::exchange(fell_short_, false)) pending_ |= tcp::StreamEvents::kWritable;
    return taken;
  }
  void drop_sent() { tx_.clear(); }
  // Delivers what happened. True: there was something.
  bool dispatch() {
    if (handler_ == nullptr || pending_ == tcp::StreamEvents::kNone) return false;
    handler_->on_stream(std::exchange(pending_, tcp::StreamEvents::kNone));
    return true;
  }
  [[nodiscard]] bool closed() const { return closed_; }
  [[nodiscard]] bool aborted() const { return aborted_; }
  [[nodiscard]] bool fin_sent() const { return fin_sent_; }
  [[nodiscard]] bool ended() const { return closed_ || aborted_; }
  [[nodiscard]] std::size_t unsent() const { return tx_.size(); }
  [[nodiscard]] std::size_t unread() const { return rx_.size() - rx_at_; }

  // ---- tcp::Conn
  [[nodiscard]] std::span<const std::uint8_t> rx_peek() noexcept override {
    return std::span<const std::uint8_t>(rx_).subspan(rx_at_, std::min(rx_piece, rx_.size() - rx_at_));
  }
  void rx_consume(std::size_t bytes) noexcept override {
    rx_at_ += bytes;
    if (rx_at_ == rx_.size()) {
      rx_.clear();
      rx_at_ = 0;
    }
  }
  [[nodiscard]] bool rx_ended() const noexcept override { return fin_received_ && rx_.size() == rx_at_; }
  [[nodiscard]] std::size_t write(std::span<const std::uint8_t> bytes) noexcept override {
    const std::size_t taken = std::min(bytes.size(), tx_space());
    tx_.insert(tx_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(taken));
    if (taken < bytes.size()) fell_short_ = true;
    return taken;
  }
  [[nodiscard]] std::size_t tx_space() const noexcept override {
    return tx_.size() < tx_capacity && !fin_sent_ ? tx_capacity - tx_.size() : 0;
  }
  [[nodiscard]] bool tx_drained() const noexcept override { return tx_.empty(); }
  void shutdown_write() noexcept override { fin_sent_ = true; }
  void close() noexcept override {
    closed_ = true;
    handler_ = nullptr;
  }
  void abort() noexcept override {
    aborted_ = true;
    handler_ = nullptr;
  }
  [[nodiscard]] tcp::StreamError error() const noexcept override { return error_; }
  void set_handler(tcp::StreamHandler* handler) noexcept override { handler_ = handler; }
  [[nodiscard]] const net::Endpoint& local() const noexcept override { return local_; }
  [[nodiscard]] const net::Endpoint& remote() const noexcept override { return remote_; }
  [[nodiscard]] std::span<std::uint8_t> tx_reserve(std::size_t) noexcept override { return {}; }
  void tx_commit(std::size_t) noexcept override {}
  [[nodiscard]] void* user() const noexcept override { return user_; }
  void set_user(void* user) noexcept override { user_ = user; }

 private:
  Bytes rx_, tx_;
  std::size_t rx_at_ = 0;
  tcp::StreamHandler* handler_ = nullptr;
  tcp::StreamEvents pending_ = tcp::StreamEvents::kNone;
  tcp::StreamError error_ = tcp::StreamError::kNone;
  bool fin_received_ = false, fin_sent_ = false, closed_ = false, aborted_ = false, fell_short_ = false;
  net::Endpoint local_{}, remote_{};
  void* user_ = nullptr;
};

}  // namespace sluice::tls::test
