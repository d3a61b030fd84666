#include "sluice/control/report.h"

#include <atomic>
#include <chrono>
#include <set>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "control_fixture.h"
#include "sluice/lb/build_snapshot.h"

namespace sluice::control {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class ReportTest : public testing::Test {
 protected:
  ReportTest() {
    auto snapshot = lb::build_snapshot(two_backends(), health_, nullptr);
    EXPECT_TRUE(snapshot.has_value());
    snapshot_ = *snapshot;
    view_.version = "1.2.3";
    view_.config_file = "test.yaml";
    view_.health = &health_;
    view_.snapshot = [this] { return snapshot_; };
    view_.draining = [] { return false; };
    view_.memory = [] { return MemoryView{.mbufs = 100, .mbufs_in_use = 7, .huge_pages = false}; };
    view_.cache = [] { return CacheView{}; };
    view_.interfaces = [] {
      InterfaceView edge;
      edge.name = "edge";
      edge.device = "net_null0";
      return std::vector<InterfaceView>{edge};
    };
    view_.workers = {{0, counters_.get(), &mailbox_}};
    view_.proxies = {{0, proxy_counters_.get(), "ipsec-mb"}};
  }

  [[nodiscard]] lb::NewFlow flow(std::uint16_t client_port, lb::BackendIndex backend) const {
    const lb::Listener* listener =
        snapshot_->find_listener(*net::IpAddress::parse("203.0.113.1"), 80, net::IpProto::kTcp);
    lb::NewFlow out;
    out.key = {*net::IpAddress::parse("198.51.100.7"), listener->id, client_port, net::IpProto::kTcp, 0};
    out.reply = {snapshot_->backends[backend].address,
                 8080,
                 static_cast<std::uint16_t>(20000 + client_port),
                 0,
                 net::IpProto::kTcp,
                 0};
    out.backend = snapshot_->id_of(backend);
    out.service = listener->service;
    out.state = lb::FlowState::kSynSent;
    return out;
  }

  // Asks while a thread plays the worker.
  Result<json> ask(const AdminQuery& query, std::size_t budget = 64, bool kill = false) {
    std::atomic<bool> stop{false};
    std::thread worker([&] {
      const auto end = [this](lb::Flow& flow) { table_.remove(flow, Ms{5000}); };
      while (!stop.load()) mailbox_.serve(table_, budget, Ms{5000}, end);
    });
    Result<json> answer = kill ? reporter_.kill(query) : reporter_.report(query);
    stop.store(true);
    worker.join();
    return answer;
  }

  lb::HealthBoard health_;
  std::shared_ptr<const lb::Snapshot> snapshot_;
  std::unique_ptr<telemetry::WorkerCounters> counters_ = std::make_unique<telemetry::WorkerCounters>();
  std::unique_ptr<telemetry::ProxyCounters> proxy_counters_ = std::make_unique<telemetry::ProxyCounters>();
  lb::FlowQueryMailbox mailbox_;
  lb::NatPorts ports_{{10000, 20000}, Random(1)};
  lb::FlowTable table_{1024, {1, 2, 3, 4}, ports_, *counters_};
  ProcessView view_;
  FlowReporter reporter_{view_};
};

TEST_F(ReportTest, StatusNamesWorkersProxiesAndMemory) {
  counters_->rx.add(3, 300);
  proxy_counters_->requests.add(5);
  const json report = status_report(view_);
  EXPECT_EQ(report["version"], "1.2.3");
  EXPECT_EQ(report["state"], "running");
  EXPECT_EQ(report["memory"]["mbufs_in_use"], 7);
  ASSERT_EQ(report["workers"].size(), 1u);
  EXPECT_EQ(report["workers"][0]["rx_packets"], 3);
  ASSERT_EQ(report["proxies"].size(), 1u);
  EXPECT_EQ(report["proxies"][0]["requests"], 5);
}

TEST_F(ReportTest, ServicesAddUpWorkersAndProxies) {
  counters_->services[0].in.add(2, 200);
  proxy_counters_->services[0].in.add(1, 50);
  const json rows = services_report(view_);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["service"], "l4");
  EXPECT_EQ(rows[0]["kind"], "forward");
  EXPECT_EQ(rows[0]["listen"], json::array({"203.0.113.1:80/tcp"}));
  EXPECT_EQ(rows[0]["packets_in"], 3);
  EXPECT_EQ(rows[0]["bytes_in"], 250);
  EXPECT_EQ(rows[1]["kind"], "proxy");
  EXPECT_EQ(rows[1]["pools"], json::array({"web"}));
}

