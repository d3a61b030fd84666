// Responses of backends: which body follows which head, and which heads end the connection with 502.
#include "sluice/http/response_parser.h"

#include <gtest/gtest.h>

#include "parse_driver.h"

namespace sluice::http::test {
namespace {

using namespace std::string_literals;

struct ResponseCase {
  const char* name;
  std::string input;
  std::string want;  // see describe(); then what finish() says
  Method method = Method::kGet;
};
void PrintTo(const ResponseCase& row, std::ostream* out) { *out << row.name; }

const ResponseCase kResponses[] = {
    // Length of the body: RFC 9112 section 6.3.
    {"sized", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
     "head 200 1.1 reason=OK length=5 keep | body [hello] end | "},
    {"sized_zero", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
     "head 200 1.1 reason=OK length=0 keep | body [] end | "},
    {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
     "head 200 1.1 reason=OK chunked keep | body [hello] end | "},
    {"until_close", "HTTP/1.1 200 OK\r\n\r\nhello", "head 200 1.1 reason=OK until-close | body [hello] ...finish: end"},
    {"until_close_empty", "HTTP/1.0 200 OK\r\n\r\n", "head 200 1.0 reason=OK until-close | finish: end"},
    {"http_1_0_sized", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
     "head 200 1.0 reason=OK length=2 | body [hi] end | "},
    {"http_1_0_keep_alive", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
     "head 200 1.0 reason=OK length=2 keep | body [hi] end | "},
    {"connection_close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
     "head 200 1.1 reason=OK length=2 | body [hi] end | "},
    {"head_with_length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
     "head 200 1.1 reason=OK length=5 no-body keep | body [] end | ", Method::kHead},
    {"head_with_chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
     "head 200 1.1 reason=OK chunked no-body keep | body [] end | ", Method::kHead},
    {"head_without_length", "HTTP/1.1 200 OK\r\n\r\n", "head 200 1.1 reason=OK no-body keep | body [] end | ",
     Method::kHead},
    {"status_204", "HTTP/1.1 204 No Content\r\n\r\n", "head 204 1.1 reason=No Content no-body keep | body [] end | "},
    {"status_304_with_length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
     "head 304 1.1 reason=Not Modified length=5 no-body keep | body [] end | "},

    // Status line: RFC 9112 section 4.
    {"empty_reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
     "head 200 1.1 reason= length=0 keep | body [] end | "},
    {"no_reason_and_no_space", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
     "head 200 1.1 reason= length=0 keep | body [] end | "},
    {"reason_with_spaces_and_high_bytes", "HTTP/1.1 404 N\xc3\xb6t  Found\r\nContent-Length: 0\r\n\r\n",
     "head 404 1.1 reason=N\xc3\xb6t  Found length=0 keep | body [] end | "},

    // 1xx: RFC 9110 section 15.2.
    {"continue_then_final", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
     "interim 100 1.1 reason=Continue no-body keep | head 200 1.1 reason=OK length=2 keep | body [hi] end | "},
    {"several_interim",
     "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
     "interim 103 1.1 reason=Early Hints no-body keep | interim 102 1.1 reason=Processing no-body keep | "
     "head 204 1.1 reason=x no-body keep | body [] end | "},
    {"interim_only", "HTTP/1.1 100 Continue\r\n\r\n",
     "interim 100 1.1 reason=Continue no-body keep | finish: error 502"},

    // Cut short: RFC 9112 section 8.
    {"nothing", "", "finish: error 502"},
    {"cut_in_status_line", "HTTP/1.1 20", "finish: error 502"},
    {"cut_in_head", "HTTP/1.1 200 OK\r\nContent-", "finish: error 502"},
    {"cut_in_sized_body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
     "head 200 1.1 reason=OK length=5 keep | body [hell] ...finish: error 502"},
    {"cut_in_chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell",
     "head 200 1.1 reason=OK chunked keep | body [hell] ...finish: error 502"},
    {"cut_before_last_chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
     "head 200 1.1 reason=OK chunked keep | body [hello] ...finish: error 502"},
    {"cut_in_trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n",
     "head 200 1.1 reason=OK chunked keep | finish: error 502"},

    // Refused.
    {"no_http", "SSH-2.0-OpenSSH_9.2\r\n", "error 502"},
    {"http_0_9", "<html>", "error 502"},
    {"http_2", "HTTP/2 200 OK\r\n\r\n", "error 502"},
    {"http_1_2", "HTTP/1.2 200 OK\r\n\r\n", "error 502"},
    {"lower_case", "http/1.1 200 OK\r\n\r\n", "error 502"},
    {"two_digits", "HTTP/1.1 20 OK\r\n\r\n", "error 502"},
    {"four_digits", "HTTP/1.1 2000 OK\r\n\r\n", "error 502"},
    {"status_099", "HTTP/1.1 099 OK\r\n\r\n", "error 502"},
    {"status_600", "HTTP/1.1 600 OK\r\n\r\n", "error 502"},
    {"double_space", "HTTP/1.1  200 OK\r\n\r\n", "error 502"},
    {"tab", "HTTP/1.1\t200 OK\r\n\r\n", "error 502"},
    {"empty_line_first", "\r\nHTTP/1.1 200 OK\r\n\r\n", "error 502"},
    {"bare_lf", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "error 502"},
    {"bare_lf_in_header", "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n", "error 502"},
    {"bare_cr_in_value", "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", "error 502"},
    {"nul_in_reason", "HTTP/1.1 200 O\0K\r\n\r\n"s, "error 502"},
    {"nul_in_value", "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n"s, "error 502"},
    {"folded", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", "error 502"},
    {"space_before_colon", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "error 502"},
    {"empty_name", "HTTP/1.1 200 OK\r\n: b\r\n\r\n", "error 502"},
    {"no_colon", "HTTP/1.1 200 OK\r\nA\r\n\r\n", "error 502"},
    {"both_framings", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "error 502"},
    {"length_repeated", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "error 502"},
    {"length_negative", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", "error 502"},
    {"length_list", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", "error 502"},
    {"coding_gzip", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "error 502"},
    {"coding_chunked_twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     "error 502"},
    {"coding_in_http_1_0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "error 502"},
    {"coding_with_204", "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "error 502"},
    {"coding_with_100", "HTTP/1.1 100 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "error 502"},
    {"switching_protocols", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
     "error 502"},
    {"chunk_bare_lf", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
     "head 200 1.1 reason=OK chunked keep | error 502"},
    {"chunk_bad_size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
     "head 200 1.1 reason=OK chunked keep | error 502"},
    {"header_too_large", "HTTP/1.1 200 OK\r\nA: " + std::string(33000, 'a'), "error 502"},
    {"reason_too_long", "HTTP/1.1 200 " + std::string(2000, 'a'), "error 502"},
    {"interim_without_end",
     [] {
       std::string heads;
       for (int i = 0; i < 17; ++i) heads.append("HTTP/1.1 100 x\r\n\r\n");
       return heads;
     }(),
     [] {
       std::string want;
       for (int i = 0; i < 16; ++i) want.append("interim 100 1.1 reason=x no-body keep | ");
       return want + "error 502";
     }()},
};

class Response : public testing::TestWithParam<ResponseCase> {};

TEST_P(Response, HoweverItIsCut) {
  const ResponseCase& row = GetParam();
  const auto parsed = [&](const Cuts& cuts, const char* how) {
    ResponseParser parser;
    parser.start(row.method);
    Transcript got = drive(parser, row.input, cuts, 1);
    if (!got.text.ends_with("end | ") && !got.text.ends_with("error 502")) {
      const ParseStep last = parser.finish();
      got.text.append(last.step == Step::kEnd ? "finish: end" : "finish: error " + std::to_string(last.status));
    }
    EXPECT_EQ(got.text, row.want) << how << " " << got.reason;
  };
  parsed(whole(row.input.size()), "whole");
  parsed(byte_by_byte(row.input.size()), "byte by byte");
  for (std::uint32_t seed = 1; seed <= 20; ++seed) parsed(at_random(row.input.size(), seed), "at random");
}

INSTANTIATE_TEST_SUITE_P(Rows, Response, testing::ValuesIn(kResponses), [](const auto& row) { return row.param.name; });

TEST(ResponseParser, StaysAtTheEndOfItsMessage) {
  const std::string_view input = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n";
  ResponseParser parser;
  parser.start(Method::kGet);
  const Transcript got = drive(parser, input, whole(input.size()), 1);
  EXPECT_EQ(got.left, std::string_view("HTTP/1.1 200 OK\r\n").size())
      << "bytes nobody asked for: the connection is spoilt";
  parser.start(Method::kGet);
  EXPECT_TRUE(parser.idle());
}

}  // namespace
}  // namespace sluice::http::test
