// What the store answers, request after request.
#include "sluice/cache/store.h"

#include <gtest/gtest.h>

#include "cache_harness.h"
#include "sluice/http/date.h"

namespace sluice::cache::test {
namespace {

const Fields kMaxAge60 = {{"Cache-Control", "max-age=60"}};
const Fields kWithEtag = {{"Cache-Control", "max-age=60"}, {"ETag", "\"v1\""}};

TEST(Store, MissThenHit) {
  Harness h;
  Lookup first = h.ask({"/a"});
  EXPECT_EQ(first.outcome, Lookup::Outcome::kMiss);
  EXPECT_EQ(first.forward, Forward::kUriMiss);
  ASSERT_TRUE(first.fill);
  const ObjectRef object = h.start(first.fill, Harness::response(kMaxAge60, 5));
  ASSERT_TRUE(object);
  EXPECT_EQ(first.fill.append(bytes_of("hello")), 5u);
  first.fill.finish();
  EXPECT_TRUE(first.fill.stored());

  const Lookup second = h.ask({"/a", {}, kStart + 59});
  EXPECT_EQ(second.outcome, Lookup::Outcome::kHit);
  EXPECT_EQ(second.forward, Forward::kNone);
  EXPECT_EQ(Harness::read(second.object), "hello");
  EXPECT_EQ(second.object->age(kStart + 59), 59u);
  EXPECT_EQ(second.object->ttl(kStart + 59), 1);
  EXPECT_EQ(second.object->content_length(), 5u);
  EXPECT_EQ(h.ask({"/b"}).outcome, Lookup::Outcome::kMiss);
}

TEST(Store, KeepsEndToEndFieldsOnly) {
  Harness h;
  h.store_whole({"/a"},
                {{"Cache-Control", "max-age=60"},
                 {"X-Keep", "1"},
                 {"Connection", "X-Drop, close"},
                 {"X-Drop", "2"},
                 {"Keep-Alive", "timeout=5"},
                 {"Age", "7"},
                 {"Content-Length", "1"},
                 {"Content-Type", "text/plain"}},
                "x");
  const Lookup found = h.ask({"/a"});
  std::string names;
  for (const http::Header& header : found.object->headers()) names.append(header.name).append(" ");
  EXPECT_EQ(names, "Cache-Control X-Keep Content-Type Date ");
  EXPECT_EQ(found.object->headers().value(http::HeaderId::kDate), http::view(http::format_date(kStart)));
  EXPECT_EQ(found.object->age(kStart), 7u);
}

TEST(Store, KeysDifferBySchemeHostPortAndTarget) {
  Harness h;
  std::string a, b;
  const auto differ = [&](Key x, Key y) { return x.text != y.text && x.hash != y.hash; };
  EXPECT_EQ(h.store.make_key(a, true, "h", 443, "/x?y").text, "https|h|/x?y");
  EXPECT_EQ(h.store.make_key(a, false, "h", 0, "/").text, "http|h|/");
  EXPECT_EQ(h.store.make_key(a, false, "h", 8080, "/").text, "http|h:8080|/");
  EXPECT_TRUE(differ(h.store.make_key(a, true, "h", 0, "/"), h.store.make_key(b, false, "h", 0, "/")));
  EXPECT_TRUE(differ(h.store.make_key(a, true, "h", 0, "/"), h.store.make_key(b, true, "h", 0, "/?")));
}

TEST(Store, SecondRequestWaitsAndIsWokenByTheHead) {
  Harness h;
  Lookup first = h.ask({"/a"});
  CountingWaiter waiter;
  EXPECT_EQ(h.ask({"/a"}, &waiter).outcome, Lookup::Outcome::kWait);
  EXPECT_EQ(waiter.wakes, 0);
  const ObjectRef object = h.start(first.fill, Harness::response(kMaxAge60, 10));
  EXPECT_EQ(waiter.wakes, 1);

  const Lookup second = h.ask({.target = "/a", .patience = Patience::kNone}, &waiter);
  ASSERT_EQ(second.outcome, Lookup::Outcome::kHit);
  Reader reader(second.object);
  EXPECT_EQ(reader.status(), Reader::Status::kWait);
  EXPECT_TRUE(reader.wait(waiter));
  EXPECT_EQ(first.fill.append(bytes_of("01234")), 5u);
  EXPECT_EQ(waiter.wakes, 2);
  EXPECT_FALSE(reader.wait(waiter)) << "there is something to read";
  EXPECT_EQ(Harness::read(reader), "01234");
  EXPECT_EQ(reader.status(), Reader::Status::kWait);
  EXPECT_EQ(first.fill.append(bytes_of("56789")), 5u);
  first.fill.finish();
  EXPECT_EQ(Harness::read(reader), "56789");
  EXPECT_EQ(reader.status(), Reader::Status::kEnd);
  EXPECT_EQ(h.store.stats().waits, 1u);
}

TEST(Store, WaiterThatLeavesIsNotWoken) {
  Harness h;
  Lookup first = h.ask({"/a"});
  CountingWaiter stays;
  EXPECT_EQ(h.ask({"/a"}, &stays).outcome, Lookup::Outcome::kWait);
  {
    CountingWaiter destroyed;
    EXPECT_EQ(h.ask({"/a"}, &destroyed).outcome, Lookup::Outcome::kWait);
    CountingWaiter cancelled;
    EXPECT_EQ(h.ask({"/a"}, &cancelled).outcome, Lookup::Outcome::kWait);
    cancelled.cancel();
    first.fill.abandon(false, kStart);
    EXPECT_EQ(cancelled.wakes, 0);
    EXPECT_EQ(destroyed.wakes, 1);
  }
  EXPECT_EQ(stays.wakes, 1);
}

TEST(Store, AWaiterTakesOverWhenTheFetchFails) {
  Harness h;
  Lookup first = h.ask({"/a"});
  CountingWaiter waiter;
  ASSERT_EQ(h.ask({"/a"}, &waiter).outcome, Lookup::Outcome::kWait);
  first.fill = {};  // the exchange went away without a word
  EXPECT_EQ(waiter.wakes, 1);
  const Lookup second = h.ask({.target = "/a", .patience = Patience::kNone}, &waiter);
  EXPECT_EQ(second.outcome, Lookup::Outcome::kMiss);
  EXPECT_TRUE(second.fill);
}

TEST(Store, WaitersHearHowTheFetchEnded) {
  struct Row {
    const char* name;
    void (*end)(Harness& h, Fill& fill);
    Wake::Cause cause;
    std::uint16_t status;
  };
  const Row rows[] = {
      {"given_up", [](Harness&, Fill& fill) { fill.abandon(false, kStart); }, Wake::Cause::kChanged, 0},
      {"gone", [](Harness&, Fill& fill) { fill = {}; }, Wake::Cause::kChanged, 0},
      {"uncacheable", [](Harness&, Fill& fill) { fill.abandon(true, kStart); }, Wake::Cause::kUncacheable, 0},
      {"error", [](Harness&, Fill& fill) { fill.abandon_error(); }, Wake::Cause::kUncacheable, 0},
      {"no_answer", [](Harness&, Fill& fill) { fill.abandon_failed(504); }, Wake::Cause::kFailed, 504},
      {"broken_off",
       [](Harness& h, Fill& fill) {
         (void)h.start(fill, Harness::response(kMaxAge60, std::nullopt));
         fill.fail();
       },
       Wake::Cause::kFailed, 502},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    Harness h;
    Lookup first = h.ask({"/a"});
    CountingWaiter waiter;
    ASSERT_EQ(h.ask({"/a"}, &waiter).outcome, Lookup::Outcome::kWait);
    row.end(h, first.fill);
    waiter.cancel();
    EXPECT_EQ(waiter.wakes, 1);
    EXPECT_EQ(waiter.last_wake().cause, row.cause);
    EXPECT_EQ(waiter.last_wake().status, row.status);
  }
}

TEST(Store, WhoseFetchFailedFetchesNothing) {
  Harness h;
  EXPECT_EQ(h.ask({.target = "/a", .patience = Patience::kFailed}).outcome, Lookup::Outcome::kNotCached);
  h.store_whole({"/a"}, {{"Cache-Control", "max-age=10, stale-if-error=100"}, {"ETag", "\"1\""}}, "good");
  const Lookup stale = h.ask({.target = "/a", .now = kStart + 50, .patience = Patience::kFailed});
  EXPECT_EQ(stale.outcome, Lookup::Outcome::kHit);
  EXPECT_TRUE(stale.served_stale);
  EXPECT_FALSE(stale.fill);
  EXPECT_EQ(h.ask({.target = "/a", .now = kStart + 500, .patience = Patience::kFailed}).outcome,
            Lookup::Outcome::kNotCached);
}

// An answer without a length may be a stream; before there is an answer the fetch is bounded by its own limits.
TEST(Store, WhoHasWaitedLongWaitsOnForTheHeadOnly) {
  Harness h;
  Lookup first = h.ask({"/a"});
  CountingWaiter waiter;
  EXPECT_EQ(h.ask({.target = "/a", .patience = Patience::kForHead}, &waiter).outcome, Lookup::Outcome::kWait);
  const ObjectRef object = h.start(first.fill, Harness::response(kMaxAge60, std::nullopt));
  EXPECT_EQ(waiter.wakes, 0);
  const Lookup alone = h.ask({.target = "/a", .patience = Patience::kForHead}, &waiter);
  EXPECT_EQ(alone.outcome, Lookup::Outcome::kMiss);
  EXPECT_FALSE(alone.fill);
}

TEST(Store, NobodyWaitsForWhatWasLatelyUncacheable) {
  Harness h;
  Lookup first = h.ask({"/a"});
  CountingWaiter waiter;
  ASSERT_EQ(h.ask({"/a"}, &waiter).outcome, Lookup::Outcome::kWait);
  first.fill.abandon(true, kStart);
  EXPECT_EQ(waiter.wakes, 1);
  for (int i = 0; i < 3; ++i) {
    const Lookup next = h.ask({"/a", {}, kStart + kRememberUncacheable - 1}, &waiter);
    EXPECT_EQ(next.outcome, Lookup::Outcome::kMiss);
    EXPECT_FALSE(next.fill);
  }
  EXPECT_TRUE(h.ask({"/a", {}, kStart + kRememberUncacheable}, &waiter).fill);
}

TEST(Store, ARequestWithCredentialsWaitsForNobody) {
  Harness h;
  Lookup first = h.ask({"/a"});
  CountingWaiter waiter;
  const Lookup own = h.ask({"/a", {{"Authorization", "Basic eDp5"}}}, &waiter);
  EXPECT_EQ(own.outcome, Lookup::Outcome::kMiss);
  EXPECT_FALSE(own.fill);
}

TEST(Store, StaleIsRevalidatedOnce) {
  Harness h;
  h.store_whole({"/a"}, kWithEtag, "hello");
  Lookup stale = h.ask({"/a", {}, kStart + 60});
  EXPECT_EQ(stale.outcome, Lookup::Outcome::kStale);
  EXPECT_EQ(stale.forward, Forward::kStale);
  ASSERT_TRUE(stale.fill);
  EXPECT_EQ(stale.object->validators().etag, "\"v1\"");
  CountingWaiter waiter;
  EXPECT_EQ(h.ask({"/a", {}, kStart + 60}, &waiter).outcome, Lookup::Outcome::kWait);

  const http::ResponseHead not_modified = Harness::response(
      {{"Cache-Control", "max-age=30"}, {"ETag", "\"v1\""}, {"X-New", "1"}, {"Content-Type", "image/png"}}, {}, 304);
  const ObjectRef fresh = stale.fill.freshen(h.request, not_modified, {kStart + 60, kStart + 61});
  ASSERT_TRUE(fresh);
  EXPECT_FALSE(stale.fill);
  EXPECT_EQ(waiter.wakes, 1);
  EXPECT_EQ(fresh->status(), 200);
  EXPECT_EQ(fresh->headers().value(http::HeaderId::kCacheControl), "max-age=30");
  EXPECT_EQ(fresh->headers().find("x-new")->value, "1");
  EXPECT_FALSE(fresh->headers().has(http::HeaderId::kContentType)) << "a 304 does not say what the stored body is";
  EXPECT_EQ(fresh->age(kStart + 61), 1u) << "the delay of the answer";
  const Lookup hit = h.ask({"/a", {}, kStart + 89});
  ASSERT_EQ(hit.outcome, Lookup::Outcome::kHit);
  EXPECT_EQ(Harness::read(hit.object), "hello");
  EXPECT_EQ(h.ask({"/a", {}, kStart + 91}).outcome, Lookup::Outcome::kStale);
  EXPECT_EQ(h.store.stats().freshened, 1u);
  EXPECT_EQ(h.store.stats().objects, 1u);
}

TEST(Store, A304OfSomethingElseDropsTheObject) {
  Harness h;
  h.store_whole({"/a"}, kWithEtag, "hello");
  Lookup stale = h.ask({"/a", {}, kStart + 60});
  const auto other = Harness::response({{"ETag", "\"v2\""}}, {}, 304);
  EXPECT_FALSE(stale.fill.freshen(h.request, other, {kStart + 60, kStart + 60}));
  EXPECT_TRUE(stale.fill) << "to fetch again";
  EXPECT_EQ(h.store.stats().objects, 0u);
}

TEST(Store, StaleThatChangedIsReplaced) {
  Harness h;
  h.store_whole({"/a"}, kWithEtag, "old");
  h.store_whole({"/a", {}, kStart + 60}, kWithEtag, "new");
  EXPECT_EQ(Harness::read(h.ask({"/a", {}, kStart + 61}).object), "new");
  EXPECT_EQ(h.store.stats().objects, 1u);
}

TEST(Store, StaleThatBecameUncacheableGoes) {
  Harness h;
  h.store_whole({"/a"}, kWithEtag, "old");
  Lookup stale = h.ask({"/a", {}, kStart + 60});
  stale.fill.abandon(true, kStart + 60);
  EXPECT_EQ(h.store.stats().objects, 0u);
}

TEST(Store, StaleStaysWhenTheOriginFails) {
  Harness h;
  h.store_whole({"/a"}, {{"Cache-Control", "max-age=60, stale-if-error=100"}, {"ETag", "\"v1\""}}, "old");
  Lookup stale = h.ask({"/a", {}, kStart + 60});
  EXPECT_TRUE(stale.object->may_serve_on_error(kStart + 159));
  EXPECT_FALSE(stale.object->may_serve_on_error(kStart + 160));
  stale.fill.abandon(false, kStart + 60);
  EXPECT_EQ(h.ask({"/a", {}, kStart + 61}).outcome, Lookup::Outcome::kStale);
}

TEST(Store, StaleWithoutValidatorIsAMiss) {
  Harness h;
  h.store_whole({"/a"}, kMaxAge60, "old");
  const Lookup found = h.ask({"/a", {}, kStart + 60});
  EXPECT_EQ(found.outcome, Lookup::Outcome::kMiss);
  EXPECT_EQ(found.forward, Forward::kStale);
  EXPECT_TRUE(found.fill);
}

TEST(Store, StaleWhileRevalidateServesOthers) {
  Harness h;
  h.store_whole({"/a"}, {{"Cache-Control", "max-age=60, stale-while-revalidate=10"}, {"ETag", "\"v1\""}}, "old");
  const Lookup first = h.ask({"/a", {}, kStart + 65});
  EXPECT_EQ(first.outcome, Lookup::Outcome::kStale);
  const Lookup second = h.ask({"/a", {}, kStart + 65});
  EXPECT_EQ(second.outcome, Lookup::Outcome::kHit);
  EXPECT_TRUE(second.served_stale);
  CountingWaiter waiter;
  EXPECT_EQ(h.ask({"/a", {}, kStart + 70}, &waiter).outcome, Lookup::Outcome::kWait) << "beyond the window";
}

TEST(Store, WhoWantsTheOriginsWordDoesNotQueue) {
  Harness h;
  h.store_whole({"/a"}, {{"Cache-Control", "no-cache"}, {"ETag", "\"v1\""}}, "x");
  const Lookup first = h.ask({"/a"});
  EXPECT_EQ(first.outcome, Lookup::Outcome::kStale);
  EXPECT_TRUE(first.fill);
  const Lookup second = h.ask({"/a"});
  EXPECT_EQ(second.outcome, Lookup::Outcome::kStale);
  EXPECT_FALSE(second.fill);

  h.store_whole({"/b"}, kWithEtag, "x");
  const Lookup forced = h.ask({"/b", {{"Cache-Control", "no-cache"}}});
  EXPECT_EQ(forced.outcome, Lookup::Outcome::kStale);
  EXPECT_EQ(forced.forward, Forward::kRequest);
  EXPECT_EQ(h.ask({"/b"}).outcome, Lookup::Outcome::kHit) << "others are still served";
}

TEST(Store, OnlyIfCached) {
  Harness h;
  const Fields only = {{"Cache-Control", "only-if-cached"}};
  EXPECT_EQ(h.ask({"/a", only}).outcome, Lookup::Outcome::kNotCached);
  h.store_whole({"/a"}, kWithEtag, "x");
  EXPECT_EQ(h.ask({"/a", only}).outcome, Lookup::Outcome::kHit);
  EXPECT_EQ(h.ask({"/a", only, kStart + 60}).outcome, Lookup::Outcome::kNotCached);
}

TEST(Store, HeadAndRangeAreAnsweredButDoNotFill) {
  Harness h;
  const Lookup miss = h.ask({.target = "/a", .use = RequestUse::kLookup});
  EXPECT_EQ(miss.outcome, Lookup::Outcome::kMiss);
  EXPECT_FALSE(miss.fill);
  h.store_whole({"/a"}, kMaxAge60, "hello");
  const Lookup hit = h.ask({.target = "/a", .use = RequestUse::kLookup});
  EXPECT_EQ(hit.outcome, Lookup::Outcome::kHit);
  EXPECT_EQ(hit.object->content_length(), 5u);
}

TEST(Store, ReaderFromTheMiddle) {
  Harness h({.budget_bytes = 4 << 20, .object_limit_bytes = 2 << 20});
  std::string body(1000000, ' ');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i * 7 % 26);
  h.store_whole({"/a"}, kMaxAge60, body);
  const Lookup hit = h.ask({"/a"});
  for (const std::size_t first : {0u, 1u, 262143u, 262144u, 262145u, 999999u, 1000000u}) {
    Reader reader(hit.object, first);
    EXPECT_EQ(Harness::read(reader), body.substr(first)) << first;
    EXPECT_EQ(reader.status(), Reader::Status::kEnd);
  }
}

// --- Vary: RFC 9111 section 4.1 ---

TEST(Vary, VariantsAreKeptApart) {
  Harness h;
  const Fields german = {{"Accept-Language", "de"}};
  const Fields english = {{"Accept-Language", "en"}};
  const Fields varies = {{"Cache-Control", "max-age=60"}, {"Vary", "accept-language, X-Other"}};
  h.store_whole({"/a", german}, varies, "hallo");
  const Lookup other = h.ask({"/a", english});
  EXPECT_EQ(other.outcome, Lookup::Outcome::kMiss);
  EXPECT_EQ(other.forward, Forward::kVaryMiss);
  EXPECT_EQ(h.ask({"/a"}).forward, Forward::kVaryMiss) << "without the field";
  h.store_whole({"/a", {{"X-Other", "1"}, {"Accept-Language", "en"}}}, varies, "hello 1");
  EXPECT_EQ(Harness::read(h.ask({"/a", german}).object), "hallo");
  EXPECT_EQ(Harness::read(h.ask({"/a", {{"Accept-Language", "en"}, {"x-other", "1"}}}).object), "hello 1");
}

TEST(Vary, FetchesOfDifferentVariantsRunSideBySide) {
  Harness h;
  const Fields varies = {{"Cache-Control", "max-age=60"}, {"Vary", "A"}};
  h.store_whole({"/a", {{"A", "1"}}}, varies, "1");
  CountingWaiter waiter;
  const Lookup two = h.ask({"/a", {{"A", "2"}}}, &waiter);
  const Lookup three = h.ask({"/a", {{"A", "3"}}}, &waiter);
  EXPECT_TRUE(two.fill);
  EXPECT_TRUE(three.fill);
  EXPECT_EQ(h.ask({"/a", {{"A", "2"}}}, &waiter).outcome, Lookup::Outcome::kWait);
  waiter.cancel();
}

TEST(Vary, ValuesCannotBeMadeToCollide) {
  Harness h;
  const Fields varies = {{"Cache-Control", "max-age=60"}, {"Vary", "A, B"}};
  h.store_whole({"/a", {{"A", "1"}, {"B", "2"}}}, varies, "x");
  for (const Fields& fields : {Fields{{"A", "12"}, {"B", ""}}, Fields{{"A", "1"}, {"A", "2"}}, Fields{{"A", "1, 2"}},
                               Fields{{"B", "12"}}, Fields{{"A", "1"}}, Fields{{"A", "1"}, {"B", "2"}, {"B", ""}}}) {
    EXPECT_EQ(h.ask({"/a", fields}).outcome, Lookup::Outcome::kMiss);
  }
}

TEST(Vary, TheNumberOfVariantsIsBounded) {
  Harness h;
  const Fields varies = {{"Cache-Control", "max-age=60"}, {"Vary", "A"}};
  for (int i = 0; i < 100; ++i) {
    const std::string value = std::to_string(i);
    h.store_whole({"/a", {{"A", value}}}, varies, "x");
  }
  EXPECT_EQ(h.store.stats().objects, 32u);
  EXPECT_EQ(h.ask({"/a", {{"A", "99"}}}).outcome, Lookup::Outcome::kHit);
  EXPECT_EQ(h.ask({"/a", {{"A", "0"}}}).outcome, Lookup::Outcome::kMiss);
}

// --- invalidation: RFC 9111 section 4.4 ---

TEST(Invalidation, ForgetsEveryVariant) {
  Harness h;
  const Fields varies = {{"Cache-Control", "max-age=60"}, {"Vary", "A"}};
  h.store_whole({"/a", {{"A", "1"}}}, varies, "1");
  h.store_whole({"/a", {{"A", "2"}}}, varies, "2");
  h.store_whole({"/b"}, kMaxAge60, "3");
  EXPECT_EQ(h.store.invalidate(h.key("/a")), 2u);
  EXPECT_EQ(h.ask({"/a", {{"A", "1"}}}).outcome, Lookup::Outcome::kMiss);
  EXPECT_EQ(h.ask({"/b"}).outcome, Lookup::Outcome::kHit);
  EXPECT_EQ(h.store.invalidate(h.key("/c")), 0u);
  EXPECT_EQ(h.store.purge_all(), 1u);
  EXPECT_EQ(h.store.stats().objects, 0u);
  EXPECT_EQ(h.store.stats().bytes, 0u);
}

TEST(Invalidation, WhatWasBeingFetchedIsServedButNotKept) {
  Harness h;
  Lookup running = h.ask({"/a"});
  CountingWaiter waiter;
  ASSERT_EQ(h.ask({"/a"}, &waiter).outcome, Lookup::Outcome::kWait);
  h.store.invalidate(h.key("/a"));
  EXPECT_TRUE(h.ask({"/a"}).fill) << "a later request fetches anew";
  const ObjectRef object = h.start(running.fill, Harness::response(kMaxAge60, 1));
  ASSERT_TRUE(object);
  EXPECT_EQ(waiter.wakes, 1);
  Reader reader(object);
  EXPECT_EQ(running.fill.append(bytes_of("x")), 1u);
  EXPECT_FALSE(running.fill.unwanted());
  running.fill.finish();
  EXPECT_FALSE(running.fill.stored());
  EXPECT_EQ(Harness::read(reader), "x");
  EXPECT_EQ(h.store.stats().objects, 0u);
}

// --- failures ---

TEST(Fill, ThatFailsFailsItsReadersAndLeavesNothing) {
  Harness h;
  Lookup running = h.ask({"/a"});
  const ObjectRef object = h.start(running.fill, Harness::response(kMaxAge60, 10));
  const Lookup follower = h.ask({"/a"});
  ASSERT_EQ(follower.outcome, Lookup::Outcome::kHit);
  Reader reader(follower.object);
  EXPECT_EQ(running.fill.append(bytes_of("01234")), 5u);
  running.fill.fail();
  EXPECT_EQ(Harness::read(reader), "01234") << "what came is still there";
  EXPECT_EQ(reader.status(), Reader::Status::kFailed);
  EXPECT_EQ(h.ask({"/a"}).outcome, Lookup::Outcome::kMiss);
  EXPECT_EQ(h.store.stats().objects, 0u);
}

TEST(Fill, DestroyedOrShortFails) {
  Harness h;
  for (const bool finishes : {false, true}) {
    Lookup running = h.ask({"/a"});
    ASSERT_TRUE(running.fill);
    const ObjectRef object = h.start(running.fill, Harness::response(kMaxAge60, 10));
    Reader reader(object);
    EXPECT_EQ(running.fill.append(bytes_of("01234")), 5u);
    if (finishes) running.fill.finish();
    running.fill = {};
    EXPECT_EQ(Harness::read(reader), "01234");
    EXPECT_EQ(reader.status(), Reader::Status::kFailed);
    EXPECT_EQ(h.store.stats().objects, 0u);
  }
}

TEST(Fill, BytesBeyondThePromisedLengthAreDropped) {
  Harness h;
  Lookup running = h.ask({"/a"});
  const ObjectRef object = h.start(running.fill, Harness::response(kMaxAge60, 3));
  EXPECT_EQ(running.fill.append(bytes_of("01234")), 5u);
  running.fill.finish();
  EXPECT_EQ(Harness::read(h.ask({"/a"}).object), "012");
}

TEST(Fill, WithoutLengthIsFoundWhenComplete) {
  Harness h;
  Lookup running = h.ask({"/a"});
  const ObjectRef object = h.start(running.fill, Harness::response(kMaxAge60, std::nullopt));
  Reader first(object);
  CountingWaiter waiter;
  EXPECT_EQ(h.ask({"/a"}, &waiter).outcome, Lookup::Outcome::kWait);
  const std::string body(100000, 'x');
  EXPECT_EQ(running.fill.append(bytes_of(body)), body.size());
  EXPECT_EQ(Harness::read(first), body) << "the one that began it reads on";
  EXPECT_EQ(waiter.wakes, 0);
  EXPECT_EQ(object->content_length(), std::nullopt);
  running.fill.finish();
  EXPECT_EQ(waiter.wakes, 1);
  EXPECT_EQ(object->content_length(), body.size());
  EXPECT_EQ(Harness::read(h.ask({"/a"}).object), body);
}

TEST(Fill, WithoutBody) {
  Harness h;
  Lookup running = h.ask({"/a"});
  http::ResponseHead head = Harness::response(kMaxAge60, std::nullopt, 204);
  head.no_body = true;
  const ObjectRef object = h.start(running.fill, head);
  running.fill.finish();
  const Lookup hit = h.ask({"/a"});
  EXPECT_EQ(hit.outcome, Lookup::Outcome::kHit);
  EXPECT_EQ(Harness::read(hit.object), "");
}

// --- limits ---

TEST(Limits, LargerThanTheObjectLimitIsNotBegun) {
  Harness h;
  Lookup running = h.ask({"/a"});
  EXPECT_FALSE(h.start(running.fill, Harness::response(kMaxAge60, (256 << 10) + 1)));
  EXPECT_FALSE(running.fill);
  EXPECT_EQ(h.store.stats().too_large, 1u);
  EXPECT_FALSE(h.ask({"/a"}).fill) << "and is not waited for again";
  EXPECT_EQ(h.store.stats().bytes, 0u);
}

TEST(Limits, ABodyThatOutgrowsThemBecomesAPipe) {
  Harness h;
  Lookup running = h.ask({"/a"});
  ObjectRef object = h.start(running.fill, Harness::response(kMaxAge60, std::nullopt));
  CountingWaiter other;
  ASSERT_EQ(h.ask({"/a"}, &other).outcome, Lookup::Outcome::kWait);
  std::string body(3 << 20, ' ');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i * 31 % 26);

