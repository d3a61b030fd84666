#include "file_cache.h"

#include <utility>

namespace sluice::proxy {

std::shared_ptr<CachedFile> FileCache::find(std::string_view key) noexcept {
  const auto found = index_.find(key);
  if (found == index_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->file;
}

void FileCache::insert(std::string_view key, std::shared_ptr<CachedFile> file) {
  erase(key);
  bytes_ += file->bytes.size();
  entries_.push_front({std::string(key), std::move(file)});
  index_.emplace(entries_.front().key, entries_.begin());
  while (entries_.size() > kMaxEntries || bytes_ > kMaxBytes) {
    const Entry& oldest = entries_.back();
    bytes_ -= oldest.file->bytes.size();
    index_.erase(oldest.key);
    entries_.pop_back();
  }
}

void FileCache::erase(std::string_view key) noexcept {
  const auto found = index_.find(key);
  if (found == index_.end()) return;
  const auto entry = found->second;
  bytes_ -= entry->file->bytes.size();
  index_.erase(found);
  entries_.erase(entry);
}

}  // namespace sluice::proxy
