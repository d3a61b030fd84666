// Writes to a stream and keeps the little that did not fit, so that whoever produces bytes need not split them.
// Threading: the proxy's thread.
// Ownership: refers to the stream; must not be used once that is dead.
// Limits:    the producer asks room() first: what waits here is at most kMinRoom bytes and the frame around them, or one message head.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "sluice/tcp/stream.h"
#include "sluice/telemetry/counters.h"

namespace sluice::proxy {

[[nodiscard]] inline std::span<const std::uint8_t> bytes_of(std::string_view text) noexcept {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

class StreamWriter {
 public:
  // A stream announces room only after a write that fell short. So there is always room for this much, and what of it does not fit
  // is that write.
  static constexpr std::size_t kMinRoom = 4096;
  static constexpr std::size_t kCorked = 8192;  // gathered into one write: a head and the beginning of its body

  StreamWriter() = default;
  StreamWriter(tcp::Stream& stream, telemetry::Counter& bytes) noexcept : stream_(&stream), bytes_(&bytes) {}
  void set_stream(tcp::Stream& stream, telemetry::Counter& bytes) noexcept {
    stream_ = &stream;
    bytes_ = &bytes;
    waiting_.clear();
    sent_ = 0;
  }

  // How many bytes may be produced now; 0: call flush() when the stream is writable.
  [[nodiscard]] std::size_t room() const noexcept {
    if (cork_ != nullptr) return cork_->size() < kCorked ? kCorked - cork_->size() : 0;
    return waiting() ? 0 : std::max(stream_->tx_space(), kMinRoom);
  }
  void write(std::span<const std::uint8_t> bytes);
  void write(std::string_view text) { write(bytes_of(text)); }
  // True: nothing waits any more.
  bool flush();
  [[nodiscard]] bool waiting() const noexcept { return sent_ < waiting_.size(); }
  [[nodiscard]] std::uint64_t taken() const noexcept {
    return taken_;
  }  // bytes that the stream took so far: to see progress

  // Between the two, what is written is gathered in `buffer` (which may hold something already) and goes out as one write. No
  // suspension in between.
  void cork(std::string& buffer) noexcept { cork_ = &buffer; }
  void uncork();

 private:
  [[nodiscard]] std::size_t give(std::span<const std::uint8_t> bytes) noexcept {
    const std::size_t taken = stream_->write(bytes);
    taken_ += taken;
    bytes_->add(taken);
    return taken;
  }

  tcp::Stream* stream_ = nullptr;
  telemetry::Counter* bytes_ = nullptr;  // of what the stream took
  std::string* cork_ = nullptr;
  std::string waiting_;  // from sent_ on
  std::size_t sent_ = 0;
  std::uint64_t taken_ = 0;
};

}  // namespace sluice::proxy
