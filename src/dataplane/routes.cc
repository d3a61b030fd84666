#include "sluice/dataplane/routes.h"

#include <algorithm>
#include <bit>

namespace sluice::dataplane {
namespace {

std::array<std::uint64_t, 2> mask6_of(unsigned length) noexcept {
  std::array<std::uint8_t, 16> bytes{};
  for (unsigned bit = 0; bit < length; ++bit) {
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] | (0x80u >> (bit % 8)));
  }
  return std::bit_cast<std::array<std::uint64_t, 2>>(bytes);
}

std::uint32_t mask4_of(unsigned length) noexcept {
  return Be32(length == 0 ? 0u : ~std::uint32_t{0} << (32 - length)).raw();
}

}  // namespace

void Routes::add(const Route& route) {
  const auto longer_first = [](const Route& a, const Route& b) { return a.prefix.length > b.prefix.length; };
  routes_.insert(std::upper_bound(routes_.begin(), routes_.end(), route, longer_first), route);
  for (std::size_t i = 0; i < routes_.size(); ++i) routes_[i].number = static_cast<std::uint16_t>(i);
  masked4_.clear();
  masked6_.clear();
  for (std::uint32_t i = 0; i < routes_.size(); ++i) {
    const net::Prefix& prefix = routes_[i].prefix;
    if (prefix.address.is_v4()) {
      const std::uint32_t mask = mask4_of(prefix.length);
      masked4_.push_back({prefix.address.v4().raw() & mask, mask, i});
    } else {
      const auto words = prefix.address.words(), mask = mask6_of(prefix.length);
      masked6_.push_back({{words[0] & mask[0], words[1] & mask[1]}, mask, i});
    }
  }
}

const Route* Routes::find6(const net::IpAddress& destination) const noexcept {
  const std::array<std::uint64_t, 2> words = destination.words();
  for (const Masked6& at : masked6_) {
    if ((words[0] & at.mask[0]) == at.value[0] && (words[1] & at.mask[1]) == at.value[1]) return &routes_[at.route];
  }
  return nullptr;
}

}  // namespace sluice::dataplane