TEST_F(ReportTest, BackendsShowWhyTheyAreDown) {
  json rows = backends_report(view_);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["state"], "down (no answer yet)");
  health_.report(snapshot_->id_of(0), {lb::Health::kDown, lb::HealthReason::kBadStatus, 503});
  rows = backends_report(view_);
  EXPECT_THAT(rows[0]["state"].get<std::string>(), HasSubstr("503"));
  EXPECT_EQ(rows[0]["up"], false);
}

TEST_F(ReportTest, DropsHaveEveryReason) {
  counters_->drop(telemetry::Drop::kFragment, 4);
  proxy_counters_->drop(telemetry::Drop::kNoRoute);
  const json rows = drops_report(view_);
  EXPECT_EQ(rows.size(), telemetry::kDropReasons - 1);
  for (const json& row : rows) {
    if (row["reason"] == "fragment") {
      EXPECT_EQ(row["packets"], 4);
    }
    if (row["reason"] == "no_route") {
      EXPECT_EQ(row["proxies"], json::array({1}));
    }
  }
}

TEST_F(ReportTest, InterfacesCarryTheirNames) { EXPECT_EQ(interfaces_report(view_)[0]["interface"], "edge"); }

TEST_F(ReportTest, FlowsAreListedByTheWorker) {
  for (std::uint16_t port = 1; port <= 100; ++port) {
    ASSERT_NE(table_.insert(flow(port, port % 2), Ms{0}), nullptr);
  }
  const auto all = ask({});
  ASSERT_TRUE(all.has_value()) << all.error().message;
  EXPECT_EQ((*all)["flows"].size(), 100u);
  EXPECT_EQ((*all)["more"], false);
  const json& row = (*all)["flows"][0];
  EXPECT_EQ(row["service"], "l4");
  EXPECT_EQ(row["protocol"], "tcp");
  EXPECT_EQ(row["listen"], "203.0.113.1:80");
  EXPECT_EQ(row["idle_seconds"], 5);
}

struct FilterCase {
  const char* name;
  AdminQuery query;
  std::size_t flows;
  bool more;
};

TEST_F(ReportTest, FiltersNarrowTheFlows) {
  for (std::uint16_t port = 1; port <= 99; ++port) {
    ASSERT_NE(table_.insert(flow(port, port % 2), Ms{0}), nullptr);
  }
  const FilterCase cases[] = {
      {"backend", {{"backend", "web2"}}, 50, false},
      {"backend_of_pool", {{"backend", "web/web1"}}, 49, false},
      {"service", {{"service", "l4"}}, 99, false},
      {"other_service", {{"service", "l7"}}, 0, false},
      {"client", {{"client", "198.51.100.7"}}, 99, false},
      {"other_client", {{"client", "198.51.100.8"}}, 0, false},
      {"limit", {{"limit", "10"}}, 10, true},
  };
  for (const FilterCase& row : cases) {
    const auto answer = ask(row.query);
    ASSERT_TRUE(answer.has_value()) << row.name << ": " << answer.error().message;
    EXPECT_EQ((*answer)["flows"].size(), row.flows) << row.name;
    EXPECT_EQ((*answer)["more"], row.more) << row.name;
  }
}