  std::string got;
  {
    Reader reader(object);
    object = {};
    CountingWaiter filler;
    std::size_t sent = 0;
    std::size_t blocked = 0;
    while (sent < body.size()) {
      const std::size_t piece = std::min<std::size_t>(16384, body.size() - sent);
      const std::size_t taken = running.fill.append(bytes_of(std::string_view(body).substr(sent, piece)));
      sent += taken;
      EXPECT_LE(h.store.stats().bytes, 1u << 20);
      if (taken == piece) continue;
      ++blocked;
      EXPECT_TRUE(running.fill.wait_space(filler));
      EXPECT_LE(sent - got.size(), kPipeWindow);
      const auto bytes = reader.bytes();
      got.append(bytes.begin(), bytes.end());
      reader.consume(bytes.size());
      EXPECT_EQ(filler.wakes, static_cast<int>(blocked));
    }
    EXPECT_GT(blocked, 1u);
    EXPECT_EQ(other.wakes, 1) << "whoever waited fetches for itself";
    running.fill.finish();
    EXPECT_FALSE(running.fill.stored());
    got.append(Harness::read(reader));
    EXPECT_EQ(reader.status(), Reader::Status::kEnd);
  }
  EXPECT_TRUE(got == body);
  EXPECT_EQ(h.store.stats().objects, 0u);
  EXPECT_EQ(h.store.stats().bytes, 0u);
}

