// One request to a pool's backends: choosing, connecting, sending head and body, reading the head of the response, and
// trying again where that is safe. Then the rest of the response is relayed, or the connection is taken by somebody
// else.
// Threading: the proxy's thread.
// Ownership: part of the exchange's frame; holds the connection.
// Retries:   a connection that could not be made: always (nothing was sent). A kept connection that ends without a byte
//            of a response: once, on a fresh one. Another failure before the response: the next backend. The latter two
//            only if the method is idempotent and no byte of the body was taken from the client (RFC 9110 section
//            9.2.2; RFC 9112 section 9.3.1).
// Errors:    failure() is the status for the client: 502 broken connection or response, 503 no backend or no port, 504
//            timeout; or 4xx for what is wrong with the request's body.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "exchange.h"
#include "upstream.h"

namespace sluice::proxy {

class UpstreamCall {
 public:
  UpstreamCall(Exchange& x, Pool& pool);
  UpstreamCall(const UpstreamCall&) = delete;
  UpstreamCall& operator=(const UpstreamCall&) = delete;

  // What is sent; may be changed before open().
  [[nodiscard]] UpstreamRequest& request() noexcept { return request_; }
  // Afterwards: failure() is 0 and response() is the head, or failure() says what to answer, or the exchange is broken().
  [[nodiscard]] Task<> open();
  [[nodiscard]] std::uint16_t failure() const noexcept { return failure_; }
  [[nodiscard]] const http::ResponseHead& response() noexcept { return lease_->parser().head(); }

  // After open(). Relays the body of the response to the client, and what is left of the request's body to the backend. What is there
  // at once stands corked behind the head; it uncorks.
  [[nodiscard]] Task<> relay();
  // After open(). The connection, with the rest of the response in it, goes to somebody else.
  [[nodiscard]] UpstreamLease take_connection() noexcept;
  // After open(). Reads the end of a response without a body and keeps the connection if it may be kept.
  void finish() noexcept;

 private:
  enum class Outcome : std::uint8_t { kWait, kResponse, kAgain, kFailed };
  enum class Relay : std::uint8_t { kWait, kNoRoom, kEnd, kBroken };

  [[nodiscard]] bool choose();
  [[nodiscard]] Task<> connect();
  [[nodiscard]] Task<Outcome> exchange_heads();
  void send_head();
  [[nodiscard]] Outcome read_head();
  [[nodiscard]] Outcome on_broken() noexcept;
  Outcome fail(std::uint16_t status) noexcept;
  void forward_interim();
  // Moves what there is of the request's body. False: it is wrong, failure() says how.
  [[nodiscard]] bool pump_request();
  [[nodiscard]] bool wants_body() const noexcept { return !body_sent_ && !out_.waiting(); }
  [[nodiscard]] Relay pump_response();
  void wait_for_upstream(bool waits, bool progress) noexcept;
  void take(EventPort::Bits bits) noexcept;

  Exchange& x_;
  Core& core_;
  Pool& pool_;
  UpstreamRequest request_;
  const std::uint64_t hash_;
  lb::BackendId backend_;
  std::vector<lb::BackendIndex> tried_;
  UpstreamLease lease_;
  StreamWriter out_;
  std::uint64_t body_taken_ = 0;  // bytes that left the client's buffer, chunk framing included
  std::uint64_t body_bytes_ = 0;
  std::uint64_t response_bytes_ = 0;  // of the response's body, framing included
  bool body_sent_ = false;            // the whole request was written
  bool same_again_ = false;           // a kept connection failed: the same backend, on a fresh one
  bool timed_out_ = false;
  std::uint16_t failure_ = 0;
  std::string chunk_start_;
  Timer timer_;
};

}  // namespace sluice::proxy
