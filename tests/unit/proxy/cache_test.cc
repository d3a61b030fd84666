// Routes with a cache, through the whole proxy: hits, collapsing, revalidation, conditions and ranges, and what is never stored.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "world.h"

namespace sluice::proxy::test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr std::string_view kCached = "        - { pool: web, cache: {} }\n";

TEST(Cache, TheSecondRequestIsAHit) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  origin.on_request = [](OriginConnection& to, const Message&) {
    to.send(response("stored", "Cache-Control: max-age=60\r\nContent-Type: text/x\r\n"));
  };
  const Message miss = world.get("/a");
  EXPECT_EQ(miss.body, "stored");
  EXPECT_EQ(miss.header("Cache-Status"), "sluice; fwd=uri-miss; ttl=60; stored");
  world.run_for(10s);
  const Message hit = world.get("/a");
  EXPECT_EQ(hit.body, "stored");
  EXPECT_EQ(hit.header("Cache-Status"), "sluice; hit; ttl=50");
  EXPECT_EQ(hit.header("Age"), "10");
  EXPECT_EQ(hit.header("Content-Type"), "text/x");
  EXPECT_EQ(hit.header("Content-Length"), "6");
  EXPECT_EQ(origin.requests.size(), 1u);
  EXPECT_EQ(world.counters().cache_hits.read(), 1u);
  EXPECT_EQ(world.counters().cache_misses.read(), 1u);
  EXPECT_EQ(world.counters().cache_stored.read(), 1u);

  const Message head = world.get("/a", {}, "HEAD");
  EXPECT_EQ(head.body, "");
  EXPECT_EQ(head.header("Content-Length"), "6");
  EXPECT_EQ(world.get("/b").header("Cache-Status"), "sluice; fwd=uri-miss; ttl=60; stored");
  EXPECT_EQ(origin.requests.size(), 2u);
}

TEST(Cache, AChunkedAnswerIsStoredWhenItIsComplete) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  OriginConnection* answering = nullptr;
  origin.on_request = [&](OriginConnection& to, const Message&) {
    answering = &to;
    to.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
  };
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
  EXPECT_TRUE(world.run([&] { return peer->received.find("first") != std::string::npos; }, 5s));
  answering->send("7\r\n second\r\n0\r\n\r\n");
  EXPECT_TRUE(world.run([&] { return peer->received.ends_with("0\r\n\r\n"); }, 5s));
  EXPECT_EQ(responses_of(peer->received).at(0).body, "first second");
  const Message hit = world.get("/");
  EXPECT_EQ(hit.body, "first second");
  EXPECT_EQ(hit.header("Content-Length"), "12");
  EXPECT_EQ(origin.requests.size(), 1u);
}

TEST(Cache, ManyRequestsForOneKeyAreOneFetch) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  OriginConnection* answering = nullptr;
  origin.on_request = [&](OriginConnection& to, const Message&) { answering = &to; };
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 10; ++i) {
    peers.push_back(world.connect());
    peers.back()->send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
  }
  world.run_for(1s);
  EXPECT_EQ(origin.requests.size(), 1u);
  EXPECT_EQ(world.counters().cache_waited.read(), 9u);
  answering->send(response("one for all", "Cache-Control: max-age=60\r\n"));
  world.run_for(1s);
  int collapsed = 0;
  for (const auto& peer : peers) {
    const Message answer = responses_of(peer->received).at(0);
    EXPECT_EQ(answer.body, "one for all");
    if (answer.header("Cache-Status").find("hit") != std::string::npos) ++collapsed;
  }
  EXPECT_EQ(collapsed, 9);
  EXPECT_EQ(origin.requests.size(), 1u);
}

TEST(Cache, TheFetchGoesOnWhenItsClientLeaves) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  OriginConnection* answering = nullptr;
  origin.on_request = [&](OriginConnection& to, const Message&) {
    answering = &to;
    to.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 8\r\n\r\nhalf");
  };
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
  world.run_for(1s);
  peer->abort();
  world.run_for(1s);
  EXPECT_EQ(world.counters().exchanges.read(), 0);
  answering->send("half");
  world.run_for(1s);
  EXPECT_EQ(world.get("/").body, "halfhalf");
  EXPECT_EQ(origin.requests.size(), 1u);
}

