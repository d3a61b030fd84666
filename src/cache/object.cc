#include "sluice/cache/object.h"

#include <algorithm>
#include <cstring>

#include "body.h"
#include "object_maker.h"
#include "sluice/http/forward.h"
#include "vary.h"

namespace sluice::cache {
namespace {

using http::HeaderId;

// RFC 9111 section 3.1: not what belongs to the connection. Age and Content-Length are computed when the object is served.
bool is_kept(const http::HopFilter& filter, const http::Header& header) noexcept {
  return filter.passes(header) && header.id != HeaderId::kAge && header.id != HeaderId::kContentLength;
}

}  // namespace

std::optional<std::uint64_t> Object::content_length() const noexcept {
  if (body_->length()) return body_->length();
  if (body_->state() == Body::State::kComplete) return body_->size();
  return std::nullopt;
}

bool Object::complete() const noexcept { return body_->state() == Body::State::kComplete; }

std::uint32_t Object::age(UnixSeconds now) const noexcept {
  const UnixSeconds resident = std::max<UnixSeconds>(0, now - response_time_);
  return static_cast<std::uint32_t>(std::min<UnixSeconds>(kMaxDelta, policy_.initial_age + resident));
}

std::int64_t Object::ttl(UnixSeconds now) const noexcept {
  return static_cast<std::int64_t>(policy_.lifetime) - static_cast<std::int64_t>(age(now));
}

bool Object::may_serve_on_error(UnixSeconds now) const noexcept {
  return complete() && ttl(now) > -static_cast<std::int64_t>(policy_.stale_if_error);
}

void Object::release() const noexcept {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

Object::~Object() { budget_->release(charged_); }

ObjectMaker::ObjectMaker(const http::HeaderList& request, std::uint16_t status, const http::HeaderList& response,
                         const ResponsePolicy& policy, UnixSeconds response_time)
    : status_(status), policy_(policy), response_time_(response_time) {
  append_vary_names(vary_, response);
  append_vary_values(vary_values_, vary_, request);
  arena_bytes_ = vary_.size() + vary_values_.size();
  const http::HopFilter filter(response);
  for (const http::Header& header : response) {
    if (!is_kept(filter, header)) continue;
    kept_.add(header);
    arena_bytes_ += header.name.size() + header.value.size();
  }
  if (!kept_.has(HeaderId::kDate)) {
    date_ = http::format_date(response_time);
    kept_.add(HeaderId::kDate, http::view(date_));
    arena_bytes_ += http::header_name(HeaderId::kDate).size() + date_.size();
  }
  cost_ = sizeof(Object) + arena_bytes_ + kept_.size() * sizeof(http::Header) + 3 * kAllocationOverhead;
}

ObjectRef ObjectMaker::make(Budget& budget, std::size_t index_cost, std::uint64_t key_hash, BodyRef body) {
  auto* object = new Object;
  object->status_ = status_;
  object->policy_ = policy_;
  object->response_time_ = response_time_;
  object->budget_ = &budget;
  object->charged_ = cost_ + index_cost;
  object->key_hash_ = key_hash;
  object->body_ = std::move(body);
  object->arena_ = std::make_unique_for_overwrite<char[]>(arena_bytes_);
  char* room = object->arena_.get();
  const auto keep = [&room](std::string_view text) {
    char* at = room;
    if (!text.empty()) std::memcpy(at, text.data(), text.size());
    room += text.size();
    return std::string_view(at, text.size());
  };
  object->vary_ = keep(vary_);
  object->vary_values_ = keep(vary_values_);
  object->headers_.reserve(kept_.size());
  for (const http::Header& header : kept_) object->headers_.add({keep(header.name), keep(header.value), header.id});
  object->validators_.etag = object->headers_.value(HeaderId::kEtag);
  object->validators_.last_modified = http::parse_date(object->headers_.value(HeaderId::kLastModified), response_time_);
  return ObjectRef(object);
}

}  // namespace sluice::cache
