// The whole layer 4 path over prepared packets, without a driver in the way: a device that gives out a batch of mbufs and takes it
// back, one worker, a number of flows.
// Method: packets are prepared in batches outside the measured time, for flows in seeded random order; in mode `nat` half of
//         them are replies. Times are this thread's CPU time.
// Threading: one thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <time.h>

#include "sluice/base/random.h"
#include "sluice/config/load.h"
#include "sluice/dataplane/assembly.h"
#include "sluice/dataplane/topology.h"
#include "sluice/dataplane/worker.h"
#include "sluice/dpdk/mempool.h"
#include "sluice/lb/build_snapshot.h"
#include "sluice/lb/flow_table.h"
#include "sluice/lb/health_board.h"
#include "sluice/lb/port_plan.h"
#include "sluice/lb/snapshot_slot.h"
#include "sluice/net/checksum.h"
#include "sluice/net/parse.h"
#include "sluice/net/wire.h"

namespace sluice::bench {

inline constexpr std::size_t kBatch =
    4096;  // mbufs; about 9 MiB, so that they are not in the first caches, as off a NIC
inline constexpr std::size_t kPacketBytes = 128;  // on the wire, without checksum
inline constexpr std::uint64_t kSeed = 20261;
inline const net::MacAddress kOurs{{2, 0, 0, 0, 0, 1}};
inline const net::MacAddress kGateway{{2, 0, 0, 0, 1, 1}};

[[noreturn]] inline void die(std::string_view what) {
  fmt::print(stderr, "bench_l4: {}\n", what);
  std::exit(1);
}

template <typename T>
T must(Result<T> result) {
  if (!result) die(result.error().message);
  return std::move(*result);
}

inline double cpu_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// Gives out the batch in bursts and takes it back; an mbuf is never freed between.
class BatchDevice final : public dpdk::Device {
 public:
  std::vector<rte_mbuf*> batch;
  std::size_t given = 0, taken = 0;

  explicit BatchDevice(bool vlan_offloads) {
    capabilities_.rx_vlan_strip = capabilities_.tx_vlan_insert = vlan_offloads;
  }
  std::size_t receive(std::uint16_t /*queue*/, std::span<rte_mbuf*> room) noexcept override {
    const std::size_t count = std::min(room.size(), batch.size() - given);
    std::copy_n(batch.begin() + static_cast<std::ptrdiff_t>(given), count, room.begin());
    given += count;
    return count;
  }
  std::size_t send(std::uint16_t /*queue*/, std::span<rte_mbuf*> mbufs) noexcept override {
    std::copy(mbufs.begin(), mbufs.end(), batch.begin() + static_cast<std::ptrdiff_t>(taken));
    taken += mbufs.size();
    return mbufs.size();
  }
  [[nodiscard]] const net::MacAddress& mac() const noexcept override { return kOurs; }
  [[nodiscard]] const dpdk::DeviceCapabilities& capabilities() const noexcept override { return capabilities_; }
  [[nodiscard]] dpdk::DeviceStats stats() const noexcept override { return {}; }

 private:
  dpdk::DeviceCapabilities capabilities_;
};

// Whether all is on a VLAN, and who takes its tag off and puts it on.
enum class Tags : std::uint8_t { kNone, kInSoftware, kByDevice };

struct Setup {
  std::string_view mode = "nat";
  bool ipv6 = false;
  std::size_t flows = 1u << 20;  // of the table
  std::size_t backends = 32;     // NAT has some 64,000 ports towards each
  std::size_t services = 1;      // all but the first are not asked for
  bool syn_proxy = false;        // every SYN is answered with a cookie
  Tags tags = Tags::kNone;
};

// One worker over the batch.
class PacketBench {
 public:
  PacketBench(const dpdk::Mempool& pool, const Setup& setup);
  ~PacketBench();
  PacketBench(const PacketBench&) = delete;
  PacketBench& operator=(const PacketBench&) = delete;

  // Until so many are open: by handshake in mode `nat`, by SYN and ACK where only the client is seen.
  void open_flows(std::size_t count);
  // Nanoseconds for one batch: of random packets of the open flows; of SYNs of flows that are not there yet; of the same
  // random packets with their MAC addresses swapped, and nothing else.
  double measure();
  double measure_new();
  double measure_cookies();  // SYNs of random clients, with the options that Linux sends; the answers leave
  double measure_floor();

  [[nodiscard]] std::size_t room() const;  // flows that the table still takes
  [[nodiscard]] double load() const;       // of the table's places
  [[nodiscard]] lb::FlowQueryMailbox& queries() { return assembly_->worker(0).queries(); }
  [[nodiscard]] telemetry::WorkerCounters& counters() { return assembly_->worker_counters(0); }

 private:
  struct Flow {
    std::uint32_t client;
    std::uint16_t client_port;
    std::uint16_t nat_port;
    std::uint16_t backend;
  };
  [[nodiscard]] Flow next_flow();
  void prepare(std::size_t index, const Flow& flow, bool reply, std::uint8_t flags);
  void tag(rte_mbuf* mbuf) const;
  void prepare_random();
  void learn_reply(std::size_t index, Flow& flow) const;
  void run_batch();

  Setup setup_;
  bool replies_;
  config::Config config_;
  BatchDevice device_;
  Random random_{kSeed};
  lb::HealthBoard health_;
  lb::SnapshotSlot slot_;
  lb::PortPlan ports_{1, 0};
  std::unique_ptr<dataplane::Topology> topology_;
  std::unique_ptr<dataplane::Assembly> assembly_;
  std::vector<Flow> flows_;
};

// The least of the repetitions, each over so many batches, in nanoseconds a packet.
template <typename Measure>
double least(int repetitions, int batches, Measure&& measure) {
  double out = 1e18;
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    double sum = 0;
    for (int batch = 0; batch < batches; ++batch) sum += measure();
    out = std::min(out, sum / batches / kBatch);
  }
  return out;
}

}  // namespace sluice::bench
