// Static files through the whole proxy, and what the file service refuses.
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>

#include <fcntl.h>
#include <sys/stat.h>
#include <utime.h>

#include "file_cache.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "world.h"

namespace sluice::proxy::test {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr UnixSeconds kModified = 784111777;  // Sun, 06 Nov 1994 08:49:37 GMT

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "sluice-static-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
    fs::create_directories(path_ / "root/sub");
    write("root/hello.txt", "hello, world");
    write("root/empty.css", "");
    write("root/index.html", "<p>index</p>");
    write("root/sub/index.html", "<p>sub</p>");
    write("root/two words.html", "spaced");
    write("secret.txt", "secret");
    fs::create_symlink("hello.txt", path_ / "root/inside");
    fs::create_symlink("../secret.txt", path_ / "root/outside");
    fs::create_symlink("/etc/passwd", path_ / "root/absolute");
    fs::create_directories(path_ / "root/bare");
    ::mkfifo((path_ / "root/fifo").c_str(), 0600);
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  void write(const std::string& name, std::string_view content, UnixSeconds modified = kModified) {
    const fs::path file = path_ / name;
    std::ofstream(file, std::ios::binary) << content;
    const utimbuf times{.actime = modified, .modtime = modified};
    ::utime(file.c_str(), &times);
  }
  [[nodiscard]] std::string root() const { return (path_ / "root").string(); }
  [[nodiscard]] fs::path path() const { return path_; }

 private:
  fs::path path_;
};

std::string service(const Folder& folder, std::string_view keys = {}) {
  return one_service("        - match: { path: /static/ }\n          static: { alias: " + folder.root() + "/" +
                     std::string(keys) + " }\n        - { match: { path: /bare }, static: { alias: " + folder.root() +
                     " } }\n");
}

struct FileCase {
  const char* name;
  std::string method, target, headers;
  int status;
  std::string body;  // of 200 and 206; "*": anything
};
std::ostream& operator<<(std::ostream& out, const FileCase& row) { return out << row.name; }

class Files : public ::testing::TestWithParam<FileCase> {};

TEST_P(Files, AreAnswered) {
  const FileCase& row = GetParam();
  const Folder folder;
  World world(service(folder));
  for (int again = 0; again < 2; ++again) {  // from disk, then from memory
    const Message answer = world.get(row.target, row.headers, row.method);
    EXPECT_EQ(answer.status(), row.status);
    if (row.body != "*") {
      EXPECT_EQ(answer.body, row.body);
    }
  }
}

const std::string kEtag = "\"2ebc98a1-c\"";  // hello.txt: modification time and size, in hexadecimal

