// Reads HTTP/1 responses of a backend. Steps as RequestParser, with kInterim for each 1xx before the final head. What
// is wrong with a response is always kError with status 502: the backend's connection must not be used again.
// Threading: one owner.
// Ownership: as RequestParser.
// Spec:      RFC 9112 section 6.3 (length of the body), with what the RFC leaves to choice refused: Transfer-Encoding
//            together with Content-Length, repeated Content-Length, obs-fold, bare LF, codings other than chunked, 101
//            (Upgrade is never sent).
#pragma once

#include <cstdint>
#include <span>

#include "sluice/http/chunked.h"
#include "sluice/http/head_buffer.h"
#include "sluice/http/message.h"
#include "sluice/http/parse_step.h"

namespace sluice::http {

class ResponseParser {
 public:
  explicit ResponseParser(const Limits& limits = {}) noexcept : limits_(limits) {}

  // The response to a request of this method comes next (RFC 9112 section 6.3 needs to know HEAD).
  void start(Method request_method) noexcept;
  [[nodiscard]] ParseStep feed(std::span<const std::uint8_t> input) noexcept;
  // The backend closed its direction and everything was fed: kEnd when that ends the body, else kError (cut short).
  [[nodiscard]] ParseStep finish() noexcept;
  void release() noexcept;  // gives the buffers back: for a connection that goes idle

  [[nodiscard]] const ResponseHead& head() const noexcept { return head_; }
  [[nodiscard]] ResponseHead& head() noexcept { return head_; }
  [[nodiscard]] bool head_complete() const noexcept { return state_ != State::kHead; }
  [[nodiscard]] bool idle() const noexcept { return state_ == State::kHead && buffer_.empty(); }  // no byte of it came

 private:
  enum class State : std::uint8_t { kHead, kSized, kChunked, kUntilClose, kEnd, kFailed };

  ParseStep feed_head(std::span<const std::uint8_t> input) noexcept;
  ParseStep feed_body(std::span<const std::uint8_t> input) noexcept;
  ParseStep fail(const char* reason) noexcept;

  Limits limits_;
  State state_ = State::kHead;
  Method method_ = Method::kGet;
  bool interim_ = false;  // the head that stands in the buffer was a 1xx: forget it when more comes
  std::uint8_t interim_seen_ = 0;
  const char* failed_reason_ = "";
  std::uint64_t body_left_ = 0;
  ChunkedDecoder chunks_;
  HeadBuffer buffer_;
  ResponseHead head_;
};

}  // namespace sluice::http
