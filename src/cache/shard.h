// One part of the store: a table of resources by key, each with its stored variants and the fetches that are running.
// Threading: any thread; everything behind mutex_. Lock order: shard, then a body's guard. Objects are destroyed with no lock held
//            (a large body takes long to free).
// Ownership: owns resources, entries and flights; objects are shared with whoever serves them.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "budget.h"
#include "s3_fifo.h"
#include "sluice/cache/store.h"

namespace sluice::cache {

// A fetch that is running.
struct Flight {
  Resource* resource = nullptr;
  Flight* next = nullptr;  // of the same resource
  std::string vary_names;  // what was known of the resource's Vary when it began
  std::string vary_values;
  ObjectRef revalidating;    // the stale object, if it has validators
  bool invalidated = false;  // the result is served, not kept
  bool answered = false;     // the head of an answer without a length has come
  WaitList waiters;
};

struct Resource {
  std::uint64_t hash = 0;
  std::string key;
  Resource* next = nullptr;   // in the same bucket
  Entry* variants = nullptr;  // newest first
  Flight* flights = nullptr;
};

// Entries that have left a shard, to be destroyed after its lock is released.
class Departed {
 public:
  Departed() = default;
  Departed(const Departed&) = delete;
  Departed& operator=(const Departed&) = delete;
  ~Departed();
  void add(Entry* entry) noexcept {
    entry->next_variant = first_;
    first_ = entry;
  }
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

 private:
  Entry* first_ = nullptr;
};

struct ShardStats {
  std::uint64_t hits = 0, misses = 0, stale = 0, waits = 0, stored = 0, freshened = 0, evictions = 0, invalidated = 0,
                too_large = 0;
};

// Room that a shard asks for; the store lets every shard give some.
class Evictor {
 public:
  virtual ~Evictor() = default;
  // Charges the budget, evicting what it takes. False: it does not fit even so.
  [[nodiscard]] virtual bool make_room(std::size_t bytes, Shard& asking) noexcept = 0;
};

class alignas(64) Shard {
 public:
  Shard(Budget& budget, Evictor& evictor, std::size_t object_limit);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  [[nodiscard]] Lookup lookup(const LookupRequest& request, Waiter& waiter);
  std::size_t invalidate(const Key& key) noexcept;
  std::size_t purge() noexcept;
  [[nodiscard]] bool evict_one() noexcept;
  void add_to(StoreStats& stats) noexcept;

  // For Fill.
  // Each of these ends the flight: wakes who waits, and destroys it.
  bool insert(Flight* flight, const ObjectRef& object);   // false: invalidated meanwhile, not inserted
  void replace(Flight* flight, const ObjectRef& object);  // what was revalidated gets a new head
  void end_flight(Flight* flight, const Wake& wake = {}) noexcept;
  void end_uncacheable(Flight* flight, UnixSeconds now) noexcept;  // also drops what was revalidated
  // Without ending one.
  void set_answered(Flight& flight) noexcept;
  void drop_revalidated(Flight* flight) noexcept;
  void forget(const ObjectRef& object) noexcept;  // its body failed
  void count_completed() noexcept;
  void count_too_large() noexcept;
  [[nodiscard]] static std::size_t index_cost(const Flight& flight) noexcept;  // of an entry for what the flight brings
  [[nodiscard]] Budget& budget() noexcept { return budget_; }
  [[nodiscard]] Evictor& evictor() noexcept { return evictor_; }
  [[nodiscard]] std::size_t object_limit() const noexcept { return object_limit_; }

 private:
  static constexpr std::size_t kMaxVariants =
      32;  // of one resource: Vary on a field that clients choose freely must not fill the cache
  static constexpr std::size_t kUncacheable = 1024;
  // Keys that lately gave an answer which may not be stored: nobody waits for them.
  struct Uncacheable {
    std::uint64_t hash = 0;
    UnixSeconds until = 0;
  };

  [[nodiscard]] Resource*& bucket(std::uint64_t hash) noexcept { return buckets_[hash & (buckets_.size() - 1)]; }
  [[nodiscard]] Resource* find(const Key& key) noexcept;
  [[nodiscard]] Resource& get(const Key& key);
  void drop_if_empty(Resource* resource) noexcept;
  void grow();
  // What lookup() does when it found no object that may be served.
  void fetch(const LookupRequest& request, Waiter& waiter, Resource* resource, Entry* entry, Lookup& out);
  [[nodiscard]] static Flight* find_flight(const Resource* resource, const http::HeaderList& request) noexcept;
  [[nodiscard]] Flight* begin_flight(const LookupRequest& request);
  void finish_flight(Flight* flight, const Wake& wake = {}) noexcept;
  [[nodiscard]] static Entry* find_entry(const Resource& resource, const Object* object) noexcept;
  [[nodiscard]] static bool is_same_variant(const Entry& entry, const Object& object) noexcept;
  void add_entry(Resource& resource, const ObjectRef& object, Departed& departed);
  void take_out(Entry* entry, Departed& departed) noexcept;  // of queue and resource
  static void unlink_variant(Entry* entry) noexcept;
  std::size_t take_out_all(Resource& resource, Departed& departed) noexcept;
  [[nodiscard]] Uncacheable& uncacheable(std::uint64_t hash) noexcept { return uncacheable_[hash % kUncacheable]; }

  std::mutex mutex_;
  Budget& budget_;
  Evictor& evictor_;
  const std::size_t object_limit_;
  std::vector<Resource*> buckets_;
  std::size_t resources_ = 0;
  S3Fifo queue_;
  ShardStats stats_;
  std::array<Uncacheable, kUncacheable> uncacheable_{};
};

}  // namespace sluice::cache
