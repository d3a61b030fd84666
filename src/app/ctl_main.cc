// sluicectl: asks a running sluice over its admin socket and shows the answer as tables, or as JSON for scripts.
#include <cstdio>
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <httplib.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>

#include "sluice/base/result.h"
#include "table.h"

namespace {

using nlohmann::json;
using sluice::Result;
using sluice::app::Column;

constexpr int kTimeoutSeconds = 5;

struct Options {
  std::string socket = "/run/sluice/admin.sock";
  bool as_json = false;
  httplib::Params flow_filter;
};

const std::vector<Column> kStatusFields = {
    {"version", "version"},
    {"pid", "pid"},
    {"up (s)", "uptime_seconds"},
    {"configuration", "config"},
    {"state", "state"},
    {"snapshot", "generation"},
    {"packet buffers", "memory.mbufs"},
    {"  in use", "memory.mbufs_in_use"},
    {"cache objects", "cache.objects"},
    {"  bytes", "cache.bytes"},
    {"  budget", "cache.budget_bytes"},
    {"  evictions", "cache.evictions"},
};
const std::vector<Column> kWorkerColumns = {
    {"WORKER", "worker"},
    {"CPU", "cpu"},
    {"RX PKTS", "rx_packets"},
    {"RX BYTES", "rx_bytes"},
    {"TX PKTS", "tx_packets"},
    {"TX BYTES", "tx_bytes"},
    {"FLOWS", "flows"},
    {"OF", "flow_capacity"},
    {"CREATED", "flows_created"},
    {"NAT PORTS", "nat_ports_used"},
    {"HANDED OVER", "handed_over"},
    {"DROPS", "drops"},
};
const std::vector<Column> kProxyColumns = {
    {"PROXY", "proxy"},
    {"CPU", "cpu"},
    {"CONNS", "connections"},
    {"ACCEPTED", "connections_accepted"},
    {"REQUESTS", "requests"},
    {"2XX", "responses.2xx"},
    {"4XX", "responses.4xx"},
    {"5XX", "responses.5xx"},
    {"CACHE HITS", "cache.hits"},
    {"MISSES", "cache.misses"},
    {"UPSTREAM", "upstream.connections"},
    {"IDLE", "upstream.idle"},
    {"REUSED", "upstream.reused"},
    {"HANDSHAKES", "tls.handshakes"},
    {"RESUMED", "tls.resumed"},
    {"TLS", "tls.crypto"},
};
const std::vector<Column> kServiceColumns = {
    {"SERVICE", "service"},      {"KIND", "kind"},           {"LISTEN", "listen"},
    {"POOLS", "pools"},          {"ACTIVE", "active"},       {"OPENED", "opened"},
    {"FAILED", "failed"},        {"PKTS IN", "packets_in"},  {"BYTES IN", "bytes_in"},
    {"PKTS OUT", "packets_out"}, {"BYTES OUT", "bytes_out"},
};
const std::vector<Column> kBackendColumns = {
    {"POOL", "pool"},        {"BACKEND", "backend"}, {"ADDRESS", "address"}, {"WEIGHT", "weight"},
    {"STATE", "state"},      {"ACTIVE", "active"},   {"OPENED", "opened"},   {"FAILED", "failed"},
    {"PKTS", "packets_out"}, {"BYTES", "bytes_out"},
};
const std::vector<Column> kFlowColumns = {
    {"SERVICE", "service"}, {"PROTO", "protocol"},        {"CLIENT", "client"},
    {"LISTEN", "listen"},   {"NAT SOURCE", "nat"},        {"BACKEND", "backend"},
    {"STATE", "state"},     {"IDLE (s)", "idle_seconds"}, {"WORKER", "worker"},
};
const std::vector<Column> kServiceCountColumns = {{"SERVICE", "service"}, {"FLOWS", "flows"}};
const std::vector<Column> kBackendCountColumns = {
    {"POOL", "pool"}, {"BACKEND", "backend"}, {"ADDRESS", "address"}, {"FLOWS", "flows"}};
const std::vector<Column> kDropColumns = {
    {"REASON", "reason"}, {"PACKETS", "packets"}, {"WORKERS", "workers"}, {"PROXIES", "proxies"}, {"MEANING", "help"}};
const std::vector<Column> kInterfaceColumns = {
    {"INTERFACE", "interface"},
    {"DEVICE", "device"},
    {"DRIVER", "driver"},
    {"MAC", "mac"},
    {"LINK", "link"},
    {"MTU", "mtu"},
    {"ADDRESSES", "addresses"},
    {"RX QUEUES", "rx_queues"},
    {"RSS", "rss"},
    {"OFFLOADS", "offloads"},
    {"RX PKTS", "rx_packets"},
    {"RX BYTES", "rx_bytes"},
    {"RX MISSED", "rx_missed"},
    {"TX PKTS", "tx_packets"},
    {"TX BYTES", "tx_bytes"},
    {"TX ERRORS", "tx_errors"},
};

enum class Method { kGet, kPost };

Result<json> ask(const Options& options, const std::string& target, const httplib::Params& params = {},
                 Method method = Method::kGet) {
  httplib::Client client(options.socket);
  client.set_address_family(AF_UNIX);
  client.set_connection_timeout(kTimeoutSeconds);
  client.set_read_timeout(kTimeoutSeconds);
  const httplib::Result answer =
      method == Method::kPost ? client.Post(target, params) : client.Get(target, params, httplib::Headers{});
  if (!answer) {
    return sluice::fail(fmt::format("nobody answers on {} (is sluice running? is --socket right?)", options.socket));
  }
  const json body = json::parse(answer->body, nullptr, false);
  if (body.is_discarded()) return sluice::fail(fmt::format("{} answers something that is not JSON", options.socket));
  if (answer->status != 200) {
    return sluice::fail(body.contains("error") ? body["error"].get<std::string>()
                                               : fmt::format("the admin API answers {}", answer->status));
  }
  return body;
}

std::string show_status(const json& status) {
  std::string out = sluice::app::format_fields(status, kStatusFields);
  out += '\n' + sluice::app::format_table(status.value("workers", json::array()), kWorkerColumns);
  const json proxies = status.value("proxies", json::array());
  if (!proxies.empty()) out += '\n' + sluice::app::format_table(proxies, kProxyColumns);
  return out;
}

std::string show_flows(const json& answer) {
  const json flows = answer.value("flows", json::array());
  std::string out = sluice::app::format_table(flows, kFlowColumns);
  if (answer.value("more", false)) {
    out += fmt::format("({} shown, more match: narrow it down or raise --limit)\n", flows.size());
  }
  return out;
}

std::string show_counts(const json& answer) {
  return fmt::format("{} flows\n\n{}\n{}", answer.value("total", 0u),
                     sluice::app::format_table(answer.value("services", json::array()), kServiceCountColumns),
                     sluice::app::format_table(answer.value("backends", json::array()), kBackendCountColumns));
}

std::string show_killed(const json& answer) {
  return fmt::format(
      "{} flows killed{}\n", answer.value("killed", 0u),
      answer.value("running", false) ? ", and the workers go on: `flows --count` shows what is left" : "");
}

std::string show_drops(const json& rows) {
  json seen = json::array();  // reasons that never happened are in --json
  for (const json& row : rows) {
    if (row.value("packets", 0u) > 0) seen.push_back(row);
  }
  return seen.empty() ? "no packet was dropped\n" : sluice::app::format_table(seen, kDropColumns);
}

int report(const Options& options, const Result<json>& answer, std::string (*show)(const json&)) {
  if (!answer) {
    fmt::print(stderr, "sluicectl: {}\n", answer.error().message);
    return 1;
  }
  fmt::print("{}", options.as_json ? answer->dump(2) + "\n" : show(*answer));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  std::map<std::string, std::string> filter;
  CLI::App cli("Looks into a running sluice.", "sluicectl");
  cli.require_subcommand(1);
  cli.add_option("-s,--socket", options.socket, "admin socket of the sluice to ask")->capture_default_str();
  cli.fallthrough();
  cli.add_flag("-j,--json", options.as_json, "print the answer as JSON");
  cli.add_subcommand("status", "the process, its workers and proxies");
  cli.add_subcommand("services", "services with their traffic");
  cli.add_subcommand("backends", "backends with state and traffic");
  cli.add_subcommand("drops", "dropped packets by reason");
  cli.add_subcommand("interfaces", "interfaces with their counters");
  CLI::App* flows = cli.add_subcommand("flows", "flows of layer 4 services");
  for (const char* name : {"service", "backend", "client", "limit"}) {
    flows->add_option(std::string("--") + name, filter[name], std::string("only this ") + name);
  }
  flows->get_option("--limit")->description("at most so many (default 1000)");
  bool count = false;
  flows->add_flag("--count", count, "how many of each service and backend, instead of a list");
  const CLI::App* kill = flows->add_subcommand("kill", "ends the flows that match; TCP and SCTP end with resets");
  CLI11_PARSE(cli, argc, argv);

  for (const auto& [name, value] : filter) {
    if (!value.empty()) options.flow_filter.emplace(name, value);
  }
  if (count) options.flow_filter.emplace("count", "1");
  const std::string command = cli.get_subcommands().front()->get_name();
  if (command == "status") return report(options, ask(options, "/status"), show_status);
  if (kill->parsed()) {
    return report(options, ask(options, "/flows/kill", options.flow_filter, Method::kPost), show_killed);
  }
  if (command == "flows" && count) return report(options, ask(options, "/flows", options.flow_filter), show_counts);
  if (command == "flows") return report(options, ask(options, "/flows", options.flow_filter), show_flows);
  if (command == "drops") return report(options, ask(options, "/drops"), show_drops);
  if (command == "services") {
    return report(options, ask(options, "/services"),
                  [](const json& rows) { return sluice::app::format_table(rows, kServiceColumns); });
  }
  if (command == "backends") {
    return report(options, ask(options, "/backends"),
                  [](const json& rows) { return sluice::app::format_table(rows, kBackendColumns); });
  }
  return report(options, ask(options, "/interfaces"),
                [](const json& rows) { return sluice::app::format_table(rows, kInterfaceColumns); });
}