TEST_F(ReportTest, FlowsAreCountedByServiceAndBackend) {
  for (std::uint16_t port = 1; port <= 99; ++port) ASSERT_NE(table_.insert(flow(port, port % 2), Ms{0}), nullptr);
  const auto all = ask({{"count", "1"}});
  ASSERT_TRUE(all.has_value()) << all.error().message;
  EXPECT_EQ((*all)["total"], 99);
  EXPECT_EQ((*all)["services"], json::parse(R"([{"service": "l4", "flows": 99}])"));
  ASSERT_EQ((*all)["backends"].size(), 2u);
  EXPECT_EQ((*all)["backends"][0]["flows"], 49);
  EXPECT_EQ((*all)["backends"][1]["flows"], 50);
  const auto one = ask({{"count", "1"}, {"backend", "web2"}});
  ASSERT_TRUE(one.has_value());
  EXPECT_EQ((*one)["total"], 50);
}

TEST_F(ReportTest, FlowsThatMatchAreKilled) {
  for (std::uint16_t port = 1; port <= 99; ++port) ASSERT_NE(table_.insert(flow(port, port % 2), Ms{0}), nullptr);
  const auto answer = ask({{"backend", "web2"}}, 64, true);
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ((*answer)["killed"], 50);
  EXPECT_EQ((*answer)["running"], false);
  EXPECT_EQ(table_.size(), 49u);
  const auto unfiltered = reporter_.kill({});
  ASSERT_FALSE(unfiltered.has_value());
  EXPECT_THAT(unfiltered.error().message, HasSubstr("by service, backend or client"));
  const auto limited = reporter_.kill({{"service", "l4"}, {"limit", "3"}});
  ASSERT_FALSE(limited.has_value());
  EXPECT_EQ(table_.size(), 49u);
}

TEST_F(ReportTest, WrongParametersAreExplained) {
  const std::pair<AdminQuery, const char*> cases[] = {
      {{{"backend", "nope"}}, "there is no backend nope"},     {{{"service", "nope"}}, "there is no service nope"},
      {{{"client", "1.2.3"}}, "'1.2.3' is not an IP address"}, {{{"limit", "0"}}, "limit: '0' is not in 1..100000"},
      {{{"limit", "7x"}}, "limit: '7x' is not in 1..100000"},  {{{"colour", "red"}}, "unknown parameter colour"},
      {{{"count", "yes"}}, "count: 'yes' is not 0 or 1"},
  };
  for (const auto& [query, want] : cases) {
    const auto answer = reporter_.report(query);
    ASSERT_FALSE(answer.has_value()) << want;
    EXPECT_THAT(answer.error().message, HasSubstr(want));
  }
}

// However slow the workers are, an answer comes before sluicectl gives up, to the second who asks too.
TEST_F(ReportTest, TwoQuestionsAtOnceAreBothAnsweredInTime) {
  FlowReporter reporter(view_, std::chrono::milliseconds(500));
  const auto began = std::chrono::steady_clock::now();
  std::string second;
  std::thread other([&] {
    const auto answer = reporter.report({});
    second = answer ? "" : answer.error().message;
  });
  const auto first = reporter.report({});
  other.join();
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(950));
  ASSERT_FALSE(first.has_value());
  std::multiset<std::string> said{first.error().message, second};
  EXPECT_THAT(said, testing::Contains("the workers do not answer"));
  EXPECT_THAT(said, testing::Contains(testing::HasSubstr("try again")));
}

TEST_F(ReportTest, AWorkerThatDoesNotAnswerIsSaidSo) {
  const auto answer = reporter_.report({});
  ASSERT_FALSE(answer.has_value());
  EXPECT_THAT(answer.error().message, HasSubstr("do not answer"));
  // Once it turns again, the next question is answered.
  for (int i = 0; i < 100; ++i) mailbox_.serve(table_, 64, Ms{0}, [](lb::Flow&) {});
  EXPECT_TRUE(ask({}).has_value());
}

}  // namespace
}  // namespace sluice::control
