// Whole exchanges: a client, the proxy and an origin over three TCP stacks on virtual time. What the client sees of requests that are
// good, bad, slow or large, and how its connection goes on.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sluice/base/frame_pool.h"
#include "world.h"

namespace sluice::proxy::test {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::string_view kToWeb = "        - { pool: web }\n";

// What is left in the proxy when its clients have gone: nothing.
void expect_all_gone(World& world) {
  world.run_for(200s);
  const telemetry::ProxyCounters& counters = world.counters();
  EXPECT_EQ(counters.exchanges.read(), 0);
  EXPECT_EQ(counters.connections.read(), 0);
  EXPECT_EQ(counters.upstream_connections.read(), 0);
  EXPECT_EQ(counters.upstream_idle.read(), 0);
  EXPECT_EQ(world.proxy().tcp_stats().connections, 0u);
  EXPECT_EQ(world.proxy().tcp_stats().buffer_bytes, 0u);
}

TEST(Exchange, ARequestGoesToTheBackendAndItsAnswerComesBack) {
  World world(one_service(kToWeb));
  Origin& origin = world.origin();
  const Message answer = world.get("/hello?x=1");
  EXPECT_EQ(answer.start_line, "HTTP/1.1 200 Said");
  EXPECT_EQ(answer.body, "answer to GET /hello?x=1");
  ASSERT_EQ(origin.requests.size(), 1u);
  EXPECT_EQ(origin.requests[0].header("Host"), "www.example.com");
  EXPECT_EQ(origin.requests[0].header("X-Forwarded-For"), "203.0.113.7");
  EXPECT_EQ(origin.requests[0].header("X-Forwarded-Proto"), "http");
  EXPECT_EQ(origin.requests[0].header("X-Real-IP"), "203.0.113.7");
  EXPECT_EQ(origin.requests[0].header("Via"), "1.1 sluice");
  EXPECT_FALSE(answer.header("Date").empty());
  EXPECT_EQ(world.counters().requests.read(), 1u);
  EXPECT_EQ(world.counters().responses[2].read(), 1u);
  const telemetry::EntityCounters& service = world.counters().services[0];
  const telemetry::EntityCounters& backend = world.counters().backends[0];
  EXPECT_EQ(service.flows.read(), 1u);
  EXPECT_EQ(service.in.bytes.read(),
            std::string_view("GET /hello?x=1 HTTP/1.1\r\nHost: www.example.com\r\n\r\n").size());
  EXPECT_GT(service.out.bytes.read(), answer.body.size());
  EXPECT_GT(backend.out.bytes.read(), service.in.bytes.read());
  EXPECT_GT(backend.in.bytes.read(), answer.body.size());
  expect_all_gone(world);
  EXPECT_EQ(service.active.read(), 0);
  EXPECT_EQ(backend.active.read(), 0);
}

// ---- what bad input gets ----

struct StatusCase {
  const char* name;
  std::string request;
  int status;
  bool closes;
};
std::ostream& operator<<(std::ostream& out, const StatusCase& row) { return out << row.name; }

class Statuses : public ::testing::TestWithParam<StatusCase> {};

TEST_P(Statuses, AreWhatTheClientGets) {
  World world(
      one_service("        - { match: { path: /fixed }, respond: { status: 203, body: hello } }\n"
                  "        - { match: { path: /moved }, redirect: { location: "
                  "\"https://${request.host}${request.target}\" } }\n"
                  "        - { match: { path: /api/ }, pool: web }\n",
                  "      limits: { body_size: 1KiB, uri_size: 256, header_size: 2KiB, headers: 20 }\n"));
  world.origin();
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send(GetParam().request);
  world.run([&] { return peer->peer_closed || (!GetParam().closes && !responses_of(peer->received).empty()); }, 1s);
  const auto answers = responses_of(peer->received, {GetParam().request.starts_with("HEAD")});
  ASSERT_EQ(answers.size(), 1u) << peer->received;
  EXPECT_EQ(answers[0].status(), GetParam().status) << peer->received;
  EXPECT_EQ(peer->peer_closed, GetParam().closes);
  EXPECT_EQ(answers[0].header("Connection"), GetParam().closes ? "close" : "");
  EXPECT_EQ(world.counters().responses[static_cast<std::size_t>(GetParam().status / 100)].read(), 1u);
  peer->abort();
  expect_all_gone(world);
}

std::string request(std::string_view line, std::string_view headers = {}, std::string_view body = {}) {
  std::string out(line);
  out.append(" HTTP/1.1\r\nHost: www.example.com\r\n").append(headers).append("\r\n").append(body);
  return out;
}

INSTANTIATE_TEST_SUITE_P(
    Rows, Statuses,
    ::testing::Values(
        StatusCase{"good", request("GET /api/x"), 200, false},
        StatusCase{"no_route", request("GET /nothing"), 404, false},
        StatusCase{"fixed_answer", request("GET /fixed"), 203, false},
        StatusCase{"fixed_answer_to_head", request("HEAD /fixed"), 203, false},
        StatusCase{"redirect", request("GET /moved?x"), 301, false}, StatusCase{"not_http", "hello\r\n\r\n", 400, true},
        StatusCase{"no_host", "GET / HTTP/1.1\r\n\r\n", 400, true},
        StatusCase{"two_lengths", request("POST /api/", "Content-Length: 1\r\nContent-Length: 2\r\n"), 400, true},
        StatusCase{"unknown_method", request("BREW /api/"), 501, true},
        StatusCase{"trace_is_not_passed_on", request("TRACE /api/"), 405, false},
        StatusCase{"https_target_on_a_plain_connection",
                   "GET https://www.example.com/api/x HTTP/1.1\r\nHost: www.example.com\r\n\r\n", 421, false},
        StatusCase{"uri_too_long", request("GET /" + std::string(300, 'a')), 414, true},
        StatusCase{"header_too_large", request("GET /api/", "X: " + std::string(3000, 'a') + "\r\n"), 431, true},
        StatusCase{"announced_body_too_large", request("POST /api/", "Content-Length: 2000\r\n"), 413, true},
        StatusCase{"chunked_body_too_large",
                   request("POST /api/", "Transfer-Encoding: chunked\r\n", "800\r\n" + std::string(2048, 'b') + "\r\n"),
                   413, true},
        StatusCase{"bad_chunk", request("POST /api/", "Transfer-Encoding: chunked\r\n", "zz\r\n"), 400, true},
        StatusCase{"body_for_a_fixed_answer_is_skipped", request("POST /fixed", "Content-Length: 5\r\n", "12345"), 203,
                   false},
        StatusCase{"asked_to_close", request("GET /api/", "Connection: close\r\n"), 200, true}),
    [](const auto& row) { return std::string(row.param.name); });

// RFC 9110 section 15.5.6.
TEST(Exchange, A405SaysWhatIsAllowed) {
  World world(
      one_service("        - { match: { path: /files/ }, static: { alias: /srv/ } }\n        - { pool: web }\n"));
  EXPECT_EQ(world.get("/api", {}, "TRACE").header("Allow"), "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
  EXPECT_EQ(world.get("/files/x", {}, "TRACE").header("Allow"), "GET, HEAD");
  EXPECT_EQ(world.get("/files/x", {}, "DELETE").header("Allow"), "GET, HEAD");
}

// A client that is answered early is listened to until it is quiet, but not for ever (nginx: lingering_timeout, lingering_time).
TEST(Exchange, LingeringEndsWhenNothingComesAndAfterATotal) {
  World world(one_service("        - { respond: { status: 403, body: no } }\n"));
  constexpr std::string_view kUpload = "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1000000\r\n\r\nsome";
  const std::unique_ptr<Peer> quiet = world.connect();
  quiet->send(kUpload);
  world.run_for(4s);
  EXPECT_EQ(responses_of(quiet->received).at(0).status(), 403);
  EXPECT_EQ(world.counters().connections.read(), 1);
  world.run_for(2s);
  EXPECT_EQ(world.counters().connections.read(), 0) << "5 s without data";

  const std::unique_ptr<Peer> busy = world.connect();
  busy->send(kUpload);
  for (int i = 0; i < 14; ++i) {
    world.run_for(2s);
    busy->send("more");
  }
  world.run_for(1s);
  EXPECT_EQ(world.counters().connections.read(), 1) << "after 29 s, still sending";
  world.run_for(2s);
  EXPECT_EQ(world.counters().connections.read(), 0) << "30 s in all";
}

TEST(Exchange, ARedirectSaysWhere) {
  World world(
      one_service("        - { redirect: { status: 308, location: \"https://${request.host}${request.target}\" } }\n"));
  const Message answer = world.get("/a?b=c");
  EXPECT_EQ(answer.status(), 308);
  EXPECT_EQ(answer.header("Location"), "https://www.example.com/a?b=c");
}

// ---- how a connection goes on ----

TEST(Exchange, PipelinedRequestsAreServedInOrder) {
  World world(one_service(kToWeb));
  Origin& origin = world.origin();
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send(request("GET /1") + request("POST /2", "Content-Length: 3\r\n", "two") + request("HEAD /3") +
             request("GET /4", "Connection: close\r\n"));
  EXPECT_TRUE(world.run([&] { return peer->peer_closed; }, 10s));
  const auto answers = responses_of(peer->received, {false, false, true, false});
  ASSERT_EQ(answers.size(), 4u) << peer->received;
  EXPECT_EQ(answers[0].body, "answer to GET /1");
  EXPECT_EQ(answers[1].body, "answer to POST /2");
  EXPECT_EQ(answers[2].body, "");
  EXPECT_EQ(answers[2].header("Content-Length"), "17");
  EXPECT_EQ(answers[3].body, "answer to GET /4");
  EXPECT_EQ(origin.requests[1].body, "two");
  EXPECT_EQ(world.counters().connections_accepted.read(), 1u);
  EXPECT_EQ(world.counters().upstream_connects.read(), 1u);
  EXPECT_EQ(world.counters().upstream_reused.read(), 3u);
  expect_all_gone(world);
}

TEST(Exchange, AThousandPipelinedRequestsAreAllServed) {
  World world(one_service("        - { respond: { status: 204, body: '' } }\n"));
  const std::unique_ptr<Peer> peer = world.connect();
  std::string all;
  for (int i = 0; i < 1000; ++i) all += request("GET /");
  peer->send(all);
  EXPECT_TRUE(world.run([&] { return peer->peer_closed; }, 10s));  // limits.requests is 1000
  EXPECT_EQ(world.counters().requests.read(), 1000u);
  EXPECT_EQ(responses_of(peer->received).size(), 1000u);
}

TEST(Exchange, Http10ClosesUnlessItAsksToStay) {
  World world(one_service(kToWeb));
  Origin& origin = world.origin();
  origin.on_request = [](OriginConnection& to, const Message&) {
    to.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  };
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(world.run([&] { return peer->peer_closed; }, 10s));
  const Message answer = responses_of(peer->received).at(0);
  EXPECT_FALSE(answer.has("Transfer-Encoding"));  // RFC 9112 section 6.1: never to HTTP/1.0
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_EQ(answer.body, "hello");

  origin.on_request = [](OriginConnection& to, const Message&) { to.send(response("known")); };
  const std::unique_ptr<Peer> staying = world.connect();
  staying->send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_TRUE(world.run([&] { return staying->received.ends_with("known"); }, 10s));
  EXPECT_EQ(responses_of(staying->received).at(0).header("Connection"), "keep-alive");
  EXPECT_FALSE(staying->peer_closed);
}

TEST(Exchange, AConnectionServesItsNumberOfRequests) {
  World world(one_service(kToWeb, "      limits: { requests: 2 }\n"));
  world.origin();
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send(request("GET /1") + request("GET /2") + request("GET /3"));
  EXPECT_TRUE(world.run([&] { return peer->peer_closed || peer->closed; }, 10s));
  const auto answers = responses_of(peer->received);
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers[0].header("Connection"), "");
  EXPECT_EQ(answers[1].header("Connection"), "close");
}

TEST(Exchange, ASourceHasItsNumberOfConnections) {
  World world(one_service(kToWeb, "      source_limits: { connections: 2 }\n"));
  world.origin();
  std::unique_ptr<Peer> peers[3];
  for (auto& peer : peers) {
    peer = world.connect();
    peer->send(request("GET /"));
    (void)world.run([&] { return !peer->received.empty() || peer->closed; }, 10s);
  }
  EXPECT_FALSE(peers[0]->closed);
  EXPECT_FALSE(peers[1]->closed);
  EXPECT_TRUE(peers[2]->closed);
  EXPECT_EQ(peers[2]->error, tcp::StreamError::kReset);
  EXPECT_EQ(world.counters().tcp_source_refused.read(), 1u);
}

TEST(Exchange, ContinueIsAnsweredWhenTheBackendTakesTheBody) {
  World world(one_service(kToWeb));
  Origin& origin = world.origin();
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send(request("PUT /file", "Content-Length: 4\r\nExpect: 100-continue\r\n"));
  EXPECT_TRUE(world.run([&] { return peer->received == "HTTP/1.1 100 Continue\r\n\r\n"; }, 10s));
  peer->send("body");
  EXPECT_TRUE(world.run([&] { return responses_of(peer->received).size() == 2; }, 10s));
  EXPECT_EQ(origin.requests.at(0).body, "body");
  EXPECT_FALSE(origin.requests.at(0).has("Expect"));
}

TEST(Exchange, AClientThatExpectsContinueGetsARefusalInstead) {
  World world(one_service("        - { respond: { status: 403, body: no } }\n"));
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send(request("PUT /file", "Content-Length: 4\r\nExpect: 100-continue\r\n"));
  EXPECT_TRUE(world.run([&] { return peer->peer_closed; }, 10s));
  const auto answers = responses_of(peer->received);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].status(), 403);
}

