#include "sluice/proxy/file_service.h"

#include <cerrno>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace sluice::proxy {

namespace {

constexpr int kOpenFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;  // O_NONBLOCK: a FIFO must not hang the helper

FileError error_of(int code) noexcept {
  switch (code) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
      return FileError::kNotFound;
    case EACCES:
    case EPERM:
    case EXDEV:  // openat2: the path leads out of the root
    case ELOOP:
    case ENXIO:  // a socket, or a device without its driver
      return FileError::kForbidden;
    default:
      return FileError::kFailed;
  }
}

// For kernels before 5.6: one component at a time, and none of them may be a link.
int open_by_walk(int root, std::string_view path) noexcept {
  int at = ::dup(root);
  while (at >= 0) {
    const std::size_t slash = path.find('/');
    const std::string name(path.substr(0, slash));
    const bool last = slash == std::string_view::npos;
    if (name == "..") {
      ::close(at);
      errno = EXDEV;
      return -1;
    }
    const int flags = kOpenFlags | O_NOFOLLOW | (last ? 0 : O_DIRECTORY);
    const int next = ::openat(at, name.empty() ? "." : name.c_str(), flags);
    const int code = errno;
    ::close(at);
    errno = code;
    if (last || next < 0) return next;
    path.remove_prefix(slash + 1);
    at = next;
  }
  return -1;
}

int open_beneath(const std::string& root, const std::string& path) noexcept {
  const int directory = ::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return -1;
  open_how how{};
  how.flags = static_cast<std::uint64_t>(kOpenFlags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const char* name = path.empty() ? "." : path.c_str();
  int fd = static_cast<int>(::syscall(SYS_openat2, directory, name, &how, sizeof how));
  if (fd < 0 && (errno == ENOSYS || errno == EPERM))
    fd = open_by_walk(directory, name);  // EPERM: an old seccomp filter
  const int code = errno;
  ::close(directory);
  errno = code;
  return fd;
}

FileError read_exactly(int fd, std::uint64_t offset, std::size_t length, std::vector<std::uint8_t>& out) {
  out.resize(length);
  std::size_t done = 0;
  while (done < length) {
    const ssize_t got = ::pread(fd, out.data() + done, length - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return FileError::kFailed;
    done += static_cast<std::size_t>(got);
  }
  return FileError::kNone;
}

FileAnswer open_file(const std::string& root, const std::string& path, std::size_t inline_bytes) {
  FileAnswer answer;
  const int fd = open_beneath(root, path);
  if (fd < 0) {
    answer.error = error_of(errno);
    return answer;
  }
  auto file = std::make_shared<OpenFile>(fd);
  struct stat status{};
  if (::fstat(fd, &status) != 0) {
    answer.error = FileError::kFailed;
    return answer;
  }
  if (!S_ISREG(status.st_mode)) {
    answer.error = S_ISDIR(status.st_mode) ? FileError::kIsDirectory : FileError::kForbidden;
    return answer;
  }
  file->size = static_cast<std::uint64_t>(status.st_size);
  file->modified = status.st_mtim.tv_sec;
  file->modified_ns = static_cast<std::uint32_t>(status.st_mtim.tv_nsec);
  file->inode = status.st_ino;
  if (file->size <= inline_bytes) {
    answer.error = read_exactly(fd, 0, static_cast<std::size_t>(file->size), answer.bytes);
    file->close();
  }
  answer.file = std::move(file);
  return answer;
}

}  // namespace

OpenFile::~OpenFile() { close(); }

void OpenFile::close() noexcept {
  if (fd >= 0) ::close(std::exchange(fd, -1));
}

FileService::FileService(unsigned threads) {
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
}

FileService::~FileService() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    queue_.clear();
  }
  ready_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool FileService::open(std::string root, std::string path, std::size_t inline_bytes, std::shared_ptr<Inbox> inbox,
                       Done done) {
  return enqueue([root = std::move(root), path = std::move(path), inline_bytes, inbox = std::move(inbox),
                  done = std::move(done)]() mutable {
    inbox->post(
        [done = std::move(done), answer = open_file(root, path, inline_bytes)]() mutable { done(std::move(answer)); });
  });
}

bool FileService::read(std::shared_ptr<const OpenFile> file, std::uint64_t offset, std::size_t length,
                       std::shared_ptr<Inbox> inbox, Done done) {
  return enqueue([file = std::move(file), offset, length, inbox = std::move(inbox), done = std::move(done)]() mutable {
    FileAnswer answer;
    answer.error = read_exactly(file->fd, offset, length, answer.bytes);
    answer.file = std::move(file);
    inbox->post([done = std::move(done), answer = std::move(answer)]() mutable { done(std::move(answer)); });
  });
}

bool FileService::enqueue(Job job) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || queue_.size() >= kMaxQueued) return false;
    queue_.push_back(std::move(job));
  }
  ready_.notify_one();
  return true;
}

void FileService::run() {
  for (;;) {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    Job job = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    job();
  }
}

}  // namespace sluice::proxy
