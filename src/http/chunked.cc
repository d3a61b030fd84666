#include "sluice/http/chunked.h"

#include <algorithm>

#include "chars.h"
#include "sluice/http/headers.h"

namespace sluice::http {
namespace {

constexpr std::uint8_t kMaxSizeDigits = 15;           // below 2^60
constexpr std::uint16_t kMaxSizeLine = 1024;          // size and extensions; nobody uses the latter, an attacker would
constexpr bool is_text(std::uint8_t byte) noexcept {  // VCHAR, obs-text, SP, HTAB
  return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}

}  // namespace

void ChunkedDecoder::reset(std::uint32_t max_trailer_bytes) noexcept {
  *this = ChunkedDecoder{};
  trailer_left_ = max_trailer_bytes;
}

ChunkedDecoder::Decoded ChunkedDecoder::feed(std::span<const std::uint8_t> input) noexcept {
  std::size_t at = 0;
  for (;;) {
    switch (state_) {
      case State::kEnd:
        return {Outcome::kEnd, at, {}};
      case State::kBad:
        return {Outcome::kBad, at, {}};
      case State::kData: {
        const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(input.size() - at, left_));
        if (count == 0) return {Outcome::kNeedMore, at, {}};
        left_ -= count;
        if (left_ == 0) state_ = State::kDataCr;
        return {Outcome::kData, at + count, input.subspan(at, count)};
      }
      default:
        if (at == input.size()) return {Outcome::kNeedMore, at, {}};
        state_ = step(input[at++]);
    }
  }
}

ChunkedDecoder::State ChunkedDecoder::step(std::uint8_t byte) noexcept {
  switch (state_) {
    case State::kSize:
      return step_size(byte);
    case State::kExtensionName:
    case State::kExtensionValue:
    case State::kExtensionQuoted:
    case State::kExtensionEscaped:
    case State::kExtensionQuoteEnd:
      return step_extension(byte);
    case State::kSizeLf:
      if (byte != '\n') return State::kBad;
      return left_ == 0 ? State::kTrailerStart : State::kData;
    case State::kDataCr:
      return byte == '\r' ? State::kDataLf : State::kBad;
    case State::kDataLf:
      digits_ = 0;
      line_bytes_ = 0;
      return byte == '\n' ? State::kSize : State::kBad;
    case State::kTrailerStart:
    case State::kTrailerName:
    case State::kTrailerValue:
    case State::kTrailerLf:
      return step_trailer(byte);
    case State::kEndLf:
      return byte == '\n' ? State::kEnd : State::kBad;
    case State::kData:
    case State::kEnd:
    case State::kBad:
      break;
  }
  return State::kBad;
}

ChunkedDecoder::State ChunkedDecoder::step_size(std::uint8_t byte) noexcept {
  const int digit = hex_value(static_cast<char>(byte));
  if (digit >= 0) {
    if (++digits_ > kMaxSizeDigits) return State::kBad;
    left_ = left_ * 16 + static_cast<unsigned>(digit);
    return State::kSize;
  }
  if (digits_ == 0) return State::kBad;
  if (byte == '\r') return State::kSizeLf;
  if (byte != ';') return State::kBad;
  empty_part_ = true;
  return State::kExtensionName;
}

// chunk-ext = *( ";" name [ "=" ( token / quoted-string ) ] ), without the white space that RFC 9112 section 7.1.1 calls bad.
ChunkedDecoder::State ChunkedDecoder::step_extension(std::uint8_t byte) noexcept {
  if (++line_bytes_ > kMaxSizeLine) return State::kBad;
  switch (state_) {
    case State::kExtensionQuoted:
      if (byte == '"') return State::kExtensionQuoteEnd;
      if (byte == '\\') return State::kExtensionEscaped;
      return is_text(byte) ? State::kExtensionQuoted : State::kBad;
    case State::kExtensionEscaped:
      return is_text(byte) ? State::kExtensionQuoted : State::kBad;
    case State::kExtensionValue:
      if (empty_part_ && byte == '"') return State::kExtensionQuoted;
      [[fallthrough]];
    case State::kExtensionName:
      if (kTokenChars.has(byte)) {
        empty_part_ = false;
        return state_;
      }
      if (empty_part_) return State::kBad;
      if (byte == '=' && state_ == State::kExtensionName) {
        empty_part_ = true;
        return State::kExtensionValue;
      }
      break;
    default:
      break;  // kExtensionQuoteEnd
  }
  if (byte == '\r') return State::kSizeLf;
  if (byte != ';') return State::kBad;
  empty_part_ = true;
  return State::kExtensionName;
}

// trailer-section = *( field-line CRLF ) (RFC 9112 section 7.1.2). No folding: a line begins with a name.
ChunkedDecoder::State ChunkedDecoder::step_trailer(std::uint8_t byte) noexcept {
  if (trailer_left_ == 0) return State::kBad;
  --trailer_left_;
  switch (state_) {
    case State::kTrailerStart:
      if (byte == '\r') return State::kEndLf;
      name_size_ = 0;
      return step_trailer_name(byte);
    case State::kTrailerName:
      if (byte != ':') return step_trailer_name(byte);
      return is_forbidden_trailer() ? State::kBad : State::kTrailerValue;
    case State::kTrailerValue:
      if (byte == '\r') return State::kTrailerLf;
      return is_text(byte) ? State::kTrailerValue : State::kBad;
    default:
      return byte == '\n' ? State::kTrailerStart : State::kBad;  // kTrailerLf
  }
}

ChunkedDecoder::State ChunkedDecoder::step_trailer_name(std::uint8_t byte) noexcept {
  if (!kTokenChars.has(byte)) return State::kBad;
  if (name_size_ < name_.size()) name_[name_size_++] = static_cast<char>(byte);
  return State::kTrailerName;
}

bool ChunkedDecoder::is_forbidden_trailer() const noexcept {
  const HeaderId id = header_id({name_.data(), name_size_});
  return id == HeaderId::kContentLength || id == HeaderId::kTransferEncoding || id == HeaderId::kHost;
}

void append_chunk_start(std::string& out, std::size_t bytes) {
  static constexpr char kHex[] = "0123456789abcdef";
  char digits[16];
  std::size_t count = 0;
  for (; bytes != 0; bytes >>= 4) digits[count++] = kHex[bytes & 15];
  while (count != 0) out.push_back(digits[--count]);
  out.append("\r\n");
}

}  // namespace sluice::http