TEST(Cache, WhoWaitsFetchesWhenTheFirstLeavesBeforeTheAnswer) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  origin.on_request = [&](OriginConnection& to, const Message&) {
    if (origin.requests.size() > 1) to.send(response("second try", "Cache-Control: max-age=60\r\n"));
  };
  const std::unique_ptr<Peer> first = world.connect();
  first->send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
  world.run_for(1s);
  const std::unique_ptr<Peer> second = world.connect();
  second->send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
  world.run_for(1s);
  EXPECT_EQ(origin.requests.size(), 1u);
  first->abort();
  world.run_for(1s);
  EXPECT_EQ(responses_of(second->received).at(0).body, "second try");
}

TEST(Cache, AStaleAnswerIsValidatedAndFreshened) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  origin.on_request = [](OriginConnection& to, const Message& request) {
    if (request.header("If-None-Match") == "\"v1\"") {
      to.send("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: max-age=30\r\n\r\n");
    } else {
      to.send(response("v1 body", "ETag: \"v1\"\r\nCache-Control: max-age=10\r\n"));
    }
  };
  EXPECT_EQ(world.get("/").status(), 200);
  world.run_for(20s);
  const Message renewed = world.get("/");
  EXPECT_EQ(renewed.body, "v1 body");
  EXPECT_EQ(renewed.header("Cache-Status"), "sluice; fwd=stale; fwd-status=304; ttl=30");
  EXPECT_EQ(origin.requests.size(), 2u);
  EXPECT_EQ(world.counters().cache_revalidated.read(), 1u);
  EXPECT_EQ(world.get("/").header("Cache-Status"), "sluice; hit; ttl=30");
  EXPECT_EQ(origin.requests.size(), 2u);
}

TEST(Cache, AStaleAnswerIsReplacedByANewOne) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  origin.on_request = [&](OriginConnection& to, const Message&) {
    const std::string version = std::to_string(origin.requests.size());
    to.send(response("body " + version, "ETag: \"" + version + "\"\r\nCache-Control: max-age=10\r\n"));
  };
  EXPECT_EQ(world.get("/").body, "body 1");
  world.run_for(20s);
  EXPECT_EQ(world.get("/").body, "body 2");
  EXPECT_EQ(origin.requests[1].header("If-None-Match"), "\"1\"");
  EXPECT_EQ(world.get("/").body, "body 2");
  EXPECT_EQ(origin.requests.size(), 2u);
}

TEST(Cache, AFailingOriginIsCoveredWithinStaleIfError) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  origin.on_request = [&](OriginConnection& to, const Message&) {
    if (origin.requests.size() == 1) {
      to.send(response("good", "ETag: \"1\"\r\nCache-Control: max-age=10, stale-if-error=100\r\n"));
    } else {
      to.send(response("broken", {}, 500));
    }
  };
  EXPECT_EQ(world.get("/").body, "good");
  world.run_for(20s);
  const Message covered = world.get("/");
  EXPECT_EQ(covered.body, "good");
  EXPECT_EQ(covered.header("Cache-Status"), "sluice; fwd=stale; fwd-status=500; ttl=-10");
  world.run_for(200s);
  EXPECT_EQ(world.get("/").status(), 500);
}

struct ErrorCase {
  const char* name;
  int status;
};
std::ostream& operator<<(std::ostream& out, const ErrorCase& row) { return out << row.name; }
class ErrorAnswer : public ::testing::TestWithParam<ErrorCase> {};

// One bad answer, which a client's own fields may have caused, says nothing of the next one.
TEST_P(ErrorAnswer, DoesNotKeepTheNextOneOutOfTheCache) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  int status = GetParam().status;
  origin.on_request = [&](OriginConnection& to, const Message&) {
    to.send(status == 200 ? response("good", "ETag: \"1\"\r\nCache-Control: max-age=10\r\n")
                          : response("bad", {}, status));
  };
  EXPECT_EQ(world.get("/").status(), GetParam().status);
  status = 200;
  EXPECT_EQ(world.get("/").body, "good");
  EXPECT_EQ(world.get("/").header("Cache-Status"), "sluice; hit; ttl=10");
  EXPECT_EQ(origin.requests.size(), 2u);

  world.run_for(20s);
  status = GetParam().status;
  EXPECT_EQ(world.get("/").status(), GetParam().status);
  status = 200;
  EXPECT_EQ(world.get("/").body, "good");
  EXPECT_EQ(origin.requests.back().header("If-None-Match"), "\"1\"")
      << "what was stored is still there to be confirmed";
  EXPECT_EQ(world.get("/").header("Cache-Status"), "sluice; hit; ttl=10");
}
INSTANTIATE_TEST_SUITE_P(Rows, ErrorAnswer,
                         ::testing::Values(ErrorCase{"bad_request", 400}, ErrorCase{"forbidden", 403},
                                           ErrorCase{"too_many_requests", 429}, ErrorCase{"internal_error", 500},
                                           ErrorCase{"unavailable", 503}),
                         [](const auto& row) { return std::string(row.param.name); });

