// The memory cache: finds stored responses, lets one exchange fetch what is missing, and forgets what is worth least.
//
//   Lookup found = store.lookup(request, waiter);
//   kHit    serve found.object
//   kStale  ask the origin with found.object's validators. 304: found.fill.freshen(), or without a fill (another one runs) just serve
//           the object; any other answer as kMiss
//   kMiss   fetch. With a fill (bool(found.fill)): judge_response(), then fill.start() and append()/finish(), or fill.abandon();
//           leave out of the fetch what may_forward_to_fill() says. Without one (HEAD, Range, lately uncacheable): pass the answer on.
//   kWait   someone else fetches it: the waiter is registered; waiter.cancel() to leave. When woken, lookup() again, with a `patience`
//           that says why (Waiter::last_wake())
//   kNotCached  the request said only-if-cached: answer 504; or its patience was kFailed: answer as that fetch ended
//
// A fill is detached from the client that began it: the client's exchange reads the object by a Reader like everybody
// else, and the fill goes on when it leaves. While the object is below the object limit the fill never waits for
// readers. A body without Content-Length that outgrows the limit (or the budget) leaves the store and becomes a pipe to
// its one reader with a window of kPipeWindow: append() then takes less than it is given.
// Threading: every call from any thread; shards by key, one short-held mutex each; no call waits for I/O or for another
//            fill. A Fill belongs to one thread at a time.
// Ownership: the store must outlive every Fill, ObjectRef, Reader and registered Waiter.
// Units:     bytes; the budget covers heads, bodies, keys and every table entry, as allocated.
// Spec:      RFC 9111; eviction: S3-FIFO (Yang et al., SOSP 2023).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/base/siphash.h"
#include "sluice/base/time.h"
#include "sluice/cache/object.h"
#include "sluice/cache/policy.h"
#include "sluice/cache/status.h"
#include "sluice/cache/waiter.h"
#include "sluice/http/message.h"

namespace sluice::cache {

inline constexpr std::size_t kPipeWindow = 256 * 1024;
inline constexpr UnixSeconds kRememberUncacheable =
    30;  // how long a key that gave an uncacheable answer is fetched without waiting

struct StoreConfig {
  std::size_t budget_bytes = std::size_t{1} << 30;
  std::size_t object_limit_bytes = std::size_t{16} << 20;  // body of one object
  SipKey hash_key{};                                       // secret: keys come from clients
};

// A cache key: its text lies in the caller's string.
struct Key {
  std::string_view text;
  std::uint64_t hash = 0;
};

// Whether a request may wait for another's fetch.
enum class Patience : std::uint8_t {
  kFull,
  kForHead,  // it has waited long: only while that fetch has no answer yet. What has no length may be a stream without an end.
  kNone,    // it fetches on its own
  kFailed,  // what it waited for failed: it fetches nothing, and is served what may be served stale on error
};

struct LookupRequest {
  Key key{};
  RequestUse use = RequestUse::kStore;  // not kBypass
  const http::HeaderList* headers = nullptr;
  CacheControl directives{};  // of the request
  UnixSeconds now = 0;
  Patience patience = Patience::kFull;
};

class Shard;
struct Flight;

// The right, and the duty, to fetch one key. Destroying it without start(), freshen() or abandon() abandons it; after
// start() without finish() it fails the object.
class Fill {
 public:
  Fill() = default;
  Fill(Fill&& other) noexcept;
  Fill& operator=(Fill&& other) noexcept;
  ~Fill();
  explicit operator bool() const noexcept { return flight_ != nullptr || object_; }

