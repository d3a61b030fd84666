#include "sluice/control/admin_server.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <latch>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace sluice::control {
namespace {

using testing::HasSubstr;

class AdminServerTest : public testing::Test {
 protected:
  AdminServerTest() {
    char pattern[] = "/tmp/sluice-admin-XXXXXX";
    folder_ = ::mkdtemp(pattern);
    path_ = folder_ + "/admin.sock";
    server_.get("/echo", [](const AdminQuery& query) -> Result<nlohmann::json> {
      const auto found = query.find("word");
      if (found == query.end()) return fail("the parameter word is missing");
      return nlohmann::json{{"word", found->second}};
    });
  }
  ~AdminServerTest() override {
    server_.stop();
    std::filesystem::remove_all(folder_);
  }

  httplib::Result ask(const std::string& target) {
    httplib::Client client(path_);
    client.set_address_family(AF_UNIX);
    return client.Get(target);
  }

  std::string folder_, path_;
  AdminServer server_;
};

TEST_F(AdminServerTest, AnswersWithJson) {
  ASSERT_TRUE(server_.start(path_).has_value());
  const auto answer = ask("/echo?word=hello");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(nlohmann::json::parse(answer->body), (nlohmann::json{{"word", "hello"}}));
}

TEST_F(AdminServerTest, SaysWhatIsWrong) {
  ASSERT_TRUE(server_.start(path_).has_value());
  const auto bad = ask("/echo");
  ASSERT_TRUE(bad);
  EXPECT_EQ(bad->status, 400);
  EXPECT_THAT(bad->body, HasSubstr("the parameter word is missing"));
  const auto unknown = ask("/nothing");
  ASSERT_TRUE(unknown);
  EXPECT_EQ(unknown->status, 404);
  EXPECT_THAT(unknown->body, HasSubstr("nothing is served at /nothing"));
}

TEST_F(AdminServerTest, ShowsBytesThatAreNotUtf8) {
  ASSERT_TRUE(server_.start(path_).has_value());
  const auto answer = ask("/echo?word=%ff");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
}

// A thousand ranges of one answer would be a thousand answers in memory.
TEST_F(AdminServerTest, ServesNoRanges) {
  ASSERT_TRUE(server_.start(path_).has_value());
  httplib::Client client(path_);
  client.set_address_family(AF_UNIX);
  const auto answer = client.Get("/echo?word=hello", httplib::Headers{{"Range", "bytes=0-,0-,0-"}});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 400);
  EXPECT_THAT(answer->body, HasSubstr("Range"));
}

TEST_F(AdminServerTest, MakesASocketForOwnerAndGroupAndRemovesIt) {
  ASSERT_TRUE(server_.start(path_).has_value());
  struct stat status{};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0660u);
  server_.stop();
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(AdminServerTest, MakesItsFolder) {
  ASSERT_TRUE(server_.start(folder_ + "/a/b/admin.sock").has_value());
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/a/b/admin.sock"));
}

TEST_F(AdminServerTest, ReplacesAStaleSocket) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ::close(fd);
  ASSERT_TRUE(server_.start(path_).has_value());
  EXPECT_TRUE(ask("/echo?word=x"));
}

TEST_F(AdminServerTest, RefusesASocketInUse) {
  ASSERT_TRUE(server_.start(path_).has_value());
  AdminServer second;
  const auto started = second.start(path_);
  ASSERT_FALSE(started.has_value());
  EXPECT_THAT(started.error().message, HasSubstr("another process answers there"));
}

TEST_F(AdminServerTest, RefusesAFileThatIsNoSocket) {
  std::ofstream(path_) << "precious";
  const auto started = server_.start(path_);
  ASSERT_FALSE(started.has_value());
  EXPECT_THAT(started.error().message, HasSubstr("not a socket"));
  EXPECT_TRUE(std::filesystem::exists(path_));
}

