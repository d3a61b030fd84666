// Which object goes when room is needed: S3-FIFO, two queues and a memory of what left the small one too early.
// Threading: the owner's lock.
// Ownership: entries belong to the shard; the queue links them.
// Units:     bytes.
// Spec:      Yang, Zhang, Qiu, Yue, Vinayak, "FIFO queues are all you need for cache eviction", SOSP 2023: new objects
//            enter a small queue (10 % of the bytes); those asked for again move to the main queue, the others leave
//            and are remembered by their key's hash; one that returns while it is remembered enters the main queue,
//            where each request earns it another round, up to three.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "sluice/cache/object.h"

namespace sluice::cache {

struct Resource;

// One stored variant, as the shard's tables hold it.
struct Entry {
  ObjectRef object;
  Resource* resource = nullptr;
  Entry* next_variant = nullptr;  // of the same resource
  Entry* newer = nullptr;
  Entry* older = nullptr;
  std::size_t bytes = 0;       // what goes when this entry goes
  std::uint8_t frequency = 0;  // requests since it came or had its last round, at most 3
  bool in_main = false;
  void touch() noexcept { frequency = static_cast<std::uint8_t>(frequency < 3 ? frequency + 1 : 3); }
};

class S3Fifo {
 public:
  void insert(Entry& entry, std::uint64_t key_hash) noexcept;
  void remove(Entry& entry) noexcept;
  void resize(Entry& entry, std::size_t bytes) noexcept;  // keeps its place
  // Takes the next victim out of the queues, nullptr when it found none. `is_busy(entry)`: it cannot go, it has readers.
  template <typename IsBusy>
  [[nodiscard]] Entry* take_victim(IsBusy is_busy) noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return small_.count + main_.count; }

 private:
  struct Queue {
    Entry* newest = nullptr;
    Entry* oldest = nullptr;
    std::size_t bytes = 0;
    std::size_t count = 0;
    void push(Entry& entry) noexcept;
    void unlink(Entry& entry) noexcept;
  };
  static constexpr std::size_t kGhosts = 4096;
  static constexpr std::size_t kMaxSteps = 1024;  // looked at for one victim: bounds the time under the lock

  [[nodiscard]] bool is_remembered(std::uint64_t key_hash) const noexcept;
  void remember(const Entry& entry) noexcept;

  Queue small_;
  Queue main_;
  // Where a key's hash falls in the table: its other bits, and when it left. Remembered while fewer keys left since than main holds.
  struct Ghost {
    std::uint32_t fingerprint = 0;
    std::uint32_t left_at = 0;
  };
  std::array<Ghost, kGhosts> ghosts_{};
  std::uint32_t departures_ = 0;
};

template <typename IsBusy>
Entry* S3Fifo::take_victim(IsBusy is_busy) noexcept {
  for (std::size_t step = 0; step < kMaxSteps; ++step) {
    const bool from_small =
        small_.oldest != nullptr && (main_.oldest == nullptr || small_.bytes * 10 >= small_.bytes + main_.bytes);
    Queue& queue = from_small ? small_ : main_;
    Entry* entry = queue.oldest;
    if (entry == nullptr) return nullptr;
    queue.unlink(*entry);
    if (is_busy(*entry) || entry->frequency > (from_small ? 1 : 0)) {
      // Goes to main (again). From small it starts anew, in main it has used up a round.
      entry->frequency = static_cast<std::uint8_t>(from_small || entry->frequency == 0 ? 0 : entry->frequency - 1);
      entry->in_main = true;
      main_.push(*entry);
      continue;
    }
    if (from_small) remember(*entry);
    return entry;
  }
  return nullptr;
}

}  // namespace sluice::cache
