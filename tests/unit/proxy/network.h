// A network in memory for tests: hosts with a TcpStack each, and a switch that hands packets on by destination address, on virtual
// time. A host that is not there swallows what is sent to it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sluice/base/time.h"
#include "sluice/net/address.h"
#include "sluice/tcp/stack.h"

namespace sluice::proxy::test {

inline net::IpAddress ip(std::string_view text) { return net::IpAddress::parse(text).value(); }
inline net::Endpoint endpoint(std::string_view text) { return net::Endpoint::parse(text).value(); }

class Switch {
 public:
  using Receive = std::function<void(std::span<const std::uint8_t>)>;

  void attach(const net::IpAddress& address, Receive receive) { hosts_[address] = std::move(receive); }
  void detach(const net::IpAddress& address) { hosts_.erase(address); }
  void send(std::vector<std::uint8_t> packet) { packets_.push_back(std::move(packet)); }
  // Delivers what was sent before the call. True if there was something.
  bool deliver();
  [[nodiscard]] bool pending() const { return !packets_.empty(); }
  // A packet for which this says true is lost.
  std::function<bool(std::span<const std::uint8_t>)> lose;

 private:
  std::deque<std::vector<std::uint8_t>> packets_;
  std::map<net::IpAddress, Receive> hosts_;
};

class SwitchPort final : public tcp::PacketSink {
 public:
  explicit SwitchPort(Switch& to) : switch_(to) {}
  std::span<std::uint8_t> reserve(std::size_t bytes) noexcept override {
    packet_.resize(bytes);
    return packet_;
  }
  void commit(std::size_t bytes) noexcept override {
    switch_.send({packet_.begin(), packet_.begin() + static_cast<std::ptrdiff_t>(bytes)});
  }

 private:
  Switch& switch_;
  std::vector<std::uint8_t> packet_;
};

// A host with a stack: a client or an origin.
class Host {
 public:
  Host(Switch& to, const net::IpAddress& address, Instant now);
  ~Host() { switch_.detach(address); }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  bool turn(Instant now);  // true if it did something
  [[nodiscard]] tcp::TcpStack& stack() { return *stack_; }

  const net::IpAddress address;

 private:
  Switch& switch_;
  SwitchPort port_;
  Instant now_;
  std::unique_ptr<tcp::TcpStack> stack_;
  std::size_t received_ = 0;
};

// One end of a connection as a test uses it: gathers what comes, sends what it is given as fast as there is room.
class Peer : public tcp::StreamHandler {
 public:
  explicit Peer(tcp::Stream* stream = nullptr) : stream_(stream) {
    if (stream_ != nullptr) stream_->set_handler(this);
  }
  virtual ~Peer() {
    if (stream_ != nullptr) stream_->abort();
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void attach(tcp::Stream* stream) {
    stream_ = stream;
    if (stream_ != nullptr) stream_->set_handler(this);
  }
  void send(std::string_view text) {
    outgoing.append(text);
    push();
  }
  void shutdown() {
    ending_ = true;
    push();
  }
  void close() {
    if (stream_ != nullptr) std::exchange(stream_, nullptr)->close();
  }
  void abort() {
    if (stream_ != nullptr) std::exchange(stream_, nullptr)->abort();
  }
  [[nodiscard]] bool open() const { return stream_ != nullptr && !closed; }
  [[nodiscard]] tcp::Stream* stream() { return stream_; }

  void on_stream(tcp::StreamEvents events) noexcept override;
  virtual void on_data() {}

  std::string received;
  std::string outgoing;
  bool reading = true;  // false: leaves what comes in the stack's buffer, so that its window fills
  bool connected = false;
  bool peer_closed = false;  // FIN, and all before it was read
  bool closed = false;       // dead
  tcp::StreamError error = tcp::StreamError::kNone;

  void pull();

 private:
  void push();
  tcp::Stream* stream_;
  bool ending_ = false;
};

}  // namespace sluice::proxy::test
