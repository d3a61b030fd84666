// What sluice says of itself: JSON documents over counters, snapshot and tables, for the admin API.
// Threading: the admin server's threads. Counters are read while their owners write them: each number is true, two numbers of one
//            document may be of slightly different moments.
// Ownership: borrows everything; ProcessView outlives the admin server.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "sluice/base/result.h"
#include "sluice/config/config.h"
#include "sluice/control/admin_server.h"
#include "sluice/lb/flow_query.h"
#include "sluice/lb/health_board.h"
#include "sluice/lb/snapshot.h"
#include "sluice/telemetry/counters.h"

namespace sluice::control {

struct WorkerView {
  unsigned cpu = 0;
  const telemetry::WorkerCounters* counters = nullptr;
  lb::FlowQueryMailbox* flows = nullptr;
};

struct ProxyView {
  unsigned cpu = 0;
  const telemetry::ProxyCounters* counters = nullptr;
  std::string tls_crypto;  // what it computes AES-GCM with
};

struct InterfaceView {
  std::string name, device, driver, mac;
  bool link_up = false;
  std::uint16_t mtu = 0;
  std::vector<std::string> addresses;
  std::uint16_t rx_queues = 0, tx_queues = 0;
  std::vector<std::string> rss;  // what the device spreads over its receive queues by addresses and ports: "tcp4", ...
  bool rss_known = false;        // by which key and table
  std::vector<std::string> offloads;  // what the device does to single packets for us: "vlan_strip", ...
  std::uint64_t rx_packets = 0, rx_bytes = 0, rx_missed = 0, rx_errors = 0, rx_no_mbuf = 0;
  std::uint64_t tx_packets = 0, tx_bytes = 0, tx_errors = 0;
};

struct MemoryView {
  std::uint64_t mbufs = 0, mbufs_in_use = 0;
  bool huge_pages = false;
};

struct CacheView {
  std::uint64_t objects = 0, bytes = 0, budget_bytes = 0, evictions = 0;
};

struct ProcessView {
  std::string version, config_file;
  std::chrono::steady_clock::time_point started;
  const lb::HealthBoard* health = nullptr;
  std::vector<WorkerView> workers;
  std::vector<ProxyView> proxies;
  // Called on the admin server's threads.
  std::function<std::shared_ptr<const lb::Snapshot>()> snapshot;
  std::function<std::vector<InterfaceView>()> interfaces;
  std::function<MemoryView()> memory;
  std::function<CacheView()> cache;
  std::function<bool()> draining;
};

[[nodiscard]] nlohmann::json status_report(const ProcessView& view);
[[nodiscard]] nlohmann::json services_report(const ProcessView& view);
[[nodiscard]] nlohmann::json backends_report(const ProcessView& view);
[[nodiscard]] nlohmann::json drops_report(const ProcessView& view);
[[nodiscard]] nlohmann::json interfaces_report(const ProcessView& view);

// The flows of all workers that match ?service= &backend= &client= : listed, at most &limit= (default 1000, at most 100,000);
// with &count=1 counted by service and backend; or ended. One question at a time; each is answered within kPatience, with an Error if need be: sluicectl waits no longer than 5 s.
class FlowReporter {
 public:
  static constexpr std::chrono::milliseconds kPatience = std::chrono::seconds(3);

  explicit FlowReporter(const ProcessView& view, std::chrono::milliseconds patience = kPatience)
      : view_(view), patience_(patience) {}
  [[nodiscard]] Result<nlohmann::json> report(const AdminQuery& query);
  // At least one of service, backend and client is given. Workers that have more to end than they can in the time go on.
  [[nodiscard]] Result<nlohmann::json> kill(const AdminQuery& query);

 private:
  using Deadline = std::chrono::steady_clock::time_point;
  // Posts a query to every worker; they are in pending_ then. `lock`: on mutex_.
  template <typename Make>
  [[nodiscard]] Result<void> post_all(const std::unique_lock<std::timed_mutex>& lock, Make&& make);
  [[nodiscard]] bool wait_for(const lb::FlowQuery& query, Deadline deadline) const;
  [[nodiscard]] Result<nlohmann::json> list(const lb::Snapshot& snapshot, std::size_t limit, Deadline deadline);
  [[nodiscard]] Result<nlohmann::json> count(const lb::Snapshot& snapshot, Deadline deadline);

  const ProcessView& view_;
  const std::chrono::milliseconds patience_;
  std::timed_mutex mutex_;                               // one query at a time per mailbox
  std::vector<std::unique_ptr<lb::FlowQuery>> pending_;  // given up, but a worker may still write to them
};

// Puts all of these into the server.
void add_reports(AdminServer& server, const ProcessView& view, FlowReporter& flows);

}  // namespace sluice::control
