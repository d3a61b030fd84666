#include "sluice/lb/rss_map.h"

#include <bit>

namespace sluice::lb {

RssMap::RssMap(std::span<const std::uint8_t, net::Toeplitz::kKeyBytes> key, RssFields fields,
               std::span<const std::uint16_t> workers)
    : toeplitz_(key),
      key_(key.begin(), key.end()),
      fields_(fields),
      shift_(32 - static_cast<unsigned>(std::countr_zero(workers.size()))),
      workers_(workers.size()) {
  const unsigned bits = 32 - shift_;
  for (std::size_t at = 0; at < workers.size(); ++at) {
    std::size_t mirrored = 0;
    for (unsigned bit = 0; bit < bits; ++bit) mirrored |= (at >> bit & 1) << (bits - 1 - bit);
    workers_[mirrored] = workers[at];
    reached_.set(workers[at]);
  }
}

}  // namespace sluice::lb
