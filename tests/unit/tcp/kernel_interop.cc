// Our stack against the kernel's TCP, over a TUN device in a network namespace of this process: real peers find what
// simulators do not. Packets are lost at random in both directions when told so.
// Use: kernel_interop [per mille lost] [seed]; needs /dev/net/tun, and root or unprivileged user namespaces.
// Threading: the stack runs in a thread of its own; the kernel's sockets are used, blocking, in the main thread and in
//            helpers.
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sluice/base/random.h"
#include "sluice/tcp/stack.h"

namespace sluice::tcp {
namespace {

// linux/ipv6.h clashes with netinet/in.h; this is its request for SIOCSIFADDR.
struct In6Request {
  in6_addr address;
  std::uint32_t prefix_len;
  int index;
};

void must(bool ok, const std::string& what) {
  if (!ok) throw std::runtime_error(what + ": " + std::strerror(errno));
}

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) { must(fd >= 0, "open"); }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&&) = delete;
  ~Fd() { reset(); }
  void reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

constexpr char kKernel4[] = "192.0.2.1";
constexpr char kOurs4[] = "192.0.2.2";
constexpr char kKernel6[] = "2001:db8::1";
constexpr char kOurs6[] = "2001:db8::2";

void enter_namespace() {
  const uid_t uid = ::getuid();
  if (uid == 0) return must(::unshare(CLONE_NEWNET) == 0, "unshare");
  must(::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0, "unshare");
  std::ofstream("/proc/self/setgroups") << "deny";
  std::ofstream("/proc/self/uid_map") << "0 " << uid << " 1";
}

