// The bits that an exchange's port may get: which of the things that it waits on has news. They say "look", not what to find.
// Threading: values.
#pragma once

#include "sluice/base/task.h"
#include "sluice/tcp/stream.h"

namespace sluice::proxy::events {

using Bits = EventPort::Bits;

inline constexpr Bits kClientTimeout = 1u << 16;
inline constexpr Bits kUpstreamTimeout = 1u << 17;
inline constexpr Bits kFile = 1u << 18;   // the file service answered
inline constexpr Bits kCache = 1u << 19;  // the cache has news

[[nodiscard]] constexpr Bits client(tcp::StreamEvents events) noexcept { return static_cast<Bits>(events); }
[[nodiscard]] constexpr Bits upstream(tcp::StreamEvents events) noexcept { return static_cast<Bits>(events) << 8; }

}  // namespace sluice::proxy::events
