// A read-only hash table from an address (and port, and protocol) to an entry of a Snapshot: built by control, probed
// by every packet. Entries of 32 bytes lie in the table itself, two to a cache line; at most a quarter of the slots is
// used, so nearly every probe ends in the line that it began in.
// Threading: immutable once built.
#pragma once

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
      std::size_t at = hash(entry.key) & mask_;
      while (slots_[at].key.used != 0) at = (at + 1) & mask_;
      slots_[at] = entry;
    }
  }

  [[nodiscard]] const Entry* find(const net::IpAddress& address, std::uint16_t port,
                                  std::uint8_t proto) const noexcept {
    const AddressKey key{address, port, proto, 1};
    for (std::size_t at = hash(key) & mask_;; at = (at + 1) & mask_) {
      const Entry& entry = slots_[at];
      if (std::memcmp(&entry.key, &key, sizeof(key)) == 0) [[likely]]
        return &entry;
      if (entry.key.used == 0) return nullptr;
    }
  }

 private:
  // The operator chooses the keys, so this hash need not resist an enemy.
  [[nodiscard]] static std::size_t hash(const AddressKey& key) noexcept {
    std::uint64_t high = 0, low = 0;
    std::uint32_t rest = 0;
    std::memcpy(&high, &key, 8);
    std::memcpy(&low, reinterpret_cast<const char*>(&key) + 8, 8);
    std::memcpy(&rest, reinterpret_cast<const char*>(&key) + 16, 4);
    std::uint64_t h = (high ^ std::rotl(low, 32) ^ (std::uint64_t{rest} << 7)) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
    return static_cast<std::size_t>((h * 0xd6e8feb86659fd93u) >> 32);
  }

  std::vector<Entry> slots_;
  std::size_t mask_ = 0;
};

}  // namespace sluice::lb