TEST(Limits, APipeWhoseReaderLeftIsUnwanted) {
  Harness h;
  Lookup running = h.ask({"/a"});
  const ObjectRef object = h.start(running.fill, Harness::response(kMaxAge60, std::nullopt));
  CountingWaiter filler;
  {
    Reader reader(object);
    const std::string piece(1 << 20, 'x');
    EXPECT_LT(running.fill.append(bytes_of(piece)), piece.size());
    EXPECT_TRUE(running.fill.wait_space(filler));
    EXPECT_FALSE(running.fill.unwanted());
  }
  EXPECT_EQ(filler.wakes, 1);
  EXPECT_TRUE(running.fill.unwanted());
  EXPECT_FALSE(running.fill.wait_space(filler));
}

TEST(Limits, AFillOutlivesTheClientThatBeganIt) {
  Harness h;
  Lookup running = h.ask({"/a"});
  h.start(running.fill, Harness::response(kMaxAge60, 5));  // the reference is dropped at once
  EXPECT_FALSE(running.fill.unwanted());
  EXPECT_EQ(running.fill.append(bytes_of("hello")), 5u);
  running.fill.finish();
  EXPECT_EQ(h.ask({"/a"}).outcome, Lookup::Outcome::kHit);
}

TEST(Limits, TheBudgetIsNeverExceededAndComesBack) {
  Harness h({.budget_bytes = 300000, .object_limit_bytes = 100000});
  for (int i = 0; i < 2000; ++i) {
    const std::string target = "/" + std::to_string(i);
    const std::string body(static_cast<std::size_t>(i * 37 % 5000), 'x');
    h.store_whole({target}, kMaxAge60, body);
    ASSERT_LE(h.store.stats().bytes, 300000u);
  }
  EXPECT_GT(h.store.stats().evictions, 1000u);
  EXPECT_GT(h.store.stats().bytes, 250000u) << "and is used";
  h.store.purge_all();
  EXPECT_EQ(h.store.stats().bytes, 0u);
}

