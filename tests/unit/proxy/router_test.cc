// Which route answers: the first in the order of the file whose host and path match.
#include "router.h"

#include "gtest/gtest.h"

namespace sluice::proxy {
namespace {

struct HostCase {
  const char* name;
  std::string_view pattern, host;
  bool matches;
};
class HostMatch : public ::testing::TestWithParam<HostCase> {};
TEST_P(HostMatch, AsDocumented) { EXPECT_EQ(host_matches(GetParam().pattern, GetParam().host), GetParam().matches); }
INSTANTIATE_TEST_SUITE_P(
    Rows, HostMatch,
    ::testing::Values(HostCase{"same", "www.example.com", "www.example.com", true},
                      HostCase{"other", "www.example.com", "example.com", false},
                      HostCase{"wildcard_one_label", "*.example.com", "a.example.com", true},
                      HostCase{"wildcard_two_labels", "*.example.com", "a.b.example.com", true},
                      HostCase{"wildcard_needs_a_label", "*.example.com", "example.com", false},
                      HostCase{"wildcard_needs_something_before_the_dot", "*.example.com", ".example.com", false},
                      HostCase{"wildcard_is_not_a_suffix_of_a_label", "*.example.com", "badexample.com", false},
                      HostCase{"no_host", "www.example.com", "", false}),
    [](const auto& row) { return std::string(row.param.name); });

struct PathCase {
  const char* name;
  std::string_view prefix, path;
  bool matches;
};
class PathMatch : public ::testing::TestWithParam<PathCase> {};
TEST_P(PathMatch, IsAPrefixOfWholeSegments) {
  EXPECT_EQ(path_matches(GetParam().prefix, GetParam().path), GetParam().matches);
}
INSTANTIATE_TEST_SUITE_P(Rows, PathMatch,
                         ::testing::Values(PathCase{"root", "/", "/x", true}, PathCase{"itself", "/api", "/api", true},
                                           PathCase{"below", "/api", "/api/x", true},
                                           PathCase{"not_half_a_segment", "/api", "/apiary", false},
                                           PathCase{"below_with_slash", "/api/", "/api/x", true},
                                           PathCase{"folder_itself", "/api/", "/api/", true},
                                           PathCase{"without_its_slash", "/api/", "/api", false},
                                           PathCase{"case_counts", "/api", "/API", false}),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(Router, TheFirstMatchInTheOrderOfTheFileWins) {
  config::HttpRoute routes[4];
  routes[0].hosts = {"www.example.com"};
  routes[0].path = "/static/";
  routes[1].hosts = {"*.example.com", "example.org"};
  routes[2].path = "/api/";
  routes[3].hosts = {"last.example.net"};
  Router router;
  for (const config::HttpRoute& route : routes) router.add({.config = &route});
  const auto found = [&](std::string_view host, std::string_view path) {
    const Route* route = router.find(host, path);
    return route == nullptr ? -1 : static_cast<int>(route->config - routes);
  };
  EXPECT_EQ(found("www.example.com", "/static/a.css"), 0);
  EXPECT_EQ(found("www.example.com", "/other"), 1);
  EXPECT_EQ(found("www.example.com", "/api/x"), 1);
  EXPECT_EQ(found("example.org", "/static/a.css"), 1);
  EXPECT_EQ(found("else.example.net", "/api/x"), 2);
  EXPECT_EQ(found("last.example.net", "/api/x"), 2);
  EXPECT_EQ(found("last.example.net", "/"), 3);
  EXPECT_EQ(found("else.example.net", "/"), -1);
}

}  // namespace
}  // namespace sluice::proxy
