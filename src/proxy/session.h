// One client connection: reads request heads, runs one exchange at a time, and ends the connection decently.
//   handshake -> idle -> head -> exchange -> idle ... -> lingering -> gone
// Threading: the proxy's thread. Events come from the loop's dispatch; an exchange is resumed from the ready list.
// Ownership: Sessions owns it; it deletes itself there when the connection is over. The exchange refers to it and ends before it.
// Pipelining: requests that wait in the receive buffer are served in turn; nothing is read ahead of the exchange that runs.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "service.h"
#include "sluice/base/task.h"
#include "sluice/base/timer_wheel.h"
#include "sluice/http/request_parser.h"
#include "sluice/tcp/stream.h"

namespace sluice::proxy {

struct Core;
class Sessions;

// How the connection goes on after an exchange.
enum class ExchangeEnd : std::uint8_t {
  kKeepAlive,  // the request was read to its end
  kClose,      // the request was read to its end, and no other is taken
  kLinger,     // the client may still be sending: let it read the answer first
  kAbort,      // the response broke off: only a reset tells the client so
};

class Session final : public tcp::StreamHandler {
 public:
  Session(Core& core, Sessions& owner, Service& service, tcp::Conn& conn, tls::Session* tls);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void on_stream(tcp::StreamEvents events) noexcept override;

  // ---- for its exchange ----
  [[nodiscard]] Core& core() noexcept { return core_; }
  [[nodiscard]] Service& service() noexcept { return service_; }
  [[nodiscard]] tcp::Stream& stream() noexcept { return *stream_; }  // not when gone()
  void consume(std::size_t bytes) noexcept {                         // of what stream().rx_peek() gave
    service_.counters->in.bytes.add(bytes);
    stream_->rx_consume(bytes);
  }
  [[nodiscard]] http::RequestParser& parser() noexcept { return parser_; }
  [[nodiscard]] EventPort& port() noexcept { return port_; }
  [[nodiscard]] bool gone() const noexcept {
    return gone_;
  }  // the stream is dead: only the end of the exchange is left
  [[nodiscard]] bool https() const noexcept { return tls_ != nullptr; }
  [[nodiscard]] const net::Endpoint& client() const noexcept { return client_; }
  [[nodiscard]] const net::Endpoint& local() const noexcept { return local_; }
  [[nodiscard]] std::string_view client_address();
  [[nodiscard]] bool may_keep_alive() const noexcept;
  // The exchange's timer towards the client: posts events::kClientTimeout.
  void arm_timer(Duration after) noexcept;
  void cancel_timer() noexcept { timer_.cancel(); }

  // ---- for Sessions ----
  void begin_drain() noexcept;
  void kill() noexcept;  // resets the connection now

 private:
  friend class Sessions;
  enum class State : std::uint8_t { kHandshake, kIdle, kHead, kExchange, kLinger };

  void read_requests() noexcept;
  [[nodiscard]] bool start_exchange() noexcept;  // true: it ended already and the connection goes on
  [[nodiscard]] bool after_exchange() noexcept;  // true: the connection goes on
  void refuse(std::uint16_t status) noexcept;
  void begin_linger() noexcept;
  void linger() noexcept;
  void on_timer() noexcept;
  void go_idle() noexcept;
  void finish(bool graceful) noexcept;  // deletes this

  Core& core_;
  Sessions& owner_;
  Service& service_;
  tcp::Stream* stream_;
  tls::Session* tls_;  // the same stream, or nullptr
  State state_;
  bool gone_ = false;
  bool ended_ = false;  // close() or abort() was called on the stream
  std::uint32_t requests_ = 0;
  net::Endpoint client_, local_;
  std::string client_address_;  // made on first use
  Instant idle_until_{};
  Instant linger_until_{};
  http::RequestParser parser_;
  EventPort port_;
  Timer timer_;
  Task<ExchangeEnd> exchange_;
  std::list<std::unique_ptr<Session>>::iterator position_;
};

// All client connections of a proxy.
class Sessions {
 public:
  explicit Sessions(Core& core) noexcept : core_(core) {}
  ~Sessions() { kill_all(); }
  Sessions(const Sessions&) = delete;
  Sessions& operator=(const Sessions&) = delete;

  void accept(Service& service, tcp::Conn& conn) noexcept;
  void begin_drain() noexcept;
  void kill_all() noexcept;
  [[nodiscard]] bool empty() const noexcept { return list_.empty(); }
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }  // for want of memory for TLS

 private:
  friend class Session;
  void remove(Session& session) noexcept;

  Core& core_;
  std::uint64_t refused_ = 0;
  std::list<std::unique_ptr<Session>> list_;
};

}  // namespace sluice::proxy
