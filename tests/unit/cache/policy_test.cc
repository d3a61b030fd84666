// The rules of RFC 9111, row by row.
#include "sluice/cache/policy.h"

#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "sluice/cache/status.h"
#include "sluice/http/date.h"

namespace sluice::cache {
namespace {

using http::Method;
using Fields = std::vector<std::pair<std::string_view, std::string_view>>;

http::HeaderList list(const Fields& fields) {
  http::HeaderList headers;
  for (const auto& [name, value] : fields) headers.add(name, value);
  return headers;
}

// --- Cache-Control ---

std::string describe(const CacheControl& c) {
  std::string out;
  const auto flag = [&out](bool is_set, const char* name) {
    if (is_set) out.append(name).append(" ");
  };
  const auto delta = [&out](const std::optional<std::uint32_t>& value, const char* name) {
    if (value) out.append(name).append("=").append(std::to_string(*value)).append(" ");
  };
  flag(c.no_store, "no-store");
  flag(c.no_cache, "no-cache");
  flag(c.is_private, "private");
  flag(c.is_public, "public");
  flag(c.must_revalidate, "must-revalidate");
  flag(c.proxy_revalidate, "proxy-revalidate");
  flag(c.must_understand, "must-understand");
  flag(c.only_if_cached, "only-if-cached");
  delta(c.max_age, "max-age");
  delta(c.s_maxage, "s-maxage");
  delta(c.min_fresh, "min-fresh");
  delta(c.max_stale, "max-stale");
  delta(c.stale_while_revalidate, "swr");
  delta(c.stale_if_error, "sie");
  return out;
}

struct DirectiveCase {
  const char* name;
  std::vector<std::string_view> fields;
  std::string want;
};
void PrintTo(const DirectiveCase& row, std::ostream* out) { *out << row.name; }

const DirectiveCase kDirectives[] = {
    {"none", {}, ""},
    {"empty", {""}, ""},
    {"all_flags",
     {"no-store, no-cache, private, public, must-revalidate, proxy-revalidate, must-understand, only-if-cached"},
     "no-store no-cache private public must-revalidate proxy-revalidate must-understand only-if-cached "},
    {"all_deltas",
     {"max-age=1,s-maxage=2 ,min-fresh=3, max-stale=4,stale-while-revalidate=5,stale-if-error=6"},
     "max-age=1 s-maxage=2 min-fresh=3 max-stale=4 swr=5 sie=6 "},
    {"case_does_not_matter", {"Max-Age=10, NO-STORE"}, "no-store max-age=10 "},
    {"several_fields", {"max-age=10", "no-cache"}, "no-cache max-age=10 "},
    {"empty_elements", {",, ,max-age=10,,"}, "max-age=10 "},
    {"quoted_number", {"max-age=\"10\""}, "max-age=10 "},
    {"repeated_takes_the_smallest", {"max-age=10, max-age=5, max-age=20"}, "max-age=5 "},
    {"no_number_is_zero", {"max-age=abc"}, "max-age=0 "},
    {"negative_is_zero", {"max-age=-1"}, "max-age=0 "},
    {"fraction_is_zero", {"max-age=1.5"}, "max-age=0 "},
    {"no_argument_is_zero", {"max-age"}, "max-age=0 "},
    {"empty_argument_is_zero", {"max-age="}, "max-age=0 "},
    {"overflow_is_clamped", {"max-age=99999999999999999999999"}, "max-age=2147483647 "},
    {"max_stale_without_argument", {"max-stale"}, "max-stale=2147483647 "},
    {"comma_in_quotes", {"private=\"a, no-store, b\", max-age=3"}, "private max-age=3 "},
    {"quote_in_quotes", {"ext=\"\\\", no-store\", max-age=3"}, "max-age=3 "},
    {"open_quote_swallows_the_rest", {"ext=\"a, max-age=3"}, ""},
    {"no_cache_with_fields", {"no-cache=\"Set-Cookie\""}, "no-cache "},
    {"unknown_directives", {"immutable, foo=bar, community=\"UCI\", max-age=3"}, "max-age=3 "},
    {"prefix_is_another_directive", {"max-age-x=3, xno-store"}, ""},
    {"spaces_around_equals", {"max-age = 3"}, "max-age=3 "},
};

class Directives : public testing::TestWithParam<DirectiveCase> {};
TEST_P(Directives, Parsed) {
  http::HeaderList headers;
  for (const std::string_view field : GetParam().fields) headers.add("cache-control", field);
  EXPECT_EQ(describe(parse_cache_control(headers)), GetParam().want);
}
INSTANTIATE_TEST_SUITE_P(Rows, Directives, testing::ValuesIn(kDirectives),
                         [](const auto& row) { return row.param.name; });

// --- what may be stored, and for how long ---

constexpr UnixSeconds kNow = 784111777;  // Sun, 06 Nov 1994 08:49:37 GMT
constexpr std::string_view kDateNow = "Sun, 06 Nov 1994 08:49:37 GMT";
constexpr std::string_view kDateIn60 = "Sun, 06 Nov 1994 08:50:37 GMT";
constexpr std::string_view kDate60Ago = "Sun, 06 Nov 1994 08:48:37 GMT";

struct JudgeCase {
  const char* name;
  Fields response;
  NotStored not_stored;
  std::uint32_t lifetime = 0;
  Fields request = {};
  Method method = Method::kGet;
  std::uint16_t status = 200;
};
void PrintTo(const JudgeCase& row, std::ostream* out) { *out << row.name; }

const JudgeCase kJudged[] = {
    {"max_age", {{"Cache-Control", "max-age=60"}}, NotStored::kNone, 60},
    {"s_maxage_wins", {{"Cache-Control", "max-age=60, s-maxage=10"}}, NotStored::kNone, 10},
    {"max_age_wins_over_expires",
     {{"Cache-Control", "max-age=5"}, {"Expires", kDateIn60}, {"Date", kDateNow}},
     NotStored::kNone,
     5},
    {"expires", {{"Expires", kDateIn60}, {"Date", kDateNow}}, NotStored::kNone, 60},
    {"expires_without_date", {{"Expires", kDateIn60}}, NotStored::kNone, 60},
    {"expires_counts_from_date", {{"Expires", kDateIn60}, {"Date", kDate60Ago}}, NotStored::kNone, 120},
    {"expires_in_the_past", {{"Expires", kDate60Ago}}, NotStored::kNoFreshness},
    {"expires_zero", {{"Expires", "0"}}, NotStored::kNoFreshness},
    {"expires_zero_with_etag_is_revalidated", {{"Expires", "0"}, {"ETag", "\"a\""}}, NotStored::kNone, 0},
    {"nothing_said", {}, NotStored::kNoFreshness},
    {"no_heuristics", {{"Last-Modified", kDate60Ago}, {"Date", kDateNow}}, NotStored::kNoFreshness},
    {"no_store", {{"Cache-Control", "max-age=60, no-store"}}, NotStored::kNoStore, 60},
    {"private", {{"Cache-Control", "max-age=60, private"}}, NotStored::kPrivate, 60},
    {"private_with_fields", {{"Cache-Control", "max-age=60, private=\"X-Foo\""}}, NotStored::kPrivate, 60},
    {"no_cache_without_validator", {{"Cache-Control", "no-cache, max-age=60"}}, NotStored::kNoFreshness, 60},
    {"no_cache_with_validator", {{"Cache-Control", "no-cache"}, {"Last-Modified", kDate60Ago}}, NotStored::kNone, 0},
    {"public_with_validator", {{"Cache-Control", "public"}, {"ETag", "\"a\""}}, NotStored::kNone, 0},
    {"public_without_validator", {{"Cache-Control", "public"}}, NotStored::kNoFreshness},
    {"max_age_0_with_validator", {{"Cache-Control", "max-age=0"}, {"ETag", "\"a\""}}, NotStored::kNone, 0},
    {"older_than_its_lifetime", {{"Cache-Control", "max-age=60"}, {"Age", "60"}}, NotStored::kNoFreshness, 60},
    {"set_cookie", {{"Cache-Control", "max-age=60"}, {"Set-Cookie", "a=b"}}, NotStored::kSetCookie, 60},
    {"vary_star", {{"Cache-Control", "max-age=60"}, {"Vary", "Accept, *"}}, NotStored::kVaryStar, 60},
    {"vary", {{"Cache-Control", "max-age=60"}, {"Vary", "Accept"}}, NotStored::kNone, 60},
    {"content_range", {{"Cache-Control", "max-age=60"}, {"Content-Range", "bytes 0-1/2"}}, NotStored::kPartial, 60},
    {"authorization", {{"Cache-Control", "max-age=60"}}, NotStored::kAuthorization, 60, {{"Authorization", "Basic x"}}},
    {"authorization_public",
     {{"Cache-Control", "max-age=60, public"}},
     NotStored::kNone,
     60,
     {{"Authorization", "Basic x"}}},
    {"authorization_s_maxage",
     {{"Cache-Control", "s-maxage=60"}},
     NotStored::kNone,
     60,
     {{"Authorization", "Basic x"}}},
    {"authorization_must_revalidate",
     {{"Cache-Control", "max-age=60, must-revalidate"}},
     NotStored::kNone,
     60,
     {{"Authorization", "Basic x"}}},
    {"post", {{"Cache-Control", "max-age=60"}}, NotStored::kMethod, 60, {}, Method::kPost},
    {"head", {{"Cache-Control", "max-age=60"}}, NotStored::kMethod, 60, {}, Method::kHead},
    {"status_301", {{"Cache-Control", "max-age=60"}}, NotStored::kNone, 60, {}, Method::kGet, 301},
    {"status_404", {{"Cache-Control", "max-age=60"}}, NotStored::kNone, 60, {}, Method::kGet, 404},
    {"status_404_without_freshness", {}, NotStored::kNoFreshness, 0, {}, Method::kGet, 404},
    {"status_206", {{"Cache-Control", "max-age=60"}}, NotStored::kPartial, 60, {}, Method::kGet, 206},
    {"status_304", {{"Cache-Control", "max-age=60"}}, NotStored::kStatus, 60, {}, Method::kGet, 304},
    {"status_500", {{"Cache-Control", "max-age=60"}}, NotStored::kStatus, 60, {}, Method::kGet, 500},
    {"status_503", {{"Cache-Control", "max-age=60"}}, NotStored::kStatus, 60, {}, Method::kGet, 503},
    {"status_299", {{"Cache-Control", "max-age=60"}}, NotStored::kStatus, 60, {}, Method::kGet, 299},
};

ResponsePolicy judge(const JudgeCase& row, const ExchangeTimes& times = {kNow, kNow}) {
  http::ResponseHead head;
  head.status = row.status;
  head.headers = list(row.response);
  return judge_response(row.method, list(row.request), head, times);
}

class Judged : public testing::TestWithParam<JudgeCase> {};
TEST_P(Judged, StoredOrNot) {
  const ResponsePolicy policy = judge(GetParam());
  EXPECT_EQ(policy.not_stored, GetParam().not_stored) << name(policy.not_stored);
  EXPECT_EQ(policy.lifetime, GetParam().lifetime);
}
INSTANTIATE_TEST_SUITE_P(Rows, Judged, testing::ValuesIn(kJudged), [](const auto& row) { return row.param.name; });

TEST(InitialAge, IsTheLargerOfWhatDateAndAgeSay) {
  struct Row {
    const char* name;
    Fields response;
    ExchangeTimes times;
    std::uint32_t want;
  };
  const Row rows[] = {
      {"nothing", {}, {kNow, kNow}, 0},
      {"date", {{"Date", kDate60Ago}}, {kNow, kNow}, 60},
      {"date_ahead", {{"Date", kDateIn60}}, {kNow, kNow}, 0},
      {"age", {{"Age", "30"}, {"Date", kDateNow}}, {kNow, kNow}, 30},
      {"age_and_delay", {{"Age", "30"}, {"Date", kDateNow}}, {kNow - 5, kNow}, 35},
      {"date_is_more_than_age", {{"Age", "30"}, {"Date", kDate60Ago}}, {kNow - 5, kNow}, 60},
      {"bad_age", {{"Age", "-3"}, {"Date", kDateNow}}, {kNow, kNow}, 0},
      {"age_list", {{"Age", "7, 9"}, {"Date", kDateNow}}, {kNow, kNow}, 7},
      {"clock_went_back", {{"Date", kDateNow}}, {kNow + 5, kNow}, 0},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(judge({row.name, row.response, NotStored::kNone}, row.times).initial_age, row.want) << row.name;
  }
}

TEST(StaleDirectives, CountOnlyWithoutRevalidation) {
  const auto policy = [](std::string_view control) {
    return judge({"", {{"Cache-Control", control}}, NotStored::kNone});
  };
  EXPECT_EQ(policy("max-age=1, stale-while-revalidate=10").stale_while_revalidate, 10u);
  EXPECT_EQ(policy("max-age=1, stale-if-error=10").stale_if_error, 10u);
  for (const std::string_view strict : {"must-revalidate", "proxy-revalidate", "s-maxage=1"}) {
    const auto p = policy("max-age=1, stale-while-revalidate=10, stale-if-error=10, " + std::string(strict));
    EXPECT_EQ(p.stale_while_revalidate + p.stale_if_error, 0u) << strict;
    EXPECT_TRUE(p.must_revalidate) << strict;
  }
}

// --- serving ---

TEST(MayServe, ByAgeAndDirectives) {
  struct Row {
    const char* name;
    std::string_view request;
    std::uint32_t age;
    std::string_view response;
    bool want;
  };
  const Row rows[] = {
      {"fresh", "", 59, "max-age=60", true},
      {"stale_at_its_lifetime", "", 60, "max-age=60", false},
      {"no_cache_in_request", "no-cache", 0, "max-age=60", false},
      {"no_cache_in_response", "", 0, "max-age=60, no-cache", false},
      {"max_age_reached", "max-age=10", 11, "max-age=60", false},
      {"max_age_not_reached", "max-age=10", 10, "max-age=60", true},
      {"max_age_0", "max-age=0", 0, "max-age=60", false},
      {"min_fresh_left", "min-fresh=10", 50, "max-age=60", true},
      {"min_fresh_not_left", "min-fresh=10", 51, "max-age=60", false},
      {"max_stale", "max-stale=10", 70, "max-age=60", true},
      {"max_stale_exceeded", "max-stale=10", 71, "max-age=60", false},
      {"max_stale_any", "max-stale", 100000, "max-age=60", true},
      {"max_stale_but_must_revalidate", "max-stale", 61, "max-age=60, must-revalidate", false},
      {"max_stale_but_s_maxage", "max-stale", 61, "s-maxage=60", false},
      {"max_age_and_max_stale", "max-age=5, max-stale=100", 61, "max-age=60", false},
  };
  for (const Row& row : rows) {
    const ResponsePolicy policy = judge({"", {{"Cache-Control", row.response}, {"ETag", "\"a\""}}, NotStored::kNone});
    EXPECT_EQ(may_serve(parse_cache_control(list({{"Cache-Control", row.request}})), row.age, policy), row.want)
        << row.name;
  }
}

TEST(JudgeRequest, ByMethodAndFields) {
  struct Row {
    const char* name;
    Method method;
    Fields fields;
    RequestUse want;
  };
  const Row rows[] = {
      {"get", Method::kGet, {}, RequestUse::kStore},
      {"get_conditional", Method::kGet, {{"If-None-Match", "\"a\""}}, RequestUse::kStore},
      {"get_range", Method::kGet, {{"Range", "bytes=0-1"}}, RequestUse::kLookup},
      {"head", Method::kHead, {}, RequestUse::kLookup},
      {"post", Method::kPost, {}, RequestUse::kBypass},
      {"options", Method::kOptions, {}, RequestUse::kBypass},
      {"no_store", Method::kGet, {{"Cache-Control", "no-store"}}, RequestUse::kBypass},
      {"no_cache", Method::kGet, {{"Cache-Control", "no-cache"}}, RequestUse::kStore},
      {"if_match", Method::kGet, {{"If-Match", "\"a\""}}, RequestUse::kBypass},
      {"if_unmodified_since", Method::kGet, {{"If-Unmodified-Since", kDateNow}}, RequestUse::kBypass},
  };
  for (const Row& row : rows) {
    http::RequestHead head;
    head.method = row.method;
    head.headers = list(row.fields);
    EXPECT_EQ(judge_request(head, parse_cache_control(head.headers)), row.want) << row.name;
  }
  http::RequestHead with_body;
  with_body.method = Method::kGet;
  with_body.content_length = 1;
  EXPECT_EQ(judge_request(with_body, {}), RequestUse::kBypass);
}

TEST(WithoutClientControl, LeavesOnlyIfCached) {
  const CacheControl all = parse_cache_control(
      list({{"Cache-Control", "no-store, no-cache, max-age=0, min-fresh=5, max-stale, only-if-cached"}}));
  const CacheControl left = without_client_control(all);
  EXPECT_TRUE(left.only_if_cached);
  EXPECT_FALSE(left.no_store || left.no_cache || left.max_age || left.min_fresh || left.max_stale);
  EXPECT_FALSE(without_client_control({}).only_if_cached);
}

TEST(Invalidates, UnsafeMethodsThatSucceeded) {
  EXPECT_TRUE(invalidates(Method::kPost, 200));
  EXPECT_TRUE(invalidates(Method::kPut, 204));
  EXPECT_TRUE(invalidates(Method::kDelete, 302));
  EXPECT_FALSE(invalidates(Method::kPost, 404));
  EXPECT_FALSE(invalidates(Method::kPost, 500));
  EXPECT_FALSE(invalidates(Method::kGet, 200));
  EXPECT_FALSE(invalidates(Method::kHead, 200));
  EXPECT_FALSE(invalidates(Method::kOptions, 200));
}

TEST(CacheStatusField, SaysWhatHappened) {
  const auto text = [](const CacheStatus& status) {
    std::string out;
    append_cache_status(out, status);
    return out;
  };
  EXPECT_EQ(text({.ttl = 30}), "Cache-Status: sluice; hit; ttl=30\r\n");
  EXPECT_EQ(text({.ttl = -3}), "Cache-Status: sluice; hit; ttl=-3\r\n");
  EXPECT_EQ(text({.forward = Forward::kUriMiss, .stored = true}), "Cache-Status: sluice; fwd=uri-miss; stored\r\n");
  EXPECT_EQ(text({.forward = Forward::kStale, .forward_status = 304, .ttl = 60, .collapsed = true}),
            "Cache-Status: sluice; fwd=stale; fwd-status=304; ttl=60; collapsed\r\n");
  EXPECT_EQ(text({.forward = Forward::kBypass}), "Cache-Status: sluice; fwd=bypass\r\n");
  EXPECT_EQ(text({.forward = Forward::kVaryMiss}), "Cache-Status: sluice; fwd=vary-miss\r\n");
}

}  // namespace
}  // namespace sluice::cache
