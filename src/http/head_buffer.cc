#include "sluice/http/head_buffer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

namespace sluice::http {
namespace {

constexpr std::size_t kFirstCapacity = 2048;  // most requests, with what is derived from them, fit

const std::uint8_t* find_lf(const std::uint8_t* from, std::size_t count) noexcept {
  return count == 0 ? nullptr : static_cast<const std::uint8_t*>(std::memchr(from, '\n', count));
}

}  // namespace

HeadBuffer::Taken HeadBuffer::take_first_line(std::span<const std::uint8_t> input, std::size_t max_bytes) noexcept {
  const std::size_t window = std::min(input.size(), max_bytes - size_);
  const std::uint8_t* lf = find_lf(input.data(), window);
  const std::size_t count = lf == nullptr ? window : static_cast<std::size_t>(lf - input.data()) + 1;
  if (!append(input.data(), count)) return {Outcome::kNoMemory, 0};
  if (lf == nullptr) return {window < input.size() ? Outcome::kTooManyBytes : Outcome::kNeedMore, count};
  if (size_ < 2 || data_[size_ - 2] != '\r') return {Outcome::kBareLf, count};
  first_line_ = line_start_ = size_;
  lines_ = 1;
  return {Outcome::kFirstLine, count};
}

HeadBuffer::Taken HeadBuffer::take_fields(std::span<const std::uint8_t> input, std::size_t max_bytes,
                                          std::size_t max_fields) noexcept {
  const std::size_t window = std::min(input.size(), max_bytes - (size_ - first_line_));
  Outcome outcome = window < input.size() ? Outcome::kTooManyBytes : Outcome::kNeedMore;
  std::size_t taken = window;
  std::uint8_t before = static_cast<std::uint8_t>(data_[size_ - 1]);  // the byte before an LF that comes first
  std::size_t at = 0;
  while (const std::uint8_t* lf = find_lf(input.data() + at, window - at)) {
    const auto index = static_cast<std::size_t>(lf - input.data());
    if ((index == 0 ? before : lf[-1]) != '\r') {
      outcome = Outcome::kBareLf;
      taken = index + 1;
      break;
    }
    at = index + 1;
    const std::size_t line_bytes = size_ + at - line_start_;
    line_start_ = size_ + at;
    ++lines_;
    if (line_bytes == 2) {
      outcome = Outcome::kComplete;
      taken = at;
      break;
    }
    if (lines_ - 1 > max_fields) {
      outcome = Outcome::kTooManyLines;
      taken = at;
      break;
    }
  }
  if (!append(input.data(), taken)) return {Outcome::kNoMemory, 0};
  return {outcome, taken};
}

char* HeadBuffer::scratch(std::size_t bytes) noexcept {
  const std::size_t size = size_;
  if (size + bytes > capacity_) {
    const std::size_t capacity = std::max(kFirstCapacity, std::bit_ceil(size + bytes));
    std::unique_ptr<char[]> grown(new (std::nothrow) char[capacity]);
    if (grown == nullptr) return nullptr;
    if (size != 0) std::memcpy(grown.get(), data_.get(), size);
    data_ = std::move(grown);
    capacity_ = capacity;
  }
  return data_.get() + size;
}

bool HeadBuffer::append(const std::uint8_t* bytes, std::size_t count) noexcept {
  if (count == 0) return true;
  char* room = scratch(count);
  if (room == nullptr) return false;
  std::memcpy(room, bytes, count);
  size_ += count;
  return true;
}

void HeadBuffer::release() noexcept {
  clear();
  data_.reset();
  capacity_ = 0;
}

}  // namespace sluice::http
