// Small files that are asked for often, kept in memory by one proxy: looked at on disk again once a second at most.
// Threading: the proxy's thread.
// Ownership: entries are shared with the exchanges that send them; an evicted one lives until the last of these ends.
// Limits:    kMaxEntries, kMaxBytes of content; the one used longest ago goes first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sluice/base/time.h"
#include "sluice/proxy/file_service.h"

namespace sluice::proxy {

struct CachedFile {
  std::shared_ptr<const OpenFile> file;
  std::vector<std::uint8_t> bytes;  // all of it, if in_memory
  bool in_memory = false;           // else it is read in pieces, and not kept here
  std::string name;                 // the path below the root: says the media type
  std::string etag;
  std::string last_modified;
  Instant checked{};           // when it was last found to be what the disk has
  bool being_checked = false;  // an exchange looks at the disk just now; the others use it as it is
};

class FileCache {
 public:
  static constexpr std::size_t kInlineBytes = 64 << 10;  // larger files are read in pieces, and not kept in memory
  static constexpr std::size_t kMaxEntries = 1024;
  static constexpr std::size_t kMaxBytes = 16 << 20;
  static constexpr Duration kTrust = std::chrono::seconds(1);

  // nullptr: not known. The key is the root directory and the path below it.
  [[nodiscard]] std::shared_ptr<CachedFile> find(std::string_view key) noexcept;
  void insert(std::string_view key, std::shared_ptr<CachedFile> file);
  void erase(std::string_view key) noexcept;
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t size() const noexcept { return index_.size(); }

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<CachedFile> file;
  };
  std::list<Entry> entries_;  // the one used last is in front
  std::unordered_map<std::string_view, std::list<Entry>::iterator> index_;
  std::size_t bytes_ = 0;
};

}  // namespace sluice::proxy
