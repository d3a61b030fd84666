// The writing end of an object: what the one exchange that fetches a key does with the store.
#include "body.h"
#include "object_maker.h"
#include "shard.h"
#include "sluice/cache/store.h"
#include "sluice/http/conditional.h"
#include "sluice/http/forward.h"

namespace sluice::cache {
namespace {

using http::Header;
using http::HeaderId;
using http::HeaderList;

// RFC 9111 section 3.2: fields of a 304 that do not replace stored ones, because the stored body depends on them.
bool describes_body(HeaderId id) noexcept {
  return id == HeaderId::kContentEncoding || id == HeaderId::kContentType || id == HeaderId::kContentRange ||
         id == HeaderId::kContentLength;
}

bool is_replaced(const Header& stored, const HeaderList& update) noexcept {
  // Without a Date of its own the 304 was made now (RFC 9110 section 6.6.1): the old one would make it look old.
  if (stored.id == HeaderId::kDate) return true;
  return !describes_body(stored.id) && update.find(stored.name) != nullptr;
}

HeaderList merge(const HeaderList& stored, const HeaderList& update) {
  HeaderList merged;
  for (const Header& header : stored) {
    if (!is_replaced(header, update)) merged.add(header);
  }
  const http::HopFilter filter(update);
  for (const Header& header : update) {
    if (filter.passes(header) && !describes_body(header.id)) merged.add(header);
  }
  return merged;
}

}  // namespace

Fill::Fill(Fill&& other) noexcept
    : shard_(other.shard_),
      flight_(std::exchange(other.flight_, nullptr)),
      object_(std::exchange(other.object_, {})),
      stored_(other.stored_) {}

Fill& Fill::operator=(Fill&& other) noexcept {
  if (this == &other) return *this;
  end();
  shard_ = other.shard_;
  flight_ = std::exchange(other.flight_, nullptr);
  object_ = std::exchange(other.object_, {});
  stored_ = other.stored_;
  return *this;
}

Fill::~Fill() { end(); }

void Fill::end() noexcept {
  if (object_) return fail();
  if (flight_ != nullptr) shard_->end_flight(std::exchange(flight_, nullptr));
}

ObjectRef Fill::start(const HeaderList& request, const http::ResponseHead& response, const ResponsePolicy& policy,
                      const ExchangeTimes& times) {
  const std::optional<std::uint64_t> length =
      response.no_body ? std::optional<std::uint64_t>(0) : response.content_length;
  ObjectMaker maker(request, response.status, response.headers, policy, times.response);
  const std::size_t index_cost = Shard::index_cost(*flight_);
  if (length.value_or(0) > shard_->object_limit() ||
      !shard_->evictor().make_room(Body::cost(length) + maker.cost() + index_cost, *shard_)) {
    shard_->count_too_large();
    abandon(true, times.response);
    return {};
  }
  BodyRef body(new Body(shard_->budget(), length));
  object_ = maker.make(shard_->budget(), index_cost, flight_->resource->hash, std::move(body));
  // Others may follow a body only if it cannot outgrow the store under them.
  if (length) {
    stored_ = shard_->insert(std::exchange(flight_, nullptr), object_);
  } else {
    shard_->set_answered(*flight_);
  }
  return object_;
}

std::size_t Fill::append(std::span<const std::uint8_t> bytes) noexcept {
  Body& body = *object_->body_;
  const std::size_t taken = body.append(
      bytes, shard_->object_limit(), [this](std::size_t more) { return shard_->evictor().make_room(more, *shard_); });
  if (body.is_pipe() && flight_ != nullptr) {
    shard_->count_too_large();
    shard_->end_uncacheable(std::exchange(flight_, nullptr), object_->response_time_);
  }
  return taken;
}

bool Fill::unwanted() const noexcept {
  return object_ && flight_ == nullptr && !stored_ && !object_->body_->has_readers();
}

bool Fill::wait_space(Waiter& waiter) noexcept { return object_->body_->wait_space(waiter); }

void Fill::finish() noexcept {
  Body& body = *object_->body_;
  body.close(Body::State::kComplete);
  if (body.state() != Body::State::kComplete) return fail();
  if (flight_ != nullptr) stored_ = shard_->insert(std::exchange(flight_, nullptr), object_);
  if (stored_) shard_->count_completed();
  object_ = {};
}

void Fill::fail(std::uint16_t status) noexcept {
  object_->body_->close(Body::State::kFailed);
  if (flight_ != nullptr) shard_->end_flight(std::exchange(flight_, nullptr), {Wake::Cause::kFailed, status});
  if (stored_) shard_->forget(object_);
  stored_ = false;
  object_ = {};
}

ObjectRef Fill::freshen(const HeaderList& request, const http::ResponseHead& not_modified, const ExchangeTimes& times) {
  ObjectRef old = flight_->revalidating;
  if (!old) return {};
  const std::string_view etag = not_modified.headers.value(HeaderId::kEtag);
  if (!etag.empty() && !old->validators().etag.empty() && !http::etag_weak_equal(etag, old->validators().etag)) {
    shard_->drop_revalidated(flight_);  // RFC 9111 section 4.3.4: it validates something else
    return {};
  }
  http::ResponseHead head;
  head.status = old->status();
  head.headers = merge(old->headers(), not_modified.headers);
  const ResponsePolicy policy = judge_response(http::Method::kGet, request, head, times);
  ObjectMaker maker(request, head.status, head.headers, policy, times.response);
  const std::size_t index_cost = Shard::index_cost(*flight_);
  if (!shard_->evictor().make_room(maker.cost() + index_cost, *shard_)) {
    shard_->end_flight(std::exchange(flight_, nullptr));
    return old;
  }
  ObjectRef fresh = maker.make(shard_->budget(), index_cost, flight_->resource->hash, old->body_);
  if (policy.store()) {
    shard_->replace(std::exchange(flight_, nullptr), fresh);
    stored_ = true;
  } else if (request.has(HeaderId::kAuthorization)) {
    shard_->end_flight(std::exchange(flight_, nullptr));  // only this request's credentials forbid it
  } else {
    shard_->end_uncacheable(std::exchange(flight_, nullptr), times.response);
  }
  return fresh;
}

void Fill::abandon(bool uncacheable, UnixSeconds now) noexcept {
  if (flight_ == nullptr) return;
  if (uncacheable)
    shard_->end_uncacheable(std::exchange(flight_, nullptr), now);
  else
    shard_->end_flight(std::exchange(flight_, nullptr));
}

void Fill::abandon_error() noexcept {
  if (flight_ != nullptr) shard_->end_flight(std::exchange(flight_, nullptr), {.cause = Wake::Cause::kUncacheable});
}

void Fill::abandon_failed(std::uint16_t status) noexcept {
  if (flight_ != nullptr) shard_->end_flight(std::exchange(flight_, nullptr), {Wake::Cause::kFailed, status});
}

}  // namespace sluice::cache
