// The request as the backend gets it, whole: which fields go, which come, in which form.
#include "request_rewrite.h"

#include "gtest/gtest.h"
#include "sluice/http/request_parser.h"

namespace sluice::proxy {
namespace {

struct RewriteCase {
  const char* name;
  std::string in;                   // header lines after the request line and Host
  std::vector<std::string> remove;  // rules
  std::vector<std::pair<std::string, std::string>> set;
  std::string want;  // header lines after the request line
};
std::ostream& operator<<(std::ostream& out, const RewriteCase& row) { return out << row.name; }

constexpr const char* kOurs =
    "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 203.0.113.7\r\nVia: 1.1 sluice\r\n";

class Rewrite : public ::testing::TestWithParam<RewriteCase> {};

TEST_P(Rewrite, GivesTheseFields) {
  const RewriteCase& row = GetParam();
  const std::string text = "GET /a?b HTTP/1.1\r\nHost: Example.com:8443\r\n" + row.in + "\r\n";
  http::RequestParser parser;
  const auto step = parser.feed({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  ASSERT_EQ(step.step, http::Step::kHead) << step.reason;
  config::HeaderRules rules{.remove = row.remove, .set = {}};
  for (const auto& [name, value] : row.set) rules.set.push_back({name, config::Template::parse(value).value()});
  const RequestContext context{.head = parser.head(),
                               .client = net::Endpoint::parse("203.0.113.7:40000").value(),
                               .local = net::Endpoint::parse("198.51.100.10:443").value(),
                               .client_address = "203.0.113.7",
                               .https = true};
  UpstreamRequest request;
  request.rules = &rules;
  std::string out;
  append_upstream_request(out, context, request);
  EXPECT_EQ(out, "GET /a?b HTTP/1.1\r\n" + row.want + "\r\n");
}

INSTANTIATE_TEST_SUITE_P(
    Rows, Rewrite,
    ::testing::Values(
        RewriteCase{
            "plain", "Accept: */*\r\n", {}, {}, std::string("Host: Example.com:8443\r\nAccept: */*\r\n") + kOurs},
        RewriteCase{
            "forwarded_for_is_appended_the_rest_replaced",
            "X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Proto: gopher\r\nX-Real-IP: 192.0.2.9\r\nVia: 1.0 fred\r\n",
            {},
            {},
            "Host: Example.com:8443\r\nX-Forwarded-For: 192.0.2.9, 203.0.113.7\r\nX-Forwarded-Proto: https\r\n"
            "X-Real-IP: 203.0.113.7\r\nVia: 1.0 fred, 1.1 sluice\r\n"},
        RewriteCase{
            "hop_by_hop_fields_end_here",
            "Connection: X-Mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nUpgrade: x\r\n"
            "Proxy-Authorization: y\r\nExpect: 100-continue\r\n",
            {},
            {},
            std::string("Host: Example.com:8443\r\n") + kOurs},
        RewriteCase{"rules_come_last",
                    "X-Old: 1\r\nX-Other: 2\r\n",
                    {"x-old", "via"},
                    {{"X-Real-IP", "${client.address}:${client.port}"},
                     {"X-Other", "${request.scheme} ${request.method} ${request.host}"},
                     {"X-Local", "${local.address}:${local.port}${request.target}"}},
                    "Host: Example.com:8443\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n"
                    "X-Real-IP: 203.0.113.7:40000\r\nX-Other: https GET Example.com:8443\r\n"
                    "X-Local: 198.51.100.10:443/a?b\r\n"},
        RewriteCase{"host_may_be_set",
                    "",
                    {},
                    {{"Host", "inside.example.net"}},
                    std::string(kOurs) + "Host: inside.example.net\r\n"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(RewriteForCache, TheClientsConditionsStayAndOursGo) {
  const std::string text =
      "GET / HTTP/1.1\r\nHost: example.com\r\nIf-None-Match: \"client\"\r\nRange: bytes=0-1\r\nAccept: x\r\n\r\n";
  http::RequestParser parser;
  ASSERT_EQ(parser.feed({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}).step, http::Step::kHead);
  const config::HeaderRules rules;
  UpstreamRequest request;
  request.rules = &rules;
  request.for_cache = true;
  request.if_none_match = "\"stored\"";
  request.close = true;
  std::string out;
  append_upstream_request(out, {parser.head(), {}, {}, "203.0.113.7", false}, request);
  EXPECT_EQ(
      out,
      "GET / HTTP/1.1\r\nHost: example.com\r\nAccept: x\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: http\r\n"
      "X-Real-IP: 203.0.113.7\r\nVia: 1.1 sluice\r\nIf-None-Match: \"stored\"\r\nConnection: close\r\n\r\n");
}

}  // namespace
}  // namespace sluice::proxy
