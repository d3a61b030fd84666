#include "sluice/cache/policy.h"

#include <algorithm>

#include "sluice/http/date.h"

namespace sluice::cache {
namespace {

using http::HeaderId;
using http::HeaderList;
using http::Method;

// delta-seconds (RFC 9111 section 1.2.2), as a token or, which a recipient should take as well (section 5.2), quoted. 0: no number.
std::uint32_t read_delta(std::string_view text) noexcept {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  if (text.empty()) return 0;
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return 0;
    value = std::min<std::uint64_t>(kMaxDelta, value * 10 + static_cast<std::uint64_t>(c - '0'));
  }
  return static_cast<std::uint32_t>(value);
}

void keep_smallest(std::optional<std::uint32_t>& out, std::uint32_t value) noexcept {
  out = out ? std::min(*out, value) : value;
}

void read_directive(std::string_view directive, CacheControl& out) noexcept {
  struct Flag {
    std::string_view name;
    bool CacheControl::* flag;
  };
  struct Delta {
    std::string_view name;
    std::optional<std::uint32_t> CacheControl::* delta;
    std::uint32_t without_argument;
  };
  static constexpr Flag kFlags[] = {
      {"no-store", &CacheControl::no_store},
      {"no-cache", &CacheControl::no_cache},
      {"private", &CacheControl::is_private},
      {"public", &CacheControl::is_public},
      {"must-revalidate", &CacheControl::must_revalidate},
      {"proxy-revalidate", &CacheControl::proxy_revalidate},
      {"must-understand", &CacheControl::must_understand},
      {"only-if-cached", &CacheControl::only_if_cached},
  };
  static constexpr Delta kDeltas[] = {
      {"max-age", &CacheControl::max_age, 0},
      {"s-maxage", &CacheControl::s_maxage, 0},
      {"min-fresh", &CacheControl::min_fresh, 0},
      {"max-stale", &CacheControl::max_stale, kMaxDelta},  // section 5.2.1.2: any age
      {"stale-while-revalidate", &CacheControl::stale_while_revalidate, 0},
      {"stale-if-error", &CacheControl::stale_if_error, 0},
  };
  const std::size_t equals = directive.find('=');
  const std::string_view name = http::trim(directive.substr(0, equals));
  for (const Flag& flag : kFlags) {
    if (http::equals_ignore_case(name, flag.name)) out.*flag.flag = true;
  }
  for (const Delta& delta : kDeltas) {
    if (!http::equals_ignore_case(name, delta.name)) continue;
    const bool has_argument = equals != std::string_view::npos;
    keep_smallest(out.*delta.delta,
                  has_argument ? read_delta(http::trim(directive.substr(equals + 1))) : delta.without_argument);
  }
}

// RFC 9111 section 3: final status codes that we know to be cacheable (RFC 9110 section 15.1, and redirections with explicit freshness).
bool is_storable_status(std::uint16_t status) noexcept {
  switch (status) {
    case 200:
    case 203:
    case 204:
    case 300:
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
    case 404:
    case 405:
    case 410:
    case 414:
    case 501:
      return true;
    default:
      return false;
  }
}

std::uint32_t clamp_delta(UnixSeconds seconds) noexcept {
  return static_cast<std::uint32_t>(std::clamp<UnixSeconds>(seconds, 0, kMaxDelta));
}

// RFC 9111 section 4.2.3.
std::uint32_t initial_age(const HeaderList& response, UnixSeconds date, const ExchangeTimes& times) noexcept {
  http::ListCursor ages(response.value(HeaderId::kAge));  // section 5.1: of a list, the first
  const std::uint32_t age_value = read_delta(ages.next().value_or(""));
  const UnixSeconds apparent_age = std::max<UnixSeconds>(0, times.response - date);
  const UnixSeconds response_delay = std::max<UnixSeconds>(0, times.response - times.request);
  return clamp_delta(std::max(apparent_age, age_value + response_delay));
}

// RFC 9111 section 4.2.1, for a shared cache; nullopt: the origin said nothing.
std::optional<std::uint32_t> explicit_lifetime(const CacheControl& control, const HeaderList& response,
                                               UnixSeconds date, UnixSeconds now) noexcept {
  if (control.s_maxage) return control.s_maxage;
  if (control.max_age) return control.max_age;
  if (!response.has(HeaderId::kExpires)) return std::nullopt;
  const auto expires = http::parse_date(response.value(HeaderId::kExpires), now);
  return expires ? clamp_delta(*expires - date) : 0;  // section 5.3: an invalid date, especially "0", is in the past
}

NotStored refuse(Method method, const HeaderList& request, const http::ResponseHead& response,
                 const CacheControl& control) noexcept {
  const HeaderList& headers = response.headers;
  if (method != Method::kGet) return NotStored::kMethod;
  if (response.status == 206 || headers.has(HeaderId::kContentRange)) return NotStored::kPartial;
  if (!is_storable_status(response.status)) return NotStored::kStatus;
  if (control.no_store) return NotStored::kNoStore;
  if (control.is_private) return NotStored::kPrivate;
  if (request.has(HeaderId::kAuthorization) && !control.is_public && !control.s_maxage && !control.must_revalidate) {
    return NotStored::kAuthorization;
  }
  if (http::list_has(headers, HeaderId::kVary, "*")) return NotStored::kVaryStar;
  if (headers.has(HeaderId::kSetCookie)) return NotStored::kSetCookie;
  return NotStored::kNone;
}

}  // namespace

