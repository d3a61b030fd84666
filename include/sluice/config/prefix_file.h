// Lists of prefixes in files of their own: one prefix or address a line, `#` begins a comment.
// Threading: any; reads the file when asked.
// Errors:    all of them (the first kMaxPrefixErrors), each with its line.
// Limits:    kMaxPrefixes a file.
#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/net/address.h"

namespace sluice::config {

inline constexpr std::size_t kMaxPrefixes = 10'000'000;
inline constexpr std::size_t kMaxPrefixErrors = 20;

struct PrefixFileError {
  std::string file;
  std::size_t line = 0;  // 0: of the file as a whole
  std::string message;
  [[nodiscard]] std::string text() const;  // file:line: message
};

[[nodiscard]] std::expected<std::vector<net::Prefix>, std::vector<PrefixFileError>> parse_prefixes(
    std::string_view text, const std::string& file);
[[nodiscard]] std::expected<std::vector<net::Prefix>, std::vector<PrefixFileError>> read_prefix_file(
    const std::string& file);

}  // namespace sluice::config
