#include "sim.h"

#include <algorithm>
#include <fstream>

#include "sluice/net/checksum.h"
#include "sluice/net/wire.h"

namespace sluice::tcp::test {

bool is_ecn_capable(const Packet& packet) { return (packet[0] >> 4 == 4 ? packet[1] & 3 : packet[1] >> 4 & 3) != 0; }

void mark_congestion(Packet& packet) {
  if (packet[0] >> 4 == 6) {
    packet[1] |= 0x30;
    return;
  }
  packet[1] |= 3;
  auto& ip = *reinterpret_cast<net::Ip4Header*>(packet.data());
  ip.checksum = std::uint16_t{0};
  ip.checksum = net::checksum(std::span(packet).first(sizeof(net::Ip4Header)));
}

std::span<std::uint8_t> QueueSink::reserve(std::size_t bytes) noexcept {
  if (has_room && !has_room()) return {};
  room_.assign(bytes, 0);
  return room_;
}

void QueueSink::commit(std::size_t bytes) noexcept {
  room_.resize(bytes);
  packets.push_back(std::move(room_));
  room_ = {};
}

Network::Network(std::uint64_t seed, const LinkFaults& faults, const StackConfig& a, const StackConfig& b)
    : random_(seed), faults_(faults) {
  const StackConfig* configs[] = {&a, &b};
  for (std::size_t i = 0; i < 2; ++i) {
    hosts_[i].sink.has_room = [this] { return !chance(faults_.no_room); };
    hosts_[i].stack = std::make_unique<TcpStack>(*configs[i], hosts_[i].sink, now_);
  }
}

void Network::at(Instant when, std::function<void()> action) {
  events_.push(Event{std::max(when, now_), order_++, 0, {}, std::move(action)});
}

// Quotes what RFC 792 asks for.
void Network::too_big(std::size_t from, const Packet& packet) {
  Packet quoted(packet.begin(), packet.begin() + (packet[0] >> 4 == 4 ? 28 : 48));
  events_.push(Event{now_ + faults_.delay, order_++, from, std::move(quoted), {}, faults_.path_mtu});
}

void Network::send(std::size_t from, Packet packet) {
  if (on_packet && !on_packet(from, packet)) return;
  constexpr std::size_t kLogLimit = 4096;
  if (log_.size() < kLogLimit) log_.emplace_back(now_, packet);
  if (chance(faults_.loss)) return;
  if (faults_.path_mtu != 0 && packet.size() > faults_.path_mtu) {
    if (faults_.says_too_big) too_big(from, packet);
    return;
  }
  if (is_ecn_capable(packet) && chance(faults_.mark)) mark_congestion(packet);
  Host& host = hosts_[from];
  Instant leaves = now_;
  if (faults_.bytes_per_second != 0) {
    const auto ns = [&](std::size_t bytes) {
      return Duration(static_cast<std::int64_t>(bytes * 1'000'000'000ull / faults_.bytes_per_second));
    };
    host.line_free_at = std::max(host.line_free_at, now_);
    if (host.line_free_at - now_ > ns(faults_.queue_bytes)) return;
    if (faults_.mark_above < faults_.queue_bytes && host.line_free_at - now_ > ns(faults_.mark_above) &&
        is_ecn_capable(packet))
      mark_congestion(packet);
    host.line_free_at += ns(packet.size());
    leaves = host.line_free_at;
  }
  const unsigned copies = chance(faults_.duplicate) ? 2 : 1;
  for (unsigned i = 0; i < copies; ++i) {
    Packet copy = packet;
    Instant arrives = std::max(leaves, stalled_until_) + faults_.delay;
    if (chance(faults_.reorder)) {
      arrives += Duration(random_.below(static_cast<std::uint32_t>(faults_.reorder_by.count()) + 1));
    }
    if (chance(faults_.corrupt)) {
      std::uint8_t& byte = copy[random_.below(static_cast<std::uint32_t>(copy.size()))];
      byte = static_cast<std::uint8_t>(byte ^ 1u << random_.below(8));
    }
    events_.push(Event{arrives, order_++, 1 - from, std::move(copy), {}});
  }
}

void Network::turn() {
  while (!events_.empty() && events_.top().at <= now_) {
    Event event = std::move(const_cast<Event&>(events_.top()));  // NOLINT: popped on the next line
    events_.pop();
    if (event.action) {
      event.action();
    } else if (event.too_big_for != 0) {
      const bool v4 = event.packet[0] >> 4 == 4;
      hosts_[event.to].stack->input_icmp_error({.type = static_cast<std::uint8_t>(v4 ? 3 : 2),
                                                .code = static_cast<std::uint8_t>(v4 ? 4 : 0),
                                                .mtu = static_cast<std::uint32_t>(event.too_big_for),
                                                .quoted = event.packet},
                                               now_);
    } else {
      hosts_[event.to].stack->input(event.packet, {.rx_checksum_good = trust_checksums}, now_);
    }
  }
  for (std::size_t i = 0; i < 2; ++i) {
    hosts_[i].stack->dispatch();
    hosts_[i].stack->advance(now_);
    hosts_[i].stack->flush(now_);
    std::vector<Packet> out = std::exchange(hosts_[i].sink.packets, {});
    for (Packet& packet : out) send(i, std::move(packet));
  }
}

bool Network::run(Instant limit, const std::function<bool()>& until) {
  turn();
  while (!until()) {
    std::optional<Instant> next;
    const auto consider = [&](std::optional<Instant> at) {
      if (at && (!next || *at < *next)) next = at;
    };
    if (!events_.empty()) consider(events_.top().at);
    for (Host& host : hosts_) consider(host.stack->next_deadline());
    if (!next || *next > limit) {
      now_ = std::max(now_, limit);
      turn();
      return until();
    }
    now_ = std::max(now_, *next);
    turn();
  }
  return true;
}

void Network::write_pcap(const std::string& path) const { test::write_pcap(path, log_); }

void write_pcap(const std::string& path, const std::vector<std::pair<Instant, Packet>>& packets) {
  std::ofstream file(path, std::ios::binary);
  const auto put = [&](std::uint32_t value) { file.write(reinterpret_cast<const char*>(&value), 4); };
  put(0xa1b23c4d);  // nanosecond time stamps
  put(2 | 4 << 16);
  put(0);
  put(0);
  put(65535);
  put(101);  // LINKTYPE_RAW: from the IP header on
  for (const auto& [at, packet] : packets) {
    const auto ns = static_cast<std::uint64_t>(at.time_since_epoch().count());
    put(static_cast<std::uint32_t>(ns / 1'000'000'000));
    put(static_cast<std::uint32_t>(ns % 1'000'000'000));
    put(static_cast<std::uint32_t>(packet.size()));
    put(static_cast<std::uint32_t>(packet.size()));
    file.write(reinterpret_cast<const char*>(packet.data()), static_cast<std::streamsize>(packet.size()));
  }
}

}  // namespace sluice::tcp::test
