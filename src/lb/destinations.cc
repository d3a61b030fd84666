#include "sluice/lb/destinations.h"

#include "sluice/base/mix.h"

namespace sluice::lb {

Destinations::Destinations(std::size_t capacity, const std::array<std::uint64_t, 4>& secret)
    : secret_(secret), entries_(capacity), index_(capacity) {}

std::uint32_t Destinations::hash(const Destination& destination) const noexcept {
  const auto words = std::bit_cast<std::array<std::uint64_t, 3>>(destination);
  const std::uint64_t first = mix(words[0] ^ secret_[1], words[1] ^ secret_[0]);
  return static_cast<std::uint32_t>(mix(mix(first ^ secret_[3], words[2] ^ secret_[2]), secret_[1] | 1) >> 32);
}

std::size_t Destinations::find_place(const Destination& destination, std::uint32_t hash) const noexcept {
  return index_.find(hash, [&](std::size_t place) { return entries_[place].what == destination; });
}

ListenerId Destinations::find(const Destination& destination) const noexcept {
  const std::size_t place = size_ == 0 ? ReplyIndex::kNone : find_place(destination, hash(destination));
  return place == ReplyIndex::kNone ? ListenerId{} : number_of(place);
}

std::optional<ListenerId> Destinations::hold(const Destination& destination) noexcept {
  const std::uint32_t h = hash(destination);
  std::size_t place = find_place(destination, h);
  if (place == ReplyIndex::kNone) {
    if (free_ != kNoPlace) {
      place = free_;
      free_ = entries_[place].next_free;
    } else if (unused_ < entries_.size()) {
      place = unused_++;
    } else {
      return std::nullopt;
    }
    entries_[place] = {.what = destination, .flows = 0, .next_free = kNoPlace};
    index_.insert(h, place);
    ++size_;
  }
  ++entries_[place].flows;
  return number_of(place);
}

void Destinations::release(ListenerId number) noexcept {
  const std::size_t place = place_of(number);
  Entry& entry = entries_[place];
  if (--entry.flows != 0) return;
  index_.remove(hash(entry.what), place);
  entry.next_free = free_;
  free_ = static_cast<std::uint32_t>(place);
  --size_;
}

}  // namespace sluice::lb
