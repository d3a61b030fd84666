// What one request costs in parsing, validating and finding its cached answer.
#include <benchmark/benchmark.h>

#include "sluice/cache/store.h"
#include "sluice/http/request_parser.h"
#include "sluice/http/response_parser.h"

namespace {

using namespace sluice;

constexpr std::string_view kSmall =
    "GET /1k.bin HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n";
constexpr std::string_view kBrowser =
    "GET /static/js/app.3f2a1.js?v=12 HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 "
    "Safari/537.36\r\n"
    "Accept: */*\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\nReferer: "
    "https://www.example.com/index.html\r\n"
    "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.9\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; id=GA1.1.123456789.1234567890\r\n\r\n";
constexpr std::string_view kResponse =
    "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    "Content-Type: application/octet-stream\r\nContent-Length: 1024\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    "Connection: keep-alive\r\nETag: \"65f-400\"\r\nAccept-Ranges: bytes\r\n\r\n";

std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

void parse_request(benchmark::State& state, std::string_view text) {
  http::RequestParser parser;
  for (auto _ : state) {
    const http::ParseStep step = parser.feed(bytes_of(text));
    if (step.step != http::Step::kHead || parser.feed({}).step != http::Step::kEnd) state.SkipWithError("refused");
    benchmark::DoNotOptimize(parser.head());
    parser.next();
  }
}
BENCHMARK_CAPTURE(parse_request, small, kSmall);
BENCHMARK_CAPTURE(parse_request, browser, kBrowser);

void parse_response(benchmark::State& state) {
  http::ResponseParser parser;
  for (auto _ : state) {
    parser.start(http::Method::kGet);
    if (parser.feed(bytes_of(kResponse)).step != http::Step::kHead) state.SkipWithError("refused");
    benchmark::DoNotOptimize(parser.head());
  }
}
BENCHMARK(parse_response);

struct Nobody final : cache::Waiter {
  void wake() noexcept override {}
};

// Key, lookup, and the first piece of the body, of one hot object.
void cache_hit(benchmark::State& state) {
  cache::Store store({.budget_bytes = 64 << 20});
  Nobody waiter;
  const http::HeaderList none;
  std::string text;
  cache::LookupRequest request;
  request.headers = &none;
  request.now = 1;
  request.key = store.make_key(text, true, "www.example.com", 443, "/1k.bin");
  {
    cache::Lookup found = store.lookup(request, waiter);
    http::ResponseHead head;
    head.status = 200;
    head.content_length = 1024;
    head.headers.add("Cache-Control", "max-age=60");
    const cache::ExchangeTimes times{1, 1};
    const auto policy = cache::judge_response(http::Method::kGet, none, head, times);
    const cache::ObjectRef object = found.fill.start(none, head, policy, times);
    static_cast<void>(found.fill.append(bytes_of(std::string(1024, 'x'))));
    found.fill.finish();
  }
  for (auto _ : state) {
    request.key = store.make_key(text, true, "www.example.com", 443, "/1k.bin");
    cache::Lookup found = store.lookup(request, waiter);
    cache::Reader reader(std::move(found.object));
    benchmark::DoNotOptimize(reader.bytes());
  }
}
BENCHMARK(cache_hit);

}  // namespace

BENCHMARK_MAIN();
