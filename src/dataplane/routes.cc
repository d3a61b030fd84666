#include "sluice/dataplane/routes.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace sluice::dataplane {
namespace {

std::array<std::uint64_t, 2> words_of(const net::IpAddress& address) noexcept {
  return std::bit_cast<std::array<std::uint64_t, 2>>(address.bytes());
}

// Length in the 128-bit form: an IPv4 prefix stands behind ::ffff:0:0/96.
unsigned length_of(const net::Prefix& prefix) noexcept {
  return prefix.address.is_v4() ? prefix.length + 96u : prefix.length;
}

std::array<std::uint64_t, 2> mask_of(unsigned length) noexcept {
  std::array<std::uint8_t, 16> bytes{};
  for (unsigned bit = 0; bit < length; ++bit) {
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] | (0x80u >> (bit % 8)));
  }
  return std::bit_cast<std::array<std::uint64_t, 2>>(bytes);
}

}  // namespace

void Routes::add(const Route& route) {
  const auto longer_first = [](const Route& a, const Route& b) { return length_of(a.prefix) > length_of(b.prefix); };
  const auto at = std::upper_bound(routes_.begin(), routes_.end(), route, longer_first);
  Masked masked{words_of(route.prefix.address), mask_of(length_of(route.prefix))};
  for (std::size_t i = 0; i < 2; ++i) masked.value[i] &= masked.mask[i];
  masked_.insert(masked_.begin() + (at - routes_.begin()), masked);
  routes_.insert(at, route);
}

const Route* Routes::find(const net::IpAddress& destination) const noexcept {
  const std::array<std::uint64_t, 2> words = words_of(destination);
  const bool v4 = destination.is_v4();
  for (std::size_t i = 0; i < masked_.size(); ++i) {
    const Masked& at = masked_[i];
    if ((words[0] & at.mask[0]) == at.value[0] && (words[1] & at.mask[1]) == at.value[1] &&
        routes_[i].prefix.address.is_v4() == v4) {  // ::/0 is not a way to an IPv4 address
      return &routes_[i];
    }
  }
  return nullptr;
}

}  // namespace sluice::dataplane