CacheControl parse_cache_control(const HeaderList& headers) noexcept {
  CacheControl out;
  if (!headers.has(HeaderId::kCacheControl)) return out;
  for (const http::Header& header : headers) {
    if (header.id != HeaderId::kCacheControl) continue;
    for (http::ListCursor list(header.value); const auto directive = list.next();) read_directive(*directive, out);
  }
  return out;
}

const char* name(NotStored reason) noexcept {
  switch (reason) {
    case NotStored::kNone:
      return "stored";
    case NotStored::kMethod:
      return "method";
    case NotStored::kStatus:
      return "status";
    case NotStored::kNoStore:
      return "no-store";
    case NotStored::kPrivate:
      return "private";
    case NotStored::kAuthorization:
      return "request has Authorization";
    case NotStored::kVaryStar:
      return "Vary: *";
    case NotStored::kSetCookie:
      return "Set-Cookie";
    case NotStored::kPartial:
      return "partial content";
    case NotStored::kNoFreshness:
      return "no freshness information";
  }
  return "unknown";
}

ResponsePolicy judge_response(Method method, const HeaderList& request, const http::ResponseHead& response,
                              const ExchangeTimes& times) noexcept {
  const HeaderList& headers = response.headers;
  const CacheControl control = parse_cache_control(headers);
  ResponsePolicy policy;
  const UnixSeconds date = http::parse_date(headers.value(HeaderId::kDate), times.response).value_or(times.response);
  const auto lifetime = explicit_lifetime(control, headers, date, times.response);
  policy.lifetime = lifetime.value_or(0);
  policy.initial_age = initial_age(headers, date, times);
  policy.always_revalidate = control.no_cache;
  // Section 5.2.2.10: s-maxage implies proxy-revalidate.
  policy.must_revalidate =
      control.must_revalidate || control.proxy_revalidate || control.s_maxage.has_value() || control.no_cache;
  if (!policy.must_revalidate) {
    policy.stale_while_revalidate = control.stale_while_revalidate.value_or(0);
    policy.stale_if_error = control.stale_if_error.value_or(0);
  }
  policy.not_stored = refuse(method, request, response, control);
  if (!policy.store()) return policy;
  // Not storing what would never be served: nothing said of freshness, or stale at once with nothing to revalidate by.
  const bool says_so = lifetime.has_value() || control.no_cache || control.is_public;
  const bool useful_fresh = policy.initial_age < policy.lifetime && !control.no_cache;
  const bool has_validator = headers.has(HeaderId::kEtag) || headers.has(HeaderId::kLastModified);
  if (!says_so || (!useful_fresh && !has_validator)) policy.not_stored = NotStored::kNoFreshness;
  return policy;
}

RequestUse judge_request(const http::RequestHead& request, const CacheControl& directives) noexcept {
  const bool reads = request.method == Method::kGet || request.method == Method::kHead;
  if (!reads || request.has_body() || request.upgrade) return RequestUse::kBypass;
  const HeaderList& headers = request.headers;
  // Preconditions that only the origin can judge (RFC 9111 section 4.3.2).
  if (headers.has(HeaderId::kIfMatch) || headers.has(HeaderId::kIfUnmodifiedSince)) return RequestUse::kBypass;
  if (directives.no_store) return RequestUse::kBypass;
  const bool whole = request.method == Method::kGet && !headers.has(HeaderId::kRange);
  return whole ? RequestUse::kStore : RequestUse::kLookup;
}

CacheControl without_client_control(const CacheControl& directives) noexcept {
  CacheControl out;
  out.only_if_cached = directives.only_if_cached;
  return out;
}

bool may_forward_to_fill(HeaderId id) noexcept {
  return id != HeaderId::kIfMatch && id != HeaderId::kIfNoneMatch && id != HeaderId::kIfModifiedSince &&
         id != HeaderId::kIfUnmodifiedSince && id != HeaderId::kIfRange && id != HeaderId::kRange;
}

bool may_serve(const CacheControl& request, std::uint32_t age, const ResponsePolicy& policy) noexcept {
  if (request.no_cache || policy.always_revalidate) return false;  // sections 5.2.1.4 and 5.2.2.4
  // Section 5.2.1.1. max-age=0 means "ask" even in the second in which the response came.
  if (request.max_age && (age > *request.max_age || *request.max_age == 0)) return false;
  if (age < policy.lifetime) return policy.lifetime - age >= request.min_fresh.value_or(0);  // sections 4.2 and 5.2.1.3
  return request.max_stale && !policy.must_revalidate &&
         age - policy.lifetime <= *request.max_stale;  // section 5.2.1.2
}

bool invalidates(Method method, std::uint16_t status) noexcept {
  return !http::is_safe(method) && status >= 200 && status < 400;
}

}  // namespace sluice::cache
