// What a request must not look like: each row is refused with its status however its bytes are cut.
#include <gtest/gtest.h>

#include "parse_driver.h"

namespace sluice::http::test {
namespace {

using namespace std::string_literals;

struct RefusalCase {
  const char* name;
  std::string input;
  int status;
};

void PrintTo(const RefusalCase& row, std::ostream* out) { *out << row.name; }

const std::string kHost = "Host: www.example.com\r\n";

std::string get(const std::string& fields) { return "GET / HTTP/1.1\r\n" + kHost + fields + "\r\n"; }
std::string post(const std::string& fields, const std::string& body) {
  return "POST / HTTP/1.1\r\n" + kHost + fields + "\r\n" + body;
}
std::string chunked(const std::string& body) { return post("Transfer-Encoding: chunked\r\n", body); }
std::string line(const std::string& first) { return first + "\r\n" + kHost + "\r\n"; }
std::string host(const std::string& fields) { return "GET / HTTP/1.1\r\n" + fields + "\r\n"; }

const RefusalCase kRefusals[] = {
    // Request line: RFC 9112 section 3.
    {"tls_client_hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"s, 400},
    {"lf_only_request", "GET / HTTP/1.1\nHost: www.example.com\n\n", 400},
    {"bare_lf_after_request_line", "GET / HTTP/1.1\n" + kHost + "\r\n", 400},
    {"bare_cr_in_request_line", line("GET /\r HTTP/1.1"), 400},
    {"cr_cr_lf_after_request_line", "GET / HTTP/1.1\r\r\n" + kHost + "\r\n", 400},
    {"two_empty_lines_first", "\r\n\r\nGET / HTTP/1.1\r\n" + kHost + "\r\n", 400},
    {"lf_first", "\nGET / HTTP/1.1\r\n" + kHost + "\r\n", 400},
    {"space_first", line(" GET / HTTP/1.1"), 400},
    {"no_method", line("/ HTTP/1.1"), 400},
    {"double_space_after_method", line("GET  / HTTP/1.1"), 400},
    {"tab_after_method", line("GET\t/ HTTP/1.1"), 400},
    {"double_space_before_version", line("GET /  HTTP/1.1"), 400},
    {"tab_before_version", line("GET /\tHTTP/1.1"), 400},
    {"space_after_version", line("GET / HTTP/1.1 "), 400},
    {"space_in_target", line("GET /a b HTTP/1.1"), 400},
    {"no_target", line("GET HTTP/1.1"), 400},
    {"empty_target", line("GET  HTTP/1.1"), 400},
    {"method_with_bad_byte", line("GE(T / HTTP/1.1"), 400},
    {"method_with_colon", line("GET: / HTTP/1.1"), 400},
    {"method_with_nul", line("G\0ET / HTTP/1.1"s), 400},
    {"method_in_lower_case", line("get / HTTP/1.1"), 501},
    {"unknown_method", line("BREW / HTTP/1.1"), 501},
    {"method_too_long", line(std::string(33, 'A') + " / HTTP/1.1"), 501},
    {"target_with_nul", line("GET /\0 HTTP/1.1"s), 400},
    {"target_with_control", line("GET /\x01 HTTP/1.1"), 400},
    {"target_with_del", line("GET /\x7f HTTP/1.1"), 400},
    {"target_with_high_byte", line("GET /\xc3\xa9 HTTP/1.1"), 400},
    {"target_with_fragment", line("GET /a#b HTTP/1.1"), 400},
    {"target_without_slash", line("GET a/b HTTP/1.1"), 400},
    {"target_is_question_mark", line("GET ?a HTTP/1.1"), 400},
    {"target_too_long", line("GET /" + std::string(8192, 'a') + " HTTP/1.1"), 414},
    {"target_too_long_without_an_end", "GET /" + std::string(9000, 'a'), 414},

    // Version: RFC 9112 section 2.3.
    {"http_0_9_simple", "GET /\r\n", 400},
    {"http_0_9", line("GET / HTTP/0.9"), 400},
    {"http_1_2", line("GET / HTTP/1.2"), 400},
    {"http_2_0", line("GET / HTTP/2.0"), 400},
    {"http_3_0", line("GET / HTTP/3.0"), 400},
    {"http_2_preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
    {"version_in_lower_case", line("GET / http/1.1"), 400},
    {"version_without_minor", line("GET / HTTP/1"), 400},
    {"version_with_two_digits", line("GET / HTTP/1.10"), 400},
    {"version_with_leading_zero", line("GET / HTTP/01.1"), 400},
    {"version_with_sign", line("GET / HTTP/+1.1"), 400},
    {"version_of_other_protocol", line("GET / ICE/1.0"), 400},
    {"version_rtsp", line("OPTIONS / RTSP/1.0"), 400},
    {"version_with_comma", line("GET / HTTP/1,1"), 400},

    // Targets: RFC 9112 section 3.2, RFC 3986 section 5.2.4.
    {"path_above_root", line("GET /../etc/passwd HTTP/1.1"), 400},
    {"path_above_root_encoded", line("GET /%2e%2e/etc/passwd HTTP/1.1"), 400},
    {"path_above_root_encoded_slash", line("GET /..%2fetc/passwd HTTP/1.1"), 400},
    {"path_above_root_deep", line("GET /a/b/../../../etc HTTP/1.1"), 400},
    {"path_above_root_after_merged_slashes", line("GET /a//../../etc HTTP/1.1"), 400},
    {"path_with_encoded_nul", line("GET /a%00.html HTTP/1.1"), 400},
    {"path_with_cut_encoding", line("GET /a%2 HTTP/1.1"), 400},
    {"path_with_bad_encoding", line("GET /a%zz HTTP/1.1"), 400},
    {"absolute_with_unknown_scheme", line("GET ftp://www.example.com/ HTTP/1.1"), 400},
    {"absolute_without_host", line("GET http:///a HTTP/1.1"), 400},
    {"absolute_with_user", line("GET http://user@www.example.com/ HTTP/1.1"), 400},
    {"absolute_with_bad_port", line("GET http://www.example.com:99999/ HTTP/1.1"), 400},
    {"absolute_above_root", line("GET http://www.example.com/../a HTTP/1.1"), 400},
    {"absolute_without_host_field", "GET http://www.example.com/ HTTP/1.1\r\n\r\n", 400},
    {"absolute_with_malformed_host_field", "GET http://www.example.com/ HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"asterisk_with_get", line("GET * HTTP/1.1"), 400},
    {"asterisk_with_more", line("OPTIONS *a HTTP/1.1"), 400},
    {"connect_is_no_service_of_ours", line("CONNECT www.example.com:443 HTTP/1.1"), 501},
    {"connect_without_port", line("CONNECT www.example.com HTTP/1.1"), 400},
    {"connect_with_path", line("CONNECT /a HTTP/1.1"), 400},
    {"authority_form_with_get", line("GET www.example.com:80 HTTP/1.1"), 400},

    // Host: RFC 9112 section 3.2.
    {"no_host", "GET / HTTP/1.1\r\n\r\n", 400},
    {"two_hosts", get("Host: www.example.org\r\n"), 400},
    {"two_equal_hosts", get(kHost), 400},
    {"two_hosts_in_http_1_0", "GET / HTTP/1.0\r\n" + kHost + kHost + "\r\n", 400},
    {"empty_host", host("Host:\r\n"), 400},
    {"host_with_space", host("Host: www.example.com example.org\r\n"), 400},
    {"host_with_comma", host("Host: www.example.com,example.org\r\n"), 400},
    {"host_with_user", host("Host: user@www.example.com\r\n"), 400},
    {"host_with_path", host("Host: www.example.com/a\r\n"), 400},
    {"host_with_bad_port", host("Host: www.example.com:http\r\n"), 400},
    {"host_with_port_zero", host("Host: www.example.com:0\r\n"), 400},
    {"host_with_large_port", host("Host: www.example.com:65536\r\n"), 400},
    {"host_with_signed_port", host("Host: www.example.com:+80\r\n"), 400},
    {"host_with_two_ports", host("Host: www.example.com:80:80\r\n"), 400},
    {"host_with_two_dots", host("Host: www..example.com\r\n"), 400},
    {"host_with_first_dot", host("Host: .example.com\r\n"), 400},
    {"host_with_percent", host("Host: www%2eexample.com\r\n"), 400},
    {"host_with_high_byte", host("Host: www.ex\xc3\xa4mple.com\r\n"), 400},
    {"host_with_open_bracket", host("Host: [2001:db8::1\r\n"), 400},
    {"host_with_bad_ipv6", host("Host: [2001:db8::1::2]\r\n"), 400},
    {"host_with_bracketed_ipv4", host("Host: [192.0.2.1]\r\n"), 400},
    {"host_with_text_after_bracket", host("Host: [2001:db8::1]a\r\n"), 400},
    {"host_with_zone", host("Host: [fe80::1%25eth0]\r\n"), 400},
    {"host_is_ipv6_without_brackets", host("Host: 2001:db8::1\r\n"), 400},

    // Fields: RFC 9112 section 5, RFC 9110 section 5.5.
    {"bare_lf_after_field", "GET / HTTP/1.1\r\nHost: www.example.com\n\r\n", 400},
    {"bare_lf_ends_head", "GET / HTTP/1.1\r\n" + kHost + "\n", 400},
    {"bare_cr_in_value", get("A: b\rc\r\n"), 400},
    {"bare_cr_ends_line", get("A: b\rC: d\r\n"), 400},
    {"cr_cr_lf_after_field", get("A: b\r\r\n"), 400},
    {"folded_with_space", get("A: b\r\n c\r\n"), 400},
    {"folded_with_tab", get("A: b\r\n\tc\r\n"), 400},
    {"folded_first_field", "GET / HTTP/1.1\r\n " + kHost + "\r\n", 400},
    {"folded_empty_line", get("A: b\r\n \r\n"), 400},
    {"folded_content_length", post("Content-Length:\r\n 5\r\n", "hello"), 400},
    {"folded_transfer_encoding", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), 400},
    {"space_before_colon", get("A : b\r\n"), 400},
    {"tab_before_colon", get("A\t: b\r\n"), 400},
    {"space_before_colon_of_content_length", post("Content-Length : 5\r\n", "hello"), 400},
    {"space_before_colon_of_transfer_encoding", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), 400},
    {"space_in_name", get("A B: c\r\n"), 400},
    {"empty_name", get(": b\r\n"), 400},
    {"empty_name_first", "GET / HTTP/1.1\r\n: b\r\n" + kHost + "\r\n", 400},
    {"empty_name_hides_a_value", "GET / HTTP/1.1\r\n" + kHost + ": www.example.org\r\n\r\n", 400},
    {"no_colon", get("A\r\n"), 400},
    {"no_colon_first", "GET / HTTP/1.1\r\nA\r\n" + kHost + "\r\n", 400},
    {"name_with_quote", get("A\"B: c\r\n"), 400},
    {"name_with_parenthesis", get("A(B): c\r\n"), 400},
    {"name_with_brace", get("{A}: c\r\n"), 400},
    {"name_with_slash", get("A/B: c\r\n"), 400},
    {"name_with_high_byte", get("\xc3\xa4: c\r\n"), 400},
    {"name_with_nul", get("A\0B: c\r\n"s), 400},
    {"name_with_del", get("A\x7f: c\r\n"), 400},
    {"value_with_nul", get("A: b\0c\r\n"s), 400},
    {"value_with_control",
     get("A: b\x01"
         "c\r\n"),
     400},
    {"value_with_vertical_tab", get("A: b\x0b\r\n"), 400},
    {"value_with_del",
     get("A: b\x7f"
         "c\r\n"),
     400},
    {"value_is_control", get("A: \x02\r\n"), 400},
    {"header_too_large", get("A: " + std::string(32768, 'a') + "\r\n"), 431},
    {"header_too_large_without_an_end", "GET / HTTP/1.1\r\nA: " + std::string(33000, 'a'), 431},
    {"too_many_fields", get([] {
       std::string fields;
       for (int i = 0; i < 100; ++i) fields.append("A: b\r\n");
       return fields;
     }()),
     431},

    // Content-Length: RFC 9112 section 6.3, RFC 9110 section 8.6.
    {"length_negative", post("Content-Length: -5\r\n", "hello"), 400},
    {"length_with_plus", post("Content-Length: +5\r\n", "hello"), 400},
    {"length_hexadecimal", post("Content-Length: 0x5\r\n", "hello"), 400},
    {"length_with_inner_space", post("Content-Length: 5 5\r\n", "hello"), 400},
    {"length_with_text", post("Content-Length: 5a\r\n", "hello"), 400},
    {"length_decimal_fraction", post("Content-Length: 5.0\r\n", "hello"), 400},
    {"length_quoted", post("Content-Length: \"5\"\r\n", "hello"), 400},
    {"length_empty", post("Content-Length:\r\n", "hello"), 400},
    {"length_list_of_equals", post("Content-Length: 5, 5\r\n", "hello"), 400},
    {"length_list_of_different", post("Content-Length: 5, 6\r\n", "hello"), 400},
    {"length_repeated", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), 400},
    {"length_repeated_different", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"), 400},
    {"length_of_2_to_63", post("Content-Length: 9223372036854775808\r\n", "hello"), 400},
    {"length_of_2_to_64", post("Content-Length: 18446744073709551616\r\n", "hello"), 400},
    {"length_of_30_digits", post("Content-Length: " + std::string(30, '9') + "\r\n", "hello"), 400},

    // Transfer-Encoding: RFC 9112 sections 6.1 and 6.3.
    {"both_framings", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
    {"both_framings_other_order", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), 400},
    {"both_framings_length_zero", post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
    {"chunked_in_http_1_0", "POST / HTTP/1.0\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"coding_unknown", post("Transfer-Encoding: foo\r\n", ""), 501},
    {"coding_identity", post("Transfer-Encoding: identity\r\n", ""), 501},
    {"coding_gzip_then_chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501},
    {"coding_chunked_then_gzip", post("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"), 400},
    {"coding_chunked_twice", post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 400},
    {"coding_in_two_fields", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
    {"coding_identity_in_second_field",
     post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"), 400},
    {"coding_empty", post("Transfer-Encoding:\r\n", "0\r\n\r\n"), 400},
    {"coding_quoted", post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), 400},
    {"coding_with_parameter", post("Transfer-Encoding: chunked;a=b\r\n", "0\r\n\r\n"), 400},
    {"coding_with_comma_first", post("Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n"), 501},
    {"coding_with_vertical_tab",
     post("Transfer-Encoding: \x0b"
          "chunked\r\n",
          "0\r\n\r\n"),
     400},
    {"coding_with_suffix", post("Transfer-Encoding: chunkedx\r\n", "0\r\n\r\n"), 501},

    // Chunks: RFC 9112 section 7.1.
    {"chunk_bare_lf_after_size", chunked("5\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_bare_lf_after_data", chunked("5\r\nhello\n0\r\n\r\n"), 400},
    {"chunk_bare_lf_after_last", chunked("0\n\r\n"), 400},
    {"chunk_bare_lf_at_the_end", chunked("0\r\n\n"), 400},
    {"chunk_bare_cr_after_size", chunked("5\rhello\r\n0\r\n\r\n"), 400},
    {"chunk_size_empty", chunked("\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_size_negative", chunked("-5\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_size_with_0x", chunked("0x5\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_size_with_space_before", chunked(" 5\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_size_with_space_after", chunked("5 \r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_size_with_tab_after", chunked("5\t\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_size_of_16_digits", chunked("0000000000000005\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_size_of_2_to_64", chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_longer_than_size", chunked("4\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_shorter_than_size", chunked("6\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_extension_empty", chunked("5;\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_extension_with_space", chunked("5; a=b\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_extension_after_space", chunked("5 ;a=b\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_extension_empty_value", chunked("5;a=\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_extension_with_lf", chunked("5;a=b\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_extension_with_cr", chunked("5;a\rb\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_extension_lf_in_quotes", chunked("5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_extension_crlf_in_quotes", chunked("5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_extension_text_after_quotes", chunked("5;a=\"b\"c\r\nhello\r\n0\r\n\r\n"), 400},
    {"chunk_extension_too_long", chunked("5;" + std::string(2000, 'a') + "\r\nhello\r\n0\r\n\r\n"), 400},
    {"trailer_bare_lf", chunked("0\r\nA: b\n\r\n"), 400},
    {"trailer_folded", chunked("0\r\nA: b\r\n c\r\n\r\n"), 400},
    {"trailer_space_before_colon", chunked("0\r\nA : b\r\n\r\n"), 400},
    {"trailer_empty_name", chunked("0\r\n: b\r\n\r\n"), 400},
    {"trailer_without_colon", chunked("0\r\nA\r\n\r\n"), 400},
    {"trailer_with_nul", chunked("0\r\nA: \0\r\n\r\n"s), 400},
    {"trailer_content_length", chunked("0\r\nContent-length: 5\r\n\r\n"), 400},
    {"trailer_transfer_encoding", chunked("0\r\nA: b\r\ntransfer-encoding: chunked\r\n\r\n"), 400},
    {"trailer_host", chunked("0\r\nHost: www.example.org\r\n\r\n"), 400},
    {"trailers_too_large", chunked("0\r\nA: " + std::string(33000, 'a') + "\r\n\r\n"), 400},

    // Other rules.
    {"unknown_expectation", post("Content-Length: 5\r\nExpect: magic\r\n", "hello"), 417},
    {"trace_with_body", "TRACE / HTTP/1.1\r\n" + kHost + "Content-Length: 5\r\n\r\nhello", 400},
};

class RequestRefusal : public testing::TestWithParam<RefusalCase> {};

TEST_P(RequestRefusal, HoweverItIsCut) {
  const RefusalCase& row = GetParam();
  const std::string want = "error " + std::to_string(row.status);
  const auto refused = [&](const Cuts& cuts, const char* how) {
    RequestParser parser;
    const Transcript got = drive(parser, row.input, cuts);
    EXPECT_TRUE(got.text.ends_with(want)) << how << ": " << got.text.substr(0, 300) << " (" << got.reason << ")";
    const ParseStep again = parser.feed({});  // a failed parser stays failed
    EXPECT_EQ(again.step, Step::kError);
    EXPECT_EQ(again.status, row.status);
    return got.reason;
  };
  const std::string reason = refused(whole(row.input.size()), "whole");
  EXPECT_NE(reason, "");
  refused(byte_by_byte(row.input.size()), "byte by byte");
  for (std::uint32_t seed = 1; seed <= 20; ++seed) refused(at_random(row.input.size(), seed), "at random");
}

INSTANTIATE_TEST_SUITE_P(Rows, RequestRefusal, testing::ValuesIn(kRefusals),
                         [](const auto& row) { return row.param.name; });

// Every byte that is not in the grammar, in each place of a head.
TEST(RequestRefusal, EveryForeignByteInEveryPlace) {
  const std::string_view token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  for (int value = 0; value < 256; ++value) {
    const char c = static_cast<char>(value);
    const auto accepts = [&](const std::string& input) {
      RequestParser parser;
      return drive(parser, input, whole(input.size())).text.starts_with("head ");
    };
    const bool is_text = c == '\t' || (value >= 0x20 && value != 0x7f);
    EXPECT_EQ(accepts(get("A"s + c + "B: c\r\n")), c == ':' || token.find(c) != std::string_view::npos) << value;
    EXPECT_EQ(accepts(get("A: b"s + c + "c\r\n")), is_text) << value;
    EXPECT_EQ(accepts(get("A: "s + c + "\r\n")), is_text) << value;
    EXPECT_EQ(accepts(line("GET /a?"s + c + " HTTP/1.1")), value > 0x20 && value < 0x7f && c != '#') << value;
    EXPECT_EQ(accepts("GET / HTTP/1.1"s + c + "\r\n" + kHost + "\r\n"), false) << value;
    EXPECT_EQ(accepts(host("Host: a"s + c + "b\r\n")),
              (value < 0x80 && std::isalnum(value) != 0) || c == '-' || c == '_' || c == '.')
        << value;
  }
}

}  // namespace
}  // namespace sluice::http::test
