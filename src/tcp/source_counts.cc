#include "source_counts.h"

namespace sluice::tcp {

SourceCounts::SourceCounts(std::uint32_t connections, const TupleHash& hash)
    : hash_(hash), table_(connections + std::size_t{1}), records_(connections + std::size_t{1}) {}

std::uint32_t SourceCounts::add(const net::IpAddress& prefix, std::uint16_t service, std::uint32_t most) noexcept {
  const FourTuple source{.local = {.address = {}, .port = service}, .remote = {.address = prefix, .port = 0}};
  const std::uint32_t hash = hash_(source);
  std::uint32_t record = table_.find(hash, [&](std::uint32_t at) { return records_[at].source == source; });
  if (record == 0) {
    if (most == 0) return 0;
    record = free_list_;
    if (record != 0) {
      free_list_ = records_[record].next_free;
    } else {
      record = fresh_++;
    }
    records_[record] = {.source = source, .count = 0, .next_free = 0};
    table_.insert(hash, record);
    ++sources_;
  }
  if (records_[record].count >= most) return 0;
  ++records_[record].count;
  return record;
}

void SourceCounts::remove(std::uint32_t record) noexcept {
  Record& at = records_[record];
  if (--at.count > 0) return;
  table_.erase(hash_(at.source), record);
  at.next_free = free_list_;
  free_list_ = record;
  --sources_;
}

}  // namespace sluice::tcp
