#include "sluice/control/report.h"

#include <nlohmann/json.hpp>
#include <unistd.h>

namespace sluice::control {
namespace {

using nlohmann::json;

struct EntitySums {
  std::uint64_t packets_in = 0, bytes_in = 0, packets_out = 0, bytes_out = 0, opened = 0, failed = 0;
  std::int64_t active = 0;

  void add(const telemetry::EntityCounters& counters) noexcept {
    packets_in += counters.in.packets.read();
    bytes_in += counters.in.bytes.read();
    packets_out += counters.out.packets.read();
    bytes_out += counters.out.bytes.read();
    opened += counters.flows.read();
    failed += counters.failed.read();
    active += counters.active.read();
  }

  void put_into(json& row) const {
    row["active"] = active;
    row["opened"] = opened;
    row["failed"] = failed;
    row["packets_in"] = packets_in;
    row["bytes_in"] = bytes_in;
    row["packets_out"] = packets_out;
    row["bytes_out"] = bytes_out;
  }
};

template <typename Member>
EntitySums sum(const ProcessView& view, Member&& counters_of) {
  EntitySums sums;
  for (const WorkerView& worker : view.workers) sums.add(counters_of(*worker.counters));
  for (const ProxyView& proxy : view.proxies) sums.add(counters_of(*proxy.counters));
  return sums;
}

template <typename Counters>
std::uint64_t all_drops(const Counters& counters) {
  std::uint64_t total = 0;
  for (const telemetry::Counter& drop : counters.drops) total += drop.read();
  return total;
}

json worker_row(const WorkerView& worker, std::size_t index) {
  const telemetry::WorkerCounters& c = *worker.counters;
  return {{"worker", index},
          {"cpu", worker.cpu},
          {"rx_packets", c.rx.packets.read()},
          {"rx_bytes", c.rx.bytes.read()},
          {"tx_packets", c.tx.packets.read()},
          {"tx_bytes", c.tx.bytes.read()},
          {"polls", c.polls.read()},
          {"bursts", c.bursts.read()},
          {"flows", c.flows.read()},
          {"flow_capacity", c.flow_capacity.read()},
          {"flows_created", c.flows_created.read()},
          {"flows_expired", c.flows_expired.read()},
          {"resets_implausible", c.resets_implausible.read()},
          {"esp_sealed", c.esp_sealed.read()},
          {"esp_opened", c.esp_opened.read()},
          {"esp_beyond_soft_limit", c.esp_beyond_soft_limit.read()},
          {"forwarded_without_flow", c.forwarded_without_flow.read()},
          {"one_packet_forwarded", c.one_packet_forwarded.read()},
          {"flows_reset_on_down", c.flows_reset_on_down.read()},
          {"flows_moved_on_down", c.flows_moved_on_down.read()},
          {"persistent_evicted", c.persistent_evicted.read()},
          {"syn_cookies_sent", c.syn_cookies_sent.read()},
          {"syn_cookies_taken", c.syn_cookies_taken.read()},
          {"syn_proxy_retries", c.syn_proxy_retries.read()},
          {"syn_proxy_engaged", c.syn_proxy_engaged.read()},
          {"flows_closed", c.flows_closed.read()},
          {"flows_killed", c.flows_killed.read()},
          {"nat_ports_used", c.nat_ports_used.read()},
          {"handed_over", c.handed_over.read()},
          {"taken_over", c.taken_over.read()},
          {"replies_handed_over", c.replies_handed_over.read()},
          {"nat_ports_home", c.nat_ports_home.read()},
          {"nat_ports_astray", c.nat_ports_astray.read()},
          {"fragments", c.fragments.read()},
          {"fragments_waited", c.fragments_waited.read()},
          {"packets_cut", c.packets_cut.read()},
          {"reassembled", c.reassembled.read()},
          {"arp_in", c.arp_in.read()},
          {"arp_out", c.arp_out.read()},
          {"nd_in", c.nd_in.read()},
          {"nd_out", c.nd_out.read()},
          {"icmp_echo", c.icmp_echo.read()},
          {"icmp_errors_passed", c.icmp_errors_passed.read()},
          {"rst_sent", c.rst_sent.read()},
          {"unreachable_sent", c.unreachable_sent.read()},
          {"time_exceeded_sent", c.time_exceeded_sent.read()},
          {"drops", all_drops(c)}};
}

json proxy_row(const ProxyView& proxy, std::size_t index) {
  const telemetry::ProxyCounters& c = *proxy.counters;
  json row = {{"proxy", index},
              {"cpu", proxy.cpu},
              {"rx_packets", c.rx.packets.read()},
              {"rx_bytes", c.rx.bytes.read()},
              {"tx_packets", c.tx.packets.read()},
              {"tx_bytes", c.tx.bytes.read()},
              {"connections", c.connections.read()},
              {"connections_accepted", c.connections_accepted.read()},
              {"connections_refused", c.connections_refused.read()},
              {"requests", c.requests.read()},
              {"exchanges", c.exchanges.read()},
              {"bytes_received", c.bytes_received.read()},
              {"bytes_sent", c.bytes_sent.read()},
              {"drops", all_drops(c)}};
  row["responses"] = {{"none", c.responses[0].read()}, {"1xx", c.responses[1].read()}, {"2xx", c.responses[2].read()},
                      {"3xx", c.responses[3].read()},  {"4xx", c.responses[4].read()}, {"5xx", c.responses[5].read()}};
  row["tls"] = {{"crypto", proxy.tls_crypto},
                {"handshakes", c.tls_handshakes.read()},
                {"resumed", c.tls_resumed.read()},
                {"failed", c.tls_failed.read()},
                {"record_errors", c.tls_record_errors.read()},
                {"truncated", c.tls_truncated.read()},
                {"no_buffer", c.tls_no_buffer.read()},
                {"buffer_bytes", c.tls_buffer_bytes.read()}};
  row["cache"] = {{"hits", c.cache_hits.read()},         {"misses", c.cache_misses.read()},
                  {"stale", c.cache_stale.read()},       {"revalidated", c.cache_revalidated.read()},
                  {"bypassed", c.cache_bypassed.read()}, {"waited", c.cache_waited.read()},
                  {"stored", c.cache_stored.read()}};
  row["upstream"] = {{"requests", c.upstream_requests.read()},
                     {"connects", c.upstream_connects.read()},
                     {"reused", c.upstream_reused.read()},
                     {"failed", c.upstream_failed.read()},
                     {"retries", c.upstream_retries.read()},
                     {"timeouts", c.upstream_timeouts.read()},
                     {"ports_exhausted", c.upstream_ports_exhausted.read()},
                     {"connections", c.upstream_connections.read()},
                     {"idle", c.upstream_idle.read()}};
  row["files"] = {{"reads", c.static_reads.read()}, {"rejected", c.static_rejected.read()}};
  row["health"] = {{"checks", c.health_checks.read()}, {"failures", c.health_failures.read()}};
  row["tcp"] = {{"retransmits", c.tcp_retransmits.read()},
                {"timeouts", c.tcp_timeouts.read()},
                {"recoveries", c.tcp_recoveries.read()},
                {"spurious_recoveries", c.tcp_spurious_recoveries.read()},
                {"spurious_timeouts", c.tcp_spurious_timeouts.read()},
                {"tail_probes", c.tcp_tail_probes.read()},
                {"duplicate_sacks", c.tcp_duplicate_sacks.read()},
                {"bad_sack", c.tcp_bad_sack.read()},
                {"sack_reneging", c.tcp_sack_reneging.read()},
                {"bad_checksum", c.tcp_bad_checksum.read()},
                {"no_memory", c.tcp_no_memory.read()},
                {"resets_out", c.tcp_resets_out.read()},
                {"connections", c.tcp_connections.read()},
                {"half_open", c.tcp_half_open.read()},
                {"half_open_evicted", c.tcp_half_open_evicted.read()},
                {"time_wait", c.tcp_time_wait.read()},
                {"buffer_bytes", c.tcp_buffer_bytes.read()},
                {"promised_bytes", c.tcp_promised_bytes.read()},
                {"listen_overflow", c.tcp_listen_overflow.read()},
                {"challenge_acks", c.tcp_challenge_acks.read()},
                {"challenge_acks_limited", c.tcp_challenge_acks_limited.read()},
                {"out_of_order_dropped", c.tcp_out_of_order_dropped.read()},
                {"time_wait_evicted", c.tcp_time_wait_evicted.read()},
                {"source_refused", c.tcp_source_refused.read()},
                {"syn_cookies_sent", c.tcp_syn_cookies_sent.read()},
                {"syn_cookies_received", c.tcp_syn_cookies_received.read()},
                {"syn_cookies_failed", c.tcp_syn_cookies_failed.read()},
                {"path_mtu_lowered", c.tcp_path_mtu_lowered.read()},
                {"path_mtu_ignored", c.tcp_path_mtu_ignored.read()},
                {"path_mtu_deferred", c.tcp_path_mtu_deferred.read()},
                {"path_mtu_raised", c.tcp_path_mtu_raised.read()},
                {"black_holes", c.tcp_black_holes.read()},
                {"ecn_connections", c.tcp_ecn_connections.read()},
                {"ecn_fallbacks", c.tcp_ecn_fallbacks.read()},
                {"ecn_marks_in", c.tcp_ecn_marks_in.read()},
                {"ecn_reductions", c.tcp_ecn_reductions.read()}};
  return row;
}

std::string state_of(const ProcessView& view, const lb::Snapshot& snapshot, lb::BackendIndex index) {
  const lb::Backend& backend = snapshot.backends[index];
  if (!backend.checked) return "up (not checked)";
  const lb::HealthReport report = view.health->read(snapshot.id_of(index));
  if (backend.state == lb::BackendState::kUp) return "up";
  if (report.health == lb::Health::kUnknown) return "down (no answer yet)";
  std::string state = std::string("down (") + lb::text_of(report.reason);
  if (report.detail != 0) state += " " + std::to_string(report.detail);
  return state + ")";
}

void add_pools(const config::ProxyService& proxy, json& pools) {
  for (const config::HttpRoute& route : proxy.routes) {
    const auto* to_pool = std::get_if<config::ToPool>(&route.action);
    if (to_pool != nullptr && std::find(pools.begin(), pools.end(), to_pool->pool) == pools.end()) {
      pools.push_back(to_pool->pool);
    }
  }
}

}  // namespace

json status_report(const ProcessView& view) {
  const auto uptime = std::chrono::steady_clock::now() - view.started;
  const MemoryView memory = view.memory();
  const CacheView cache = view.cache();
  json report = {{"version", view.version},
                 {"pid", ::getpid()},
                 {"config", view.config_file},
                 {"state", view.draining() ? "draining" : "running"},
                 {"uptime_seconds", std::chrono::duration_cast<std::chrono::seconds>(uptime).count()},
                 {"generation", view.snapshot()->generation}};
  report["memory"] = {{"mbufs", memory.mbufs}, {"mbufs_in_use", memory.mbufs_in_use}, {"hugepages", memory.huge_pages}};
  report["cache"] = {{"objects", cache.objects},
                     {"bytes", cache.bytes},
                     {"budget_bytes", cache.budget_bytes},
                     {"evictions", cache.evictions}};
  report["workers"] = json::array();
  for (std::size_t i = 0; i < view.workers.size(); ++i) report["workers"].push_back(worker_row(view.workers[i], i));
  report["proxies"] = json::array();
  for (std::size_t i = 0; i < view.proxies.size(); ++i) {
    report["proxies"].push_back(proxy_row(view.proxies[i], i));
  }
  return report;
}

json services_report(const ProcessView& view) {
  const auto snapshot = view.snapshot();
  json rows = json::array();
  for (std::size_t i = 0; i < snapshot->services.size(); ++i) {
    const lb::Service& service = snapshot->services[i];
    if (!service.present) continue;
    json row = {{"service", service.name}, {"kind", service.kind == lb::ServiceKind::kForward ? "forward" : "proxy"}};
    row["listen"] = json::array();
    for (const config::Listen& listen : service.config->listen) row["listen"].push_back(listen.text());
    row["pools"] = json::array();
    if (service.config->forward) row["pools"].push_back(service.config->forward->pool);
    if (service.config->proxy) add_pools(*service.config->proxy, row["pools"]);
    sum(view, [i](const auto& counters) -> const auto& { return counters.services[i]; }).put_into(row);
    rows.push_back(std::move(row));
  }
  return rows;
}

json backends_report(const ProcessView& view) {
  const auto snapshot = view.snapshot();
  json rows = json::array();
  for (const lb::Pool& pool : snapshot->pools) {
    if (!pool.present) continue;
    for (const lb::BackendIndex index : pool.backends) {
      const lb::Backend& backend = snapshot->backends[index];
      json row = {{"pool", pool.name},
                  {"backend", snapshot->backend_names[index]},
                  {"address", backend.endpoint().text()},
                  {"weight", backend.weight},
                  {"up", backend.state == lb::BackendState::kUp},
                  {"state", state_of(view, *snapshot, index)}};
      sum(view, [index](const auto& counters) -> const auto& { return counters.backends[index]; }).put_into(row);
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

json drops_report(const ProcessView& view) {
  json rows = json::array();
  for (std::size_t i = 1; i < telemetry::kDropReasons; ++i) {
    json workers = json::array(), proxies = json::array();
    std::uint64_t packets = 0;
    for (const WorkerView& worker : view.workers) {
      workers.push_back(worker.counters->drops[i].read());
      packets += worker.counters->drops[i].read();
    }
    for (const ProxyView& proxy : view.proxies) {
      proxies.push_back(proxy.counters->drops[i].read());
      packets += proxy.counters->drops[i].read();
    }
    rows.push_back({{"reason", telemetry::kDropTexts[i].name},
                    {"help", telemetry::kDropTexts[i].help},
                    {"packets", packets},
                    {"workers", std::move(workers)},
                    {"proxies", std::move(proxies)}});
  }
  return rows;
}

json interfaces_report(const ProcessView& view) {
  json rows = json::array();
  for (const InterfaceView& interface : view.interfaces()) {
    rows.push_back({{"interface", interface.name},
                    {"device", interface.device},
                    {"driver", interface.driver},
                    {"mac", interface.mac},
                    {"link", interface.link_up ? "up" : "down"},
                    {"mtu", interface.mtu},
                    {"addresses", interface.addresses},
                    {"rx_queues", interface.rx_queues},
                    {"tx_queues", interface.tx_queues},
                    {"rss", interface.rss},
                    {"rss_known", interface.rss_known},
                    {"offloads", interface.offloads},
                    {"rx_packets", interface.rx_packets},
                    {"rx_bytes", interface.rx_bytes},
                    {"rx_missed", interface.rx_missed},
                    {"rx_errors", interface.rx_errors},
                    {"rx_no_mbuf", interface.rx_no_mbuf},
                    {"tx_packets", interface.tx_packets},
                    {"tx_bytes", interface.tx_bytes},
                    {"tx_errors", interface.tx_errors}});
  }
  return rows;
}

void add_reports(AdminServer& server, const ProcessView& view, FlowReporter& flows) {
  server.get("/status", [&view](const AdminQuery&) -> Result<json> { return status_report(view); });
  server.get("/services", [&view](const AdminQuery&) -> Result<json> { return services_report(view); });
  server.get("/backends", [&view](const AdminQuery&) -> Result<json> { return backends_report(view); });
  server.get("/drops", [&view](const AdminQuery&) -> Result<json> { return drops_report(view); });
  server.get("/interfaces", [&view](const AdminQuery&) -> Result<json> { return interfaces_report(view); });
  server.get("/flows", [&flows](const AdminQuery& query) { return flows.report(query); });
  server.post("/flows/kill", [&flows](const AdminQuery& query) { return flows.kill(query); });
}

}  // namespace sluice::control
