// A parser that has seen one message allocates nothing for the next ones like it.
// In a program of its own, since it replaces operator new.
#include <atomic>
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include "parse_driver.h"

namespace {
std::atomic<std::size_t> allocations{0};
}

void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void* operator new[](std::size_t bytes) { return operator new(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes);
}
void* operator new[](std::size_t bytes, const std::nothrow_t& tag) noexcept { return operator new(bytes, tag); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace sluice::http::test {
namespace {

std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// Takes every step of one message.
template <typename Parser>
Step read_message(Parser& parser, std::span<const std::uint8_t> input) {
  for (;;) {
    const ParseStep step = parser.feed(input);
    input = input.subspan(step.consumed);
    if (step.step == Step::kNeedMore || step.step == Step::kEnd || step.step == Step::kError) return step.step;
  }
}

constexpr std::string_view kRequests[] = {
    "GET /a/../b%20c?d HTTP/1.1\r\nHost: WWW.example.com\r\nAccept: */*\r\nCookie: a=b\r\n\r\n",
    "POST http://www.example.com?a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
};
constexpr std::string_view kResponse = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\nServer: b\r\n\r\nhello";

TEST(Allocation, NoneAfterTheFirstMessages) {
  RequestParser requests;
  ResponseParser responses;
  std::size_t before = 0;
  for (int round = 0; round < 10; ++round) {
    if (round == 1) before = allocations;
    for (const std::string_view request : kRequests) {
      ASSERT_EQ(read_message(requests, bytes_of(request)), Step::kEnd);
      requests.next();
    }
    responses.start(Method::kGet);
    ASSERT_EQ(read_message(responses, bytes_of(kResponse)), Step::kEnd);
  }
  EXPECT_EQ(allocations, before);
}

TEST(Allocation, ReleaseGivesEverythingBack) {
  RequestParser requests;
  ASSERT_EQ(read_message(requests, bytes_of(kRequests[0])), Step::kEnd);
  requests.release();
  const std::size_t before = allocations;
  ASSERT_EQ(read_message(requests, bytes_of(kRequests[0])), Step::kEnd);
  EXPECT_GT(allocations, before);
  EXPECT_EQ(
      describe(requests.head()),
      "GET 1.1 host=www.example.com port=0 authority=WWW.example.com path=/b c query=d forward=/a/../b%20c?d keep");
}

}  // namespace
}  // namespace sluice::http::test
