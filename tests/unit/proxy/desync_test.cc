// What a client or a backend could do to make one request's answer another's: connections used again, keys of the cache, answers
// that break off, and waits that somebody keeps alive.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "world.h"

namespace sluice::proxy::test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kToWeb = "        - { pool: web }\n";
constexpr std::string_view kCached = "        - { pool: web, cache: {} }\n";

// ---- kept connections ----

// What the backend does on its idle connection arrives in the same turn as the next client's request.
struct IdleCase {
  const char* name;
  std::function<void(OriginConnection&)> does;
};
std::ostream& operator<<(std::ostream& out, const IdleCase& row) { return out << row.name; }
class IdleUpstream : public ::testing::TestWithParam<IdleCase> {};
TEST_P(IdleUpstream, IsNotUsedAgain) {
  World world(one_service(kToWeb));
  Origin& origin = world.origin();
  ASSERT_EQ(world.get("/1").status(), 200);
  const std::unique_ptr<Peer> peer = world.connect();
  world.run_for(1s);
  peer->send("POST /2 HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 0\r\n\r\n");
  world.client.stack().flush(world.now);
  GetParam().does(origin.connections.front());
  origin.host.stack().flush(world.now);
  ASSERT_TRUE(world.run([&] { return !peer->received.empty(); }, 5s));
  const Message answer = responses_of(peer->received).at(0);
  EXPECT_EQ(answer.status(), 200);
  EXPECT_EQ(answer.body, "answer to POST /2");
  EXPECT_EQ(world.counters().upstream_connects.read(), 2u);
}
INSTANTIATE_TEST_SUITE_P(Rows, IdleUpstream,
                         ::testing::Values(IdleCase{"speaks_unasked",
                                                    [](OriginConnection& to) { to.send(response("poison")); }},
                                           IdleCase{"ends", [](OriginConnection& to) { to.shutdown(); }},
                                           IdleCase{"resets", [](OriginConnection& to) { to.abort(); }}),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(Upstream, WhatWasSaidBeforeAResetCounts) {
  for (const std::string_view routes : {kToWeb, kCached}) {
    World world(one_service(routes));
    Origin& origin = world.origin();
    origin.on_head = [&](OriginConnection& to, const Message&) {
      to.send(response("too much", "Cache-Control: max-age=9\r\n", 413));
      origin.host.stack().flush(world.now);
      to.abort();
    };
    const std::unique_ptr<Peer> peer = world.connect();
    peer->send("POST / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 100000\r\n\r\nsome");
    ASSERT_TRUE(world.run([&] { return peer->received.ends_with("too much"); }, 5s)) << peer->received;
    EXPECT_EQ(responses_of(peer->received).at(0).status(), 413);
  }
}

TEST(Upstream, ABodyUntilCloseThatEndsInAResetIsCutShort) {
  World world(one_service(kToWeb));
  Origin& origin = world.origin();
  origin.on_request = [&](OriginConnection& to, const Message&) {
    to.send("HTTP/1.1 200 OK\r\n\r\nhalf");
    origin.host.stack().flush(world.now);
    to.abort();
  };
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
  ASSERT_TRUE(world.run([&] { return peer->closed; }, 5s));
  EXPECT_EQ(peer->error, tcp::StreamError::kReset);
  EXPECT_THAT(peer->received, Not(HasSubstr("0\r\n\r\n")));
}

TEST(Upstream, FieldsThatBackendsTakeForOursAreDropped) {
  World world(one_service(kToWeb));
  Origin& origin = world.origin();
  EXPECT_EQ(world
                .get("/",
                     "X_Forwarded_For: 192.0.2.99\r\nX_Real-IP: 192.0.2.99\r\nTransfer_Encoding: chunked\r\n"
                     "my_field: stays\r\n")
                .status(),
            200);
  EXPECT_FALSE(origin.requests.at(0).has("X_Forwarded_For"));
  EXPECT_FALSE(origin.requests.at(0).has("X_Real-IP"));
  EXPECT_FALSE(origin.requests.at(0).has("Transfer_Encoding"));
  EXPECT_EQ(origin.requests.at(0).header("my_field"), "stays");
}

// ---- keys of the cache ----

TEST(CacheKey, WhatOneServiceStoredIsNoAnswerForAnother) {
  World world(
      yaml("  inner: { backends: [ { address: 192.0.2.11, port: 8080 } ] }\n"
           "  outer: { backends: [ { address: 192.0.2.12, port: 8080 } ] }\n",
           "  inside: { listen: 198.51.100.11:80, proxy: { routes: [ { pool: inner, cache: {} } ] } }\n"
           "  outside: { listen: 198.51.100.10:80, proxy: { routes: [ { pool: outer, cache: {} } ] } }\n"));
  const auto say = [](std::string what) {
    return [what](OriginConnection& to, const Message&) { to.send(response(what, "Cache-Control: max-age=60\r\n")); };
  };
  world.origin("192.0.2.11:8080").on_request = say("secret");
  world.origin("192.0.2.12:8080").on_request = say("public");
  const std::unique_ptr<Peer> inside = world.connect("198.51.100.11:80");
  inside->send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
  ASSERT_TRUE(world.run([&] { return inside->received.ends_with("secret"); }, 5s));
  EXPECT_EQ(world.get("/").body, "public");
}

struct HostCase {
  const char* name;
  const char* host;
  const char* asked;
};
std::ostream& operator<<(std::ostream& out, const HostCase& row) { return out << row.name; }
class CacheKeyHost : public ::testing::TestWithParam<HostCase> {};
TEST_P(CacheKeyHost, IsWhatTheBackendIsAskedFor) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  origin.on_request = [](OriginConnection& to, const Message&) {
    to.send(response("x", "Cache-Control: max-age=60\r\n"));
  };
  EXPECT_EQ(world.exchange(std::string("GET / HTTP/1.1\r\nHost: ") + GetParam().host + "\r\n\r\n").status(), 200);
  EXPECT_EQ(origin.requests.at(0).header("Host"), GetParam().asked);
}
INSTANTIATE_TEST_SUITE_P(Rows, CacheKeyHost,
                         ::testing::Values(HostCase{"plain", "www.example.com", "www.example.com"},
                                           HostCase{"upper_case", "WWW.Example.com", "www.example.com"},
                                           HostCase{"final_dot", "www.example.com.", "www.example.com"},
                                           HostCase{"empty_port", "www.example.com:", "www.example.com"},
                                           HostCase{"default_port", "www.example.com:80", "www.example.com"},
                                           HostCase{"other_port", "www.example.com:8080", "www.example.com:8080"},
                                           HostCase{"ipv6", "[2001:DB8::1]:8080", "[2001:db8::1]:8080"}),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(CacheKey, AFieldThatConnectionTakesAwaySelectsNoVariant) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  origin.on_request = [](OriginConnection& to, const Message& request) {
    to.send(
        response("for " + request.header("Accept-Language"), "Vary: Accept-Language\r\nCache-Control: max-age=60\r\n"));
  };
  EXPECT_EQ(world.get("/", "Accept-Language: de\r\nConnection: Accept-Language\r\n").body, "for ");
  EXPECT_EQ(world.get("/", "Accept-Language: de\r\n").body, "for de");
}