TEST(Exchange, AClientThatStillSendsReadsTheEarlyAnswer) {
  World world(one_service(kToWeb, "      limits: { body_size: 1KiB }\n"));
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send(request("POST /", "Content-Length: 3000000\r\n") + std::string(3'000'000, 'x'));
  EXPECT_TRUE(world.run([&] { return peer->peer_closed; }, 10s));
  EXPECT_EQ(responses_of(peer->received).at(0).status(), 413);
  EXPECT_EQ(peer->error, tcp::StreamError::kNone);
  expect_all_gone(world);
}

// ---- timeouts ----

TEST(Exchange, ASlowHeadIsAnswered408) {
  World world(one_service(kToWeb, "      limits: { header_timeout: 10s }\n"));
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send("GET / HTTP/1.1\r\nHost:");
  world.run_for(9s);
  EXPECT_EQ(peer->received, "");
  world.run_for(2s);
  EXPECT_THAT(peer->received, StartsWith("HTTP/1.1 408 "));
}

TEST(Exchange, ASlowBodyIsAnswered408) {
  World world(one_service(kToWeb, "      limits: { body_timeout: 10s }\n"));
  world.origin();
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send(request("POST /", "Content-Length: 10\r\n", "123"));
  world.run_for(8s);
  peer->send("4");  // starts the time anew
  world.run_for(8s);
  EXPECT_EQ(peer->received, "");
  world.run_for(3s);
  EXPECT_THAT(peer->received, StartsWith("HTTP/1.1 408 "));
  expect_all_gone(world);
}

