// Why a message is refused: the status to answer and a fixed text for the log.
// Threading: values.
#pragma once

#include <cstdint>

namespace sluice::http {

struct Refusal {
  std::uint16_t status = 0;  // 0: not refused
  const char* reason = "";
  explicit constexpr operator bool() const noexcept { return status != 0; }
};
inline constexpr Refusal kAccepted{};

}  // namespace sluice::http
