#include "network.h"

#include <cstring>
#include <utility>

namespace sluice::proxy::test {

namespace {

net::IpAddress destination_of(std::span<const std::uint8_t> packet) {
  if (packet[0] >> 4 == 6) return net::IpAddress::v6(packet.data() + 24);
  Be32 address;
  std::memcpy(&address, packet.data() + 16, 4);
  return net::IpAddress::v4(address);
}

}  // namespace

bool Switch::deliver() {
  std::deque<std::vector<std::uint8_t>> now = std::exchange(packets_, {});
  for (const std::vector<std::uint8_t>& packet : now) {
    if (lose && lose(packet)) continue;
    if (const auto host = hosts_.find(destination_of(packet)); host != hosts_.end()) host->second(packet);
  }
  return !now.empty();
}

Host::Host(Switch& to, const net::IpAddress& its_address, Instant now)
    : address(its_address), switch_(to), port_(to), now_(now) {
  tcp::StackConfig config;
  config.secret = {1, 2};
  config.seed = 3;
  stack_ = std::make_unique<tcp::TcpStack>(config, port_, now);
  switch_.attach(address, [this](std::span<const std::uint8_t> packet) {
    ++received_;
    stack_->input(packet, {}, now_);
  });
}

bool Host::turn(Instant now) {
  now_ = now;
  const bool worked = std::exchange(received_, 0) > 0;
  stack_->advance(now);
  const std::size_t calls = stack_->dispatch();
  stack_->flush(now);
  return worked || calls > 0;
}

void Peer::on_stream(tcp::StreamEvents events) noexcept {
  using tcp::StreamEvents;
  if (has(events, StreamEvents::kClosed)) {
    closed = true;
    error = stream_->error();
    std::exchange(stream_, nullptr)->close();
    return;
  }
  if (has(events, StreamEvents::kConnected)) connected = true;
  pull();
  push();
}

void Peer::pull() {
  if (stream_ == nullptr || !reading) return;
  const std::size_t before = received.size();
  for (auto bytes = stream_->rx_peek(); !bytes.empty(); bytes = stream_->rx_peek()) {
    received.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    stream_->rx_consume(bytes.size());
  }
  peer_closed = peer_closed || stream_->rx_ended();
  if (received.size() != before || peer_closed) on_data();
}

void Peer::push() {
  if (stream_ == nullptr || !connected) return;
  if (!outgoing.empty()) {
    const std::size_t taken = stream_->write({reinterpret_cast<const std::uint8_t*>(outgoing.data()), outgoing.size()});
    outgoing.erase(0, taken);
  }
  if (ending_ && outgoing.empty()) {
    ending_ = false;
    stream_->shutdown_write();
  }
}

}  // namespace sluice::proxy::test
