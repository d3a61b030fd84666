// The rules of HTTP caching as pure functions: what may be stored, for how long it is fresh, what a request demands.
// Threading: pure functions.
// Units:     seconds (deltas as std::uint32_t, clamped to kMaxDelta; moments as UnixSeconds).
// Spec:      RFC 9111; sluice is a shared cache. stale-while-revalidate and stale-if-error: RFC 5861. Narrower than the
//            RFC where origins do not expect more: no heuristic freshness (section 4.2.2 permits one; nothing is
//            invented here), nothing with Set-Cookie is stored (as nginx does), nothing with Content-Range, and the
//            argument forms private="..." and no-cache="..." count as the bare directives (sections 5.2.2.4 and 5.2.2.7
//            permit that).
#pragma once

#include <cstdint>
#include <optional>

#include "sluice/base/time.h"
#include "sluice/http/message.h"

namespace sluice::cache {

inline constexpr std::uint32_t kMaxDelta = 0x7fffffff;  // RFC 9111 section 1.2.2: larger values mean this

// The directives of all Cache-Control fields of a message. A repeated or conflicting directive counts in its most
// restrictive form (section 4.2.1); an argument that is no number counts as 0.
struct CacheControl {
  bool no_store = false;
  bool no_cache = false;
  bool is_private = false;
  bool is_public = false;
  bool must_revalidate = false;
  bool proxy_revalidate = false;
  bool must_understand = false;
  bool only_if_cached = false;
  std::optional<std::uint32_t> max_age;
  std::optional<std::uint32_t> s_maxage;
  std::optional<std::uint32_t> min_fresh;
  std::optional<std::uint32_t> max_stale;  // kMaxDelta when it has no argument
  std::optional<std::uint32_t> stale_while_revalidate;
  std::optional<std::uint32_t> stale_if_error;
};
[[nodiscard]] CacheControl parse_cache_control(const http::HeaderList& headers) noexcept;

// When an exchange with the origin happened, by the wall clock.
struct ExchangeTimes {
  UnixSeconds request = 0;
  UnixSeconds response = 0;
};

// Why a response is not stored; kNone: it is.
enum class NotStored : std::uint8_t {
  kNone,
  kMethod,         // only answers to GET
  kStatus,         // not a final status that a cache understands
  kNoStore,        // Cache-Control: no-store
  kPrivate,        // Cache-Control: private
  kAuthorization,  // section 3.5
  kVaryStar,       // section 4.1
  kSetCookie,
  kPartial,      // 206 or Content-Range
  kNoFreshness,  // the origin said nothing about it, or it is stale at once and has no validator
};
[[nodiscard]] const char* name(NotStored reason) noexcept;

// What was decided about a response.
struct ResponsePolicy {
  NotStored not_stored = NotStored::kNone;
  bool always_revalidate = false;            // no-cache: never served without asking the origin
  bool must_revalidate = false;              // never served stale: must-revalidate, proxy-revalidate, s-maxage
  std::uint32_t lifetime = 0;                // freshness lifetime, section 4.2.1
  std::uint32_t initial_age = 0;             // corrected_initial_age, section 4.2.3
  std::uint32_t stale_while_revalidate = 0;  // 0 when must_revalidate
  std::uint32_t stale_if_error = 0;          // 0 when must_revalidate
  [[nodiscard]] bool store() const noexcept { return not_stored == NotStored::kNone; }
};
// Section 3: whether the response may be stored, and its freshness. `response` is the final head as the origin sent it.
[[nodiscard]] ResponsePolicy judge_response(http::Method method, const http::HeaderList& request,
                                            const http::ResponseHead& response, const ExchangeTimes& times) noexcept;

// What a request lets the cache do.
enum class RequestUse : std::uint8_t {
  kStore,   // GET: may be answered from the cache, and fill it
  kLookup,  // HEAD, or GET with Range: may be answered from the cache, does not fill it
  kBypass,  // the cache is not asked, and nothing is stored: another method, or no-store (section 5.2.1.5)
};
[[nodiscard]] RequestUse judge_request(const http::RequestHead& request, const CacheControl& directives) noexcept;
// What is left of a request's directives where clients have no say: only-if-cached, which costs the origin nothing.
[[nodiscard]] CacheControl without_client_control(const CacheControl& directives) noexcept;
// Fields of the client's request that must not go into the fetch of a fill: they would bring back less than the whole (section 4.3.1).
[[nodiscard]] bool may_forward_to_fill(http::HeaderId id) noexcept;
// Whether the stored response may be served to the request without asking the origin (section 4.2, 5.2.1).
[[nodiscard]] bool may_serve(const CacheControl& request, std::uint32_t age, const ResponsePolicy& policy) noexcept;
// Section 4.4: a response of this status to an unsafe method makes what is stored under the target's key invalid.
[[nodiscard]] bool invalidates(http::Method method, std::uint16_t status) noexcept;

}  // namespace sluice::cache
