#include <charconv>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sluice/control/report.h"

namespace sluice::control {
namespace {

using nlohmann::json;

constexpr std::size_t kDefaultLimit = 1000;
constexpr std::size_t kMaxLimit = 100'000;
constexpr auto kPause = std::chrono::milliseconds(1);

struct Question {
  lb::FlowFilter filter;
  std::size_t limit = kDefaultLimit;
  bool count = false;
};

// A backend by name, or by POOL/NAME where two pools have one of that name.
Result<lb::BackendIndex> find_backend(const lb::Snapshot& snapshot, const std::string& name) {
  std::optional<lb::BackendIndex> found;
  for (std::size_t i = 0; i < snapshot.backends.size(); ++i) {
    if (!snapshot.backends[i].present) continue;
    const std::string full = snapshot.pools[snapshot.backends[i].pool].name + "/" + snapshot.backend_names[i];
    if (full != name && snapshot.backend_names[i] != name) continue;
    if (found) return fail(fmt::format("several pools have a backend {}: say POOL/{}", name, name));
    found = static_cast<lb::BackendIndex>(i);
  }
  if (!found) return fail(fmt::format("there is no backend {}", name));
  return *found;
}

Result<lb::ServiceIndex> find_service(const lb::Snapshot& snapshot, const std::string& name) {
  for (std::size_t i = 0; i < snapshot.services.size(); ++i) {
    if (snapshot.services[i].present && snapshot.services[i].name == name) return static_cast<lb::ServiceIndex>(i);
  }
  return fail(fmt::format("there is no service {}", name));
}

Result<void> read_parameter(const lb::Snapshot& snapshot, const std::string& name, const std::string& value,
                            Question& question) {
  if (name == "service") {
    const auto service = find_service(snapshot, value);
    if (!service) return std::unexpected(service.error());
    question.filter.service = *service;
  } else if (name == "backend") {
    const auto backend = find_backend(snapshot, value);
    if (!backend) return std::unexpected(backend.error());
    question.filter.backend = *backend;
  } else if (name == "client") {
    question.filter.client = net::IpAddress::parse(value);
    if (!question.filter.client) return fail(fmt::format("client: '{}' is not an IP address", value));
  } else if (name == "count") {
    if (value != "0" && value != "1") return fail(fmt::format("count: '{}' is not 0 or 1", value));
    question.count = value == "1";
  } else if (name == "limit") {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), question.limit);
    if (error != std::errc() || end != value.data() + value.size() || question.limit < 1 ||
        question.limit > kMaxLimit) {
      return fail(fmt::format("limit: '{}' is not in 1..{}", value, kMaxLimit));
    }
  } else {
    return fail(fmt::format("unknown parameter {}: known are service, backend, client, limit, count", name));
  }
  return {};
}

const char* protocol_of(net::IpProto proto) noexcept {
  switch (proto) {
    case net::IpProto::kTcp:
      return "tcp";
    case net::IpProto::kUdp:
      return "udp";
    case net::IpProto::kSctp:
      return "sctp";
    case net::IpProto::kIcmp:
    case net::IpProto::kIcmpv6:
      return "icmp";
  }
  return "unknown";
}

json flow_row(const lb::Snapshot& snapshot, const lb::FlowQuery::Row& row, std::size_t worker) {
  const lb::Flow& flow = row.flow;
  const lb::Listener* listener =
      snapshot.find_listener(row.destination ? row.destination->listener : flow.key.listener);
  const bool known_backend = snapshot.find_backend(flow.backend) != nullptr;
  json out = {{"worker", worker},
              {"protocol", protocol_of(flow.key.proto)},
              {"client", flow.key.client_endpoint().text()},
              {"backend_address", flow.reply.endpoint().text()},
              {"state", lb::text_of(flow.state())},
              {"idle_seconds", row.idle_ms / 1000}};
  out["service"] = flow.service < snapshot.services.size() ? json(snapshot.services[flow.service].name) : json();
  if (listener == nullptr) {
    out["listen"] = json();
  } else {
    out["listen"] = (row.destination ? row.destination->endpoint() : listener->endpoint()).text();
  }
  out["backend"] = known_backend ? json(snapshot.backend_names[flow.backend.index]) : json();
  out["nat"] = flow.reply.source < snapshot.sources.size()
                   ? json(net::Endpoint{snapshot.sources[flow.reply.source], flow.reply.local_port}.text())
                   : json();
  return out;
}

}  // namespace

template <typename Make>
Result<void> FlowReporter::post_all(const std::unique_lock<std::timed_mutex>& lock, Make&& make) {
  if (!lock) return fail("another question about flows is being answered: try again");
  std::erase_if(pending_, [](const auto& query) { return query->done(); });
  if (!pending_.empty()) return fail("the workers have not answered an earlier question yet: try again");
  for (const WorkerView& worker : view_.workers) {
    pending_.push_back(make());
    if (!worker.flows->post(*pending_.back())) {
      pending_.pop_back();
      return fail("a worker has not answered an earlier question yet: try again");
    }
  }
  return {};
}