struct StoredCase {
  const char* name;
  std::string request_headers, response_headers;
  bool stored;
};
std::ostream& operator<<(std::ostream& out, const StoredCase& row) { return out << row.name; }
class StoredOrNot : public ::testing::TestWithParam<StoredCase> {};
TEST_P(StoredOrNot, AsTheRulesSay) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  origin.on_request = [](OriginConnection& to, const Message&) { to.send(response("x", GetParam().response_headers)); };
  EXPECT_EQ(world.get("/", GetParam().request_headers).body, "x");
  EXPECT_EQ(world.get("/", GetParam().request_headers).body, "x");
  EXPECT_EQ(origin.requests.size(), GetParam().stored ? 1u : 2u);
}
INSTANTIATE_TEST_SUITE_P(
    Rows, StoredOrNot,
    ::testing::Values(StoredCase{"s_maxage", "", "Cache-Control: s-maxage=10\r\n", true},
                      StoredCase{"nothing_said", "", "", false},
                      StoredCase{"private", "", "Cache-Control: private, max-age=10\r\n", false},
                      StoredCase{"no_store", "", "Cache-Control: no-store\r\n", false},
                      StoredCase{"set_cookie", "", "Cache-Control: max-age=10\r\nSet-Cookie: a=b\r\n", false},
                      StoredCase{"authorization", "Authorization: Basic x\r\n", "Cache-Control: max-age=10\r\n", false},
                      StoredCase{"authorization_public", "Authorization: Basic x\r\n",
                                 "Cache-Control: public, max-age=10\r\n", true}),
    [](const auto& row) { return std::string(row.param.name); });

struct ClientControlCase {
  const char* name;
  const char* cache;    // the route's
  const char* control;  // the request's Cache-Control
  const char* status;   // of the second answer, 20 s after the first
};
std::ostream& operator<<(std::ostream& out, const ClientControlCase& row) { return out << row.name; }
class ClientControl : public ::testing::TestWithParam<ClientControlCase> {};
TEST_P(ClientControl, IsTheRoutesToGive) {
  World world(one_service(std::string("        - { pool: web, cache: ") + GetParam().cache + " }\n"));
  Origin& origin = world.origin();
  origin.on_request = [](OriginConnection& to, const Message&) {
    to.send(response("x", "Cache-Control: max-age=60\r\n"));
  };
  world.get("/");
  world.run_for(20s);
  const Message second = world.get("/", std::string("Cache-Control: ") + GetParam().control + "\r\n");
  EXPECT_EQ(second.header("Cache-Status"), GetParam().status);
  const bool hit = second.header("Cache-Status").find("hit") != std::string::npos;
  EXPECT_EQ(origin.requests.size(), hit ? 1u : 2u);
}
constexpr const char* kHit = "sluice; hit; ttl=40";
INSTANTIATE_TEST_SUITE_P(Rows, ClientControl,
                         ::testing::Values(ClientControlCase{"no_cache", "{}", "no-cache", kHit},
                                           ClientControlCase{"max_age", "{}", "max-age=0", kHit},
                                           ClientControlCase{"min_fresh", "{}", "min-fresh=50", kHit},
                                           ClientControlCase{"no_store", "{}", "no-store", kHit},
                                           ClientControlCase{"said", "{ client_control: ignore }", "no-cache", kHit},
                                           ClientControlCase{"no_cache_obeyed", "{ client_control: obey }", "no-cache",
                                                             "sluice; fwd=request; ttl=60; stored"},
                                           ClientControlCase{"max_age_obeyed", "{ client_control: obey }", "max-age=10",
                                                             "sluice; fwd=request; ttl=60; stored"},
                                           ClientControlCase{"min_fresh_obeyed", "{ client_control: obey }",
                                                             "min-fresh=50", "sluice; fwd=request; ttl=60; stored"},
                                           ClientControlCase{"no_store_obeyed", "{ client_control: obey }", "no-store",
                                                             "sluice; fwd=request"}),
                         [](const auto& row) { return std::string(row.param.name); });

