#include "s3_fifo.h"

#include <algorithm>

#include "shard.h"

namespace sluice::cache {
namespace {

std::uint32_t fingerprint_of(std::uint64_t hash) noexcept { return static_cast<std::uint32_t>(hash >> 32); }

}  // namespace

void S3Fifo::Queue::push(Entry& entry) noexcept {
  entry.newer = nullptr;
  entry.older = newest;
  (newest != nullptr ? newest->newer : oldest) = &entry;
  newest = &entry;
  bytes += entry.bytes;
  ++count;
}

void S3Fifo::Queue::unlink(Entry& entry) noexcept {
  (entry.newer != nullptr ? entry.newer->older : newest) = entry.older;
  (entry.older != nullptr ? entry.older->newer : oldest) = entry.newer;
  entry.newer = entry.older = nullptr;
  bytes -= entry.bytes;
  --count;
}

void S3Fifo::insert(Entry& entry, std::uint64_t key_hash) noexcept {
  entry.in_main = is_remembered(key_hash);
  (entry.in_main ? main_ : small_).push(entry);
}

void S3Fifo::remove(Entry& entry) noexcept { (entry.in_main ? main_ : small_).unlink(entry); }

void S3Fifo::resize(Entry& entry, std::size_t bytes) noexcept {
  std::size_t& sum = (entry.in_main ? main_ : small_).bytes;
  sum = sum - entry.bytes + bytes;
  entry.bytes = bytes;
}

bool S3Fifo::is_remembered(std::uint64_t key_hash) const noexcept {
  const Ghost& ghost = ghosts_[key_hash % kGhosts];
  const std::size_t reach = std::clamp<std::size_t>(main_.count, 64, kGhosts);
  return ghost.left_at != 0 && ghost.fingerprint == fingerprint_of(key_hash) && departures_ - ghost.left_at < reach;
}

void S3Fifo::remember(const Entry& entry) noexcept {
  const std::uint64_t hash = entry.resource->hash;
  if (++departures_ == 0) departures_ = 1;  // 0 marks an empty place
  ghosts_[hash % kGhosts] = {fingerprint_of(hash), departures_};
}

}  // namespace sluice::cache
