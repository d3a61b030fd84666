// The key of a security association as text: what `ip xfrm` takes for rfc4106(gcm(aes)), a key and its salt.
// Threading: pure function.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace sluice::config {

inline constexpr std::string_view kEspKeyShape =
    "0x and 40 or 72 hex digits (a key of AES-128 or AES-256, and its salt of 4 bytes)";

// nullopt: not of that shape.
[[nodiscard]] std::optional<std::vector<std::uint8_t>> parse_esp_key(std::string_view text);

}  // namespace sluice::config
