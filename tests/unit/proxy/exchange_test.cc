// Whole exchanges: a client, the proxy and an origin over three TCP stacks on virtual time.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sluice/base/task.h"
#include "world.h"

namespace sluice::proxy::test {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kToWeb = "        - { pool: web }\n";

TEST(Exchange, ARequestGoesToTheBackendAndItsAnswerComesBack) {
  World world(one_service(kToWeb));
  Origin& origin = world.origin();
  const Message answer = world.get("/hello?x=1");
  EXPECT_EQ(answer.start_line, "HTTP/1.1 200 Said");
  EXPECT_EQ(answer.body, "answer to GET /hello?x=1");
  ASSERT_EQ(origin.requests.size(), 1u);
  EXPECT_EQ(origin.requests[0].header("Host"), "www.example.com");
}

}  // namespace
}  // namespace sluice::proxy::test
