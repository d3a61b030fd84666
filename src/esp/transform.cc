#include "sluice/esp/transform.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace sluice::esp {
namespace {

constexpr std::size_t kHeader = sizeof(net::EspHeader);
constexpr std::size_t kIvBytes = 8;

net::EspHeader& header_of(std::uint8_t* esp) noexcept { return *reinterpret_cast<net::EspHeader*>(esp); }

// RFC 4106 section 5: the SPI and the sequence number, all 64 bits of an extended one.
void set_aad(GcmMessage& message, const net::EspHeader& header, bool extended, std::uint64_t sequence) noexcept {
  std::memcpy(message.aad.data(), &header.spi, 4);
  if (extended) {
    const Be32 high(static_cast<std::uint32_t>(sequence >> 32));
    std::memcpy(message.aad.data() + 4, &high, 4);
    std::memcpy(message.aad.data() + 8, &header.sequence, 4);
  } else {
    std::memcpy(message.aad.data() + 4, &header.sequence, 4);
  }
  message.aad_bytes = extended ? 12 : 8;
}

// RFC 4106 section 4
void set_nonce(GcmMessage& message, const net::EspHeader& header) noexcept {
  std::memcpy(message.nonce.data(), message.key->salt().data(), kSaltBytes);
  std::memcpy(message.nonce.data() + kSaltBytes, &header.iv_high, kIvBytes);
}

bool same_tag(const std::uint8_t* a, const std::uint8_t* b) noexcept {  // in constant time
  std::uint64_t left[2], right[2];
  std::memcpy(left, a, kTagBytes);
  std::memcpy(right, b, kTagBytes);
  return ((left[0] ^ right[0]) | (left[1] ^ right[1])) == 0;
}

// RFC 4303 section 2.4: padding, its length, and what was padded.
OpenResult strip_trailer(Incoming& packet, std::span<std::uint8_t> text) noexcept {
  const std::size_t padding = text[text.size() - 2];
  if (padding + net::kEspTrailerBytes > text.size()) return OpenResult::kPadding;
  packet.inner = text.first(text.size() - net::kEspTrailerBytes - padding);
  packet.next_header = text.back();
  for (std::size_t i = 0; i < padding; ++i) {
    if (text[packet.inner.size() + i] != i + 1) return OpenResult::kPadding;
  }
  return OpenResult::kGood;
}

}  // namespace

void seal(GcmEngine& engine, std::span<const Outgoing> packets, std::size_t worker) noexcept {
  std::array<GcmMessage, kMaxBurst> messages;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const Outgoing& packet = packets[i];
    const OutboundSa& sa = *packet.sa;
    net::EspHeader& header = header_of(packet.inner - kHeader);
    header.spi = sa.spi + static_cast<std::uint32_t>(worker);
    header.sequence = static_cast<std::uint32_t>(packet.sequence);
    header.iv_high = static_cast<std::uint32_t>(worker << 16 | packet.sequence >> 32);
    header.iv_low = static_cast<std::uint32_t>(packet.sequence);

    const std::size_t padding = net::esp_padding(packet.inner_bytes);
    constexpr std::uint8_t kPadding[net::kEspAlign - 1] = {1, 2, 3};
    std::uint8_t* tail = packet.inner + packet.inner_bytes;
    std::memcpy(tail, kPadding, sizeof kPadding);  // a fixed length: what is too many is written over
    tail[padding] = static_cast<std::uint8_t>(padding);
    tail[padding + 1] = packet.next_header;

    GcmMessage& message = messages[i];
    message.key = sa.key.get();
    message.text = packet.inner;
    message.text_bytes = packet.inner_bytes + padding + net::kEspTrailerBytes;
    message.tag = packet.inner + message.text_bytes;
    set_aad(message, header, sa.extended, packet.sequence);
    set_nonce(message, header);
  }
  engine.seal(std::span(messages).first(packets.size()));
}

void open(GcmEngine& engine, std::span<Incoming> packets) noexcept {
  std::array<GcmMessage, kMaxBurst> messages;
  std::array<std::array<std::uint8_t, kTagBytes>, kMaxBurst> tags;
  std::array<std::uint64_t, kMaxBurst> numbers{};
  std::array<Incoming*, kMaxBurst> opened;
  std::size_t count = 0;
  for (Incoming& packet : packets) {
    constexpr std::size_t kLeast = kHeader + net::kEspAlign + net::kEspIcvBytes;
    packet.result = OpenResult::kTruncated;
    if (packet.esp_bytes < kLeast || packet.esp_bytes % net::kEspAlign != 0) continue;
    const net::EspHeader& header = header_of(packet.esp);
    const auto number = packet.sa->window.find(header.sequence.host());
    packet.result = OpenResult::kReplayed;
    if (!number) continue;
    GcmMessage& message = messages[count];
    message.key = packet.sa->key.get();
    message.text = packet.esp + kHeader;
    message.text_bytes = packet.esp_bytes - kHeader - net::kEspIcvBytes;
    message.tag = tags[count].data();
    set_aad(message, header, packet.sa->extended, *number);
    set_nonce(message, header);
    numbers[count] = *number;
    opened[count++] = &packet;
  }
  engine.open(std::span(messages).first(count));
  for (std::size_t i = 0; i < count; ++i) {
    Incoming& packet = *opened[i];
    const std::span<std::uint8_t> text(messages[i].text, messages[i].text_bytes);
    if (!same_tag(tags[i].data(), text.data() + text.size())) {
      packet.result = OpenResult::kForged;
    } else if (!packet.sa->window.accept(numbers[i])) {  // twice in one burst
      packet.result = OpenResult::kReplayed;
    } else {
      packet.result = strip_trailer(packet, text);
    }
  }
}

}  // namespace sluice::esp
