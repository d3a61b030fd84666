#include "sluice/http/response_parser.h"

#include <algorithm>

#include "response_head.h"

namespace sluice::http {
namespace {

constexpr std::size_t kMaxStatusLine = 1024;
constexpr std::uint8_t kMaxInterim = 16;  // 1xx heads before the final one: a backend that sends more is broken

}  // namespace

void ResponseParser::start(Method request_method) noexcept {
  state_ = State::kHead;
  method_ = request_method;
  interim_ = false;
  interim_seen_ = 0;
  buffer_.clear();
}

ParseStep ResponseParser::feed(std::span<const std::uint8_t> input) noexcept {
  switch (state_) {
    case State::kHead:
      return feed_head(input);
    case State::kSized:
    case State::kChunked:
    case State::kUntilClose:
      return feed_body(input);
    case State::kEnd:
      return {.step = Step::kEnd};
    case State::kFailed:
      break;
  }
  return {.step = Step::kError, .status = 502, .reason = failed_reason_};
}

ParseStep ResponseParser::feed_head(std::span<const std::uint8_t> input) noexcept {
  if (input.empty()) return {.step = Step::kNeedMore};
  if (interim_) {
    interim_ = false;
    buffer_.clear();
  }
  std::size_t consumed = 0;
  if (!buffer_.has_first_line()) {
    const auto [outcome, taken] = buffer_.take_first_line(input, kMaxStatusLine);
    consumed = taken;
    if (const Refusal refusal = judge_status_line_start(buffer_.all())) return fail(refusal.reason);
    if (outcome == HeadBuffer::Outcome::kNeedMore) return {.step = Step::kNeedMore, .consumed = consumed};
    if (outcome != HeadBuffer::Outcome::kFirstLine) return fail("malformed status line");
  }
  const auto [outcome, taken] = buffer_.take_fields(input.subspan(consumed), limits_.head_bytes, limits_.headers);
  consumed += taken;
  if (outcome == HeadBuffer::Outcome::kNeedMore) return {.step = Step::kNeedMore, .consumed = consumed};
  if (outcome == HeadBuffer::Outcome::kBareLf) return fail("bare LF in header");
  if (outcome != HeadBuffer::Outcome::kComplete) return fail("header too large");
  if (const Refusal refusal = read_response_head(buffer_, method_, head_)) return fail(refusal.reason);

  if (head_.status < 200) {
    if (head_.status == 101) return fail("101 to a request without Upgrade");  // RFC 9110 section 15.2.2
    if (++interim_seen_ > kMaxInterim) return fail("too many interim responses");
    interim_ = true;
    return {.step = Step::kInterim, .consumed = consumed};
  }
  body_left_ = head_.content_length.value_or(0);
  if (head_.no_body)
    state_ = State::kEnd;
  else if (head_.chunked)
    state_ = State::kChunked;
  else if (head_.until_close)
    state_ = State::kUntilClose;
  else
    state_ = body_left_ == 0 ? State::kEnd : State::kSized;
  if (state_ == State::kChunked) chunks_.reset(limits_.head_bytes);
  return {.step = Step::kHead, .consumed = consumed};
}

ParseStep ResponseParser::feed_body(std::span<const std::uint8_t> input) noexcept {
  if (input.empty()) return {.step = Step::kNeedMore};
  if (state_ == State::kUntilClose) return {.step = Step::kBody, .consumed = input.size(), .body = input};
  if (state_ == State::kSized) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(input.size(), body_left_));
    body_left_ -= count;
    if (body_left_ == 0) state_ = State::kEnd;
    return {.step = Step::kBody, .consumed = count, .body = input.first(count)};
  }
  const ChunkedDecoder::Decoded decoded = chunks_.feed(input);
  switch (decoded.outcome) {
    case ChunkedDecoder::Outcome::kNeedMore:
      return {.step = Step::kNeedMore, .consumed = decoded.consumed};
    case ChunkedDecoder::Outcome::kData:
      return {.step = Step::kBody, .consumed = decoded.consumed, .body = decoded.data};
    case ChunkedDecoder::Outcome::kEnd:
      state_ = State::kEnd;
      return {.step = Step::kEnd, .consumed = decoded.consumed};
    case ChunkedDecoder::Outcome::kBad:
      break;
  }
  return fail("malformed chunked body");
}

ParseStep ResponseParser::finish() noexcept {
  if (state_ == State::kUntilClose) state_ = State::kEnd;
  if (state_ == State::kEnd) return {.step = Step::kEnd};
  if (state_ == State::kFailed) return {.step = Step::kError, .status = 502, .reason = failed_reason_};
  return fail(state_ == State::kHead ? "closed before the response"
                                     : "closed within the response");  // RFC 9112 section 8
}

ParseStep ResponseParser::fail(const char* reason) noexcept {
  state_ = State::kFailed;
  failed_reason_ = reason;
  return {.step = Step::kError, .status = 502, .reason = reason};
}

void ResponseParser::release() noexcept {
  start(Method::kGet);
  buffer_.release();
  head_.headers.release();
}

}  // namespace sluice::http
