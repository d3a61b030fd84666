// A role is what a poll loop runs in turn: a worker or a proxy. Roles have one numbering: workers first, then proxies.
// Threading: every call of a role comes from the loop of the CPU that it is placed on.
#pragma once

#include <cstdint>
#include <optional>

#include "sluice/base/time.h"

namespace sluice::dataplane {

using RoleId = std::uint16_t;
inline constexpr std::size_t kMaxRoles = 128;

class Role {
 public:
  virtual ~Role() = default;
  // One turn: bounded work, never blocks. True: it did something, so the loop must not sleep now.
  virtual bool poll(Instant now) noexcept = 0;
  // When it must be polled next though no packet comes; nothing: it waits for packets alone.
  [[nodiscard]] virtual std::optional<Instant> next_deadline() const noexcept = 0;
};

}  // namespace sluice::dataplane