// What a client asks not to be stored is: the backend's word alone counts.
TEST(Cache, ARequestsNoStoreIsIgnored) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  origin.on_request = [](OriginConnection& to, const Message&) {
    to.send(response("x", "Cache-Control: max-age=60\r\n"));
  };
  world.get("/", "Cache-Control: no-store\r\n");
  world.get("/", "Cache-Control: no-store\r\n");
  EXPECT_EQ(origin.requests.size(), 1u);
}

TEST(Cache, VaryKeepsVariantsApart) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  origin.on_request = [](OriginConnection& to, const Message& request) {
    to.send(
        response("for " + request.header("Accept-Language"), "Vary: Accept-Language\r\nCache-Control: max-age=60\r\n"));
  };
  EXPECT_EQ(world.get("/", "Accept-Language: de\r\n").body, "for de");
  EXPECT_EQ(world.get("/", "Accept-Language: fr\r\n").body, "for fr");
  EXPECT_EQ(world.get("/", "Accept-Language: de\r\n").body, "for de");
  EXPECT_EQ(world.get("/", "Accept-Language: fr\r\n").body, "for fr");
  EXPECT_EQ(origin.requests.size(), 2u);
}

TEST(Cache, ConditionsAndRangesAreJudgedHere) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  origin.on_request = [](OriginConnection& to, const Message&) {
    to.send(response("0123456789", "ETag: \"v1\"\r\nCache-Control: max-age=60\r\n"));
  };
  const Message first = world.get("/", "If-None-Match: \"v1\"\r\n");  // the fetch is unconditional, the answer is not
  EXPECT_EQ(first.status(), 304);
  EXPECT_FALSE(origin.requests.at(0).has("If-None-Match"));
  EXPECT_EQ(world.get("/").body, "0123456789");
  const Message part = world.get("/", "Range: bytes=2-4\r\n");
  EXPECT_EQ(part.status(), 206);
  EXPECT_EQ(part.body, "234");
  EXPECT_EQ(part.header("Content-Range"), "bytes 2-4/10");
  EXPECT_EQ(world.get("/", "Range: bytes=20-\r\n").status(), 416);
  EXPECT_EQ(origin.requests.size(), 1u);
}

TEST(Cache, OnlyIfCachedIs504WithoutAFetch) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  EXPECT_EQ(world.get("/", "Cache-Control: only-if-cached\r\n").status(), 504);
  EXPECT_TRUE(origin.requests.empty());
}

TEST(Cache, AChangeMakesWhatIsStoredInvalid) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  origin.on_request = [](OriginConnection& to, const Message&) {
    to.send(response("x", "Cache-Control: max-age=60\r\n"));
  };
  EXPECT_EQ(world.get("/").status(), 200);
  const Message posted = world.get("/", "Content-Length: 0\r\n", "POST");
  EXPECT_EQ(posted.header("Cache-Status"), "sluice; fwd=method");
  EXPECT_THAT(world.get("/").header("Cache-Status"), HasSubstr("fwd="));
  EXPECT_EQ(origin.requests.size(), 3u);
}

TEST(Cache, AnObjectLargerThanTheLimitIsPassedThroughInBoundedMemory) {
  std::string text = one_service(kCached) + "cache: { memory: 16MiB, object_limit: 1MiB }\n";
  World world(text);
  std::string body(6'000'000, 'b');
  for (const bool sized : {true, false}) {
    world.origin().on_request = [&](OriginConnection& to, const Message&) {
      if (sized) return to.send(response(body, "Cache-Control: max-age=60\r\n"));
      to.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5B8D80\r\n" + body +
              "\r\n0\r\n\r\n");
    };
    std::uint64_t most = 0;
    const std::unique_ptr<Peer> peer = world.connect();
    peer->send(std::string("GET /") + (sized ? "sized" : "chunked") +
               " HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(world.run([&] {
      most = std::max(most, world.cache->stats().bytes);
      return peer->peer_closed;
    }));
    EXPECT_TRUE(responses_of(peer->received).at(0).body == body);
    EXPECT_LT(most, 2u << 20);
    EXPECT_LT(world.cache->stats().bytes, 10'000u);
  }
}