TEST(Exchange, AnIdleConnectionIsClosedWithoutAWord) {
  World world(one_service(kToWeb, "      limits: { idle_timeout: 20s }\n"));
  world.origin();
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send(request("GET /"));
  world.run_for(19s);
  EXPECT_FALSE(peer->peer_closed);
  const std::size_t answered = peer->received.size();
  world.run_for(2s);
  EXPECT_TRUE(peer->peer_closed);
  EXPECT_EQ(peer->received.size(), answered);
}

TEST(Exchange, AClientThatStopsReadingIsReset) {
  World world(one_service(kToWeb, "      limits: { send_timeout: 30s }\n"));
  world.origin().on_request = [](OriginConnection& to, const Message&) {
    to.send(response(std::string(5'000'000, 'x')));
  };
  const std::unique_ptr<Peer> peer = world.connect();
  peer->reading = false;
  peer->send(request("GET /"));
  world.run_for(20s);
  EXPECT_FALSE(peer->closed);
  EXPECT_LT(world.proxy().tcp_stats().buffer_bytes, 1'500'000u);  // back-pressure: the rest waits at the origin
  world.run_for(20s);
  EXPECT_TRUE(peer->closed);
  EXPECT_EQ(peer->error, tcp::StreamError::kReset);
  expect_all_gone(world);
}

