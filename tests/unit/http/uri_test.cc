#include "sluice/http/uri.h"

#include <vector>

#include <gtest/gtest.h>

#include "sluice/http/media_type.h"

namespace sluice::http {
namespace {

struct PathCase {
  const char* name;
  std::string_view path;
  std::optional<std::string> want;
};
void PrintTo(const PathCase& row, std::ostream* out) { *out << row.name; }

const PathCase kPaths[] = {
    {"root", "/", "/"},
    {"plain", "/a/b.html", "/a/b.html"},
    {"trailing_slash", "/a/", "/a/"},
    {"dot", "/a/./b", "/a/b"},
    {"dot_at_the_end", "/a/.", "/a/"},
    {"dot_dot", "/a/../b", "/b"},
    {"dot_dot_at_the_end", "/a/b/..", "/a/"},
    {"dot_dot_to_root", "/a/..", "/"},
    {"dot_dot_slash_to_root", "/a/../", "/"},
    {"deep", "/a/b/c/../../d/./e/../f", "/a/d/f"},
    {"hidden_file", "/.well-known/x", "/.well-known/x"},
    {"three_dots", "/.../a", "/.../a"},
    {"dots_in_names", "/a..b/..c/d..", "/a..b/..c/d.."},
    {"merged_slashes", "///a//b///", "/a/b/"},
    {"dot_between_slashes", "//.//", "/"},
    {"decoded", "/%61%2Fb%20c", "/a/b c"},
    {"decoded_once", "/%252e%252e/a", "/%2e%2e/a"},
    {"decoded_dot", "/a/%2e/b", "/a/b"},
    {"decoded_dot_dot", "/a/b/%2E%2e/c", "/a/c"},
    {"half_decoded_dot_dot", "/a/b/.%2e/c", "/a/c"},
    {"decoded_slash_ends_a_segment", "/a/..%2fb", "/b"},
    {"decoded_high_bytes", "/%c3%a4", "/\xc3\xa4"},
    {"decoded_control", "/a%0d%0ab", "/a\r\nb"},
    {"backslash_is_a_letter", "/a\\..\\b", "/a\\..\\b"},
    {"overlong_utf8_is_not_decoded", "/%c0%ae%c0%ae/a", "/\xc0\xae\xc0\xae/a"},
    {"above_root", "/..", std::nullopt},
    {"above_root_slash", "/../", std::nullopt},
    {"above_root_later", "/a/../../b", std::nullopt},
    {"above_root_merged", "/a//../..", std::nullopt},
    {"above_root_decoded", "/%2e%2e%2f", std::nullopt},
    {"above_root_dot", "/./../a", std::nullopt},
    {"nul", "/a%00", std::nullopt},
    {"cut_1", "/a%", std::nullopt},
    {"cut_2", "/a%4", std::nullopt},
    {"no_hex", "/%g0", std::nullopt},
    {"no_hex_2", "/%0g", std::nullopt},
};

class Path : public testing::TestWithParam<PathCase> {};
TEST_P(Path, Normalised) {
  const PathCase& row = GetParam();
  std::vector<char> room(row.path.size());  // exactly what is promised
  const auto got = normalise_path(row.path, room.data());
  ASSERT_EQ(got.has_value(), row.want.has_value()) << got.value_or("");
  if (!got) return;
  EXPECT_EQ(*got, *row.want);
  if (is_plain_path(row.path)) {
    EXPECT_EQ(*got, row.path);
    EXPECT_EQ(normalise_path(row.path, nullptr), row.path);
  }
}
INSTANTIATE_TEST_SUITE_P(Rows, Path, testing::ValuesIn(kPaths), [](const auto& row) { return row.param.name; });

// Whatever is made of '/', '.', 'a' and their encodings: no result has a dot segment, an empty segment, or no slash at its front.
TEST(Path, NeverHoldsADotSegment) {
  const std::string_view pieces[] = {"/", ".", "a", "%2f", "%2e", "%61"};
  for (unsigned number = 0; number < 6 * 6 * 6 * 6 * 6 * 6 * 6; ++number) {
    std::string path = "/";
    for (unsigned rest = number, i = 0; i < 7; ++i, rest /= 6) path.append(pieces[rest % 6]);
    std::vector<char> room(path.size());
    const auto got = normalise_path(path, room.data());
    if (!got) continue;
    ASSERT_TRUE(got->starts_with('/')) << path;
    const std::string closed = std::string(*got) + "/";
    ASSERT_EQ(closed.find("/./"), std::string::npos) << path << " " << *got;
    ASSERT_EQ(closed.find("/../"), std::string::npos) << path << " " << *got;
    ASSERT_EQ(got->find("//"), std::string::npos) << path << " " << *got;
  }
}

TEST(Authority, Parts) {
  const auto parsed = [](std::string_view text) -> std::string {
    const auto a = parse_authority(text);
    return a ? std::string(a->host) + " " + std::to_string(a->port) + (a->is_ipv6 ? " v6" : "") : "none";
  };
  EXPECT_EQ(parsed("www.Example.com"), "www.Example.com 0");
  EXPECT_EQ(parsed("a_b-c.1:1"), "a_b-c.1 1");
  EXPECT_EQ(parsed("a.:65535"), "a 65535");
  EXPECT_EQ(parsed("[::1]:8080"), "::1 8080 v6");
  EXPECT_EQ(parsed("[::ffff:192.0.2.1]"), "::ffff:192.0.2.1 0 v6");
  EXPECT_EQ(parsed("192.0.2.1:80"), "192.0.2.1 80");
  for (const std::string_view bad :
       {"",     ":",   ":80",     ".",      "..",  "a..",   "a:65536", "a:-1", "a: 1", "a b", "[]",      "[",
        "[::1", "::1", "[::1]80", "[::1]]", "a@b", "a%20b", "a/b",     "a?b",  "a\\b", "a,b", "\xc3\xa4"}) {
    EXPECT_EQ(parsed(bad), "none") << bad;
  }
  EXPECT_EQ(parsed(std::string(254, 'a')), "none");
}

TEST(PercentEncoding, KeepsWhatAPathMayHold) {
  std::string out;
  append_percent_encoded(out, "/a b/\xc3\xa4%?#\"\r\n<'~");
  EXPECT_EQ(out, "/a%20b/%C3%A4%25%3F%23%22%0D%0A%3C'~");
}

TEST(MediaType, ByExtension) {
  EXPECT_EQ(media_type("/a/index.html"), "text/html");
  EXPECT_EQ(media_type("A.JS"), "text/javascript");
  EXPECT_EQ(media_type("a.tar.gz"), "application/gzip");
  EXPECT_EQ(media_type("a.webmanifest"), "application/manifest+json");
  EXPECT_EQ(media_type("/a.html/b"), "application/octet-stream");
  EXPECT_EQ(media_type("a."), "application/octet-stream");
  EXPECT_EQ(media_type("a.extensionthatislong"), "application/octet-stream");
  EXPECT_EQ(media_type(""), "application/octet-stream");
}

}  // namespace
}  // namespace sluice::http