// So many clients that want the same at once.
std::vector<std::unique_ptr<Peer>> crowd(World& world, int size) {
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < size; ++i) {
    peers.push_back(world.connect());
    peers.back()->send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
  }
  world.run_for(1s);
  return peers;
}

struct FailureCase {
  const char* name;
  void (*fail)(OriginConnection& to);
  std::size_t broken_off;  // clients that had a part already
  int status;
};
std::ostream& operator<<(std::ostream& out, const FailureCase& row) { return out << row.name; }
class FailedFetch : public ::testing::TestWithParam<FailureCase> {};

// Those who wait for a fetch that fails get what it got: a backend in trouble is not asked by all of them at once, nor one by one.
TEST_P(FailedFetch, IsOneRequestAndOneAnswerForAll) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  OriginConnection* asked = nullptr;
  origin.on_request = [&](OriginConnection& to, const Message&) { asked = &to; };
  const auto peers = crowd(world, 10);
  ASSERT_EQ(origin.requests.size(), 1u);
  GetParam().fail(*asked);
  world.run_for(200s);
  std::size_t failed = 0;
  for (const auto& peer : peers) {
    if (peer->received.starts_with("HTTP/1.1 " + std::to_string(GetParam().status))) ++failed;
  }
  EXPECT_EQ(failed, 10 - GetParam().broken_off);
  EXPECT_EQ(origin.requests.size(), 1u);
  // The next one asks again.
  origin.on_request = [](OriginConnection& to, const Message&) { to.send(response("well again")); };
  EXPECT_EQ(world.get("/").body, "well again");
}
INSTANTIATE_TEST_SUITE_P(Rows, FailedFetch,
                         ::testing::Values(FailureCase{"reset", [](OriginConnection& to) { to.abort(); }, 0, 502},
                                           FailureCase{"silence", [](OriginConnection&) {}, 0, 504},
                                           FailureCase{"breaks_off",
                                                       [](OriginConnection& to) {
                                                         to.send(
                                                             "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"
                                                             "Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n");
                                                         to.shutdown();
                                                       },
                                                       1, 502}),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(Cache, WhoWaitsForAFetchThatFailsIsServedStaleWhereThatIsAllowed) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  origin.on_request = [](OriginConnection& to, const Message&) {
    to.send(response("good", "ETag: \"1\"\r\nCache-Control: max-age=10, stale-if-error=100\r\n"));
  };
  EXPECT_EQ(world.get("/").body, "good");
  world.run_for(20s);
  OriginConnection* asked = nullptr;
  origin.on_request = [&](OriginConnection& to, const Message&) { asked = &to; };
  const auto peers = crowd(world, 5);
  ASSERT_NE(asked, nullptr);
  asked->send(response("broken", {}, 503));
  world.run_for(1s);
  for (const auto& peer : peers) EXPECT_EQ(responses_of(peer->received).at(0).body, "good");
  EXPECT_EQ(origin.requests.size(), 2u);
}

TEST(Cache, OneOfThoseWhoWaitTakesOverForTheOthers) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  OriginConnection* asked = nullptr;
  origin.on_request = [&](OriginConnection& to, const Message&) { asked = &to; };
  const auto peers = crowd(world, 10);
  ASSERT_EQ(origin.requests.size(), 1u);
  peers.front()->abort();
  world.run_for(1s);
  EXPECT_EQ(origin.requests.size(), 2u);
  asked->send(response("for the rest", "Cache-Control: max-age=60\r\n"));
  world.run_for(1s);
  for (std::size_t i = 1; i < peers.size(); ++i) {
    EXPECT_EQ(responses_of(peers[i]->received).at(0).body, "for the rest");
  }
  EXPECT_EQ(origin.requests.size(), 2u);
}

TEST(Cache, AFetchThatBreaksOffLeavesNothing) {
  World world(one_service(kCached));
  Origin& origin = world.origin();
  origin.on_request = [&](OriginConnection& to, const Message&) {
    if (origin.requests.size() > 1) return to.send(response("whole", "Cache-Control: max-age=60\r\n"));
    to.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 100\r\n\r\npart");
    to.shutdown();
  };
  const std::unique_ptr<Peer> peer = world.connect();
  peer->send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
  world.run_for(1s);
  EXPECT_EQ(peer->error, tcp::StreamError::kReset);
  EXPECT_EQ(world.get("/").body, "whole");
}

}  // namespace
}  // namespace sluice::proxy::test