// ---- large bodies ----

std::string pattern(std::size_t bytes) {
  std::string out(bytes, '\0');
  std::uint32_t state = 12345;
  for (char& c : out) {
    state = state * 1664525u + 1013904223u;
    c = static_cast<char>(state >> 24);
  }
  return out;
}

TEST(Exchange, ALargeUploadArrivesWholeInBoundedMemory) {
  for (const bool chunked : {false, true}) {
    World world(one_service(kToWeb));
    Origin& origin = world.origin();
    const std::string body = pattern(8'000'000);
    const std::unique_ptr<Peer> peer = world.connect();
    if (chunked) {
      std::string sent = request("POST /up", "Transfer-Encoding: chunked\r\n");
      for (std::size_t at = 0; at < body.size(); at += 100'000) {
        sent.append("186A0\r\n").append(body, at, 100'000).append("\r\n");
      }
      peer->send(sent + "0\r\n\r\n");
    } else {
      peer->send(request("POST /up", "Content-Length: 8000000\r\n", body));
    }
    std::size_t most = 0;
    EXPECT_TRUE(world.run([&] {
      most = std::max(most, world.proxy().tcp_stats().buffer_bytes);
      return !peer->received.empty();
    }));
    ASSERT_EQ(origin.requests.size(), 1u);
    EXPECT_TRUE(origin.requests[0].body == body);
    EXPECT_LT(most, body.size() / 2);  // what the windows of two connections allow
    EXPECT_EQ(world.counters().bytes_received.read(), 8'000'000u);
    origin.connections.clear();
    expect_all_gone(world);
  }
}

TEST(Exchange, ALargeDownloadArrivesWholeWhateverItsFraming) {
  const std::string body = pattern(8'000'000);
  struct Case {
    const char* name;
    std::string head, tail;
    bool closes;
  };
  for (const Case& row : {Case{"sized", "Content-Length: 8000000\r\n\r\n", "", false},
                          Case{"chunked", "Transfer-Encoding: chunked\r\n\r\n7A1200\r\n", "\r\n0\r\n\r\n", false},
                          Case{"until_close", "\r\n", "", true}}) {
    SCOPED_TRACE(row.name);
    World world(one_service(kToWeb));
    world.origin().on_request = [&](OriginConnection& to, const Message&) {
      to.send("HTTP/1.1 200 OK\r\n" + row.head + body + row.tail);
      if (row.closes) to.shutdown();
    };
    const std::unique_ptr<Peer> peer = world.connect();
    peer->send(request("GET /down", "Connection: close\r\n"));
    EXPECT_TRUE(world.run([&] { return peer->peer_closed; }));
    const auto answers = responses_of(peer->received);
    ASSERT_EQ(answers.size(), 1u);
    EXPECT_TRUE(answers[0].body == body);
    EXPECT_EQ(world.counters().bytes_sent.read(), 8'000'000u);
  }
}

TEST(Exchange, AResponseThatBreaksOffResetsTheClient) {
  World world(one_service(kToWeb));
  world.origin().on_request = [](OriginConnection& to, const Message&) {
    to.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    to.shutdown();
  };
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send(request("GET /"));
  EXPECT_TRUE(world.run([&] { return peer->closed; }, 10s));
  EXPECT_EQ(peer->error, tcp::StreamError::kReset);
  expect_all_gone(world);
}

TEST(Exchange, AClientThatLeavesTakesItsExchangeAlong) {
  World world(one_service(kToWeb));
  world.origin().on_request = [](OriginConnection&, const Message&) {};  // never answers
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send(request("GET /"));
  world.run_for(1s);
  EXPECT_EQ(world.counters().exchanges.read(), 1);
  peer->abort();
  world.run_for(1s);
  EXPECT_EQ(world.counters().exchanges.read(), 0);
  EXPECT_EQ(world.counters().responses[0].read(), 1u);
  expect_all_gone(world);
}

TEST(Exchange, ResponseHeadersAreRuledByTheRoute) {
  World world(
      one_service("        - pool: web\n"
                  "          response_headers:\n"
                  "            remove: [X-Powered-By]\n"
                  "            set: { X-Frame-Options: DENY, X-Client: \"${client.address}\" }\n"));
  world.origin().on_request = [](OriginConnection& to, const Message&) {
    to.send(response("x", "X-Powered-By: magic\r\nX-Frame-Options: maybe\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"));
  };
  const Message answer = world.get("/");
  EXPECT_FALSE(answer.has("X-Powered-By"));
  EXPECT_FALSE(answer.has("X-Hop"));
  EXPECT_EQ(answer.header("X-Frame-Options"), "DENY");
  EXPECT_EQ(answer.header("X-Client"), "203.0.113.7");
}

// ---- the end ----

TEST(Exchange, DrainingFinishesWhatRunsAndClosesTheRest) {
  World world(one_service(kToWeb));
  Origin& origin = world.origin();
  OriginConnection* answering = nullptr;
  origin.on_request = [&](OriginConnection& to, const Message&) { answering = &to; };
  const std::unique_ptr<Peer> idle = world.connect();
  const std::unique_ptr<Peer> busy = world.connect();
  busy->send(request("GET /"));
  EXPECT_TRUE(world.run([&] { return answering != nullptr && idle->connected; }, 10s));
  world.proxy().begin_drain(world.now + 30s);
  world.run_for(1s);
  EXPECT_TRUE(idle->peer_closed);
  EXPECT_FALSE(world.proxy().drained());
  const std::unique_ptr<Peer> late = world.connect();
  world.run_for(1s);
  EXPECT_EQ(late->error, tcp::StreamError::kRefused);
  answering->send(response("done"));
  EXPECT_TRUE(world.run([&] { return busy->peer_closed; }, 10s));
  EXPECT_EQ(responses_of(busy->received).at(0).header("Connection"), "close");
  EXPECT_TRUE(world.proxy().drained());
}

TEST(Exchange, DrainingEndsAtItsDeadline) {
  World world(one_service(kToWeb));
  world.origin().on_request = [](OriginConnection&, const Message&) {};
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send(request("GET /"));
  world.run_for(1s);
  world.proxy().begin_drain(world.now + 5s);
  world.run_for(4s);
  EXPECT_FALSE(world.proxy().drained());
  world.run_for(2s);
  EXPECT_TRUE(world.proxy().drained());
  EXPECT_TRUE(peer->closed);
}

TEST(Exchange, AProxyMayBeDestroyedWhileExchangesRun) {
  const std::ptrdiff_t frames = FramePool::of_this_thread().live();
  {
    World world(one_service(kToWeb));
    world.origin().on_request = [](OriginConnection&, const Message&) {};
    const std::unique_ptr<Peer> peer = world.connect();
    peer->send(request("GET /"));
    world.run_for(1s);
    EXPECT_EQ(world.counters().exchanges.read(), 1);
    EXPECT_GT(FramePool::of_this_thread().live(), frames);
  }
  EXPECT_EQ(FramePool::of_this_thread().live(), frames);
}

}  // namespace
}  // namespace sluice::proxy::test