int connect_to(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

// The server has closed the connection (or answered, which no test here expects).
bool is_closed_by_the_server(int fd) {
  char byte = 0;
  return ::recv(fd, &byte, 1, 0) <= 0;
}

class SlowClients : public AdminServerTest {
 protected:
  SlowClients() {
    // Far more than a socket's buffers hold.
    one_.get("/large", [](const AdminQuery&) -> Result<nlohmann::json> { return std::string(8 << 20, 'x'); });
    one_.get("/small", [](const AdminQuery&) -> Result<nlohmann::json> { return "x"; });
    one_.get("/wait", [this](const AdminQuery&) -> Result<nlohmann::json> {
      entered_.count_down();
      leave_.wait();
      return "done";
    });
    EXPECT_TRUE(one_.start(path_).has_value());
  }
  ~SlowClients() override { one_.stop(); }

  std::latch entered_{1}, leave_{1};
  AdminServer one_{{.threads = 1, .waiting = 1, .patience = std::chrono::milliseconds(100)}};
};

TEST_F(SlowClients, WhoSendsNoRequestIsDropped) {
  const int fd = connect_to(path_);
  EXPECT_TRUE(is_closed_by_the_server(fd));
  ::close(fd);
  EXPECT_TRUE(ask("/small"));
}

TEST_F(SlowClients, WhoSendsItByteByByteIsDropped) {
  const int fd = connect_to(path_);
  const std::string begin = "GET /small HTTP/1.1\r\nX: ";
  ASSERT_GT(::send(fd, begin.data(), begin.size(), MSG_NOSIGNAL), 0);
  pollfd closed{.fd = fd, .events = POLLIN, .revents = 0};
  int bytes = 0;
  for (; bytes < 1000 && ::poll(&closed, 1, 10) == 0; ++bytes) (void)::send(fd, "x", 1, MSG_NOSIGNAL);
  EXPECT_LT(bytes, 1000);
  ::close(fd);
}

TEST_F(SlowClients, WhoSendsWithoutEndIsDropped) {
  const int fd = connect_to(path_);
  const std::string begin = "GET /small HTTP/1.1\r\n", field = "X: " + std::string(1000, 'x') + "\r\n";
  ssize_t sent = ::send(fd, begin.data(), begin.size(), MSG_NOSIGNAL);
  std::size_t fields = 0;
  for (; sent > 0 && fields < 100'000; ++fields) sent = ::send(fd, field.data(), field.size(), MSG_NOSIGNAL);
  EXPECT_LT(fields, 2000u);
  ::close(fd);
}

TEST_F(SlowClients, WhoDoesNotTakeTheAnswerIsDropped) {
  const int fd = connect_to(path_);
  const std::string request = "GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
  ASSERT_GT(::send(fd, request.data(), request.size(), MSG_NOSIGNAL), 0);
  EXPECT_TRUE(ask("/small"));  // served once the one thread is free again
  ::close(fd);
}

TEST_F(SlowClients, WhoIsTooMuchIsTurnedAway) {
  std::thread first([this] { EXPECT_TRUE(ask("/wait")); });
  entered_.wait();
  const std::string request = "GET /small HTTP/1.1\r\nHost: x\r\n\r\n";
  const int second = connect_to(path_), third = connect_to(path_);  // accepted in this order
  ASSERT_GT(::send(second, request.data(), request.size(), MSG_NOSIGNAL), 0);
  EXPECT_TRUE(is_closed_by_the_server(third));
  leave_.count_down();
  first.join();
  EXPECT_FALSE(is_closed_by_the_server(second));
  ::close(second);
  ::close(third);
}

TEST_F(AdminServerTest, RefusesAPathThatIsTooLong) {
  const auto started = server_.start(folder_ + "/" + std::string(200, 'x'));
  ASSERT_FALSE(started.has_value());
  EXPECT_THAT(started.error().message, HasSubstr("at most 107 characters"));
}

}  // namespace
}  // namespace sluice::control
