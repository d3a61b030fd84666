// Gives each thing of a new configuration a slot: the one it had, else one that was never used, else one that is free,
// with the next generation.
// Threading: values; control thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace sluice::lb {

struct Slot {
  std::uint16_t index = 0;
  std::uint16_t generation = 0;
};

template <typename Key>
class Slots {
 public:
  explicit Slots(std::size_t limit) : limit_(limit) {}

  // The slots of the previous snapshot, in order.
  void add_previous(const Key& key, bool present, std::uint16_t generation) {
    if (present) known_.emplace(key, previous_.size());
    previous_.push_back(generation);
  }

  // nullopt: more than the limit. Keys are unique.
  [[nodiscard]] std::optional<std::vector<Slot>> assign(const std::vector<Key>& keys) {
    std::vector<std::optional<Slot>> out(keys.size());
    std::vector<bool> taken(previous_.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const auto known = known_.find(keys[i]);
      if (known == known_.end()) continue;
      out[i] = Slot{static_cast<std::uint16_t>(known->second), previous_[known->second]};
      taken[known->second] = true;
    }
    size_ = previous_.size();
    std::size_t free = 0;
    std::vector<Slot> slots;
    for (std::optional<Slot>& slot : out) {
      if (!slot && size_ < limit_) {
        slot = Slot{static_cast<std::uint16_t>(size_++), 1};
      } else if (!slot) {
        while (free < taken.size() && taken[free]) ++free;
        if (free == taken.size()) return std::nullopt;
        taken[free] = true;
        slot = Slot{static_cast<std::uint16_t>(free), static_cast<std::uint16_t>(previous_[free] + 1)};
      }
      slots.push_back(*slot);
    }
    return slots;
  }
  [[nodiscard]] std::size_t size() const { return size_; }  // after assign()

 private:
  std::size_t limit_;
  std::size_t size_ = 0;
  std::map<Key, std::size_t> known_;
  std::vector<std::uint16_t> previous_;
};

}  // namespace sluice::lb
