// The bytes of one message head, gathered from the stream line by line until the empty line that ends it.
// Threading: one owner.
// Ownership: owns its memory; grows to what Limits allow; reused from message to message.
// Invariant: every line that was taken ends in CR LF.
// Spec:      RFC 9112 section 2.1; a bare LF is refused (section 2.2 lets a recipient take it; two peers that differ
//            are an attack).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace sluice::http {

class HeadBuffer {
 public:
  enum class Outcome : std::uint8_t {
    kNeedMore,
    kFirstLine,
    kComplete,
    kBareLf,
    kTooManyBytes,
    kTooManyLines,
    kNoMemory
  };
  struct Taken {
    Outcome outcome;
    std::size_t consumed;
  };

  // Takes bytes up to the end of the first line, then up to the end of the head, within the limits of what follows the
  // first line.
  Taken take_first_line(std::span<const std::uint8_t> input, std::size_t max_bytes) noexcept;
  Taken take_fields(std::span<const std::uint8_t> input, std::size_t max_bytes, std::size_t max_fields) noexcept;

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] bool has_first_line() const noexcept { return first_line_ != 0; }
  [[nodiscard]] std::string_view all() const noexcept { return {data_.get(), size_}; }
  [[nodiscard]] std::string_view first_line() const noexcept { return {data_.get(), first_line_}; }  // with CR LF
  [[nodiscard]] std::size_t lines() const noexcept { return lines_; }  // with the empty one
  // Room for `bytes` behind the head, for what is derived from it; nullptr without memory. May move the head: call it
  // before views are made. What a second call returns overlaps the first.
  [[nodiscard]] char* scratch(std::size_t bytes) noexcept;
  void clear() noexcept { size_ = first_line_ = lines_ = line_start_ = 0; }
  void release() noexcept;

 private:
  bool append(const std::uint8_t* bytes, std::size_t count) noexcept;

  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
  std::size_t first_line_ = 0;  // its length with CR LF; 0: not complete
  std::size_t line_start_ = 0;  // where the line that is being taken begins
  std::size_t lines_ = 0;
};

}  // namespace sluice::http