Fd open_tun() {
  Fd tun(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  ifreq request{};
  std::strcpy(request.ifr_name, "tun0");
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  must(::ioctl(tun.get(), TUNSETIFF, &request) == 0, "TUNSETIFF");
  const Fd control(::socket(AF_INET, SOCK_DGRAM, 0)), control6(::socket(AF_INET6, SOCK_DGRAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  ::inet_pton(AF_INET, kKernel4, &address.sin_addr);
  std::memcpy(&request.ifr_addr, &address, sizeof(address));
  must(::ioctl(control.get(), SIOCSIFADDR, &request) == 0, "SIOCSIFADDR");
  ::inet_pton(AF_INET, "255.255.255.0", &address.sin_addr);
  std::memcpy(&request.ifr_netmask, &address, sizeof(address));
  must(::ioctl(control.get(), SIOCSIFNETMASK, &request) == 0, "SIOCSIFNETMASK");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  must(::ioctl(control.get(), SIOCSIFFLAGS, &request) == 0, "SIOCSIFFLAGS");
  In6Request six{};
  ::inet_pton(AF_INET6, kKernel6, &six.address);
  six.prefix_len = 64;
  six.index = static_cast<int>(::if_nametoindex("tun0"));
  must(::ioctl(control6.get(), SIOCSIFADDR, &six) == 0, "SIOCSIFADDR for IPv6");
  return tun;
}

std::uint8_t pattern(std::uint64_t at) { return static_cast<std::uint8_t>((at * 131) ^ (at >> 9)); }

// Our services. The first byte of a connection says what it wants, eight more how much.
enum class Wish : std::uint8_t { kSend = 's', kTake = 't', kEcho = 'e', kAbort = 'a', kSleepThenTake = 'z' };

class Host;

class Service final : public StreamHandler {
 public:
  Service(Host& host, Conn& conn) : host_(host), conn_(conn) { conn.set_handler(this); }
  void on_stream(StreamEvents events) noexcept override;
  void wake() {
    asleep_ = false;
    if (!gone) step();
  }
  [[nodiscard]] bool over() const { return gone && !asleep_; }
  bool gone = false;

 private:
  void step() noexcept;
  void send() noexcept;
  void take() noexcept;
  void echo() noexcept;
  void close() {
    conn_.close();
    gone = true;
  }
  Host& host_;
  Conn& conn_;
  Wish wish_{};
  std::uint64_t amount_ = 0, done_ = 0;
  bool asleep_ = false;
};

// A connection that we open: asks the kernel's server as the kernel's clients ask ours.
class Client final : public StreamHandler {
 public:
  Client(std::uint64_t send_bytes, std::uint64_t want_bytes) : send_bytes_(send_bytes), want_bytes_(want_bytes) {}
  void on_stream(StreamEvents events) noexcept override;
  Conn* conn = nullptr;
  std::atomic<int> result = 0;  // 1: good, 2: bad
  StreamError error = StreamError::kNone;

 private:
  std::uint64_t send_bytes_, want_bytes_, sent_ = 0, got_ = 0;
  bool good_ = true;
};

class TunSink final : public PacketSink {
 public:
  TunSink(int fd, unsigned loss, std::uint64_t seed) : fd_(fd), loss_(loss), random_(seed) {}
  std::span<std::uint8_t> reserve(std::size_t bytes) noexcept override { return std::span(room_).first(bytes); }
  void commit(std::size_t bytes) noexcept override {
    if (!lost() && ::write(fd_, room_.data(), bytes) < 0) ++failed;
  }
  [[nodiscard]] bool lost() noexcept { return loss_ != 0 && random_.below(1000) < loss_; }
  std::uint64_t failed = 0;

 private:
  int fd_;
  unsigned loss_;
  Random random_;
  std::array<std::uint8_t, 2048> room_{};
};

class Host final : public Acceptor {
 public:
  Host(Fd tun, unsigned loss, std::uint64_t seed)
      : tun_(std::move(tun)), sink_(tun_.get(), loss, seed), stack_(config(seed), sink_, now()) {
    for (const char* address : {kOurs4, kOurs6}) {
      must(stack_.listen({*net::IpAddress::parse(address), 80}, {}, *this).has_value(), "listen");
    }
    thread_ = std::thread([this] { run(); });
  }
  ~Host() {
    stop_ = true;
    thread_.join();
  }
  void on_accept(Conn& conn) noexcept override { services_.emplace_back(*this, conn); }
  static Instant now() { return Instant(std::chrono::steady_clock::now().time_since_epoch()); }
  void sleep(Service& service, Duration time) { sleepers_.emplace_back(now() + time, &service); }
  void call(std::function<void(TcpStack&)> action) {
    const std::lock_guard lock(mutex_);
    actions_.push_back(std::move(action));
  }
  [[nodiscard]] StackStats stats() {
    std::atomic<bool> done = false;
    StackStats out;
    call([&](TcpStack& stack) {
      out = stack.stats();
      done = true;
    });
    while (!done) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return out;
  }

 private:
  static StackConfig config(std::uint64_t seed) {
    StackConfig config;
    config.max_connections = 5000;
    config.secret = {seed, seed + 1};
    return config;
  }
  void run() {
    std::array<std::uint8_t, 65536> packet;
    while (!stop_) {
      pollfd p{tun_.get(), POLLIN, 0};
      ::poll(&p, 1, 1);
      for (int burst = 0; burst < 32; ++burst) {
        const ssize_t got = ::read(tun_.get(), packet.data(), packet.size());
        if (got <= 0) break;
        if (!sink_.lost()) stack_.input(std::span(packet).first(static_cast<std::size_t>(got)), {}, now());
      }
      run_actions();
      stack_.dispatch();
      for (auto at = sleepers_.begin(); at != sleepers_.end();) {
        if (at->first > now()) {
          ++at;
          continue;
        }
        at->second->wake();
        at = sleepers_.erase(at);
      }
      services_.remove_if([](const Service& service) { return service.over(); });
      stack_.advance(now());
      stack_.flush(now());
    }
  }
  void run_actions() {
    std::vector<std::function<void(TcpStack&)>> actions;
    {
      const std::lock_guard lock(mutex_);
      actions.swap(actions_);
    }
    for (auto& action : actions) action(stack_);
  }

  Fd tun_;
  TunSink sink_;
  TcpStack stack_;
  std::list<Service> services_;
  std::list<std::pair<Instant, Service*>> sleepers_;
  std::mutex mutex_;
  std::vector<std::function<void(TcpStack&)>> actions_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

void Service::on_stream(StreamEvents events) noexcept {
  if (has(events, StreamEvents::kClosed)) return close();
  if (!asleep_) step();
}

void Service::step() noexcept {
  if (wish_ == Wish{}) {
    const std::span<const std::uint8_t> request = conn_.rx_peek();
    if (request.size() < 9) {
      if (conn_.rx_ended()) close();
      return;
    }
    wish_ = static_cast<Wish>(request[0]);
    std::memcpy(&amount_, request.data() + 1, 8);
    conn_.rx_consume(9);
    if (wish_ == Wish::kSleepThenTake) {
      asleep_ = true;
      host_.sleep(*this, std::chrono::seconds(2));
      wish_ = Wish::kTake;
      return;
    }
  }
  switch (wish_) {
    case Wish::kSend:
      return send();
    case Wish::kEcho:
      return echo();
    case Wish::kAbort:
      conn_.abort();
      gone = true;
      return;
    default:
      return take();
  }
}

void Service::send() noexcept {
  while (done_ < amount_) {
    const std::span<std::uint8_t> room = conn_.tx_reserve(std::min<std::uint64_t>(amount_ - done_, 16384));
    if (room.empty()) return;
    for (std::size_t i = 0; i < room.size(); ++i) room[i] = pattern(done_ + i);
    conn_.tx_commit(room.size());
    done_ += room.size();
  }
  close();
}

// Takes until the peer ends its direction, then says how much arrived intact.
void Service::take() noexcept {
  for (std::span<const std::uint8_t> bytes = conn_.rx_peek(); !bytes.empty(); bytes = conn_.rx_peek()) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      if (bytes[i] == pattern(done_)) ++done_;
    }
    conn_.rx_consume(bytes.size());
  }
  if (!conn_.rx_ended()) return;
  (void)conn_.write({reinterpret_cast<const std::uint8_t*>(&done_), 8});
  close();
}

void Service::echo() noexcept {
  for (std::span<const std::uint8_t> bytes = conn_.rx_peek(); !bytes.empty(); bytes = conn_.rx_peek()) {
    const std::size_t taken = conn_.write(bytes);
    if (taken == 0) return;
    conn_.rx_consume(taken);
  }
  if (conn_.rx_ended()) close();
}

void Client::on_stream(StreamEvents events) noexcept {
  if (has(events, StreamEvents::kClosed)) {
    error = conn->error();
    conn->close();
    result = 2;
    return;
  }
  while (sent_ < send_bytes_) {
    std::array<std::uint8_t, 4096> bytes;
    const std::size_t want = std::min<std::uint64_t>(bytes.size(), send_bytes_ - sent_);
    for (std::size_t i = 0; i < want; ++i) bytes[i] = pattern(sent_ + i);
    const std::size_t taken = conn->write({bytes.data(), want});
    sent_ += taken;
    if (taken < want) break;
  }
  if (sent_ == send_bytes_) conn->shutdown_write();
  for (std::span<const std::uint8_t> bytes = conn->rx_peek(); !bytes.empty(); bytes = conn->rx_peek()) {
    for (const std::uint8_t byte : bytes) good_ &= byte == pattern(got_++);
    conn->rx_consume(bytes.size());
  }
  if (!conn->rx_ended() || sent_ < send_bytes_) return;
  conn->close();
  result = good_ && got_ == want_bytes_ && sent_ == send_bytes_ ? 1 : 2;
}

// --- the kernel's side ---

sockaddr_storage address_of(bool v6, bool ours, std::uint16_t port, socklen_t& len) {
  sockaddr_storage out{};
  if (v6) {
    auto& in6 = reinterpret_cast<sockaddr_in6&>(out);
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(port);
    ::inet_pton(AF_INET6, ours ? kOurs6 : kKernel6, &in6.sin6_addr);
    len = sizeof(in6);
  } else {
    auto& in = reinterpret_cast<sockaddr_in&>(out);
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    ::inet_pton(AF_INET, ours ? kOurs4 : kKernel4, &in.sin_addr);
    len = sizeof(in);
  }
  return out;
}

Fd dial(bool v6, std::uint16_t port = 80) {
  Fd fd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  socklen_t len = 0;
  const sockaddr_storage to = address_of(v6, true, port, len);
  must(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), len) == 0, "connect");
  return fd;
}

