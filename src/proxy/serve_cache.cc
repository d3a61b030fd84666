// A route to a pool with a cache: a stored response where there is one, else the backend's, which is stored where it may be.
// Spec: RFC 9111; Cache-Status: RFC 9211. Conditions and ranges of the client are judged here, against what is stored.
#include <algorithm>
#include <utility>

#include "cache_fetch.h"
#include "exchange.h"
#include "serve_pool.h"
#include "sluice/cache/policy.h"
#include "sluice/cache/status.h"
#include "sluice/cache/store.h"
#include "sluice/http/conditional.h"
#include "sluice/http/serialize.h"
#include "upstream_call.h"

namespace sluice::proxy {

namespace {

using cache::Lookup;
using http::HeaderId;

void add_cache_status(Exchange& x, const cache::CacheStatus& status) {
  cache::append_cache_status(x.core().scratch, status);
}

// A fetch that fills the object which is sent: it begins when the reader is there, since a body that turns out too large for the store
// is kept only for a reader.
struct PendingFetch {
  UpstreamLease connection;
  cache::Fill fill;

  void start(Core& core) {
    if (connection) core.fetches.start(std::move(connection), std::move(fill));
  }
};

// Sends the body of an object whose head stands corked, from `first` on.
Task<> send_body(Exchange& x, cache::ObjectRef object, std::uint64_t first, std::uint64_t length,
                 PendingFetch pending) {
  cache::Reader reader(std::move(object), first);
  pending.start(x.core());
  CacheWaiter waiter(x.core().wakers, x.port());
  bool corked = true;
  while (length > 0) {
    const cache::Reader::Status status = reader.status();
    if (status == cache::Reader::Status::kEnd) break;
    if (status == cache::Reader::Status::kData) {
      const std::span<const std::uint8_t> bytes = reader.bytes();
      const std::size_t room = corked || x.out().flush() ? x.out().room() : 0;
      const std::size_t now = static_cast<std::size_t>(std::min<std::uint64_t>(std::min(room, bytes.size()), length));
      if (now > 0) {
        x.write_body(bytes.first(now));
        reader.consume(now);
        length -= now;
        continue;
      }
    }
    if (std::exchange(corked, false)) {
      x.out().uncork();
      if (status == cache::Reader::Status::kData) continue;
    }
    if (status == cache::Reader::Status::kFailed) {
      x.break_off();
      co_return;
    }
    if (status == cache::Reader::Status::kWait) {
      if (!reader.wait(waiter)) continue;
      waiter.registered();
      static_cast<void>(x.out().flush());
    }
    x.wait_for(x.out().waiting() ? ClientWait::kSpace : ClientWait::kNothing, true);
    const EventPort::Bits bits = co_await x.port().next_event();
    x.note(bits);
    waiter.cancel();
    if (x.broken()) co_return;
  }
  x.end_body();
  if (corked) x.out().uncork();
}

void begin_object_head(Exchange& x, const cache::Object& object, std::uint16_t status, const cache::CacheStatus& how) {
  x.begin_head(status);
  x.add_all(object.headers());
  http::append_header(x.core().scratch, http::header_name(HeaderId::kAge), std::uint64_t{object.age(x.core().wall)});
  add_cache_status(x, how);
}

Task<> send_object(Exchange& x, cache::ObjectRef object, cache::CacheStatus how, PendingFetch pending = {}) {
  const http::RequestHead& head = x.head();
  std::uint64_t first = 0;
  std::optional<std::uint64_t> length = object->content_length();
  std::uint16_t status = object->status();
  std::string content_range;
  if (status == 200) {
    const http::Precondition verdict = http::check_preconditions(head.method, head.headers, object->validators());
    if (verdict == http::Precondition::kFailed) {
      pending.start(x.core());
      x.respond_error(412);
      co_return;
    }
    if (verdict == http::Precondition::kNotModified) {
      pending.start(x.core());
      begin_object_head(x, *object, 304, how);
      x.end_head(Framing::kNone);
      x.out().uncork();
      co_return;
    }
    if (length) {
      const auto range = http::select_range(head.method, head.headers, *length, object->validators());
      if (range.outcome != http::RangeOutcome::kWhole) http::append_content_range(content_range, range, *length);
      if (range.outcome == http::RangeOutcome::kUnsatisfiable) {
        pending.start(x.core());
        x.respond_error(416, content_range);
        co_return;
      }
      if (range.outcome == http::RangeOutcome::kPartial) {
        status = 206;
        first = range.range.first;
        length = range.range.length();
      }
    }
  }
  begin_object_head(x, *object, status, how);
  x.add_line(content_range);
  const bool bodiless = status == 204 || status == 304;
  x.end_head(bodiless ? Framing::kNone : length ? Framing::kSized : Framing::kChunked, length.value_or(0));
  if (x.head_only() || bodiless) {
    pending.start(x.core());
    x.out().uncork();
    co_return;
  }
  Task<> sent = send_body(x, std::move(object), first, length.value_or(~std::uint64_t{0}), std::move(pending));
  co_await sent;
}

// The answer of the backend as it is, with a Cache-Status.
Task<> pass_on(Exchange& x, UpstreamCall& call, cache::CacheStatus how) {
  const http::ResponseHead& response = call.response();
  x.begin_head(response.status, response.reason);
  x.add_all(response.headers);
  add_cache_status(x, how);
  x.end_head(framing_of(response), response.content_length.value_or(0));
  Task<> relayed = call.relay();
  co_await relayed;
}

void respond_failure(Exchange& x, std::uint16_t status, const cache::CacheStatus& how) {
  std::string line;
  cache::append_cache_status(line, how);
  x.respond_error(status, line);
}

// Asks the backend: `found` says with which validators, and whether the answer may be stored.
Task<> fetch(Exchange& x, Lookup found, cache::CacheStatus how) {
  Core& core = x.core();
  const bool revalidating = found.outcome == Lookup::Outcome::kStale;
  const bool storing = static_cast<bool>(found.fill);
  UpstreamCall call(x, x.pool());
  call.request().for_cache = storing || revalidating;
  if (revalidating) {
    call.request().if_none_match = found.object->validators().etag;
    call.request().if_modified_since = found.object->headers().value(HeaderId::kLastModified);
  }
  cache::ExchangeTimes times{.request = core.wall};
  Task<> opened = call.open();
  co_await opened;
  if (x.broken()) co_return;  // the fill is given up with `found`: another request may fetch
  times.response = core.wall;
  const bool failed = call.failure() != 0 || call.response().status >= 500;
  if (failed && revalidating && found.object->may_serve_on_error(core.wall)) {  // RFC 5861 section 4
    how.forward_status = call.failure() != 0 ? std::uint16_t{0} : call.response().status;
    if (storing) found.fill.abandon_failed(call.failure() != 0 ? call.failure() : how.forward_status);
    core.counters.cache_stale.add();
    how.ttl = found.object->ttl(core.wall);
    Task<> sent = send_object(x, std::move(found.object), how);
    co_await sent;
    co_return;
  }
  if (call.failure() != 0) {
    if (storing) found.fill.abandon_failed(call.failure());
    respond_failure(x, call.failure(), how);
    co_return;
  }
  if (revalidating && call.response().status == 304) {
    cache::ObjectRef object = storing ? found.fill.freshen(x.head().headers, call.response(), times) : found.object;
    call.finish();
    if (!object) {  // it validates something else than what is stored: once more, for the whole
      found.outcome = Lookup::Outcome::kMiss;
      found.object = {};
      Task<> again = fetch(x, std::move(found), how);
      co_await again;
      co_return;
    }
    core.counters.cache_revalidated.add();
    how.forward_status = 304;
    how.ttl = object->ttl(core.wall);
    Task<> sent = send_object(x, std::move(object), how);
    co_await sent;
    co_return;
  }
  if (storing) {
    const cache::ResponsePolicy policy =
        cache::judge_response(x.head().method, x.head().headers, call.response(), times);
    if (policy.store()) {
      cache::ObjectRef object = found.fill.start(x.head().headers, call.response(), policy, times);
      if (object) {
        how.stored = true;
        how.ttl = object->ttl(core.wall);
        PendingFetch pending{.connection = call.take_connection(), .fill = std::move(found.fill)};
        Task<> sent = send_object(x, std::move(object), how, std::move(pending));
        co_await sent;
        co_return;
      }
    } else if (policy.not_stored == cache::NotStored::kStatus && call.response().status >= 400) {
      found.fill.abandon_error();
    } else {
      // Where the credentials of this request forbid to store it, the next one without any may still be stored.
      found.fill.abandon(!x.head().headers.has(http::HeaderId::kAuthorization), core.wall);
    }
  }
  Task<> passed = pass_on(x, call, how);
  co_await passed;
}

// The cache is not asked; a change that succeeded makes what it holds of the target invalid (RFC 9111 section 4.4).
Task<> bypass(Exchange& x, cache::Key key) {
  x.core().counters.cache_bypassed.add();
  const http::Method method = x.head().method;
  const bool by_method = method != http::Method::kGet && method != http::Method::kHead;
  cache::CacheStatus how;
  how.forward = by_method ? cache::Forward::kMethod : cache::Forward::kRequest;
  UpstreamCall call(x, x.pool());
  Task<> opened = call.open();
  co_await opened;
  if (x.broken()) co_return;
  if (call.failure() != 0) {
    respond_failure(x, call.failure(), how);
    co_return;
  }
  if (cache::invalidates(method, call.response().status)) x.core().cache.invalidate(key);
  Task<> passed = pass_on(x, call, how);
  co_await passed;
}

// After a wait: of those who waited for a fetch that was given up one takes it over and the others wait for that one, but not for
// ever.
cache::Patience patience_after(const cache::Wake& wake, bool woken, unsigned waits) noexcept {
  constexpr unsigned kMaxWaits = 3;
  if (!woken) return cache::Patience::kForHead;
  if (wake.cause == cache::Wake::Cause::kFailed) return cache::Patience::kFailed;
  const bool useless = wake.cause == cache::Wake::Cause::kUncacheable || waits >= kMaxWaits;
  return useless ? cache::Patience::kNone : cache::Patience::kFull;
}

}  // namespace

Task<> serve_cached(Exchange& x) {
  Core& core = x.core();
  const http::RequestHead& head = x.head();
  cache::CacheControl directives = cache::parse_cache_control(head.headers);
  if (x.route().cache->client_control == config::ClientControl::kIgnore) {
    directives = cache::without_client_control(directives);
  }
  const cache::RequestUse use = cache::judge_request(head, directives);
  std::string key_text;
  const cache::Key key = core.cache.make_key(key_text, x.session().https(), head.host, head.port, head.forward_target,
                                             x.service().config->name);
  if (use == cache::RequestUse::kBypass) {
    Task<> bypassed = bypass(x, key);
    co_await bypassed;
    co_return;
  }
  cache::LookupRequest request{
      .key = key, .use = use, .headers = &head.headers, .directives = directives, .now = core.wall};
  CacheWaiter waiter(core.wakers, x.port());
  cache::CacheStatus how;
  std::uint16_t failure = 504;  // what kNotCached is answered
  for (unsigned waits = 1;; ++waits) {
    Lookup found = core.cache.lookup(request, waiter);
    switch (found.outcome) {
      case Lookup::Outcome::kHit: {
        core.counters.cache_hits.add();
        if (found.served_stale) core.counters.cache_stale.add();
        how.ttl = found.object->ttl(core.wall);
        Task<> sent = send_object(x, std::move(found.object), how);
        co_await sent;
        co_return;
      }
      case Lookup::Outcome::kNotCached:
        core.counters.cache_misses.add();
        if (how.collapsed) how.forward = found.forward;
        respond_failure(x, failure, how);
        co_return;
      case Lookup::Outcome::kStale:
      case Lookup::Outcome::kMiss: {
        core.counters.cache_misses.add();
        how.forward = found.forward;
        Task<> fetched = fetch(x, std::move(found), how);
        co_await fetched;
        co_return;
      }
      case Lookup::Outcome::kWait:
        break;
    }
    if (!how.collapsed) core.counters.cache_waited.add();
    how.collapsed = true;
    waiter.registered();
    // While there is no answer the fetch itself is bounded; one without a length is found only when it is complete, and a stream
    // never is.
    Timer limit([](void* port) noexcept { static_cast<EventPort*>(port)->post(events::kUpstreamTimeout); }, &x.port());
    core.timers.arm(limit, core.now + x.pool().config->timeouts.response);
    EventPort::Bits bits = 0;
    while ((bits & (events::kCache | events::kUpstreamTimeout)) == 0 && !x.broken()) {
      bits = co_await x.port().next_event();
      x.note(bits);
    }
    waiter.cancel();
    if (x.broken()) co_return;
    request.now = core.wall;
    request.patience = patience_after(waiter.last_wake(), (bits & events::kCache) != 0, waits);
    if (request.patience == cache::Patience::kFailed) failure = waiter.last_wake().status;
  }
}

}  // namespace sluice::proxy
