// The chunked transfer coding: decoding from a stream, and the pieces that encoding writes around a body.
// Threading: one owner.
// Ownership: none; decoded bytes are views of the input.
// Spec:      RFC 9112 section 7.1. Stricter than the RFC: no white space around the size, at most 15 hexadecimal
//            digits, extensions within the grammar and a bound, trailers checked like fields, within a bound, and
//            dropped (section 7.1.2 allows that).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace sluice::http {

class ChunkedDecoder {
 public:
  enum class Outcome : std::uint8_t { kNeedMore, kData, kEnd, kBad };
  struct Decoded {
    Outcome outcome;
    std::size_t consumed;                // includes `data`
    std::span<const std::uint8_t> data;  // kData
  };

  void reset(std::uint32_t max_trailer_bytes) noexcept;
  [[nodiscard]] Decoded feed(std::span<const std::uint8_t> input) noexcept;

 private:
  enum class State : std::uint8_t {
    kSize,
    kExtensionName,
    kExtensionValue,
    kExtensionQuoted,
    kExtensionEscaped,
    kExtensionQuoteEnd,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailerStart,
    kTrailerName,
    kTrailerValue,
    kTrailerLf,
    kEndLf,
    kEnd,
    kBad,
  };
  State step(std::uint8_t byte) noexcept;
  State step_size(std::uint8_t byte) noexcept;
  State step_extension(std::uint8_t byte) noexcept;
  State step_trailer(std::uint8_t byte) noexcept;
  State step_trailer_name(std::uint8_t byte) noexcept;
  [[nodiscard]] bool is_forbidden_trailer() const noexcept;

  State state_ = State::kSize;
  std::uint8_t digits_ = 0;       // of the size so far
  bool empty_part_ = true;        // no byte of the current extension name or value yet
  std::uint16_t line_bytes_ = 0;  // of this size line: bounds extensions
  std::uint8_t name_size_ = 0;    // of the trailer field's name; what name_ cannot hold is no name that matters
  std::array<char, 20> name_{};
  std::uint32_t trailer_left_ = 0;  // bytes that trailers may still take
  std::uint64_t left_ = 0;          // of this chunk
};

// Encoding: append_chunk_start, the bytes themselves, kChunkEnd; at the end kLastChunk. `bytes` is at least 1.
void append_chunk_start(std::string& out, std::size_t bytes);
inline constexpr std::string_view kChunkEnd = "\r\n";
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace sluice::http
