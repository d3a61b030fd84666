// A network between two stacks on a virtual clock. It loses, repeats, reorders, delays, damages and throttles packets
// as told, decided by a seed; every run of a seed is the same.
// Threading: one thread.
// Ownership: the network owns its hosts' stacks. What was carried is kept for a pcap file.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "sluice/base/random.h"
#include "sluice/tcp/stack.h"

namespace sluice::tcp::test {

using Packet = std::vector<std::uint8_t>;

[[nodiscard]] constexpr Duration ms(std::int64_t n) { return std::chrono::milliseconds(n); }

// Of the IP header (RFC 3168 section 5).
[[nodiscard]] bool is_ecn_capable(const Packet& packet);
void mark_congestion(Packet& packet);  // one that is ECN-capable

// Takes packets from a stack and keeps them. May be told to be without room.
class QueueSink final : public PacketSink {
 public:
  std::span<std::uint8_t> reserve(std::size_t bytes) noexcept override;
  void commit(std::size_t bytes) noexcept override;

  std::vector<Packet> packets;
  std::function<bool()> has_room;  // empty: always

 private:
  Packet room_;
};

struct LinkFaults {  // chances in 1/1000 a packet
  unsigned loss = 0;
  unsigned duplicate = 0;
  unsigned reorder = 0;  // delayed by up to `reorder_by` more
  unsigned corrupt = 0;  // one bit flipped
  unsigned mark = 0;     // congestion experienced, of packets that are ECN-capable
  unsigned no_room = 0;  // the sink refuses
  Duration delay = ms(5);
  Duration reorder_by = ms(10);
  std::uint64_t bytes_per_second = 0;        // 0: no limit
  std::size_t mark_above = ~std::size_t{0};  // waiting for the line: who is ECN-capable is marked
  std::size_t path_mtu = 0;                  // larger packets do not come through; 0: all do
  bool says_too_big = true;                  // and their sender hears of it; false: a black hole
  std::size_t queue_bytes = 64 << 10;        // what waits for the line beyond that is dropped
};

class Network {
 public:
  Network(std::uint64_t seed, const LinkFaults& faults, const StackConfig& a, const StackConfig& b);

  [[nodiscard]] TcpStack& a() { return *hosts_[0].stack; }
  [[nodiscard]] TcpStack& b() { return *hosts_[1].stack; }
  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] Random& random() { return random_; }
  void set_faults(const LinkFaults& faults) { faults_ = faults; }
  void stall(Duration by) { stalled_until_ = now_ + by; }  // what is sent until then arrives after it, in order

  // Something that happens at a time, outside any stack's call: what an application does on its own account.
  void at(Instant when, std::function<void()> action);
  // Runs until `until()` is true, or the time is up: then false.
  bool run(Instant limit, const std::function<bool()>& until);

  // Checksums count as checked by the NIC: what on_packet() changes is believed.
  bool trust_checksums = false;
  // Sees each packet that host 0 or 1 sends, before the network treats it. False: it is lost.
  std::function<bool(std::size_t from, Packet& packet)> on_packet;

  void write_pcap(const std::string& path) const;

 private:
  struct Host {
    QueueSink sink;
    std::unique_ptr<TcpStack> stack;
    Instant line_free_at{};
  };
  struct Event {
    Instant at;
    std::uint64_t order;
    std::size_t to;
    Packet packet;
    std::function<void()> action;
    std::size_t too_big_for = 0;  // the packet is the one that an ICMP error quotes
  };
  struct Later {
    bool operator()(const Event& x, const Event& y) const { return x.at != y.at ? x.at > y.at : x.order > y.order; }
  };
  void turn();
  void send(std::size_t from, Packet packet);
  void too_big(std::size_t from, const Packet& packet);
  [[nodiscard]] bool chance(unsigned per_mille) { return per_mille != 0 && random_.below(1000) < per_mille; }

  Random random_;
  LinkFaults faults_;
  Instant now_{ms(1000)};
  Instant stalled_until_{};
  Host hosts_[2];
  std::priority_queue<Event, std::vector<Event>, Later> events_;
  std::uint64_t order_ = 0;
  std::vector<std::pair<Instant, Packet>> log_;
};

void write_pcap(const std::string& path, const std::vector<std::pair<Instant, Packet>>& packets);

}  // namespace sluice::tcp::test
