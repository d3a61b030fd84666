#include <algorithm>

#include "body.h"
#include "sluice/cache/object.h"

namespace sluice::cache {

Reader::Reader(ObjectRef object, std::uint64_t first) noexcept
    : object_(std::move(object)), body_(object_->body_.get()), position_(first) {
  body_->reader_came();
}

Reader::Reader(Reader&& other) noexcept
    : object_(std::move(other.object_)),
      body_(std::exchange(other.body_, nullptr)),
      chunk_(other.chunk_),
      chunk_start_(other.chunk_start_),
      position_(other.position_) {}

Reader::~Reader() {
  if (body_ != nullptr) body_->reader_left();
}

Reader::Status Reader::status() noexcept {
  const Body::State state = body_->state();  // before size(): what is complete has its final size
  if (position_ < body_->size()) return bytes().empty() ? Status::kFailed : Status::kData;
  switch (state) {
    case Body::State::kFilling:
      return Status::kWait;
    case Body::State::kComplete:
      return Status::kEnd;
    case Body::State::kFailed:
      break;
  }
  return Status::kFailed;
}

std::span<const std::uint8_t> Reader::bytes() noexcept {
  const std::uint64_t size = body_->size();
  if (position_ >= size) return {};
  if (chunk_ == nullptr) {
    const Body::Front front = body_->front();
    chunk_ = front.chunk;
    chunk_start_ = front.start;
    if (position_ < chunk_start_) return {};  // a pipe that has let these bytes go
  }
  const auto* chunk = static_cast<const Body::Chunk*>(chunk_);
  while (position_ >= chunk_start_ + chunk->capacity) {  // there is a next one: position_ < size
    chunk_start_ += chunk->capacity;
    chunk = chunk->next;
  }
  chunk_ = chunk;
  const auto offset = static_cast<std::size_t>(position_ - chunk_start_);
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(chunk->capacity - offset, size - position_));
  return {chunk->bytes() + offset, count};
}

void Reader::consume(std::size_t count) noexcept {
  position_ += count;
  if (chunk_ != nullptr && body_->may_be_pipe()) body_->passed(static_cast<const Body::Chunk*>(chunk_), position_);
}

bool Reader::wait(Waiter& waiter) noexcept {
  waiter.cancel();
  const std::lock_guard lock(body_->guard());
  if (status() != Status::kWait) return false;
  body_->waiting_readers().add(waiter, body_->guard());
  return true;
}

}  // namespace sluice::cache
