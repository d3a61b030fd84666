#include "sluice/http/headers.h"

#include <string>

#include <gtest/gtest.h>

#include "sluice/http/forward.h"
#include "sluice/http/message.h"
#include "sluice/http/serialize.h"

namespace sluice::http {
namespace {

std::string text(const HeaderList& headers) {
  std::string out;
  for (const Header& header : headers) append_header(out, header.name, header.value);
  return out;
}

TEST(HeaderId, EveryKnownNameInAnyCaseAndNothingElse) {
  for (int i = 1; i < static_cast<int>(HeaderId::kCount); ++i) {
    const auto id = static_cast<HeaderId>(i);
    std::string name(header_name(id));
    EXPECT_EQ(header_id(name), id) << name;
    for (char& c : name) c = static_cast<char>(std::toupper(c));
    EXPECT_EQ(header_id(name), id) << name;
    for (char& c : name) c = static_cast<char>(std::tolower(c));
    EXPECT_EQ(header_id(name), id) << name;
    for (std::size_t at = 0; at < name.size(); ++at) {
      for (int value = 0; value < 256; ++value) {
        std::string other = name;
        other[at] = static_cast<char>(value);
        EXPECT_EQ(header_id(other) == id, equals_ignore_case(other, name)) << name << " " << at << " " << value;
      }
    }
    EXPECT_NE(header_id(name + "x"), id);
    EXPECT_NE(header_id(name.substr(1)), id);
  }
  EXPECT_EQ(header_id(""), HeaderId::kOther);
  EXPECT_EQ(header_id("X-Request-Id"), HeaderId::kOther);
  EXPECT_EQ(header_id(std::string(1000, 'a')), HeaderId::kOther);
  EXPECT_EQ(header_name(HeaderId::kOther), "");
}

TEST(HeaderList, FindsSetsAndRemoves) {
  HeaderList list;
  EXPECT_EQ(list.find(HeaderId::kHost), nullptr);
  list.add("host", "a");
  list.add("X-One", "1");
  list.add("Cookie", "c1");
  list.add("x-one", "2");
  list.add(HeaderId::kCookie, "c2");
  EXPECT_TRUE(list.has(HeaderId::kHost));
  EXPECT_EQ(list.value(HeaderId::kCookie), "c1");
  EXPECT_EQ(list.count(HeaderId::kCookie), 2u);
  EXPECT_EQ(list.find("X-ONE")->value, "1");
  EXPECT_EQ(list.find("HOST")->value, "a");
  EXPECT_EQ(list.find("X-Two"), nullptr);
  list.set("X-One", "3");
  list.set("X-Two", "4");
  EXPECT_EQ(text(list), "host: a\r\nX-One: 3\r\nCookie: c1\r\nCookie: c2\r\nX-Two: 4\r\n");
  list.remove("cookie");
  EXPECT_FALSE(list.has(HeaderId::kCookie));
  list.remove("x-one");
  list.remove(HeaderId::kAge);
  EXPECT_EQ(text(list), "host: a\r\nX-Two: 4\r\n");
  list.clear();
  EXPECT_TRUE(list.empty());
  EXPECT_FALSE(list.has(HeaderId::kHost));
  list.release();
  EXPECT_EQ(list.capacity_bytes(), 0u);
}

TEST(ListCursor, WalksElements) {
  struct Row {
    const char* name;
    std::string_view list;
    std::string want;
  };
  const Row rows[] = {
      {"empty", "", ""},
      {"only_commas", " ,, ,", ""},
      {"plain", "a,b , c", "[a][b][c]"},
      {"tabs", "\ta\t,\tb\t", "[a][b]"},
      {"quoted_comma", "a=\"b,c\", d", "[a=\"b,c\"][d]"},
      {"escaped_quote", "\"a\\\",b\",c", "[\"a\\\",b\"][c]"},
      {"open_quote", "a,\"b,c", "[a][\"b,c]"},
      {"backslash_at_the_end", "\"a\\", "[\"a\\]"},
  };
  for (const Row& row : rows) {
    std::string got;
    for (ListCursor list(row.list); const auto element = list.next();) got.append("[").append(*element).append("]");
    EXPECT_EQ(got, row.want) << row.name;
  }
}

TEST(ListHas, AcrossFieldsAndCases) {
  HeaderList list;
  list.add("Connection", "foo, Close");
  list.add("connection", "UPGRADE");
  EXPECT_TRUE(list_has(list, HeaderId::kConnection, "close"));
  EXPECT_TRUE(list_has(list, HeaderId::kConnection, "upgrade"));
  EXPECT_FALSE(list_has(list, HeaderId::kConnection, "clos"));
  EXPECT_FALSE(list_has(list, HeaderId::kVary, "close"));
}

TEST(Methods, NamesAndProperties) {
  for (int i = 0; i < static_cast<int>(Method::kUnknown); ++i) {
    EXPECT_EQ(find_method(method_name(static_cast<Method>(i))), static_cast<Method>(i));
  }
  EXPECT_EQ(find_method("get"), Method::kUnknown);
  EXPECT_EQ(find_method("GETX"), Method::kUnknown);
  EXPECT_TRUE(is_safe(Method::kHead) && !is_safe(Method::kPost) && !is_safe(Method::kPurge));
  EXPECT_TRUE(is_idempotent(Method::kPut) && is_idempotent(Method::kDelete) && !is_idempotent(Method::kPost));
}

// --- what a proxy takes out and puts in ---

TEST(HopFilter, StopsWhatIsForThisConnection) {
  HeaderList list;
  for (const auto& [name, value] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
           {"Host", "a"},
           {"Connection", "close, X-Private , Host, authorization"},
           {"Keep-Alive", "timeout=5"},
           {"Proxy-Connection", "close"},
           {"Proxy-Authorization", "x"},
           {"Proxy-Authenticate", "x"},
           {"TE", "trailers"},
           {"Trailer", "X"},
           {"Transfer-Encoding", "chunked"},
           {"Upgrade", "h2c"},
           {"X-Private", "1"},
           {"x-public", "2"},
           {"Authorization", "Basic y"},
           {"Connection", "X-Second"},
           {"X-Second", "3"},
           {"Content-Length", "0"}}) {
    list.add(name, value);
  }
  const HopFilter filter(list);
  std::string out;
  for (const Header& header : list) {
    if (filter.passes(header)) append_header(out, header.name, header.value);
  }
  // Host and Authorization stay although the client named them in Connection.
  EXPECT_EQ(out, "Host: a\r\nx-public: 2\r\nAuthorization: Basic y\r\nContent-Length: 0\r\n");
}

TEST(Forwarding, AddsToWhatCame) {
  HeaderList list;
  std::string out;
  append_via(out, list, 1);
  append_forwarded_for(out, list, "192.0.2.1");
  append_forwarded_proto(out, true);
  append_real_ip(out, "2001:db8::1");
  EXPECT_EQ(out,
            "Via: 1.1 sluice\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 2001:db8::1\r\n");
  list.add("Via", "1.0 a, 1.1 b");
  list.add("via", "1.1 c");
  list.add("X-Forwarded-For", "198.51.100.1");
  out.clear();
  append_via(out, list, 0, "edge");
  append_forwarded_for(out, list, "192.0.2.1");
  EXPECT_EQ(out, "Via: 1.0 a, 1.1 b, 1.1 c, 1.0 edge\r\nX-Forwarded-For: 198.51.100.1, 192.0.2.1\r\n");
}

// --- writing ---

TEST(Serialize, LinesAndChunks) {
  std::string out;
  append_status_line(out, 404);
  append_status_line(out, 200, "Fine");
  append_status_line(out, 299);
  append_request_line(out, Method::kPost, "/a?b");
  append_request_line(out, Method::kHead, "/", 0);
  append_header(out, "Content-Length", std::uint64_t{18446744073709551615u});
  append_head_end(out);
  EXPECT_EQ(
      out,
      "HTTP/1.1 404 Not Found\r\nHTTP/1.1 200 Fine\r\nHTTP/1.1 299 Unknown\r\nPOST /a?b HTTP/1.1\r\nHEAD / HTTP/1.0\r\n"
      "Content-Length: 18446744073709551615\r\n\r\n");
}

TEST(Serialize, ErrorPages) {
  std::string out;
  append_error_page(out, {.status = 502}, 784111777);
  EXPECT_EQ(out,
            "HTTP/1.1 502 Bad Gateway\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: sluice\r\n"
            "Content-Type: text/html; charset=utf-8\r\nContent-Length: 72\r\nConnection: close\r\n\r\n"
            "<!DOCTYPE html>\n<title>502 Bad Gateway</title>\n<h1>502 Bad Gateway</h1>\n");
  constexpr std::uint16_t kStatuses[] = {400, 403, 404, 405, 408, 413, 414, 416, 417,
                                         431, 500, 501, 502, 503, 504, 505, 304};
  for (const std::uint16_t status : kStatuses) {
    out.clear();
    append_error_page(out,
                      {.status = status, .keep_alive = true, .minor_version = 0, .extra_headers = "Allow: GET\r\n"}, 0);
    const std::size_t head_end = out.find("\r\n\r\n") + 4;
    const std::string body = out.substr(head_end);
    EXPECT_NE(reason_phrase(status), "Unknown");
    EXPECT_NE(out.find("Connection: keep-alive\r\nAllow: GET\r\n\r\n"), std::string::npos);
    EXPECT_EQ(body.empty(), status == 304);
    if (status != 304) {
      EXPECT_NE(out.find("Content-Length: " + std::to_string(body.size()) + "\r\n"), std::string::npos) << out;
    }
  }
  out.clear();
  append_error_page(out, {.status = 404, .keep_alive = true, .head_only = true, .server = ""}, 0);
  EXPECT_TRUE(out.ends_with("\r\n\r\n"));
  EXPECT_EQ(out.find("Server:"), std::string::npos);
  EXPECT_EQ(out.find("Connection:"), std::string::npos);
}

}  // namespace
}  // namespace sluice::http