TEST(Limits, WhatIsBeingReadStaysAndCounts) {
  Harness h({.budget_bytes = 100000, .object_limit_bytes = 50000});
  const std::string body(40000, 'x');
  h.store_whole({"/a"}, kMaxAge60, body);
  h.store_whole({"/b"}, kMaxAge60, body);
  const Lookup a = h.ask({"/a"});
  const Lookup b = h.ask({"/b"});
  Lookup c = h.ask({"/c"});
  EXPECT_FALSE(h.start(c.fill, Harness::response(kMaxAge60, 40000))) << "nothing can go";
  EXPECT_EQ(Harness::read(a.object), body);
}

TEST(Eviction, ManyOneTimeObjectsDoNotPushOutTheUsedOnes) {
  Harness h({.budget_bytes = 1 << 20, .object_limit_bytes = 100000});
  const std::string body(4000, 'x');
  for (int i = 0; i < 50; ++i) h.store_whole({"/hot/" + std::to_string(i)}, kMaxAge60, body);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 50; ++i) {
      const std::string target = "/hot/" + std::to_string(i);
      EXPECT_EQ(h.ask({target}).outcome, Lookup::Outcome::kHit);
    }
  }
  for (int i = 0; i < 5000; ++i) h.store_whole({"/scan/" + std::to_string(i)}, kMaxAge60, body);
  int hits = 0;
  for (int i = 0; i < 50; ++i) {
    const std::string target = "/hot/" + std::to_string(i);
    hits += h.ask({target}).outcome == Lookup::Outcome::kHit ? 1 : 0;
  }
  EXPECT_EQ(hits, 50);
}

TEST(Eviction, ALargeStoreHasShardsThatShareTheBudget) {
  Harness h({.budget_bytes = 256 << 20, .object_limit_bytes = 100 << 20});
  // An object of a third of the budget does not fit what one of eight shards holds; the others make room.
  const std::string body(80 << 20, 'x');
  for (int i = 0; i < 6; ++i) {
    h.store_whole({"/" + std::to_string(i)}, kMaxAge60, body);
    EXPECT_LE(h.store.stats().bytes, 256u << 20);
  }
  EXPECT_EQ(h.store.stats().objects, 3u);
}

}  // namespace
}  // namespace sluice::cache::test
