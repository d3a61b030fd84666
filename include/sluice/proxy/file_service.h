// Reads static files off the proxy threads: a few helper threads with one bounded queue, shared by all proxies.
// Threading: open() and read() from any proxy thread; the answer comes through that proxy's Inbox. They never block.
// Ownership: an open file is shared (OpenFile closes its descriptor with the last reference), bytes are handed over in
//            a vector.
// Safety:    a path is resolved beneath its root (openat2 RESOLVE_BENEATH): `..` and symbolic links that lead out are
//            refused, links that stay inside are followed. A kernel without openat2 gets a walk that follows no link at
//            all. Only regular files.
// Limits:    kMaxQueued jobs; a full queue is refused at once and counted by the caller.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "sluice/base/time.h"
#include "sluice/proxy/inbox.h"

namespace sluice::proxy {

enum class FileError : std::uint8_t {
  kNone,
  kNotFound,     // ENOENT, ENOTDIR, a name that is too long
  kForbidden,    // EACCES, a link that leads out of the root, not a regular file
  kIsDirectory,  // the caller answers with a redirect, or looks for the index
  kFailed,       // anything else: EIO, no descriptors, a file that became shorter
};

struct OpenFile {
  int fd = -1;  // -1: closed already, the content was read whole
  std::uint64_t size = 0;
  UnixSeconds modified = 0;
  std::uint32_t modified_ns = 0;
  std::uint64_t inode = 0;

  explicit OpenFile(int descriptor) noexcept : fd(descriptor) {}
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  void close() noexcept;
};

struct FileAnswer {
  FileError error = FileError::kNone;
  std::shared_ptr<const OpenFile> file;
  std::vector<std::uint8_t> bytes;  // open(): the file if it is at most `inline_bytes`; read(): what was asked for
};

class FileService {
 public:
  static constexpr std::size_t kMaxQueued = 1024;
  using Done = std::move_only_function<void(FileAnswer)>;

  explicit FileService(unsigned threads = 2);
  ~FileService();  // what is queued is dropped unanswered; joins
  FileService(const FileService&) = delete;
  FileService& operator=(const FileService&) = delete;

  // Opens `path` (relative, no leading slash) beneath the directory `root`. A directory gives kIsDirectory. A file of
  // at most `inline_bytes` comes with its content. `done` runs on the inbox's thread. false: the queue is full.
  [[nodiscard]] bool open(std::string root, std::string path, std::size_t inline_bytes, std::shared_ptr<Inbox> inbox,
                          Done done);
  // Reads `length` bytes at `offset`, all of them or kFailed.
  [[nodiscard]] bool read(std::shared_ptr<const OpenFile> file, std::uint64_t offset, std::size_t length,
                          std::shared_ptr<Inbox> inbox, Done done);

 private:
  using Job = std::move_only_function<void()>;
  [[nodiscard]] bool enqueue(Job job);
  void run();

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Job> queue_;  // under mutex_
  bool stopping_ = false;  // under mutex_
  std::vector<std::thread> threads_;
};

}  // namespace sluice::proxy
