#include "sluice/http/conditional.h"

#include <vector>

#include <gtest/gtest.h>

#include "sluice/http/date.h"

namespace sluice::http {
namespace {

using Fields = std::vector<std::pair<std::string_view, std::string_view>>;

HeaderList list(const Fields& fields) {
  HeaderList headers;
  for (const auto& [name, value] : fields) headers.add(name, value);
  return headers;
}

// --- dates: RFC 9110 section 5.6.7 ---

TEST(Date, WritesImfFixdate) {
  EXPECT_EQ(view(format_date(784111777)), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(view(format_date(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(view(format_date(951782400)), "Tue, 29 Feb 2000 00:00:00 GMT");
  EXPECT_EQ(view(format_date(-5)), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(view(format_date(INT64_MAX)), "Fri, 31 Dec 9999 23:59:59 GMT");
  DateCache cache;
  EXPECT_EQ(cache.at(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(cache.at(784111778), "Sun, 06 Nov 1994 08:49:38 GMT");
}

TEST(Date, ReadsAllThreeForms) {
  struct Row {
    std::string_view text;
    std::optional<UnixSeconds> want;
  };
  const UnixSeconds now = 1700000000;  // 2023
  const Row rows[] = {
      {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
      {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
      {"Sun Nov  6 08:49:37 1994", 784111777},
      {"Wed Nov 16 08:49:37 1994", 784975777},
      {"Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
      {"Saturday, 01-Jan-72 00:00:00 GMT", 3218832000},  // 2072: less than 50 years ahead
      {"Monday, 01-Jan-74 00:00:00 GMT", 126230400},     // 2074 would be more
      {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},     // a leap second
      {"", std::nullopt},
      {"0", std::nullopt},
      {"Sun, 06 Nov 1994 08:49:37", std::nullopt},
      {"Sun, 06 Nov 1994 08:49:37 UTC", std::nullopt},
      {"Sun, 06 Nov 1994 08:49:37 GMT ", std::nullopt},
      {"Sun, 6 Nov 1994 08:49:37 GMT", std::nullopt},
      {"Sun, 06 Nov 94 08:49:37 GMT", std::nullopt},
      {"Sun, 31 Feb 1994 08:49:37 GMT", std::nullopt},
      {"Sun, 00 Nov 1994 08:49:37 GMT", std::nullopt},
      {"Sun, 06 Foo 1994 08:49:37 GMT", std::nullopt},
      {"Sun, 06 Nov 1994 24:00:00 GMT", std::nullopt},
      {"Sun, 06 Nov 1994 08:60:00 GMT", std::nullopt},
      {"Sun, 06 Nov 1994 08:49:61 GMT", std::nullopt},
      {"sun, 06 Nov 1994 08:49:37 GMT", std::nullopt},
      {"Sun, -6 Nov 1994 08:49:37 GMT", std::nullopt},
      {"784111777", std::nullopt},
  };
  for (const Row& row : rows) EXPECT_EQ(parse_date(row.text, now), row.want) << row.text;
  for (UnixSeconds at = 0; at < 4000000000; at += 99999999) EXPECT_EQ(parse_date(view(format_date(at))), at);
}

// --- preconditions: RFC 9110 section 13 ---

constexpr std::string_view kThen = "Sun, 06 Nov 1994 08:49:37 GMT";
constexpr std::string_view kBefore = "Sun, 06 Nov 1994 08:49:36 GMT";
constexpr std::string_view kAfter = "Sun, 06 Nov 1994 08:49:38 GMT";
constexpr Validators kBoth{.etag = "\"v1\"", .last_modified = 784111777};
constexpr Validators kWeak{.etag = "W/\"v1\"", .last_modified = 784111777};

TEST(Etags, WeakAndStrong) {
  EXPECT_TRUE(etag_strong_equal("\"a\"", "\"a\""));
  EXPECT_FALSE(etag_strong_equal("W/\"a\"", "W/\"a\""));
  EXPECT_FALSE(etag_strong_equal("\"a\"", "\"b\""));
  EXPECT_FALSE(etag_strong_equal("", ""));
  EXPECT_TRUE(etag_weak_equal("W/\"a\"", "\"a\""));
  EXPECT_FALSE(etag_weak_equal("W/\"a\"", "W/\"b\""));
  EXPECT_FALSE(etag_weak_equal("", ""));
}

TEST(Preconditions, InTheirOrder) {
  struct Row {
    const char* name;
    Method method;
    Fields request;
    Validators of;
    Precondition want;
  };
  constexpr auto kNone = Precondition::kNone;
  constexpr auto kNotModified = Precondition::kNotModified;
  constexpr auto kFailed = Precondition::kFailed;
  const Row rows[] = {
      {"none", Method::kGet, {}, kBoth, kNone},
      {"none_match_same", Method::kGet, {{"If-None-Match", "\"v1\""}}, kBoth, kNotModified},
      {"none_match_weak", Method::kGet, {{"If-None-Match", "W/\"v1\""}}, kBoth, kNotModified},
      {"none_match_in_list", Method::kHead, {{"If-None-Match", "\"a\", \"v1\""}}, kBoth, kNotModified},
      {"none_match_second_field",
       Method::kGet,
       {{"If-None-Match", "\"a\""}, {"If-None-Match", "\"v1\""}},
       kBoth,
       kNotModified},
      {"none_match_star", Method::kGet, {{"If-None-Match", "*"}}, kBoth, kNotModified},
      {"none_match_other", Method::kGet, {{"If-None-Match", "\"v2\""}}, kBoth, kNone},
      {"none_match_without_quotes", Method::kGet, {{"If-None-Match", "v1"}}, kBoth, kNone},
      {"none_match_without_etag", Method::kGet, {{"If-None-Match", "\"v1\""}}, {}, kNone},
      {"none_match_with_put", Method::kPut, {{"If-None-Match", "*"}}, kBoth, kFailed},
      {"none_match_wins_over_modified_since",
       Method::kGet,
       {{"If-None-Match", "\"v2\""}, {"If-Modified-Since", kThen}},
       kBoth,
       kNone},
      {"modified_since_same", Method::kGet, {{"If-Modified-Since", kThen}}, kBoth, kNotModified},
      {"modified_since_later", Method::kGet, {{"If-Modified-Since", kAfter}}, kBoth, kNotModified},
      {"modified_since_earlier", Method::kGet, {{"If-Modified-Since", kBefore}}, kBoth, kNone},
      {"modified_since_bad_date", Method::kGet, {{"If-Modified-Since", "yesterday"}}, kBoth, kNone},
      {"modified_since_twice",
       Method::kGet,
       {{"If-Modified-Since", kThen}, {"If-Modified-Since", kThen}},
       kBoth,
       kNone},
      {"modified_since_with_post", Method::kPost, {{"If-Modified-Since", kThen}}, kBoth, kNone},
      {"modified_since_without_date", Method::kGet, {{"If-Modified-Since", kThen}}, {}, kNone},
      {"match_same", Method::kGet, {{"If-Match", "\"v1\""}}, kBoth, kNone},
      {"match_star", Method::kGet, {{"If-Match", "*"}}, kBoth, kNone},
      {"match_other", Method::kGet, {{"If-Match", "\"v2\""}}, kBoth, kFailed},
      {"match_weak", Method::kGet, {{"If-Match", "W/\"v1\""}}, kWeak, kFailed},
      {"match_then_none_match",
       Method::kGet,
       {{"If-Match", "\"v1\""}, {"If-None-Match", "\"v1\""}},
       kBoth,
       kNotModified},
      {"unmodified_since_same", Method::kGet, {{"If-Unmodified-Since", kThen}}, kBoth, kNone},
      {"unmodified_since_earlier", Method::kGet, {{"If-Unmodified-Since", kBefore}}, kBoth, kFailed},
      {"match_wins_over_unmodified_since",
       Method::kGet,
       {{"If-Match", "\"v1\""}, {"If-Unmodified-Since", kBefore}},
       kBoth,
       kNone},
  };
  for (const Row& row : rows)
    EXPECT_EQ(check_preconditions(row.method, list(row.request), row.of), row.want) << row.name;
}

// --- ranges: RFC 9110 section 14 ---

TEST(Ranges, Single) {
  struct Row {
    const char* name;
    Fields request;
    std::uint64_t size;
    std::string_view want;  // "whole", "first-last/size", "*"
    Method method = Method::kGet;
  };
  const Row rows[] = {
      {"none", {}, 10, "whole"},
      {"first_bytes", {{"Range", "bytes=0-4"}}, 10, "0-4/10"},
      {"one_byte", {{"Range", "bytes=9-9"}}, 10, "9-9/10"},
      {"open", {{"Range", "bytes=5-"}}, 10, "5-9/10"},
      {"beyond_the_end", {{"Range", "bytes=5-100"}}, 10, "5-9/10"},
      {"suffix", {{"Range", "bytes=-3"}}, 10, "7-9/10"},
      {"suffix_longer_than_all", {{"Range", "bytes=-30"}}, 10, "0-9/10"},
      {"everything", {{"Range", "bytes=0-"}}, 10, "0-9/10"},
      {"unit_in_any_case", {{"Range", "Bytes=0-0"}}, 10, "0-0/10"},
      {"starts_at_the_end", {{"Range", "bytes=10-"}}, 10, "*/10"},
      {"starts_beyond", {{"Range", "bytes=11-20"}}, 10, "*/10"},
      {"suffix_of_zero", {{"Range", "bytes=-0"}}, 10, "*/10"},
      {"of_nothing", {{"Range", "bytes=0-"}}, 0, "*/0"},
      {"suffix_of_nothing", {{"Range", "bytes=-5"}}, 0, "*/0"},
      {"backwards", {{"Range", "bytes=5-4"}}, 10, "whole"},
      {"several", {{"Range", "bytes=0-1,3-4"}}, 10, "whole"},
      {"other_unit", {{"Range", "lines=0-1"}}, 10, "whole"},
      {"no_number", {{"Range", "bytes=a-b"}}, 10, "whole"},
      {"sign", {{"Range", "bytes=+1-2"}}, 10, "whole"},
      {"only_dash", {{"Range", "bytes=-"}}, 10, "whole"},
      {"empty", {{"Range", "bytes="}}, 10, "whole"},
      {"overflow", {{"Range", "bytes=99999999999999999999-"}}, 10, "whole"},
      {"repeated", {{"Range", "bytes=0-1"}, {"Range", "bytes=0-1"}}, 10, "whole"},
      {"head", {{"Range", "bytes=0-4"}}, 10, "whole", Method::kHead},
      {"if_range_same", {{"Range", "bytes=0-4"}, {"If-Range", "\"v1\""}}, 10, "0-4/10"},
      {"if_range_other", {{"Range", "bytes=0-4"}, {"If-Range", "\"v2\""}}, 10, "whole"},
      {"if_range_weak", {{"Range", "bytes=0-4"}, {"If-Range", "W/\"v1\""}}, 10, "whole"},
      {"if_range_date", {{"Range", "bytes=0-4"}, {"If-Range", kThen}}, 10, "0-4/10"},
      {"if_range_other_date", {{"Range", "bytes=0-4"}, {"If-Range", kAfter}}, 10, "whole"},
  };
  for (const Row& row : rows) {
    const RangeResult got = select_range(row.method, list(row.request), row.size, kBoth);
    std::string text = "whole";
    if (got.outcome != RangeOutcome::kWhole) {
      std::string line;
      append_content_range(line, got, row.size);
      text = line.substr(std::string_view("Content-Range: bytes ").size());
      text.resize(text.size() - 2);
    }
    EXPECT_EQ(text, row.want) << row.name;
    if (got.outcome == RangeOutcome::kPartial) {
      EXPECT_LE(got.range.length(), row.size) << row.name;
    }
  }
}

}  // namespace
}  // namespace sluice::http
