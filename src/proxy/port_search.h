// Which local port a new connection to one destination may have: the next one in turn that is free.
// Threading: the proxy's thread.
// Cost:      ports that were found in use are passed over, 64 at a time, until they are forgotten after kRemember. So a port costs
//            at most one question in that time, and where none is left the answer costs nothing at all.
// Limits:    a port that becomes free without released() (TIME_WAIT is over) is found kRemember later at the latest; else none that
//            is free is missed.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "sluice/base/time.h"

namespace sluice::proxy {

class PortSearch {
 public:
  static constexpr Duration kRemember = std::chrono::seconds(1);

  // `count` ports, named by their offset; the search begins at `first`.
  PortSearch(std::uint32_t count, std::uint32_t first) noexcept
      : count_(count), next_(count == 0 ? 0 : first % count) {}

  // is_free(offset) is asked about one port after the other. Nothing: none is free.
  template <typename IsFree>
  [[nodiscard]] std::optional<std::uint32_t> find(Instant now, IsFree&& is_free) {
    if (in_use_ > 0 && now >= forget_at_) forget();
    if (in_use_ == 0) forget_at_ = now + kRemember;
    while (in_use_ < count_) {
      const std::uint32_t offset = next_candidate();
      next_ = offset + 1 == count_ ? 0 : offset + 1;
      if (is_free(offset)) return offset;
      mark(offset);
    }
    return std::nullopt;
  }
  // The connection that had this port has ended.
  void released(std::uint32_t offset) noexcept;

 private:
  static constexpr std::uint32_t kWord = 64;
  [[nodiscard]] std::uint32_t next_candidate() const noexcept;  // not marked; there is one
  void mark(std::uint32_t offset);
  void forget() noexcept;

  std::uint32_t count_;
  std::uint32_t next_;
  std::uint32_t in_use_ = 0;          // bits set in marks_
  std::vector<std::uint64_t> marks_;  // ports found in use; empty until there is one
  Instant forget_at_{};
};

}  // namespace sluice::proxy
