#include "sluice/net/prefix_set.h"

#include <algorithm>
#include <bit>

namespace sluice::net {
namespace {

constexpr std::uint32_t kBuckets = 1u << 16;

// Ranges that overlap become one. (Those that merely touch stay two.)
template <typename Range>
void merge(std::vector<Range>& ranges) {
  std::ranges::sort(ranges, {}, &Range::first);
  std::size_t kept = 0;
  for (const Range& range : ranges) {
    if (kept > 0 && range.first <= ranges[kept - 1].last) {
      ranges[kept - 1].last = std::max(ranges[kept - 1].last, range.last);
    } else {
      ranges[kept++] = range;
    }
  }
  ranges.resize(kept);
  ranges.shrink_to_fit();
}

// A word whose first `bits` are 0 and the rest 1.
std::uint64_t host_bits(unsigned bits) noexcept { return bits >= 64 ? 0 : ~std::uint64_t{0} >> bits; }

}  // namespace

PrefixSet::Key6 PrefixSet::key_of(const IpAddress& address) noexcept {
  const auto words = address.words();
  return {std::byteswap(words[0]), std::byteswap(words[1])};
}

PrefixSet::PrefixSet(std::span<const Prefix> prefixes) {
  for (const Prefix& prefix : prefixes) {
    if (prefix.address.is_v4()) {
      const auto host = static_cast<std::uint32_t>(host_bits(32u + prefix.length));
      const std::uint32_t address = prefix.address.v4().host();
      ranges4_.push_back({address & ~host, address | host});
    } else {
      const Key6 key = key_of(prefix.address);
      const std::uint64_t upper = host_bits(prefix.length);
      const std::uint64_t lower = prefix.length <= 64 ? ~std::uint64_t{0} : host_bits(prefix.length - 64u);
      ranges6_.push_back({{key.upper & ~upper, key.lower & ~lower}, {key.upper | upper, key.lower | lower}});
    }
  }
  merge(ranges4_);
  merge(ranges6_);
  if (ranges4_.empty()) return;
  index4_.resize(kBuckets + 1);
  std::size_t at = 0;
  for (std::uint32_t bucket = 0; bucket <= kBuckets; ++bucket) {
    while (at < ranges4_.size() && ranges4_[at].last >> 16 < bucket) ++at;
    index4_[bucket] = static_cast<std::uint32_t>(at);
  }
}

bool PrefixSet::contains(const IpAddress& address) const noexcept {
  if (address.is_v4()) {
    if (ranges4_.empty()) return false;
    const std::uint32_t host = address.v4().host();
    // Those that end in this bucket, and the one behind them, which may begin in it.
    const auto begin = ranges4_.begin() + index4_[host >> 16];
    const auto end = ranges4_.begin() +
                     std::min<std::ptrdiff_t>(index4_[(host >> 16) + 1] + std::ptrdiff_t{1}, std::ssize(ranges4_));
    const auto behind = std::ranges::upper_bound(begin, end, host, {}, &Range4::first);
    return behind != begin && host <= std::prev(behind)->last;
  }
  const Key6 key = key_of(address);
  const auto behind = std::ranges::upper_bound(ranges6_, key, {}, &Range6::first);
  return behind != ranges6_.begin() && key <= std::prev(behind)->last;
}

}  // namespace sluice::net
