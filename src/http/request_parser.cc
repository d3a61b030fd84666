#include "sluice/http/request_parser.h"

#include <algorithm>

#include "request_head.h"
#include "request_line_rules.h"

namespace sluice::http {

ParseStep RequestParser::feed(std::span<const std::uint8_t> input) noexcept {
  switch (state_) {
    case State::kHead:
      return feed_head(input);
    case State::kSized:
      return feed_sized(input);
    case State::kChunked:
      return feed_chunked(input);
    case State::kEnd:
      return {.step = Step::kEnd};
    case State::kFailed:
      break;
  }
  return {.step = Step::kError, .status = failed_status_, .reason = failed_reason_};
}

ParseStep RequestParser::feed_head(std::span<const std::uint8_t> input) noexcept {
  std::size_t consumed = 0;
  if (!buffer_.has_first_line()) {
    const std::size_t max_line = kLongestMethod + 1 + limits_.target_bytes + kLongestVersion;
    auto [outcome, taken] = buffer_.take_first_line(input, max_line);
    consumed = taken;
    // RFC 9112 section 2.2: one empty line before the request line is skipped (some clients end a body with one too many).
    if (!skipped_line_ && buffer_.all() == "\r") return {.step = Step::kNeedMore, .consumed = consumed};
    if (!skipped_line_ && buffer_.all() == "\r\n") {
      skipped_line_ = true;
      buffer_.clear();
      ParseStep step = feed_head(input.subspan(consumed));
      step.consumed += consumed;
      return step;
    }
    if (const Refusal refusal = judge_line_start(buffer_.all(), limits_.target_bytes))
      return fail(refusal.status, refusal.reason);
    if (outcome == HeadBuffer::Outcome::kNeedMore) return {.step = Step::kNeedMore, .consumed = consumed};
    if (outcome == HeadBuffer::Outcome::kNoMemory) return fail(503, "no memory for the request head");
    if (outcome != HeadBuffer::Outcome::kFirstLine) return fail(400, "malformed request line");
    if (const Refusal refusal = parse_request_line(buffer_.first_line(), line_))
      return fail(refusal.status, refusal.reason);
  }
  const auto [outcome, taken] = buffer_.take_fields(input.subspan(consumed), limits_.head_bytes, limits_.headers);
  consumed += taken;
  switch (outcome) {
    case HeadBuffer::Outcome::kNeedMore:
      return {.step = Step::kNeedMore, .consumed = consumed};
    case HeadBuffer::Outcome::kTooManyBytes:
      return fail(431, "header too large");
    case HeadBuffer::Outcome::kTooManyLines:
      return fail(431, "too many header fields");
    case HeadBuffer::Outcome::kNoMemory:
      return fail(503, "no memory for the request head");
    case HeadBuffer::Outcome::kBareLf:
      return fail(400, "bare LF in header");
    case HeadBuffer::Outcome::kFirstLine:
    case HeadBuffer::Outcome::kComplete:
      break;
  }
  if (const Refusal refusal = read_request_head(buffer_, line_, head_)) return fail(refusal.status, refusal.reason);
  if (head_.chunked) {
    chunks_.reset(limits_.head_bytes);
    state_ = State::kChunked;
  } else {
    body_left_ = head_.content_length.value_or(0);
    state_ = body_left_ == 0 ? State::kEnd : State::kSized;
  }
  return {.step = Step::kHead, .consumed = consumed};
}

ParseStep RequestParser::feed_sized(std::span<const std::uint8_t> input) noexcept {
  if (input.empty()) return {.step = Step::kNeedMore};
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(input.size(), body_left_));
  body_left_ -= count;
  if (body_left_ == 0) state_ = State::kEnd;
  return {.step = Step::kBody, .consumed = count, .body = input.first(count)};
}

ParseStep RequestParser::feed_chunked(std::span<const std::uint8_t> input) noexcept {
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
  return fail(400, "malformed chunked body");
}

ParseStep RequestParser::fail(std::uint16_t status, const char* reason) noexcept {
  state_ = State::kFailed;
  failed_status_ = status;
  failed_reason_ = reason;
  return {.step = Step::kError, .status = status, .reason = reason};
}

void RequestParser::next() noexcept {
  state_ = State::kHead;
  skipped_line_ = false;
  buffer_.clear();
}

void RequestParser::release() noexcept {
  next();
  buffer_.release();
  head_.headers.release();
}

}  // namespace sluice::http
