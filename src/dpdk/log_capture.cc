#include "log_capture.h"

#include <cstdio>
#include <deque>
#include <mutex>

#include <rte_log.h>

#include "sluice/base/log.h"

namespace sluice::dpdk {
namespace {

constexpr std::size_t kKeptLines = 4;
constexpr std::size_t kMaxLine = 1024;

// DPDK's log stream is global, so what feeds on it is too: the one mutable global of this module.
struct Capture {
  std::mutex mutex;
  std::string partial;            // under mutex
  std::deque<std::string> lines;  // under mutex
};
Capture& capture() {
  static Capture instance;
  return instance;
}

void end_line(Capture& to) {
  if (!to.partial.empty()) {
    log::debug("dpdk: {}", to.partial);
    if (rte_log_cur_msg_loglevel() <= static_cast<int>(RTE_LOG_WARNING) || rte_log_cur_msg_loglevel() < 0) {
      to.lines.push_back(to.partial);
      if (to.lines.size() > kKeptLines) to.lines.pop_front();
    }
  }
  to.partial.clear();
}

ssize_t write_log(void* /*cookie*/, const char* bytes, std::size_t size) {
  Capture& to = capture();
  const std::lock_guard lock(to.mutex);
  for (std::size_t i = 0; i < size; ++i) {
    if (bytes[i] == '\n') {
      end_line(to);
    } else if (to.partial.size() < kMaxLine) {
      to.partial.push_back(bytes[i]);
    }
  }
  return static_cast<ssize_t>(size);
}

}  // namespace

void install_log_capture() {
  cookie_io_functions_t functions{};
  functions.write = write_log;
  std::FILE* stream = ::fopencookie(nullptr, "w", functions);
  if (stream == nullptr) return;
  std::setvbuf(stream, nullptr, _IONBF,
               0);  // unbuffered: the level of the current message is asked while it is written
  rte_openlog_stream(stream);
}

void clear_log_lines() {
  const std::lock_guard lock(capture().mutex);
  capture().lines.clear();
}

std::string take_log_lines() {
  const std::lock_guard lock(capture().mutex);
  std::string joined;
  for (const std::string& line : capture().lines) joined += (joined.empty() ? "" : "; ") + line;
  capture().lines.clear();
  return joined;
}

}  // namespace sluice::dpdk
