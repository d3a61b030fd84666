// One request and its response. run_exchange() reads from top to bottom: admit, route, then files, cache, backend or a fixed answer.
// This object is what these steps share: the request, where the response goes, what the client did meanwhile.
// Threading: the proxy's thread.
// Ownership: lives in the frame of run_exchange(); refers to its Session, which outlives it.
// Waiting:   `co_await x.next_event()` and nothing else; then look at gone() before the client's stream is touched.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core.h"
#include "events.h"
#include "request_rewrite.h"
#include "session.h"
#include "stream_writer.h"

namespace sluice::proxy {

[[nodiscard]] Task<ExchangeEnd> run_exchange(Session& session);

enum class Framing : std::uint8_t {
  kNone,        // no body follows: HEAD, 204, 304
  kSized,       // Content-Length
  kChunked,     //
  kUntilClose,  // HTTP/1.0 clients, when the length is not known
};

// Why the client's timer runs.
enum class ClientWait : std::uint8_t {
  kNothing,
  kBody,   // for more of the request: then 408
  kSpace,  // for room to send: then the connection is reset
};

class Exchange {
 public:
  explicit Exchange(Session& session);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  [[nodiscard]] Session& session() noexcept { return session_; }
  [[nodiscard]] Core& core() noexcept { return core_; }
  [[nodiscard]] Service& service() noexcept { return session_.service(); }
  [[nodiscard]] const http::RequestHead& head() const noexcept { return head_; }
  [[nodiscard]] const config::HttpRoute& route() const noexcept { return *route_->config; }
  [[nodiscard]] Pool& pool() noexcept { return *route_->pool; }
  void set_route(const Route& route) noexcept { route_ = &route; }
  [[nodiscard]] RequestContext context();
  [[nodiscard]] bool head_only() const noexcept { return head_.method == http::Method::kHead; }

  // ---- what happened ----
  [[nodiscard]] EventPort& port() noexcept { return session_.port(); }
  // Says what the bits mean for the client's side; call it with what next_event() gave.
  void note(EventPort::Bits bits) noexcept;
  [[nodiscard]] bool gone() const noexcept { return session_.gone(); }
  // Nothing more can be sent: the client is gone or has stopped reading, or the response has to break off.
  [[nodiscard]] bool broken() const noexcept { return gone() || broken_; }
  void break_off() noexcept { broken_ = true; }
  [[nodiscard]] bool body_timed_out() const noexcept { return body_timed_out_; }
  // What is waited for from the client; the timer starts anew when that changes or there was progress. Whether there was
  // any towards kSpace is known here.
  void wait_for(ClientWait what, bool progress) noexcept;

  // ---- the request's body ----
  [[nodiscard]] http::RequestParser& parser() noexcept { return session_.parser(); }
  [[nodiscard]] bool request_done() const noexcept { return request_done_; }
  void set_request_done() noexcept { request_done_ = true; }
  void take_body() noexcept { body_taken_ = true; }  // whoever calls it reads the body; else it is skipped
  // Reads and forgets what has arrived of a body that nobody wants.
  void skip_body() noexcept;
  // Before the first wait for the body: the client may be waiting for leave to send it (RFC 9110 section 10.1.1).
  void send_continue();

  // ---- the response ----
  [[nodiscard]] StreamWriter& out() noexcept { return out_; }
  [[nodiscard]] std::uint16_t status() const noexcept { return status_; }
  [[nodiscard]] bool head_sent() const noexcept { return head_sent_; }
  [[nodiscard]] Framing framing() const noexcept { return framing_; }
  // A head: begin_head(), add()*, end_head(). It stands corked in core().scratch, with whatever is written of the body, until uncork().
  void begin_head(std::uint16_t status, std::string_view reason = {});
  void add(http::HeaderId id, std::string_view value);
  void add(std::string_view name, std::string_view value);
  void add_line(std::string_view line);  // "Name: value\r\n", whatever the rules say
  // End-to-end fields of a response from elsewhere, but Content-Length.
  void add_all(const http::HeaderList& headers);
  void end_head(Framing framing, std::uint64_t length = 0);
  // A piece of the body, with a chunk around it where the framing asks for it; not after HEAD.
  void write_body(std::span<const std::uint8_t> bytes);
  void end_body();
  // A whole response with a short body.
  void respond(std::uint16_t status, std::string_view body, std::string_view content_type,
               std::string_view extra_lines = {});
  // An error page; closes the connection where the request was not read.
  void respond_error(std::uint16_t status, std::string_view extra_lines = {});
  // How the connection goes on; after the last byte was flushed.
  [[nodiscard]] ExchangeEnd conclude() noexcept;
  void close_after() noexcept { keep_alive_ = false; }

 private:
  Session& session_;
  Core& core_;
  const http::RequestHead& head_;
  const Route* route_ = nullptr;
  StreamWriter out_;
  bool keep_alive_;
  bool request_done_ = false;
  bool body_taken_ = false;
  bool continue_sent_ = false;
  bool broken_ = false;
  bool body_timed_out_ = false;
  bool head_sent_ = false;
  bool has_date_ = false;
  std::uint16_t status_ = 0;
  Framing framing_ = Framing::kNone;
  ClientWait waiting_for_ = ClientWait::kNothing;
  std::uint64_t taken_ = 0;  // by the client's stream when it was last waited for
  std::string chunk_start_;
};

// Waits until all that was written has been taken by the stream, or the exchange is broken().
[[nodiscard]] Task<> flush(Exchange& x);

// The steps for each kind of route.
void respond_fixed(Exchange& x, const config::Respond& respond);
void respond_redirect(Exchange& x, const config::Redirect& redirect);
[[nodiscard]] Task<> serve_static(Exchange& x, const config::StaticFiles& files);
[[nodiscard]] Task<> serve_from_pool(Exchange& x);
[[nodiscard]] Task<> serve_cached(Exchange& x);

}  // namespace sluice::proxy
