// A read-only hash table from an address (and port, and protocol) to an entry of a Snapshot: built by control, probed
// by every packet. Entries of 32 bytes lie in the table itself, two to a cache line; at most a quarter of the slots is
// used, so nearly every probe ends in the line that it began in.
// Threading: immutable once built.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "sluice/net/address.h"

namespace sluice::lb {

struct AddressKey {
  net::IpAddress address;
  std::uint16_t port = 0;  // 0 where the key is an address alone
  std::uint8_t proto = 0;
  std::uint8_t used = 0;  // 1 in every key of an entry; a free slot is all zeros
  bool operator==(const AddressKey&) const noexcept = default;

  // All behind the address, as it lies in memory.
  [[nodiscard]] static constexpr std::uint32_t tail(std::uint16_t port, std::uint8_t proto) noexcept {
    return port | (std::uint32_t{proto} << 16) | (std::uint32_t{1} << 24);
  }
};
static_assert(sizeof(AddressKey) == 20);

// Entry begins with an AddressKey member `key` and is 32 bytes.
template <typename Entry>
class AddressIndex {
  static_assert(sizeof(Entry) == 32);

 public:
  AddressIndex() : AddressIndex(std::vector<Entry>{}) {}
  explicit AddressIndex(const std::vector<Entry>& entries)  // keys are unique
      : slots_(std::bit_ceil(entries.size() * 4 + 2)), mask_(slots_.size() - 1) {
    for (const Entry& entry : entries) {
      std::size_t at = hash(entry.key.address, AddressKey::tail(entry.key.port, entry.key.proto)) & mask_;
      while (slots_[at].key.used != 0) at = (at + 1) & mask_;
      slots_[at] = entry;
    }
  }

  [[nodiscard]] const Entry* find(const net::IpAddress& address, std::uint16_t port,
                                  std::uint8_t proto) const noexcept {
    const Entry& entry = probe(address, port, proto);
    return entry.key.used != 0 ? &entry : nullptr;
  }
  // The entry, or a free one (all zeros) where there is none: whether it is found cannot be predicted, so there is no branch.
  [[nodiscard, gnu::always_inline]] const Entry& probe(const net::IpAddress& address, std::uint16_t port,
                                                       std::uint8_t proto) const noexcept {
    // In registers from end to end: a key that was just written in pieces and is read back in words stalls.
    const std::uint32_t tail = AddressKey::tail(port, proto);
    const std::array<std::uint64_t, 2> words = address.words();
    for (std::size_t at = hash(address, tail) & mask_;; at = (at + 1) & mask_) {
      const Entry& entry = slots_[at];
      const std::array<std::uint64_t, 2> there = entry.key.address.words();
      std::uint32_t there_tail = 0;
      std::memcpy(&there_tail, &entry.key.port, sizeof(there_tail));
      const std::uint64_t differs = (there[0] ^ words[0]) | (there[1] ^ words[1]) | (there_tail ^ tail);
      if (differs == 0 || there_tail == 0) [[likely]]
        return entry;
    }
  }

 private:
  // The operator chooses the keys, so this hash need not resist an enemy.
  [[nodiscard]] static std::size_t hash(const net::IpAddress& address, std::uint32_t tail) noexcept {
    const std::array<std::uint64_t, 2> words = address.words();
    std::uint64_t h = (words[0] ^ std::rotl(words[1], 32) ^ (std::uint64_t{tail} << 7)) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
    return static_cast<std::size_t>((h * 0xd6e8feb86659fd93u) >> 32);
  }

  std::vector<Entry> slots_;
  std::size_t mask_ = 0;
};

}  // namespace sluice::lb