TEST(Cache, WhoWaitsForAStreamThatNeverEndsGoesOnAlone) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  std::vector<OriginConnection*> streams;
  origin.on_request = [&](OriginConnection& to, const Message&) {
    streams.push_back(&to);
    to.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ntick\r\n");
  };
  const std::unique_ptr<Peer> first = world.connect();
  first->send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
  world.run_for(1s);
  const std::unique_ptr<Peer> second = world.connect();
  second->send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
  for (int i = 0; i < 8; ++i) {
    world.run_for(10s);
    streams.front()->send("4\r\ntick\r\n");
  }
  EXPECT_THAT(first->received, HasSubstr("tick"));
  EXPECT_THAT(second->received, HasSubstr("tick"));
}

// ---- waits ----

TEST(Exchange, AClientThatReadsNothingIsNotKeptByWhatItSends) {
  World world(one_service(kCached, "      limits: { send_timeout: 20s }\n"));
  const std::string body(3'000'000, 'b');
  world.origin().on_request = [&](OriginConnection& to, const Message&) {
    to.send(response(body, "Cache-Control: max-age=600\r\n"));
  };
  ASSERT_EQ(world.get("/").body.size(), body.size());
  const std::unique_ptr<Peer> peer = world.connect();
  peer->reading = false;
  peer->send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
  for (int i = 0; i < 12 && !peer->closed; ++i) {
    world.run_for(5s);
    peer->send("x");
  }
  EXPECT_TRUE(peer->closed);
  EXPECT_EQ(world.counters().exchanges.read(), 0);
}

}  // namespace
}  // namespace sluice::proxy::test
