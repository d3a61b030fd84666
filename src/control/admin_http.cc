#include "admin_http.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sluice::control {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxRequest = 128 << 10;  // line, fields and body

// Set while a connection is not to be served: httplib's queue can run a job, and not give it back.
thread_local bool refusing = false;

class BoundedQueue final : public httplib::TaskQueue {
 public:
  explicit BoundedQueue(const AdminLimits& limits) : waiting_(limits.waiting), idle_(limits.threads) {
    for (std::size_t i = 0; i < limits.threads; ++i) threads_.emplace_back([this] { work(); });
  }

  void enqueue(std::function<void()> job) override {
    {
      const std::lock_guard lock(mutex_);
      if (jobs_.size() < idle_ + waiting_) {
        jobs_.push_back(std::move(job));
        return ready_.notify_one();
      }
    }
    refusing = true;
    job();
    refusing = false;
  }

  void shutdown() override {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    ready_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      ready_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      --idle_;
      const std::function<void()> job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      lock.lock();
      ++idle_;
    }
  }

  const std::size_t waiting_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> jobs_;
  std::size_t idle_;  // threads without a job; one may have been woken for one of jobs_
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

class TimedStream final : public httplib::Stream {
 public:
  TimedStream(socket_t socket, Clock::duration patience)
      : socket_(socket), patience_(patience), read_deadline_(Clock::now() + patience) {}

  bool is_readable() const override { return at_ < have_ || wait(POLLIN, read_deadline_); }
  bool is_writable() const override { return wait(POLLOUT, write_deadline_.value_or(Clock::now() + patience_)); }

  ssize_t read(char* to, std::size_t size) override {
    if (at_ == have_ && !fill()) return -1;
    const std::size_t part = std::min(size, have_ - at_);
    std::memcpy(to, buffer_.data() + at_, part);
    at_ += part;
    return static_cast<ssize_t>(part);
  }

  ssize_t write(const char* from, std::size_t size) override {
    if (!write_deadline_) write_deadline_ = Clock::now() + patience_;  // the handler's time is not the client's
    if (!is_writable()) return -1;
    return ::send(socket_, from, size, MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  void get_remote_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  void get_local_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  socket_t socket() const override { return socket_; }

 private:
  bool fill() {
    if (taken_ >= kMaxRequest || !is_readable()) return false;
    const ssize_t got = ::recv(socket_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (got <= 0) return false;
    at_ = 0;
    have_ = static_cast<std::size_t>(got);
    taken_ += have_;
    return true;
  }

  bool wait(short events, Clock::time_point deadline) const {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd ask{.fd = socket_, .events = events, .revents = 0};
    return left > 0 && ::poll(&ask, 1, static_cast<int>(left)) > 0;
  }

  const socket_t socket_;
  const Clock::duration patience_;
  const Clock::time_point read_deadline_;
  std::optional<Clock::time_point> write_deadline_;  // from the first write on
  std::array<char, 4096> buffer_;
  std::size_t at_ = 0, have_ = 0;  // in buffer_
  std::size_t taken_ = 0;
};

}  // namespace

AdminHttp::AdminHttp(const AdminLimits& limits) : limits_(limits) {
  new_task_queue = [limits] { return new BoundedQueue(limits); };
}

bool AdminHttp::process_and_close_socket(socket_t sock) {
  bool served = false;
  if (!refusing) {
    TimedStream stream(sock, limits_.patience);
    bool closed = false;
    served = process_request(stream, true, closed, nullptr);
  }
  ::shutdown(sock, SHUT_RDWR);
  ::close(sock);
  return served;
}

}  // namespace sluice::control