void write_all(int fd, const void* data, std::size_t bytes) {
  const auto* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = ::send(fd, at, bytes, MSG_NOSIGNAL);
    must(n > 0, "send");
    at += n;
    bytes -= static_cast<std::size_t>(n);
  }
}

std::size_t read_some(int fd, void* data, std::size_t bytes) {
  const ssize_t n = ::recv(fd, data, bytes, 0);
  must(n >= 0, "recv");
  return static_cast<std::size_t>(n);
}

void ask(int fd, Wish wish, std::uint64_t amount) {
  std::array<std::uint8_t, 9> request{static_cast<std::uint8_t>(wish)};
  std::memcpy(request.data() + 1, &amount, 8);
  write_all(fd, request.data(), request.size());
}

void send_pattern(int fd, std::uint64_t amount) {
  std::vector<std::uint8_t> bytes(65536);
  for (std::uint64_t at = 0; at < amount;) {
    const std::size_t part = std::min<std::uint64_t>(bytes.size(), amount - at);
    for (std::size_t i = 0; i < part; ++i) bytes[i] = pattern(at + i);
    write_all(fd, bytes.data(), part);
    at += part;
  }
}

std::uint64_t take_pattern(int fd) {
  std::vector<std::uint8_t> bytes(65536);
  std::uint64_t at = 0;
  for (;;) {
    const std::size_t n = read_some(fd, bytes.data(), bytes.size());
    if (n == 0) return at;
    for (std::size_t i = 0; i < n; ++i) {
      if (bytes[i] != pattern(at + i)) throw std::runtime_error("wrong byte at " + std::to_string(at + i));
    }
    at += n;
  }
}

