// A stored response: an immutable head, and a body that one filler appends to while any number of readers follow.
// Threading: Object is immutable, references may be taken and dropped by any thread. Body: one filler; any number of
//            readers, each on its own thread; what lies below size() never changes. A Reader belongs to one thread.
// Ownership: reference counted (ObjectRef). The Store must outlive every reference. Memory is charged to the store's
//            budget from allocation until the last reference goes.
// Units:     bytes; seconds by the wall clock.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "sluice/base/time.h"
#include "sluice/cache/policy.h"
#include "sluice/cache/waiter.h"
#include "sluice/http/conditional.h"
#include "sluice/http/headers.h"

namespace sluice::cache {

class Body;
class Budget;
class Object;

// A counted reference, to an Object or a Body.
template <typename T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T* taken) noexcept : pointer_(taken) {}  // takes over one count
  Ref(const Ref& other) noexcept : pointer_(other.pointer_) {
    if (pointer_ != nullptr) pointer_->retain();
  }
  Ref(Ref&& other) noexcept : pointer_(std::exchange(other.pointer_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(pointer_, other.pointer_);
    return *this;
  }
  ~Ref() {
    if (pointer_ != nullptr) pointer_->release();
  }
  [[nodiscard]] T* get() const noexcept { return pointer_; }
  T* operator->() const noexcept { return pointer_; }
  T& operator*() const noexcept { return *pointer_; }
  explicit operator bool() const noexcept { return pointer_ != nullptr; }

 private:
  T* pointer_ = nullptr;
};
using BodyRef = Ref<Body>;
using ObjectRef = Ref<const Object>;

class Object {
 public:
  [[nodiscard]] std::uint16_t status() const noexcept { return status_; }
  // End-to-end fields as the origin sent them, without Age, Connection and what it lists, Content-Length and
  // Transfer-Encoding.
  [[nodiscard]] const http::HeaderList& headers() const noexcept { return headers_; }
  [[nodiscard]] const http::Validators& validators() const noexcept { return validators_; }
  [[nodiscard]] const ResponsePolicy& policy() const noexcept { return policy_; }
  // Of the body; nullopt while it is being filled and the origin did not say.
  [[nodiscard]] std::optional<std::uint64_t> content_length() const noexcept;
  [[nodiscard]] bool complete() const noexcept;

  [[nodiscard]] std::uint32_t age(UnixSeconds now) const noexcept;        // current_age, RFC 9111 section 4.2.3
  [[nodiscard]] std::int64_t ttl(UnixSeconds now) const noexcept;         // lifetime - age: negative when stale
  [[nodiscard]] bool may_serve_on_error(UnixSeconds now) const noexcept;  // within stale-if-error

  void retain() const noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() const noexcept;

 private:
  friend class Reader;
  friend class Shard;
  friend class Fill;
  friend class ObjectMaker;
  Object() = default;
  ~Object();

  mutable std::atomic<std::uint32_t> references_{1};
  std::uint16_t status_ = 200;
  ResponsePolicy policy_;
  UnixSeconds response_time_ = 0;
  http::HeaderList headers_;      // views into arena_
  http::Validators validators_;   // views into arena_
  std::string_view vary_;         // the Vary field's names, comma separated; view into arena_
  std::string_view vary_values_;  // what the request had for them (see vary.h); view into arena_
  std::unique_ptr<char[]> arena_;
  std::uint64_t key_hash_ = 0;
  std::size_t charged_ = 0;
  Budget* budget_ = nullptr;
  BodyRef body_;
};

// Reads one body from the front (or from `first` on), at its own pace.
class Reader {
 public:
  enum class Status : std::uint8_t { kData, kWait, kEnd, kFailed };

  explicit Reader(ObjectRef object, std::uint64_t first = 0) noexcept;
  Reader(Reader&& other) noexcept;
  Reader& operator=(Reader&&) = delete;
  ~Reader();

  // kData: bytes() is not empty. kWait: the filler has not got further. kFailed: it never will.
  [[nodiscard]] Status status() noexcept;
  [[nodiscard]] std::span<const std::uint8_t> bytes() noexcept;  // the next contiguous piece; valid until consume()
  void consume(std::size_t count) noexcept;
  // Registers for the next change. False: it changed already, look again; the waiter is not registered.
  [[nodiscard]] bool wait(Waiter& waiter) noexcept;
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  [[nodiscard]] const ObjectRef& object() const noexcept { return object_; }

 private:
  ObjectRef object_;
  Body* body_ = nullptr;           // nullptr: moved from
  const void* chunk_ = nullptr;    // where position_ lies, or the chunk before it
  std::uint64_t chunk_start_ = 0;  // position of that chunk's first byte
  std::uint64_t position_ = 0;
};

}  // namespace sluice::cache