bool FlowReporter::wait_for(const lb::FlowQuery& query, Deadline deadline) const {
  while (!query.done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(kPause);
  }
  return true;
}

Result<json> FlowReporter::list(const lb::Snapshot& snapshot, std::size_t limit, Deadline deadline) {
  json flows = json::array();
  bool more = false;
  for (std::size_t worker = 0; worker < pending_.size(); ++worker) {
    const lb::FlowQuery& query = *pending_[worker];
    if (!wait_for(query, deadline)) return fail("the workers do not answer");
    more = more || query.more();
    for (const lb::FlowQuery::Row& row : query.rows()) {
      if (flows.size() == limit) {
        more = true;
        break;
      }
      if (std::chrono::steady_clock::now() > deadline) {
        return fail("too many flows to show in time: narrow it down, or lower the limit");
      }
      flows.push_back(flow_row(snapshot, row, worker));
    }
  }
  return json{{"flows", std::move(flows)}, {"more", more}};
}

Result<json> FlowReporter::count(const lb::Snapshot& snapshot, Deadline deadline) {
  std::uint64_t total = 0;
  std::vector<std::uint64_t> services(lb::kMaxServices), backends(lb::kMaxBackends);
  for (const auto& query : pending_) {
    if (!wait_for(*query, deadline)) return fail("the workers do not answer");
    total += query->matched();
    for (std::size_t i = 0; i < services.size(); ++i) services[i] += query->services()[i];
    for (std::size_t i = 0; i < backends.size(); ++i) backends[i] += query->backends()[i];
  }
  json by_service = json::array(), by_backend = json::array();
  for (std::size_t i = 0; i < snapshot.services.size(); ++i) {
    if (services[i] != 0) by_service.push_back({{"service", snapshot.services[i].name}, {"flows", services[i]}});
  }
  for (std::size_t i = 0; i < snapshot.backends.size(); ++i) {
    if (backends[i] == 0) continue;
    const lb::Backend& backend = snapshot.backends[i];
    by_backend.push_back(
        {{"pool", backend.pool < snapshot.pools.size() ? json(snapshot.pools[backend.pool].name) : json()},
         {"backend", snapshot.backend_names[i]},
         {"address", backend.endpoint().text()},
         {"flows", backends[i]}});
  }
  return json{{"total", total}, {"services", std::move(by_service)}, {"backends", std::move(by_backend)}};
}

Result<json> FlowReporter::report(const AdminQuery& parameters) {
  const Deadline deadline = std::chrono::steady_clock::now() + patience_;
  const auto snapshot = view_.snapshot();
  Question question;
  for (const auto& [name, value] : parameters) {
    if (auto read = read_parameter(*snapshot, name, value, question); !read) return std::unexpected(read.error());
  }
  const std::unique_lock lock(mutex_, deadline);
  const auto posted = post_all(lock, [&] {
    return question.count ? std::make_unique<lb::FlowQuery>(question.filter, lb::FlowAction::kCount)
                          : std::make_unique<lb::FlowQuery>(question.filter, question.limit);
  });
  if (!posted) return std::unexpected(posted.error());
  Result<json> answer = question.count ? count(*snapshot, deadline) : list(*snapshot, question.limit, deadline);
  if (answer) pending_.clear();
  return answer;
}

Result<json> FlowReporter::kill(const AdminQuery& parameters) {
  const Deadline deadline = std::chrono::steady_clock::now() + patience_;
  const auto snapshot = view_.snapshot();
  Question question;
  for (const auto& [name, value] : parameters) {
    if (name == "limit" || name == "count") return fail(fmt::format("{} is not for killing flows", name));
    if (auto read = read_parameter(*snapshot, name, value, question); !read) return std::unexpected(read.error());
  }
  if (!question.filter.service && !question.filter.backend && !question.filter.client) {
    return fail("say which flows: by service, backend or client");
  }
  const std::unique_lock lock(mutex_, deadline);
  const auto posted =
      post_all(lock, [&] { return std::make_unique<lb::FlowQuery>(question.filter, lb::FlowAction::kEnd); });
  if (!posted) return std::unexpected(posted.error());
  std::uint64_t killed = 0;
  bool running = false;
  for (const auto& query : pending_) {
    running = !wait_for(*query, deadline) || running;
    killed += query->matched();
  }
  std::erase_if(pending_, [](const auto& query) { return query->done(); });
  return json{{"killed", killed}, {"running", running}};
}

}  // namespace sluice::control
