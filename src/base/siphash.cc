#include "sluice/base/siphash.h"

#include <cstring>

namespace sluice {

std::uint64_t siphash24(const SipKey& key, std::span<const std::uint8_t> bytes) noexcept {
  SipHash24 hash(key);
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + at, 8);
    hash.absorb(word);
  }
  std::uint64_t last = static_cast<std::uint64_t>(bytes.size()) << 56;
  for (std::size_t i = 0; at + i < bytes.size(); ++i) last |= static_cast<std::uint64_t>(bytes[at + i]) << (8 * i);
  hash.absorb(last);
  return hash.finish();
}

}  // namespace sluice
