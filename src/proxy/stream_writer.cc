#include "stream_writer.h"

#include <utility>

namespace sluice::proxy {

namespace {

void append(std::string& out, std::span<const std::uint8_t> bytes) {
  out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace

void StreamWriter::write(std::span<const std::uint8_t> bytes) {
  if (cork_ != nullptr) return append(*cork_, bytes);
  if (!waiting()) {
    const std::size_t taken = give(bytes);
    if (taken == bytes.size()) [[likely]]
      return;
    bytes = bytes.subspan(taken);
    waiting_.clear();
    sent_ = 0;
  }
  append(waiting_, bytes);
}

bool StreamWriter::flush() {
  if (!waiting()) return true;
  sent_ += give(bytes_of(std::string_view(waiting_).substr(sent_)));
  if (waiting()) return false;
  waiting_.clear();
  sent_ = 0;
  return true;
}

void StreamWriter::uncork() {
  const std::string* gathered = std::exchange(cork_, nullptr);
  if (!gathered->empty()) write(std::string_view(*gathered));
}

}  // namespace sluice::proxy
