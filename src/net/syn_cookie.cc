#include "sluice/net/syn_cookie.h"

#include "sluice/base/mix.h"

namespace sluice::net {
namespace {

constexpr std::uint32_t kSizeBits = 7;
constexpr std::uint32_t kOptionBits = 0x3f;
constexpr std::uint32_t kScaleBits = 0xf;
constexpr std::uint32_t kSackBit = 0x10;

std::uint32_t size_index(std::uint16_t mss) noexcept {
  std::uint32_t index = 0;
  for (std::size_t i = 1; i < SynCookies::kSizes.size(); ++i) index += mss >= SynCookies::kSizes[i];
  return index;
}

// The upper bits depend on the size too: one cookie is not that of another size.
std::uint32_t cookie_of(std::uint64_t hash, std::uint32_t size) noexcept {
  const auto upper = static_cast<std::uint32_t>(mix(hash ^ (size * 0x9e3779b97f4a7c15u), 0xd6e8feb86659fd93u));
  return (upper & ~kSizeBits) | ((static_cast<std::uint32_t>(hash) ^ size) & kSizeBits);
}

}  // namespace

SipKey SynCookies::key_of(std::uint64_t epoch) const noexcept {
  SipKey key{};
  for (std::uint64_t half = 0; half < key.size(); ++half) {
    SipHash24 hash(secret_);
    hash.absorb(epoch);
    hash.absorb(half | std::uint64_t{9} << 56);
    key[half] = hash.finish();
  }
  return key;
}

void SynCookies::turn_to(Ms now) noexcept {
  const auto at = static_cast<std::uint16_t>(static_cast<std::uint32_t>(now) / kEpochMs);
  if (begun_ && at == static_cast<std::uint16_t>(epoch_)) [[likely]]
    return;
  const std::uint16_t passed = begun_ ? static_cast<std::uint16_t>(at - static_cast<std::uint16_t>(epoch_)) : at;
  epoch_ += passed;
  begun_ = true;
  key_ = key_of(epoch_);
  key_before_ = key_of(epoch_ - 1);
}

std::uint64_t SynCookies::hash(const SipKey& key, const CookieTuple& tuple) noexcept {
  SipHash13 hash(key);
  const auto client = tuple.client.words(), service = tuple.service.words();
  std::uint64_t bytes = 12 + 8;  // 4 are there in any case
  if (tuple.client.is_v4()) {
    hash.absorb((client[1] >> 32) | (service[1] & 0xffffffff00000000u));
  } else {
    for (const std::uint64_t word : {client[0], client[1], service[0], service[1]}) hash.absorb(word);
    bytes += 24;
  }
  hash.absorb(tuple.client_sequence | std::uint64_t{tuple.client_port} << 32 | std::uint64_t{tuple.service_port} << 48);
  hash.absorb(bytes << 56);
  return hash.finish();
}

std::uint32_t SynCookies::make(const CookieTuple& tuple, std::uint16_t client_mss, Ms now) noexcept {
  turn_to(now);
  return cookie_of(hash(key_, tuple), size_index(client_mss));
}

std::optional<std::uint16_t> SynCookies::check(const CookieTuple& tuple, std::uint32_t cookie, Ms now) noexcept {
  turn_to(now);
  for (const SipKey* key : {&key_, &key_before_}) {
    const std::uint64_t expected = hash(*key, tuple);
    const std::uint32_t size = (static_cast<std::uint32_t>(expected) ^ cookie) & kSizeBits;
    if (cookie_of(expected, size) == cookie) return kSizes[size];
  }
  return std::nullopt;
}

std::uint32_t SynCookies::timestamp_for(std::uint32_t clock, const TcpOptions& client) noexcept {
  const std::uint32_t bits = (client.window_scale & kScaleBits) | (client.sack_permitted ? kSackBit : 0);
  const std::uint32_t timestamp = (clock & ~kOptionBits) | bits;
  return timestamp - (bits > (clock & kOptionBits) ? kOptionBits + 1 : 0);
}

TcpOptions SynCookies::options_of(std::uint32_t timestamp) noexcept {
  TcpOptions out;
  out.timestamps = true;
  out.window_scale = static_cast<std::uint8_t>(timestamp & kScaleBits);
  out.sack_permitted = (timestamp & kSackBit) != 0;
  return out;
}

}  // namespace sluice::net
