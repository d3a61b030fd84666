// Reads HTTP/1 requests out of a byte stream, one at a time, and refuses whatever two parsers might read differently.
//   for (;;) {
//     const ParseStep step = parser.feed(stream.rx_peek());
//     ... use step.body, parser.head() ...
//     stream.rx_consume(step.consumed);
//   }
// Steps of one message: kNeedMore*, kHead, (kBody | kNeedMore)*, kEnd; then next(). kEnd may come with 0 bytes consumed
// and needs no input: call feed() again after kHead and kBody even with nothing to read.
// Threading: one owner.
// Ownership: the head lives in a buffer of the parser, which is bounded by Limits, reused by the next message, and
//            given back by release(). Bodies are never copied: kBody hands out views of the input.
// Spec:      RFC 9112; the threat is request smuggling, so every leniency that the RFC permits is refused unless said
//            here: one empty line before the request line is skipped (section 2.2), chunk extensions and trailers are
//            checked and dropped.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "sluice/http/chunked.h"
#include "sluice/http/head_buffer.h"
#include "sluice/http/message.h"
#include "sluice/http/parse_step.h"
#include "sluice/http/request_line.h"

namespace sluice::http {

class RequestParser {
 public:
  explicit RequestParser(const Limits& limits = {}) noexcept : limits_(limits) {}

  [[nodiscard]] ParseStep feed(std::span<const std::uint8_t> input) noexcept;
  // Ready for the next message of the connection. Only after kEnd (or before anything was fed).
  void next() noexcept;
  // As next(), and gives the buffers back: for a connection that goes idle.
  void release() noexcept;

  [[nodiscard]] const RequestHead& head() const noexcept { return head_; }
  [[nodiscard]] RequestHead& head() noexcept { return head_; }
  // Nothing of a message was seen yet: the connection is idle and may be closed without an answer.
  [[nodiscard]] bool idle() const noexcept { return state_ == State::kHead && buffer_.empty(); }
  [[nodiscard]] bool head_complete() const noexcept { return state_ != State::kHead; }

 private:
  enum class State : std::uint8_t { kHead, kSized, kChunked, kEnd, kFailed };

  ParseStep feed_head(std::span<const std::uint8_t> input) noexcept;
  ParseStep feed_sized(std::span<const std::uint8_t> input) noexcept;
  ParseStep feed_chunked(std::span<const std::uint8_t> input) noexcept;
  ParseStep fail(std::uint16_t status, const char* reason) noexcept;

  Limits limits_;
  State state_ = State::kHead;
  bool skipped_line_ = false;  // the empty line that section 2.2 allows was seen
  std::uint16_t failed_status_ = 0;
  const char* failed_reason_ = "";
  std::uint64_t body_left_ = 0;  // kSized
  ChunkedDecoder chunks_;
  RequestLine line_;  // valid once the buffer has its first line
  HeadBuffer buffer_;
  RequestHead head_;
};

}  // namespace sluice::http