INSTANTIATE_TEST_SUITE_P(
    Rows, Files,
    ::testing::Values(
        FileCase{"whole", "GET", "/static/hello.txt", "", 200, "hello, world"},
        FileCase{"head", "HEAD", "/static/hello.txt", "", 200, ""},
        FileCase{"empty", "GET", "/static/empty.css", "", 200, ""},
        FileCase{"encoded_name", "GET", "/static/two%20words.html", "", 200, "spaced"},
        FileCase{"query_is_ignored", "GET", "/static/hello.txt?v=2", "", 200, "hello, world"},
        FileCase{"index_of_the_root", "GET", "/static/", "", 200, "<p>index</p>"},
        FileCase{"index_of_a_folder", "GET", "/static/sub/", "", 200, "<p>sub</p>"},
        FileCase{"folder_without_slash", "GET", "/static/sub", "", 301, "*"},
        FileCase{"folder_without_index", "GET", "/static/bare/", "", 404, "*"},
        FileCase{"missing", "GET", "/static/nothing", "", 404, "*"},
        FileCase{"file_as_folder", "GET", "/static/hello.txt/", "", 404, "*"},
        FileCase{"below_a_file", "GET", "/static/hello.txt/x", "", 404, "*"},
        FileCase{"name_too_long", "GET", "/static/" + std::string(300, 'n'), "", 404, "*"},
        FileCase{"post", "POST", "/static/hello.txt", "Content-Length: 0\r\n", 405, "*"},
        FileCase{"link_that_stays_inside", "GET", "/static/inside", "", 200, "hello, world"},
        FileCase{"link_that_leads_out", "GET", "/static/outside", "", 403, "*"},
        FileCase{"absolute_link", "GET", "/static/absolute", "", 403, "*"},
        FileCase{"fifo", "GET", "/static/fifo", "", 403, "*"},
        FileCase{"dots_above_the_root", "GET", "/static/../../../secret.txt", "", 400, "*"},
        FileCase{"dots_out_of_the_route", "GET", "/static/../secret.txt", "", 404, "*"},
        FileCase{"encoded_dots", "GET", "/static/%2e%2e/secret.txt", "", 404, "*"},
        FileCase{"encoded_slashes", "GET", "/static/..%2fsecret.txt", "", 404, "*"},
        FileCase{"not_modified_by_etag", "GET", "/static/hello.txt", "If-None-Match: " + kEtag + "\r\n", 304, ""},
        FileCase{"modified_by_etag", "GET", "/static/hello.txt", "If-None-Match: \"x\"\r\n", 200, "hello, world"},
        FileCase{"not_modified_by_date", "GET", "/static/hello.txt",
                 "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 304, ""},
        FileCase{"modified_by_date", "GET", "/static/hello.txt", "If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n",
                 200, "hello, world"},
        FileCase{"failed_precondition", "GET", "/static/hello.txt", "If-Match: \"x\"\r\n", 412, "*"},
        FileCase{"range", "GET", "/static/hello.txt", "Range: bytes=7-\r\n", 206, "world"},
        FileCase{"last_bytes", "GET", "/static/hello.txt", "Range: bytes=-5\r\n", 206, "world"},
        FileCase{"range_of_another_version", "GET", "/static/hello.txt", "Range: bytes=7-\r\nIf-Range: \"x\"\r\n", 200,
                 "hello, world"},
        FileCase{"range_beyond_the_end", "GET", "/static/hello.txt", "Range: bytes=12-\r\n", 416, "*"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(Static, HeadersOfAnAnswer) {
  const Folder folder;
  World world(service(folder, ", expires: 30d, headers: { Cache-Control: public, X-From: \"${request.host}\" }"));
  const Message answer = world.get("/static/hello.txt");
  EXPECT_EQ(answer.header("Content-Type"), "text/plain");
  EXPECT_EQ(answer.header("Content-Length"), "12");
  EXPECT_EQ(answer.header("ETag"), kEtag);
  EXPECT_EQ(answer.header("Last-Modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(answer.header("Expires"), "Thu, 14 Dec 2023 22:13:20 GMT");
  EXPECT_EQ(answer.header("Cache-Control"), "max-age=2592000, public");
  EXPECT_EQ(answer.header("Accept-Ranges"), "bytes");
  EXPECT_EQ(answer.header("X-From"), "www.example.com");
  const Message unchanged = world.get("/static/hello.txt", "If-None-Match: " + kEtag + "\r\n");
  EXPECT_EQ(unchanged.header("ETag"), kEtag);
  EXPECT_EQ(unchanged.header("Cache-Control"), "max-age=2592000, public");
  EXPECT_FALSE(unchanged.has("Content-Length"));
  EXPECT_EQ(world.get("/static/hello.txt", "Range: bytes=0-4\r\n").header("Content-Range"), "bytes 0-4/12");
  EXPECT_EQ(world.get("/static/sub?x").header("Location"), "/static/sub/?x");
  EXPECT_EQ(world.get("/static/hello.txt", {}, "DELETE").header("Allow"), "GET, HEAD");
  EXPECT_EQ(world.get("/bare").header("Location"), "/bare/");
}

TEST(Static, AChangedFileIsSeenWithinASecond) {
  Folder folder;
  World world(service(folder));
  EXPECT_EQ(world.get("/static/hello.txt").body, "hello, world");
  folder.write("root/hello.txt", "changed", kModified + 5);
  EXPECT_EQ(world.get("/static/hello.txt").body, "hello, world");
  EXPECT_EQ(world.counters().static_reads.read(), 1u);
  world.run_for(2s);
  EXPECT_EQ(world.get("/static/hello.txt").body, "changed");
  fs::remove(folder.path() / "root/hello.txt");
  world.run_for(2s);
  EXPECT_EQ(world.get("/static/hello.txt").status(), 404);
}

TEST(Static, ALargeFileIsSentInPiecesToASlowClient) {
  Folder folder;
  std::string content(3'000'000, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7 + i / 1000);
  folder.write("root/large.bin", content);
  World world(service(folder));
  const Message whole = world.get("/static/large.bin");
  EXPECT_EQ(whole.start_line, "HTTP/1.1 200 OK");
  EXPECT_EQ(whole.body.size(), content.size());
  EXPECT_TRUE(whole.body == content);
  const Message part = world.get("/static/large.bin", "Range: bytes=1000000-1999999\r\n");
  EXPECT_TRUE(part.body == content.substr(1'000'000, 1'000'000));

  const std::uint64_t before = world.counters().static_reads.read();
  const std::unique_ptr<Peer> slow = world.connect();
  slow->reading = false;
  slow->send("GET /static/large.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  world.run_for(10s);
  EXPECT_LT(world.counters().static_reads.read() - before, 6u);  // it stopped reading ahead
  slow->reading = true;
  slow->pull();
  EXPECT_TRUE(world.run([&] { return slow->peer_closed; }));
  EXPECT_TRUE(responses_of(slow->received).at(0).body == content);
}

TEST(Static, AFileThatShrinksMeanwhileBreaksTheResponseOff) {
  Folder folder;
  folder.write("root/large.bin", std::string(3'000'000, 'x'));
  World world(service(folder));
  const std::unique_ptr<Peer> peer = world.connect();
  peer->reading = false;
  peer->send("GET /static/large.bin HTTP/1.1\r\nHost: x\r\n\r\n");
  world.run_for(5s);
  fs::resize_file(folder.path() / "root/large.bin", 10);
  peer->reading = true;
  peer->pull();
  EXPECT_TRUE(world.run([&] { return peer->closed; }, 30s));
  EXPECT_EQ(peer->error, tcp::StreamError::kReset);
}

// ---- the service and the cache on their own ----

TEST(FileServiceTest, AFullQueueIsRefusedAndTheRestIsDropped) {
  const Folder folder;
  auto inbox = std::make_shared<Inbox>([] {});
  std::size_t taken = 0;
  {
    FileService none(0);  // nobody works the queue off
    while (none.open(folder.root(), "hello.txt", 100, inbox, [](FileAnswer) { FAIL() << "nobody reads"; })) ++taken;
  }
  EXPECT_EQ(taken, FileService::kMaxQueued);
  EXPECT_EQ(inbox->drain(), 0u);
}

TEST(FileServiceTest, AnAnswerThatComesTooLateIsDropped) {
  const Folder folder;
  auto inbox = std::make_shared<Inbox>([] {});
  inbox->close();
  {
    FileService service(1);
    ASSERT_TRUE(service.open(folder.root(), "hello.txt", 100, inbox, [](FileAnswer) { FAIL() << "closed"; }));
  }
  EXPECT_EQ(inbox->drain(), 0u);
}

std::shared_ptr<CachedFile> cached(std::size_t bytes) {
  auto file = std::make_shared<CachedFile>();
  file->bytes.assign(bytes, 'x');
  return file;
}

TEST(FileCacheTest, TheOldestGoesFirst) {
  FileCache cache;
  for (std::size_t i = 0; i < FileCache::kMaxEntries; ++i) cache.insert("f" + std::to_string(i), cached(10));
  EXPECT_NE(cache.find("f0"), nullptr);  // used: now the youngest
  cache.insert("one more", cached(10));
  EXPECT_EQ(cache.size(), FileCache::kMaxEntries);
  EXPECT_NE(cache.find("f0"), nullptr);
  EXPECT_EQ(cache.find("f1"), nullptr);
}

TEST(FileCacheTest, ContentIsBounded) {
  FileCache cache;
  const std::size_t piece = FileCache::kMaxBytes / 4;
  for (int i = 0; i < 6; ++i) cache.insert(std::to_string(i), cached(piece));
  EXPECT_LE(cache.bytes(), FileCache::kMaxBytes);
  EXPECT_EQ(cache.find("1"), nullptr);
  EXPECT_NE(cache.find("5"), nullptr);
  cache.insert("5", cached(1));  // replaced
  EXPECT_EQ(cache.bytes(), 3 * piece + 1);
  for (int i = 0; i < 6; ++i) cache.erase(std::to_string(i));
  EXPECT_EQ(cache.bytes(), 0u);
}

}  // namespace
}  // namespace sluice::proxy::test
