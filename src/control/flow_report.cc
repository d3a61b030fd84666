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
  } else if (name == "limit") {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), question.limit);
    if (error != std::errc() || end != value.data() + value.size() || question.limit < 1 ||
        question.limit > kMaxLimit) {
      return fail(fmt::format("limit: '{}' is not in 1..{}", value, kMaxLimit));
    }
  } else {
    return fail(fmt::format("unknown parameter {}: known are service, backend, client, limit", name));
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
  const lb::Listener* listener = snapshot.find_listener(flow.key.listener);
  const bool known_backend = snapshot.find_backend(flow.backend) != nullptr;
  json out = {{"worker", worker},
              {"protocol", protocol_of(flow.key.proto)},
              {"client", flow.key.client_endpoint().text()},
              {"backend_address", flow.reply.endpoint().text()},
              {"state", lb::text_of(flow.state())},
              {"idle_seconds", row.idle_ms / 1000}};
  out["service"] = flow.service < snapshot.services.size() ? json(snapshot.services[flow.service].name) : json();
  out["listen"] = listener != nullptr ? json(listener->endpoint().text()) : json();
  out["backend"] = known_backend ? json(snapshot.backend_names[flow.backend.index]) : json();
  out["nat"] = flow.reply.source < snapshot.sources.size()
                   ? json(net::Endpoint{snapshot.sources[flow.reply.source], flow.reply.local_port}.text())
                   : json();
  return out;
}

}  // namespace

Result<json> FlowReporter::report(const AdminQuery& parameters) {
  const auto deadline = std::chrono::steady_clock::now() + patience_;
  const auto is_late = [deadline] { return std::chrono::steady_clock::now() > deadline; };
  const auto snapshot = view_.snapshot();
  Question question;
  for (const auto& [name, value] : parameters) {
    if (auto read = read_parameter(*snapshot, name, value, question); !read) return std::unexpected(read.error());
  }

  const std::unique_lock lock(mutex_, deadline);
  if (!lock) return fail("another question about flows is being answered: try again");
  std::erase_if(pending_, [](const auto& query) { return query->done(); });
  if (!pending_.empty()) return fail("the workers have not answered an earlier question yet: try again");
  for (const WorkerView& worker : view_.workers) {
    pending_.push_back(std::make_unique<lb::FlowQuery>(question.filter, question.limit));
    if (!worker.flows->post(*pending_.back())) {
      pending_.pop_back();
      return fail("a worker has not answered an earlier question yet: try again");
    }
  }
  json flows = json::array();
  bool more = false;
  for (std::size_t worker = 0; worker < pending_.size(); ++worker) {
    const lb::FlowQuery& query = *pending_[worker];
    while (!query.done()) {
      if (is_late()) return fail("the workers do not answer");
      std::this_thread::sleep_for(kPause);
    }
    more = more || query.more();
    for (const lb::FlowQuery::Row& row : query.rows()) {
      if (flows.size() == question.limit) {
        more = true;
        break;
      }
      if (is_late()) return fail("too many flows to show in time: narrow it down, or lower the limit");
      flows.push_back(flow_row(*snapshot, row, worker));
    }
  }
  pending_.clear();
  return json{{"flows", std::move(flows)}, {"more", more}};
}

}  // namespace sluice::control
