#include "sluice/net/tcp_shift.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>

#include "sluice/net/checksum.h"
#include "sluice/net/tcp_options.h"

namespace sluice::net {
namespace {

// Collects what changed numbers do to the checksum. In a number at an odd place of the header each byte counts as the other
// one of its word, so that its sum has its bytes swapped (RFC 1071 section 2 (B)).
class Edit {
 public:
  explicit Edit(std::span<std::uint8_t> frame, std::size_t l4_offset) noexcept : tcp_(frame.data() + l4_offset) {}

  void add(std::size_t offset, std::uint32_t difference) noexcept {
    Be32 value;
    std::memcpy(&value, tcp_ + offset, sizeof(value));
    const Be32 changed(value.host() + difference);
    std::memcpy(tcp_ + offset, &changed, sizeof(changed));
    ((offset & 1) == 0 ? even_ : odd_).replace(value, changed);
  }
  void scale_window(std::int8_t bits) noexcept {
    auto& header = *reinterpret_cast<TcpHeader*>(tcp_);
    const std::uint32_t window = header.window.host();
    const Be16 changed(
        static_cast<std::uint16_t>(bits >= 0 ? std::min<std::uint32_t>(window << bits, 0xffff) : window >> -bits));
    even_.replace(header.window, changed);
    header.window = changed;
  }
  void finish() noexcept {
    auto& header = *reinterpret_cast<TcpHeader*>(tcp_);
    const auto odd = static_cast<std::uint16_t>(~odd_.apply(Be16::from_raw(0xffff)).raw());
    even_.replace(Be16::from_raw(0xffff), Be16::from_raw(std::byteswap(odd)));
    header.checksum = even_.apply(header.checksum);
  }

 private:
  std::uint8_t* tcp_;
  ChecksumDelta even_, odd_;
};

// Calls visit(kind, offset in the TCP header, length) for every option that is whole.
template <typename Visit>
void each_option(std::span<const std::uint8_t> frame, const Parsed& packet, Visit&& visit) noexcept {
  const std::uint8_t* tcp = frame.data() + packet.l4_offset;
  const auto end = static_cast<std::size_t>(packet.payload_offset - packet.l4_offset);
  for (std::size_t at = sizeof(TcpHeader); at < end;) {
    const auto kind = static_cast<TcpOption>(tcp[at]);
    if (kind == TcpOption::kEnd) return;
    if (kind == TcpOption::kNop) {
      ++at;
      continue;
    }
    if (at + 2 > end || tcp[at + 1] < 2 || at + tcp[at + 1] > end) return;
    visit(kind, at, std::size_t{tcp[at + 1]});
    at += tcp[at + 1];
  }
}

constexpr std::size_t kTimestampsLen = 10;

}  // namespace

void shift_to_client(std::span<std::uint8_t> frame, const Parsed& packet, const TcpShift& shift) noexcept {
  if (packet.fragment == FragmentKind::kLater) return;
  Edit edit(frame, packet.l4_offset);
  edit.add(offsetof(TcpHeader, sequence), shift.sequence);
  if (shift.to_client != 0 && (packet.tcp_flags & kTcpSyn) == 0) edit.scale_window(shift.to_client);
  each_option(frame, packet, [&](TcpOption kind, std::size_t at, std::size_t len) {
    if (kind == TcpOption::kTimestamps && len == kTimestampsLen) edit.add(at + 2, shift.timestamp);
  });
  edit.finish();
}

void shift_to_backend(std::span<std::uint8_t> frame, const Parsed& packet, const TcpShift& shift) noexcept {
  if (packet.fragment == FragmentKind::kLater) return;
  Edit edit(frame, packet.l4_offset);
  const bool acknowledges = (packet.tcp_flags & kTcpAck) != 0;
  if (acknowledges) edit.add(offsetof(TcpHeader, acknowledgment), 0 - shift.sequence);
  if (shift.to_backend != 0 && (packet.tcp_flags & kTcpSyn) == 0) edit.scale_window(shift.to_backend);
  each_option(frame, packet, [&](TcpOption kind, std::size_t at, std::size_t len) {
    if (!acknowledges) return;
    if (kind == TcpOption::kTimestamps && len == kTimestampsLen) edit.add(at + 6, 0 - shift.timestamp);
    if (kind != TcpOption::kSack) return;
    for (std::size_t edge = 2; edge + 8 <= len; edge += 8) {
      edit.add(at + edge, 0 - shift.sequence);
      edit.add(at + edge + 4, 0 - shift.sequence);
    }
  });
  edit.finish();
}

void unshift_quoted(std::span<std::uint8_t> frame, const Parsed& quoted, const TcpShift& shift) noexcept {
  std::uint8_t* at = frame.data() + quoted.l4_offset + offsetof(TcpHeader, sequence);
  Be32 shown;
  std::memcpy(&shown, at, sizeof(shown));
  const Be32 sent(shown.host() - shift.sequence);
  std::memcpy(at, &sent, sizeof(sent));
  if (frame.size() < quoted.l4_offset + offsetof(TcpHeader, urgent)) return;
  ChecksumDelta delta;
  delta.replace(shown, sent);
  auto& tcp = header_at<TcpHeader>(frame, quoted.l4_offset);
  tcp.checksum = delta.apply(tcp.checksum);
}

}  // namespace sluice::net