void expect(std::uint64_t got, std::uint64_t want) {
  if (got != want) throw std::runtime_error("got " + std::to_string(got) + " of " + std::to_string(want));
}

void download(bool v6, std::uint64_t amount, int pause_ms) {
  const Fd fd = dial(v6);
  ask(fd.get(), Wish::kSend, amount);
  ::usleep(static_cast<useconds_t>(pause_ms) * 1000);  // closes our window at the other side
  expect(take_pattern(fd.get()), amount);
}

void upload(bool v6, std::uint64_t amount, Wish wish) {
  const Fd fd = dial(v6);
  ask(fd.get(), wish, amount);
  send_pattern(fd.get(), amount);
  must(::shutdown(fd.get(), SHUT_WR) == 0, "shutdown");
  std::uint64_t arrived = 0;
  expect(read_some(fd.get(), &arrived, 8), 8);
  expect(arrived, amount);
  expect(read_some(fd.get(), &arrived, 8), 0);
}

void short_connections(bool v6, int count) {
  std::vector<std::thread> threads;
  std::atomic<int> bad = 0;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      try {
        for (int i = 0; i < count / 8; ++i) {
          const Fd fd = dial(v6);
          ask(fd.get(), i % 2 == 0 ? Wish::kSend : Wish::kEcho, 200);
          if (i % 2 != 0) {
            send_pattern(fd.get(), 200);
            must(::shutdown(fd.get(), SHUT_WR) == 0, "shutdown");
          }
          expect(take_pattern(fd.get()), 200);
        }
      } catch (const std::exception& wrong) {
        std::printf("  %s\n", wrong.what());
        ++bad;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  expect(static_cast<std::uint64_t>(bad), 0);
}

void resets(bool v6) {
  const Fd fd = dial(v6);
  ask(fd.get(), Wish::kAbort, 0);
  char byte = 0;
  if (::recv(fd.get(), &byte, 1, 0) >= 0 || errno != ECONNRESET)
    throw std::runtime_error("no ECONNRESET after abort()");
  Fd ours = dial(v6);
  ask(ours.get(), Wish::kEcho, 0);
  const linger hard{1, 0};
  must(::setsockopt(ours.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)) == 0, "SO_LINGER");
  ours.reset();
  Fd none(::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0));
  socklen_t len = 0;
  const sockaddr_storage to = address_of(v6, true, 81, len);
  if (::connect(none.get(), reinterpret_cast<const sockaddr*>(&to), len) == 0 || errno != ECONNREFUSED) {
    throw std::runtime_error("a port where nobody listens did not refuse");
  }
}

