#include "shard.h"

#include <algorithm>
#include <memory>

#include "body.h"
#include "vary.h"

namespace sluice::cache {
namespace {

constexpr std::size_t kFirstBuckets = 64;

}  // namespace

Departed::~Departed() {
  while (Entry* entry = first_) {
    first_ = entry->next_variant;
    delete entry;
  }
}

Shard::Shard(Budget& budget, Evictor& evictor, std::size_t object_limit)
    : budget_(budget), evictor_(evictor), object_limit_(object_limit), buckets_(kFirstBuckets, nullptr) {}

Shard::~Shard() { purge(); }

std::size_t Shard::index_cost(const Flight& flight) noexcept {
  // Each variant pays for the whole resource: a little too much when there are several.
  return sizeof(Entry) + sizeof(Resource) + flight.resource->key.capacity() + sizeof(Resource*) +
         3 * kAllocationOverhead;
}

// --- the table ---

Resource* Shard::find(const Key& key) noexcept {
  for (Resource* resource = bucket(key.hash); resource != nullptr; resource = resource->next) {
    if (resource->hash == key.hash && resource->key == key.text) return resource;
  }
  return nullptr;
}

Resource& Shard::get(const Key& key) {
  if (Resource* found = find(key)) return *found;
  if (resources_ >= buckets_.size()) grow();
  auto resource = std::make_unique<Resource>();
  resource->hash = key.hash;
  resource->key = key.text;
  Resource*& head = bucket(key.hash);
  resource->next = head;
  head = resource.release();
  ++resources_;
  return *head;
}

void Shard::grow() {
  std::vector<Resource*> old(buckets_.size() * 2, nullptr);
  old.swap(buckets_);
  for (Resource* resource : old) {
    while (resource != nullptr) {
      Resource* next = resource->next;
      Resource*& head = bucket(resource->hash);
      resource->next = head;
      head = resource;
      resource = next;
    }
  }
}

void Shard::drop_if_empty(Resource* resource) noexcept {
  if (resource->variants != nullptr || resource->flights != nullptr) return;
  Resource** link = &bucket(resource->hash);
  while (*link != resource) link = &(*link)->next;
  *link = resource->next;
  delete resource;
  --resources_;
}

// --- looking up ---

Lookup Shard::lookup(const LookupRequest& request, Waiter& waiter) {
  Lookup out;
  const std::lock_guard lock(mutex_);
  Resource* resource = find(request.key);
  Entry* entry = resource == nullptr ? nullptr : resource->variants;
  while (entry != nullptr && (entry->object->body_->state() == Body::State::kFailed ||
                              !vary_matches(entry->object->vary_, entry->object->vary_values_, *request.headers))) {
    entry = entry->next_variant;
  }
  if (entry != nullptr) {
    const Object& object = *entry->object;
    const std::uint32_t age = object.age(request.now);
    const ResponsePolicy& policy = object.policy();
    const bool fresh = age < policy.lifetime;
    bool serve = may_serve(request.directives, age, policy);
    // RFC 5861 section 3: stale while another request revalidates it.
    if (!serve && !fresh && !request.directives.no_cache && !policy.always_revalidate &&
        age - policy.lifetime < policy.stale_while_revalidate) {
      serve = find_flight(resource, *request.headers) != nullptr;
    }
    if (serve) {
      entry->touch();
      ++stats_.hits;
      out.outcome = Lookup::Outcome::kHit;
      out.served_stale = !fresh;
      out.object = entry->object;
      return out;
    }
    out.forward = fresh && !policy.always_revalidate ? Forward::kRequest : Forward::kStale;
  } else {
    out.forward = resource != nullptr && resource->variants != nullptr ? Forward::kVaryMiss : Forward::kUriMiss;
  }
  fetch(request, waiter, resource, entry, out);
  return out;
}

void Shard::fetch(const LookupRequest& request, Waiter& waiter, Resource* resource, Entry* entry, Lookup& out) {
  out.outcome = Lookup::Outcome::kMiss;
  if (request.directives.only_if_cached) {  // RFC 9111 section 5.2.1.7
    out.outcome = Lookup::Outcome::kNotCached;
    ++stats_.misses;
    return;
  }
  if (request.patience == Patience::kFailed) {
    ++stats_.misses;
    out.outcome = Lookup::Outcome::kNotCached;
    if (entry == nullptr || !entry->object->complete() || !entry->object->may_serve_on_error(request.now)) return;
    out.outcome = Lookup::Outcome::kHit;
    out.served_stale = true;
    out.object = entry->object;
    return;
  }
  const Uncacheable& lately = uncacheable(request.key.hash);
  if (request.use != RequestUse::kStore || (lately.hash == request.key.hash && request.now < lately.until)) {
    ++stats_.misses;
    return;
  }
  const bool can_revalidate = entry != nullptr && entry->object->complete() &&
                              (!entry->object->validators().etag.empty() || entry->object->validators().last_modified);
  if (Flight* running = find_flight(resource, *request.headers); running != nullptr) {
    // What the other one brings will not do for a request that wants the origin's word of now: it asks on its own, without storing.
    // What a request with credentials brings is mostly for its sender alone: those would queue up one behind the other.
    const bool own_word =
        request.directives.no_cache || request.headers->has(http::HeaderId::kAuthorization) ||
        (entry != nullptr && (entry->object->policy().always_revalidate || entry->object->policy().lifetime == 0));
    const bool patient =
        request.patience == Patience::kFull || (request.patience == Patience::kForHead && !running->answered);
    if (patient && !own_word) {
      running->waiters.add(waiter, mutex_);
      out.outcome = Lookup::Outcome::kWait;
      ++stats_.waits;
      return;
    }
  } else {
    Flight* flight = begin_flight(request);
    if (can_revalidate) flight->revalidating = entry->object;
    out.fill = Fill(this, flight);
  }
  if (can_revalidate) {
    out.outcome = Lookup::Outcome::kStale;
    out.object = entry->object;
    ++stats_.stale;
  } else {
    ++stats_.misses;
  }
}

// --- fetches ---

Flight* Shard::find_flight(const Resource* resource, const http::HeaderList& request) noexcept {
  if (resource == nullptr) return nullptr;
  for (Flight* flight = resource->flights; flight != nullptr; flight = flight->next) {
    if (!flight->invalidated && vary_matches(flight->vary_names, flight->vary_values, request)) return flight;
  }
  return nullptr;
}

Flight* Shard::begin_flight(const LookupRequest& request) {
  Resource& resource = get(request.key);
  auto flight = std::make_unique<Flight>();
  flight->resource = &resource;
  if (resource.variants != nullptr) {
    flight->vary_names = resource.variants->object->vary_;
    append_vary_values(flight->vary_values, flight->vary_names, *request.headers);
  }
  flight->next = resource.flights;
  resource.flights = flight.get();
  return flight.release();
}

void Shard::finish_flight(Flight* flight, const Wake& wake) noexcept {
  flight->waiters.wake_all(wake);
  Resource* resource = flight->resource;
  Flight** link = &resource->flights;
  while (*link != flight) link = &(*link)->next;
  *link = flight->next;
  delete flight;
  drop_if_empty(resource);
}

bool Shard::insert(Flight* flight, const ObjectRef& object) {
  Departed departed;
  const std::lock_guard lock(mutex_);
  const bool inserted = !flight->invalidated;
  if (inserted) add_entry(*flight->resource, object, departed);
  finish_flight(flight);
  return inserted;
}

void Shard::replace(Flight* flight, const ObjectRef& object) {
  Departed departed;
  ObjectRef revalidated;  // these are destroyed after the lock
  ObjectRef replaced;
  const std::lock_guard lock(mutex_);
  std::swap(flight->revalidating, revalidated);
  Entry* entry = find_entry(*flight->resource, revalidated.get());
  if (entry != nullptr && is_same_variant(*entry, *object)) {
    replaced = std::exchange(entry->object, object);
    queue_.resize(*entry, object->charged_ + object->body_->charged());
  } else if (!flight->invalidated) {  // evicted meanwhile, or Vary changed
    if (entry != nullptr) take_out(entry, departed);
    add_entry(*flight->resource, object, departed);
  }
  ++stats_.freshened;
  finish_flight(flight);
}

void Shard::end_flight(Flight* flight, const Wake& wake) noexcept {
  ObjectRef revalidated;  // destroyed after the lock
  const std::lock_guard lock(mutex_);
  std::swap(flight->revalidating, revalidated);
  finish_flight(flight, wake);
}

void Shard::set_answered(Flight& flight) noexcept {
  const std::lock_guard lock(mutex_);
  flight.answered = true;
}

void Shard::end_uncacheable(Flight* flight, UnixSeconds now) noexcept {
  drop_revalidated(flight);
  const std::lock_guard lock(mutex_);
  const std::uint64_t hash = flight->resource->hash;
  uncacheable(hash) = {hash, now + kRememberUncacheable};
  finish_flight(flight, {.cause = Wake::Cause::kUncacheable});
}

void Shard::drop_revalidated(Flight* flight) noexcept {
  Departed departed;
  ObjectRef revalidated;
  const std::lock_guard lock(mutex_);
  std::swap(flight->revalidating, revalidated);
  if (!revalidated) return;
  if (Entry* entry = find_entry(*flight->resource, revalidated.get())) take_out(entry, departed);
}

// --- entries ---

bool Shard::is_same_variant(const Entry& entry, const Object& object) noexcept {
  return entry.object->vary_ == object.vary_ && entry.object->vary_values_ == object.vary_values_;
}

Entry* Shard::find_entry(const Resource& resource, const Object* object) noexcept {
  Entry* entry = resource.variants;
  while (entry != nullptr && entry->object.get() != object) entry = entry->next_variant;
  return entry;
}

void Shard::add_entry(Resource& resource, const ObjectRef& object, Departed& departed) {
  std::size_t kept = 0;
  for (Entry* entry = resource.variants; entry != nullptr;) {
    Entry* next = entry->next_variant;
    if (is_same_variant(*entry, *object) || ++kept >= kMaxVariants) take_out(entry, departed);
    entry = next;
  }
  auto entry = std::make_unique<Entry>();
  entry->object = object;
  entry->resource = &resource;
  entry->bytes = object->charged_ + object->body_->charged();
  entry->next_variant = resource.variants;
  queue_.insert(*entry, resource.hash);
  resource.variants = entry.release();
}

void Shard::unlink_variant(Entry* entry) noexcept {
  Entry** link = &entry->resource->variants;
  while (*link != entry) link = &(*link)->next_variant;
  *link = entry->next_variant;
}

void Shard::take_out(Entry* entry, Departed& departed) noexcept {
  queue_.remove(*entry);
  unlink_variant(entry);
  departed.add(entry);
}

std::size_t Shard::take_out_all(Resource& resource, Departed& departed) noexcept {
  std::size_t count = 0;
  for (; resource.variants != nullptr; ++count) take_out(resource.variants, departed);
  for (Flight* flight = resource.flights; flight != nullptr; flight = flight->next) flight->invalidated = true;
  return count;
}

void Shard::forget(const ObjectRef& object) noexcept {
  Departed departed;
  const std::lock_guard lock(mutex_);
  for (Resource* resource = bucket(object->key_hash_); resource != nullptr; resource = resource->next) {
    Entry* entry = find_entry(*resource, object.get());
    if (entry == nullptr) continue;
    take_out(entry, departed);
    drop_if_empty(resource);
    return;
  }
}

bool Shard::evict_one() noexcept {
  Departed departed;
  const std::lock_guard lock(mutex_);
  // What someone reads gives no memory when it goes. Nobody can begin to read it while we hold the lock.
  Entry* victim = queue_.take_victim([](const Entry& entry) {
    return entry.object->references_.load(std::memory_order_acquire) > 1 || entry.object->body_->is_shared();
  });
  if (victim == nullptr) return false;
  Resource* resource = victim->resource;
  unlink_variant(victim);
  departed.add(victim);
  drop_if_empty(resource);
  ++stats_.evictions;
  return true;
}

std::size_t Shard::invalidate(const Key& key) noexcept {
  Departed departed;
  const std::lock_guard lock(mutex_);
  Resource* resource = find(key);
  if (resource == nullptr) return 0;
  const std::size_t count = take_out_all(*resource, departed);
  stats_.invalidated += count;
  drop_if_empty(resource);
  return count;
}

std::size_t Shard::purge() noexcept {
  Departed departed;
  const std::lock_guard lock(mutex_);
  std::size_t count = 0;
  for (Resource* resource : buckets_) {
    while (resource != nullptr) {
      Resource* next = resource->next;
      count += take_out_all(*resource, departed);
      drop_if_empty(resource);
      resource = next;
    }
  }
  stats_.invalidated += count;
  return count;
}

void Shard::count_completed() noexcept {
  const std::lock_guard lock(mutex_);
  ++stats_.stored;
}

void Shard::count_too_large() noexcept {
  const std::lock_guard lock(mutex_);
  ++stats_.too_large;
}

void Shard::add_to(StoreStats& stats) noexcept {
  const std::lock_guard lock(mutex_);
  stats.hits += stats_.hits;
  stats.misses += stats_.misses;
  stats.stale += stats_.stale;
  stats.waits += stats_.waits;
  stats.stored += stats_.stored;
  stats.freshened += stats_.freshened;
  stats.evictions += stats_.evictions;
  stats.invalidated += stats_.invalidated;
  stats.too_large += stats_.too_large;
  stats.objects += queue_.size();
}

}  // namespace sluice::cache
