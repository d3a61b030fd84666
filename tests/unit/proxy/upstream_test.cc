// The side of the backends: choosing, keeping connections, trying again, timeouts, exhaustion, health.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sluice/net/parse.h"
#include "world.h"

namespace sluice::proxy::test {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kToWeb = "        - { pool: web }\n";
constexpr std::string_view kToPair = "        - { pool: pair }\n";
const std::string kOne = "192.0.2.11:8080";
const std::string kTwo = "192.0.2.12:8080";

TEST(Upstream, RoundRobinUsesAllBackends) {
  World world(one_service(kToPair));
  Origin& one = world.origin(kOne);
  Origin& two = world.origin(kTwo);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(world.get("/").status(), 200);
  EXPECT_EQ(one.requests.size(), 3u);
  EXPECT_EQ(two.requests.size(), 3u);
  EXPECT_EQ(one.connections.size(), 1u);  // kept between requests
}

TEST(Upstream, ABackendThatRefusesIsPassedOver) {
  World world(one_service(kToPair));
  world.origin(kOne).host.stack().unlisten(endpoint(kOne));
  world.origin(kTwo);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(world.get("/", "Content-Length: 0\r\n", "POST").status(), 200);
  EXPECT_GE(world.counters().upstream_retries.read(), 2u);
  EXPECT_EQ(world.counters().upstream_retries.read(), world.counters().upstream_failed.read());
}

TEST(Upstream, AllRefusedIs502) {
  World world(one_service(kToPair));
  world.origin(kOne).host.stack().unlisten(endpoint(kOne));
  world.origin(kTwo).host.stack().unlisten(endpoint(kTwo));
  EXPECT_EQ(world.get("/").status(), 502);
}

TEST(Upstream, NoAnswerToTheConnectIs504) {
  World world(one_service(kToWeb));  // nobody has the backend's address
  const Instant before = world.now;
  EXPECT_EQ(world.get("/").status(), 504);
  EXPECT_GE(world.now - before, 5s);
  EXPECT_LE(world.now - before, 7s);
}

TEST(Upstream, NoAnswerToTheRequestIs504) {
  World world(one_service(kToWeb));
  world.origin().on_request = [](OriginConnection&, const Message&) {};
  const Instant before = world.now;
  EXPECT_EQ(world.get("/").status(), 504);
  EXPECT_GE(world.now - before, 60s);
  EXPECT_LE(world.now - before, 61s);
  EXPECT_EQ(world.counters().upstream_timeouts.read(), 1u);
}

TEST(Upstream, NoRouteIs502) {
  World world(one_service(kToWeb));
  world.source.reset();
  EXPECT_EQ(world.get("/").status(), 502);
}

// The source of the first packet towards the backends.
std::optional<net::Endpoint> first_source(World& world) {
  std::optional<net::Endpoint> source;
  world.network.lose = [&source](std::span<const std::uint8_t> bytes) {
    const net::Parsed packet = net::parse_ip(bytes);
    if (!source && packet.dst_port == 8080) source = net::Endpoint{packet.src, packet.src_port};
    return false;
  };
  EXPECT_EQ(world.get("/").status(), 200);
  return source;
}

TEST(Upstream, LocalPortsOnWhichAServiceListensArePassedOver) {
  World first(one_service(kToWeb));
  first.origin();
  const std::uint16_t port = first_source(first)->port;
  // The same choices, but a service stands in the way.
  const std::string pools = "  web: { backends: [ { name: web1, address: 192.0.2.11, port: 8080 } ] }\n";
  World second(yaml(pools, "  site: { listen: [198.51.100.10:80, \"192.0.2.1:" + std::to_string(port) +
                               "\"], proxy: { routes: { pool: web } } }\n"));
  second.origin();
  EXPECT_EQ(first_source(second)->text(), "192.0.2.1:" + std::to_string(port + 1));
}

TEST(Upstream, ConnectionsLeaveFromTheNamedSources) {
  const std::string pools = "  web: { backends: [ { name: web1, address: 192.0.2.11, port: 8080 } ] }\n";
  World world(yaml(pools, "  site: { listen: 198.51.100.10:80, proxy: { routes: { pool: web } } }\n",
                   "upstream: { source: 192.0.2.9 }\n"));
  world.origin();
  world.network.attach(ip("192.0.2.9"), [&world](std::span<const std::uint8_t> packet) {
    const tcp::Received one{packet, {}};
    world.proxy().receive({&one, 1}, world.now);
  });
  EXPECT_EQ(first_source(world)->address, ip("192.0.2.9"));
}

struct AnswerCase {
  const char* name;
  std::string bytes;  // the origin sends them, then ends its direction
  int status;
};
std::ostream& operator<<(std::ostream& out, const AnswerCase& row) { return out << row.name; }
class BadAnswers : public ::testing::TestWithParam<AnswerCase> {};
TEST_P(BadAnswers, Are502) {
  World world(one_service(kToWeb));
  world.origin().on_request = [](OriginConnection& to, const Message&) {
    to.send(GetParam().bytes);
    to.shutdown();
  };
  EXPECT_EQ(world.get("/").status(), GetParam().status);
}
INSTANTIATE_TEST_SUITE_P(
    Rows, BadAnswers,
    ::testing::Values(AnswerCase{"no_http", "SSH-2.0-x\r\n\r\n", 502}, AnswerCase{"nothing", "", 502},
                      AnswerCase{"half_a_head", "HTTP/1.1 200 OK\r\nContent-Le", 502},
                      AnswerCase{"two_lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
                                 502},
                      AnswerCase{"interim_first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(Upstream, AKeptConnectionThatTheBackendClosedJustNowIsReplaced) {
  World world(one_service(kToWeb));
  Origin& origin = world.origin();
  EXPECT_EQ(world.get("/1").status(), 200);
  // The second request meets a backend that resets the old connection instead of answering on it.
  origin.on_head = [](OriginConnection& connection, const Message&) {
    if (connection.number() == 0) connection.abort();
  };
  EXPECT_EQ(world.get("/2").status(), 200);
  EXPECT_EQ(origin.connections.size(), 2u);
  EXPECT_EQ(world.counters().upstream_retries.read(), 1u);
}

TEST(Upstream, ARequestThatIsNotIdempotentIsNotSentTwice) {
  World world(one_service(kToWeb));
  Origin& origin = world.origin();
  EXPECT_EQ(world.get("/1").status(), 200);
  origin.on_head = [](OriginConnection& connection, const Message&) { connection.abort(); };
  EXPECT_EQ(world.get("/2", "Content-Length: 0\r\n", "POST").status(), 502);
  EXPECT_EQ(origin.connections.size(), 1u);
}

TEST(Upstream, AnIdleConnectionThatTheBackendClosesIsForgotten) {
  World world(one_service(kToWeb));
  Origin& origin = world.origin();
  EXPECT_EQ(world.get("/1").status(), 200);
  EXPECT_EQ(world.counters().upstream_idle.read(), 1);
  origin.connections.front().shutdown();
  world.run_for(1s);
  EXPECT_EQ(world.counters().upstream_idle.read(), 0);
  EXPECT_EQ(world.counters().upstream_connections.read(), 0);
  EXPECT_EQ(world.get("/2", "Content-Length: 0\r\n", "POST").status(), 200);
}

TEST(Upstream, IdleConnectionsEndAfterTheirTime) {
  World world(one_service(kToWeb));
  world.origin();
  EXPECT_EQ(world.get("/1").status(), 200);
  world.run_for(58s);
  EXPECT_EQ(world.counters().upstream_idle.read(), 1);
  world.run_for(3s);
  EXPECT_EQ(world.counters().upstream_idle.read(), 0);
}

TEST(Upstream, NoMoreIdleConnectionsThanConfigured) {
  World world(yaml("  web:\n    backends: [ { address: 192.0.2.11, port: 8080 } ]\n    keepalive: { idle: 2 }\n",
                   "  site: { listen: 198.51.100.10:80, proxy: { routes: [ { pool: web } ] } }\n"));
  world.origin();
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 5; ++i) {
    peers.push_back(world.connect());
    peers.back()->send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
  }
  world.run_for(1s);
  EXPECT_EQ(world.counters().upstream_connects.read(), 5u);
  EXPECT_EQ(world.counters().upstream_idle.read(), 2);
}

TEST(Upstream, AResponseBeforeTheEndOfTheRequestIsPassedOn) {
  World world(one_service(kToWeb));
  world.origin().on_head = [](OriginConnection& to, const Message&) { to.send(response("early", {}, 403)); };
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send("POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1000\r\n\r\nsome");
  EXPECT_TRUE(world.run([&] { return peer->peer_closed; }, 20s));
  EXPECT_EQ(responses_of(peer->received).at(0).status(), 403);
  EXPECT_EQ(responses_of(peer->received).at(0).body, "early");
}

// ---- health ----

std::string checked(std::string_view health) {
  return yaml(
      "  web:\n    balance: round_robin\n    backends:\n"
      "      - { name: one, address: 192.0.2.11, port: 8080 }\n"
      "      - { name: two, address: 192.0.2.12, port: 8080 }\n"
      "    health: " +
          std::string(health) + "\n",
      "  site: { listen: 198.51.100.10:80, proxy: { routes: [ { pool: web } ] } }\n");
}

lb::Health health_of(World& world, lb::BackendIndex index) {
  return world.board.read(world.snapshots.load()->id_of(index)).health;
}

TEST(Health, ABackendIsDownUntilItsFirstSuccessAndThenUpAtOnce) {
  World world(checked("{ http: { host: localhost }, interval: 2s, timeout: 1s, fall: 3, rise: 2 }"));
  EXPECT_EQ(world.get("/").status(), 503);
  Origin& one = world.origin(kOne);
  world.run_for(3s);
  ASSERT_GE(one.requests.size(), 1u);
  EXPECT_EQ(one.requests[0].start_line, "HEAD /");
  EXPECT_EQ(one.requests[0].header("Host"), "localhost");
  EXPECT_EQ(health_of(world, 0), lb::Health::kUp);
  EXPECT_EQ(health_of(world, 1), lb::Health::kDown);
  world.publish();
  EXPECT_EQ(world.get("/").status(), 200);
  EXPECT_EQ(world.get("/").status(), 200);
}

TEST(Health, FallAndRiseCountResultsInARow) {
  World world(checked("{ http: {}, interval: 1s, timeout: 500ms, fall: 3, rise: 2 }"));
  Origin& one = world.origin(kOne);
  int status = 200;
  one.on_request = [&](OriginConnection& to, const Message&) { to.send(response("", {}, status)); };
  const auto checks_until = [&](lb::Health wanted) {
    const std::size_t before = one.requests.size();
    world.run([&] { return health_of(world, 0) == wanted; }, 30s);
    return one.requests.size() - before;
  };
  EXPECT_EQ(checks_until(lb::Health::kUp), 1u);
  status = 500;
  EXPECT_EQ(checks_until(lb::Health::kDown), 3u);
  EXPECT_EQ(world.board.read(world.snapshots.load()->id_of(0)).reason, lb::HealthReason::kBadStatus);
  EXPECT_EQ(world.board.read(world.snapshots.load()->id_of(0)).detail, 500);
  status = 302;
  EXPECT_EQ(checks_until(lb::Health::kUp), 2u);
}

TEST(Health, ReasonsOfFailure) {
  World world(checked("{ tcp: {}, interval: 1s, timeout: 500ms }"));
  world.origin(kOne).host.stack().unlisten(endpoint(kOne));
  world.run_for(2s);
  const lb::Snapshot& snapshot = *world.snapshots.load();
  EXPECT_EQ(world.board.read(snapshot.id_of(0)).reason, lb::HealthReason::kRefused);
  EXPECT_EQ(world.board.read(snapshot.id_of(1)).reason, lb::HealthReason::kTimeout);
  EXPECT_GE(world.counters().health_failures.read(), 3u);
}

// Backends of a service that leaves the destination as it is have the service's address; which of them is meant, the way of
// the packets says, by the check's port.
TEST(Health, BackendsThatHaveTheServicesAddressAreCheckedThere) {
  World world(
      yaml("  web:\n    backends: [ { name: one, address: 192.0.2.11 }, { name: two, address: 192.0.2.12 } ]\n"
           "    health: { http: {}, interval: 1s, timeout: 500ms }\n",
           "  edge: { listen: 198.51.100.53:80, forward: { mode: dsr, pool: web } }\n"));
  Origin& service = world.origin("198.51.100.53:80");
  world.run_for(3s);
  ASSERT_GE(service.requests.size(), 4u);
  EXPECT_EQ(service.requests[0].header("Host"), "198.51.100.53:80");
  EXPECT_EQ(health_of(world, 0), lb::Health::kUp);
  EXPECT_EQ(health_of(world, 1), lb::Health::kUp);
}

TEST(Health, BackendsBehindEspAreCheckedAtTheirOwnAddresses) {
  World world(
      yaml("  web:\n    backends: [ { name: one, address: 192.0.2.11 }, { name: two, address: 192.0.2.12 } ]\n"
           "    health: { http: {}, port: 8080, interval: 1s, timeout: 500ms }\n",
           "  edge: { listen: 198.51.100.53:80, forward: { mode: esp, pool: web } }\n",
           "esp:\n  peers:\n"
           "    - { address: 192.0.2.11, out: { spi: 256, key: 0x1111111111111111111111111111111111111111 } }\n"
           "    - { address: 192.0.2.12, out: { spi: 256, key: 0x2222222222222222222222222222222222222222 } }\n"));
  Origin& one = world.origin(kOne);
  world.run_for(3s);
  ASSERT_GE(one.requests.size(), 2u);
  EXPECT_EQ(health_of(world, 0), lb::Health::kUp);
  EXPECT_EQ(health_of(world, 1), lb::Health::kDown);
}

struct LastWordsCase {
  const char* name;
  const char* answer;
  bool fin;
  bool rst;
  lb::Health health;
  lb::HealthReason reason;
};
std::ostream& operator<<(std::ostream& out, const LastWordsCase& row) { return out << row.name; }
class LastWords : public ::testing::TestWithParam<LastWordsCase> {};

// An answer and the end of the connection arrive in one burst: the check is judged by the status line, if that is there.
TEST_P(LastWords, AreJudged) {
  World world(checked("{ http: {}, interval: 1s, timeout: 500ms, fall: 1, rise: 1 }"));
  Origin& one = world.origin(kOne);
  one.on_request = [&](OriginConnection& to, const Message&) {
    to.send(GetParam().answer);
    if (GetParam().fin) to.shutdown();
    one.host.stack().flush(world.now);
    if (GetParam().rst) to.abort();
  };
  world.run_for(2s);
  const lb::HealthReport report = world.board.read(world.snapshots.load()->id_of(0));
  EXPECT_EQ(report.health, GetParam().health);
  EXPECT_EQ(report.reason, GetParam().reason);
}
using enum lb::HealthReason;
INSTANTIATE_TEST_SUITE_P(
    Rows, LastWords,
    ::testing::Values(
        LastWordsCase{"rst", "HTTP/1.0 200 OK\r\n\r\n", false, true, lb::Health::kUp, kSuccess},
        LastWordsCase{"fin_and_rst", "HTTP/1.0 200 OK\r\n\r\n", true, true, lb::Health::kUp, kSuccess},
        LastWordsCase{"bad_status_and_rst", "HTTP/1.0 500 No\r\n\r\n", false, true, lb::Health::kDown, kBadStatus},
        LastWordsCase{"status_line_and_rst", "HTTP/1.0 200 OK\r\nServer: x", false, true, lb::Health::kUp, kSuccess},
        LastWordsCase{"status_line_and_fin", "HTTP/1.0 204 \r\nServer: x", true, false, lb::Health::kUp, kSuccess},
        LastWordsCase{"status_line_and_silence", "HTTP/1.0 200 OK\r\n", false, false, lb::Health::kUp, kSuccess},
        LastWordsCase{"half_a_status_line_and_rst", "HTTP/1.0 200 O", false, true, lb::Health::kDown, kClosed},
        LastWordsCase{"interim_and_rst", "HTTP/1.1 100 Continue\r\n\r\n", false, true, lb::Health::kDown, kClosed},
        LastWordsCase{"nothing_and_rst", "", false, true, lb::Health::kDown, kClosed},
        LastWordsCase{"no_http_and_rst", "SSH-2.0-x\r\n", false, true, lb::Health::kDown, kBadResponse}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(Health, ATcpCheckNeedsNoAnswer) {
  World world(checked("{ tcp: {}, interval: 1s, timeout: 500ms }"));
  Origin& one = world.origin(kOne);
  world.run_for(2s);
  EXPECT_EQ(health_of(world, 0), lb::Health::kUp);
  EXPECT_TRUE(one.requests.empty());
}

}  // namespace
}  // namespace sluice::proxy::test
