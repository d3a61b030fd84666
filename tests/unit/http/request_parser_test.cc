// Requests that are right: what the head says, where the body is, where the message ends.
#include "sluice/http/request_parser.h"

#include <gtest/gtest.h>

#include "parse_driver.h"

namespace sluice::http::test {
namespace {

struct AcceptCase {
  const char* name;
  std::string input;
  std::string want;          // see describe()
  std::string headers = {};  // when not empty: of the last head
};

void PrintTo(const AcceptCase& row, std::ostream* out) { *out << row.name; }

const AcceptCase kAccepted[] = {
    {"plain_get", "GET /a/b?c=d HTTP/1.1\r\nHost: www.example.com\r\nAccept: */*\r\n\r\n",
     "head GET 1.1 host=www.example.com port=0 authority=www.example.com path=/a/b query=c=d forward=/a/b?c=d keep | "
     "body [] end | ",
     " Host=[www.example.com] Accept=[*/*]"},
    {"one_empty_line_first", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
     "head GET 1.1 host=a port=0 authority=a path=/ forward=/ keep | body [] end | "},
    {"host_is_normalised", "GET / HTTP/1.1\r\nHost: WWW.Example.COM.:8443\r\n\r\n",
     "head GET 1.1 host=www.example.com port=8443 authority=WWW.Example.COM.:8443 path=/ forward=/ keep | body [] end "
     "| "},
    {"host_with_empty_port", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n",
     "head GET 1.1 host=a port=0 authority=a: path=/ forward=/ keep | body [] end | "},
    {"host_is_ipv6", "GET / HTTP/1.1\r\nHost: [2001:DB8::1]:80\r\n\r\n",
     "head GET 1.1 host=2001:db8::1 port=80 authority=[2001:DB8::1]:80 path=/ forward=/ keep | body [] end | "},
    {"host_is_ipv4", "GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n",
     "head GET 1.1 host=192.0.2.1 port=0 authority=192.0.2.1 path=/ forward=/ keep | body [] end | "},
    {"white_space_around_values", "GET / HTTP/1.1\r\nHost: \t a \t\r\nA:b\r\nC:\r\nD:   \r\nE: f g\r\n\r\n",
     "head GET 1.1 host=a port=0 authority=a path=/ forward=/ keep | body [] end | ",
     " Host=[a] A=[b] C=[] D=[] E=[f g]"},
    {"value_with_high_bytes", "GET / HTTP/1.1\r\nHost: a\r\nA: \xc3\xa4\xff\r\n\r\n",
     "head GET 1.1 host=a port=0 authority=a path=/ forward=/ keep | body [] end | ", " Host=[a] A=[\xc3\xa4\xff]"},
    {"connection_close", "GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n",
     "head GET 1.1 host=a port=0 authority=a path=/ forward=/ | body [] end | "},
    {"http_1_0", "GET / HTTP/1.0\r\n\r\n", "head GET 1.0 host= port=0 authority= path=/ forward=/ | body [] end | "},
    {"http_1_0_keep_alive", "GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n",
     "head GET 1.0 host=a port=0 authority=a path=/ forward=/ keep | body [] end | "},
    {"http_1_0_ignores_expect", "POST / HTTP/1.0\r\nHost: a\r\nExpect: x\r\nContent-Length: 1\r\n\r\nb",
     "head POST 1.0 host=a port=0 authority=a path=/ forward=/ length=1 | body [b] end | "},
    {"upgrade", "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
     "head GET 1.1 host=a port=0 authority=a path=/ forward=/ keep upgrade | body [] end | "},
    {"upgrade_without_connection", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
     "head GET 1.1 host=a port=0 authority=a path=/ forward=/ keep | body [] end | "},

    // Targets: RFC 9112 section 3.2.
    {"absolute_form_wins_over_host", "GET http://www.example.com:81/a?b HTTP/1.1\r\nHost: other.example.org\r\n\r\n",
     "head GET 1.1 host=www.example.com port=81 authority=www.example.com:81 path=/a query=b forward=/a?b keep | body "
     "[] end | ",
     " Host=[www.example.com:81]"},
    {"absolute_form_https", "GET HTTPS://A/ HTTP/1.1\r\nHost: a\r\n\r\n",
     "head GET 1.1 host=a port=0 authority=A path=/ forward=/ keep https | body [] end | "},
    {"absolute_form_without_path", "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
     "head GET 1.1 host=a port=0 authority=a path=/ forward=/ keep | body [] end | "},
    {"absolute_form_with_query_only", "GET http://a?b=%41 HTTP/1.1\r\nHost: a\r\n\r\n",
     "head GET 1.1 host=a port=0 authority=a path=/ query=b=%41 forward=/?b=%41 keep | body [] end | "},
    {"absolute_form_in_http_1_0_without_host", "GET http://a/ HTTP/1.0\r\n\r\n",
     "head GET 1.0 host=a port=0 authority=a path=/ forward=/ | body [] end | ", " Host=[a]"},
    {"absolute_form_with_ipv6", "GET http://[2001:db8::1]/%61 HTTP/1.1\r\nHost: a\r\n\r\n",
     "head GET 1.1 host=2001:db8::1 port=0 authority=[2001:db8::1] path=/a forward=/%61 keep | body [] end | "},
    {"options_asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
     "head OPTIONS 1.1 host=a port=0 authority=a path=* forward=* keep | body [] end | "},
    {"options_absolute_form_without_path", "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
     "head OPTIONS 1.1 host=a port=0 authority=a path=* forward=* keep | body [] end | "},
    {"path_is_normalised", "GET //a/./b/%2e%2E/c//%64%2fe HTTP/1.1\r\nHost: A\r\n\r\n",
     "head GET 1.1 host=a port=0 authority=A path=/a/c/d/e forward=//a/./b/%2e%2E/c//%64%2fe keep | body [] end | "},
    {"query_is_not_decoded", "GET /?a=%2e%00&b={c}|d\"e HTTP/1.1\r\nHost: a\r\n\r\n",
     "head GET 1.1 host=a port=0 authority=a path=/ query=a=%2e%00&b={c}|d\"e forward=/?a=%2e%00&b={c}|d\"e keep | "
     "body [] end | "},
    {"empty_query", "GET /? HTTP/1.1\r\nHost: a\r\n\r\n",
     "head GET 1.1 host=a port=0 authority=a path=/ query= forward=/? keep | body [] end | "},
    {"two_slashes_are_no_authority", "GET //other.example.org/a HTTP/1.1\r\nHost: a\r\n\r\n",
     "head GET 1.1 host=a port=0 authority=a path=/other.example.org/a forward=//other.example.org/a keep | body [] "
     "end | "},
    {"target_of_the_limit", "GET /" + std::string(8191, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n",
     "head GET 1.1 host=a port=0 authority=a path=/" + std::string(8191, 'a') + " forward=/" + std::string(8191, 'a') +
         " keep | body [] end | "},

    // Bodies: RFC 9112 sections 6 and 7.
    {"sized_body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
     "head POST 1.1 host=a port=0 authority=a path=/ forward=/ length=5 keep | body [hello] end | "},
    {"sized_body_of_zero", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 000\r\n\r\n",
     "head POST 1.1 host=a port=0 authority=a path=/ forward=/ length=0 keep | body [] end | "},
    {"chunked_body",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n00a\r\n, world\r\n!\r\n0\r\n\r\n",
     "head POST 1.1 host=a port=0 authority=a path=/ forward=/ chunked keep | body [hello, world\r\n!] end | "},
    {"chunk_extensions_are_dropped",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a;b=c;d=\"e \\\" ;f\"\r\nhello\r\n0;x\r\n\r\n",
     "head POST 1.1 host=a port=0 authority=a path=/ forward=/ chunked keep | body [hello] end | "},
    {"trailers_are_dropped",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\nContent-Lengthy: 9\r\nC:\r\n\r\n",
     "head POST 1.1 host=a port=0 authority=a path=/ forward=/ chunked keep | body [] end | ",
     " Host=[a] Transfer-Encoding=[chunked]"},
    {"expect_continue", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nb",
     "head POST 1.1 host=a port=0 authority=a path=/ forward=/ length=1 keep expect | body [b] end | "},
    {"expect_without_body", "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
     "head GET 1.1 host=a port=0 authority=a path=/ forward=/ keep | body [] end | "},
    {"get_with_body", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
     "head GET 1.1 host=a port=0 authority=a path=/ forward=/ length=2 keep | body [hi] end | "},
    {"pipelined",
     "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: B\r\nContent-Length: 4\r\n\r\nGET \r\n"
     "PUT /3 HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET /%34 HTTP/1.1\r\nHost: "
     "d\r\n\r\n",
     "head GET 1.1 host=a port=0 authority=a path=/1 forward=/1 keep | body [] end | "
     "head POST 1.1 host=b port=0 authority=B path=/2 forward=/2 length=4 keep | body [GET ] end | "
     "head PUT 1.1 host=c port=0 authority=c path=/3 forward=/3 chunked keep | body [x] end | "
     "head GET 1.1 host=d port=0 authority=d path=/4 forward=/%34 keep | body [] end | "},
};

class RequestAccepted : public testing::TestWithParam<AcceptCase> {};

TEST_P(RequestAccepted, HoweverItIsCut) {
  const AcceptCase& row = GetParam();
  const auto accepted = [&](const Cuts& cuts, const char* how) {
    RequestParser parser;
    const Transcript got = drive(parser, row.input, cuts);
    EXPECT_EQ(got.text, row.want) << how << " " << got.reason;
    if (!row.headers.empty()) {
      EXPECT_EQ(got.headers, row.headers) << how;
    }
    EXPECT_EQ(got.left, 0u) << how;
    EXPECT_TRUE(parser.idle());
  };
  accepted(whole(row.input.size()), "whole");
  accepted(byte_by_byte(row.input.size()), "byte by byte");
  for (std::uint32_t seed = 1; seed <= 20; ++seed) accepted(at_random(row.input.size(), seed), "at random");
}

INSTANTIATE_TEST_SUITE_P(Rows, RequestAccepted, testing::ValuesIn(kAccepted),
                         [](const auto& row) { return row.param.name; });

TEST(RequestParser, ConsumesExactlyOneMessage) {
  const std::string_view input = "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\n";
  RequestParser parser;
  const Transcript got = drive(parser, input, whole(input.size()), 1);
  EXPECT_EQ(got.left, std::string_view("GET /2 HTTP/1.1\r\n").size());
}

TEST(RequestParser, BodiesAreViewsOfTheInput) {
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
  const std::string input = head + "hello";
  const std::span bytes(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
  RequestParser parser;
  ASSERT_EQ(parser.feed(bytes).consumed, head.size());
  const ParseStep step = parser.feed(bytes.subspan(head.size()));
  ASSERT_EQ(step.step, Step::kBody);
  EXPECT_EQ(step.body.data(), bytes.data() + head.size());
  EXPECT_EQ(step.body.size(), 5u);
}

TEST(RequestParser, LimitsAreExact) {
  const Limits limits{.target_bytes = 5, .head_bytes = 30, .headers = 3};
  struct Row {
    const char* name;
    std::string input;
    std::string want;
  };
  const Row rows[] = {
      {"target of 5", "GET /abcd HTTP/1.1\r\nHost: a\r\n\r\n", "head"},
      {"target of 6", "GET /abcde HTTP/1.1\r\nHost: a\r\n\r\n", "erro"},
      {"3 fields", "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n", "head"},
      {"4 fields", "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC:\r\nD:\r\n\r\n", "erro"},
      {"30 bytes", "GET / HTTP/1.1\r\nHost: a\r\nA: 0123456789abcd\r\n\r\n", "head"},
      {"31 bytes", "GET / HTTP/1.1\r\nHost: a\r\nA: 0123456789abcde\r\n\r\n", "erro"},
  };
  for (const Row& row : rows) {
    for (const Cuts& cuts : {whole(row.input.size()), byte_by_byte(row.input.size())}) {
      RequestParser parser(limits);
      EXPECT_EQ(drive(parser, row.input, cuts).text.substr(0, 4), row.want) << row.name;
    }
  }
}

TEST(RequestParser, IdleUntilTheFirstByteAndAfterNext) {
  RequestParser parser;
  EXPECT_TRUE(parser.idle());
  const std::uint8_t byte = 'G';
  EXPECT_EQ(parser.feed({&byte, 1}).step, Step::kNeedMore);
  EXPECT_FALSE(parser.idle());
  parser.release();
  EXPECT_TRUE(parser.idle());
}

TEST(RequestParser, EndNeedsNoInput) {
  const std::string_view input = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  RequestParser parser;
  EXPECT_EQ(parser.feed({reinterpret_cast<const std::uint8_t*>(input.data()), input.size()}).step, Step::kHead);
  EXPECT_EQ(parser.feed({}).step, Step::kEnd);
}

}  // namespace
}  // namespace sluice::http::test