  // Stores the head; the object is found by others from now on (when its length is known; else when it is complete).
  // nullptr: it does not fit (object limit, budget): the fill is over, pass the answer on. `policy.store()` must hold.
  [[nodiscard]] ObjectRef start(const http::HeaderList& request, const http::ResponseHead& response,
                                const ResponsePolicy& policy, const ExchangeTimes& times);
  // Takes bytes of the body and says how many: all, unless the object became a pipe and its reader is behind (then
  // wait_space()).
  [[nodiscard]] std::size_t append(std::span<const std::uint8_t> bytes) noexcept;
  // The bytes have nowhere to go any more (a pipe whose reader left, purged and unread): stop fetching.
  [[nodiscard]] bool unwanted() const noexcept;
  [[nodiscard]] bool wait_space(Waiter& waiter) noexcept;  // false: there is space now, or nobody reads
  void finish() noexcept;                                  // the body is complete
  // The origin broke off (502), or was silent for too long (504): readers fail, who waits hears the status, nothing stays.
  void fail(std::uint16_t status = 502) noexcept;

  // 304: the stored object with its fields and freshness renewed (RFC 9111 section 4.3.4); the fill is over. nullptr: the 304 is not
  // about the stored object, which is gone now; the fill stays: fetch again without conditions.
  [[nodiscard]] ObjectRef freshen(const http::HeaderList& request, const http::ResponseHead& not_modified,
                                  const ExchangeTimes& times);
  // Nothing will be stored. `uncacheable`: the answer may not be stored; then waiters stop queueing for this key for a
  // while.
  void abandon(bool uncacheable, UnixSeconds now) noexcept;
  // The origin answered with an error, perhaps to this request alone: nothing is known of the next answer, and what was to be
  // revalidated stays.
  void abandon_error() noexcept;
  // The origin gave no answer: who waits hears the status instead of asking it too.
  void abandon_failed(std::uint16_t status) noexcept;
  [[nodiscard]] bool stored() const noexcept { return stored_; }  // for Cache-Status

 private:
  friend class Shard;
  Fill(Shard* shard, Flight* flight) noexcept : shard_(shard), flight_(flight) {}
  void end() noexcept;

  Shard* shard_ = nullptr;
  Flight* flight_ = nullptr;  // until others may find the object, or nothing will come
  ObjectRef object_;          // from start() to finish() or fail()
  bool stored_ = false;
};

struct Lookup {
  enum class Outcome : std::uint8_t { kHit, kStale, kMiss, kWait, kNotCached };
  Outcome outcome = Outcome::kMiss;
  Forward forward = Forward::kNone;  // why the request has to go to the origin
  bool served_stale = false;         // kHit within stale-while-revalidate or the request's max-stale
  ObjectRef object{};                // kHit, kStale
  Fill fill{};                       // kStale, kMiss: may be none
};

struct StoreStats {
  std::uint64_t hits = 0;  // served without the origin
  std::uint64_t misses = 0;
  std::uint64_t stale = 0;      // revalidations begun
  std::uint64_t waits = 0;      // requests that waited for another's fetch
  std::uint64_t stored = 0;     // objects completed
  std::uint64_t freshened = 0;  // by 304
  std::uint64_t evictions = 0;
  std::uint64_t invalidated = 0;
  std::uint64_t too_large = 0;  // did not fit the object limit or the budget
  std::uint64_t objects = 0;    // now
  std::uint64_t bytes = 0;      // now, with overhead
  std::uint64_t budget_bytes = 0;
};

class Store {
 public:
  explicit Store(const StoreConfig& config);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // [scope|]scheme|host[:port]|path?query in `text`, which must live as long as the key is used. The port only when it is
  // not the scheme's. `scope` names where answers come from: what one service stored is no answer for another, since a client
  // may send any Host to any service.
  [[nodiscard]] Key make_key(std::string& text, bool https, std::string_view host, std::uint16_t port,
                             std::string_view target, std::string_view scope = {}) const;

  [[nodiscard]] Lookup lookup(const LookupRequest& request, Waiter& waiter);
  // Forgets every variant; fetches that are running are served but not kept (RFC 9111 section 4.4, PURGE).
  std::size_t invalidate(const Key& key) noexcept;
  std::size_t purge_all() noexcept;
  [[nodiscard]] StoreStats stats() const noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::cache