// We connect to the kernel. Sends and receives at the same time.
void outgoing(Host& host, bool v6, std::uint16_t local_port, std::uint64_t up, std::uint64_t down) {
  const Fd listener(::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0));
  const int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  socklen_t len = 0;
  const sockaddr_storage at = address_of(v6, false, 8080, len);
  must(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&at), len) == 0, "bind");
  must(::listen(listener.get(), 16) == 0, "listen");
  Client client(up, down);
  host.call([&](TcpStack& stack) {
    const net::Endpoint local{*net::IpAddress::parse(v6 ? kOurs6 : kOurs4), local_port};
    const net::Endpoint remote{*net::IpAddress::parse(v6 ? kKernel6 : kKernel4), 8080};
    client.conn = stack.connect(local, remote, client, Host::now(), std::chrono::seconds(20));
    if (client.conn == nullptr) client.result = 2;
  });
  const Fd fd(::accept(listener.get(), nullptr, nullptr));
  std::thread sender([&] {
    send_pattern(fd.get(), down);
    ::shutdown(fd.get(), SHUT_WR);
  });
  const std::uint64_t got = take_pattern(fd.get());
  sender.join();
  for (int i = 0; i < 100'000 && client.result == 0; ++i) ::usleep(1000);
  expect(got, up);
  expect(static_cast<std::uint64_t>(client.result), 1);
}

void refused(Host& host, bool v6) {
  Client client(0, 0);
  host.call([&](TcpStack& stack) {
    client.conn = stack.connect({*net::IpAddress::parse(v6 ? kOurs6 : kOurs4), 50001},
                                {*net::IpAddress::parse(v6 ? kKernel6 : kKernel4), 9}, client, Host::now(), {});
  });
  for (int i = 0; i < 10'000 && client.result == 0; ++i) ::usleep(1000);
  if (client.error != StreamError::kRefused) throw std::runtime_error("connect() to a closed port was not refused");
}

bool run(const char* name, bool v6, const std::function<void()>& scenario) {
  const Instant start = Host::now();
  try {
    scenario();
    std::printf("ok   %-28s %s %6lld ms\n", name, v6 ? "v6" : "v4",
                static_cast<long long>((Host::now() - start).count() / 1'000'000));
    return true;
  } catch (const std::exception& wrong) {
    std::printf("FAIL %-28s %s %s\n", name, v6 ? "v6" : "v4", wrong.what());
    return false;
  }
}

bool run_all(unsigned loss, std::uint64_t seed) {
  enter_namespace();
  Host host(open_tun(), loss, seed);
  const std::uint64_t bulk = loss == 0 ? 50'000'000 : 10'000'000;
  bool good = true;
  std::uint16_t port = 50100;
  for (const bool v6 : {false, true}) {
    good &= run("download", v6, [&] { download(v6, bulk, 0); });
    good &= run("upload, half-close", v6, [&] { upload(v6, bulk, Wish::kTake); });
    good &= run("kernel stops reading", v6, [&] { download(v6, 8'000'000, 3000); });
    good &= run("we stop reading", v6, [&] { upload(v6, 8'000'000, Wish::kSleepThenTake); });
    good &= run("short connections", v6, [&] { short_connections(v6, 2000); });
    good &= run("resets, refused", v6, [&] { resets(v6); });
    good &= run("outgoing, both directions", v6, [&] { outgoing(host, v6, port++, bulk / 2, bulk / 2); });
    good &= run("outgoing, refused", v6, [&] { refused(host, v6); });
  }
  for (int i = 0; i < 10'000 && host.stats().connections != 0; ++i) ::usleep(1000);
  const StackStats stats = host.stats();
  std::printf(
      "in %lu out %lu retransmits %lu (fast %lu, timeouts %lu) out of order %lu challenges %lu; left: connections %u "
      "bytes %zu\n",
      stats.segments_in, stats.segments_out, stats.retransmits, stats.fast_retransmits, stats.timeouts,
      stats.out_of_order, stats.challenge_acks, stats.connections, stats.buffer_bytes);
  return good && stats.connections == 0 && stats.buffer_bytes == 0;
}

}  // namespace
}  // namespace sluice::tcp

int main(int argc, char** argv) {
  try {
    const unsigned loss = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 0;
    const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
    return sluice::tcp::run_all(loss, seed) ? 0 : 1;
  } catch (const std::exception& wrong) {
    std::fprintf(stderr, "kernel_interop: %s\n", wrong.what());
    return 1;
  }
}
