#include "sluice/config/prefix_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

#include "reader.h"

namespace sluice::config {
namespace {

std::string_view trimmed(std::string_view text) noexcept {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::optional<net::Prefix> parse_entry(std::string_view text) noexcept {
  if (auto prefix = net::Prefix::parse(text)) return prefix;
  if (const auto address = net::IpAddress::parse(text)) {
    return net::Prefix{*address, static_cast<std::uint8_t>(address->is_v4() ? 32 : 128)};
  }
  return std::nullopt;
}

}  // namespace

std::string PrefixFileError::text() const {
  return line == 0 ? fmt::format("{}: {}", file, message) : fmt::format("{}:{}: {}", file, line, message);
}

std::expected<std::vector<net::Prefix>, std::vector<PrefixFileError>> parse_prefixes(std::string_view text,
                                                                                     const std::string& file) {
  std::vector<net::Prefix> prefixes;
  std::vector<PrefixFileError> errors;
  for (std::size_t line = 1; !text.empty() && errors.size() < kMaxPrefixErrors; ++line) {
    const std::size_t end = text.find('\n');
    const std::string_view whole =
        text.substr(0, end);  // looking for '#' in all that follows would take a file's square
    const std::string_view entry = trimmed(whole.substr(0, whole.find('#')));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (entry.empty()) continue;
    if (const auto prefix = parse_entry(entry)) {
      prefixes.push_back(*prefix);
    } else {
      errors.push_back({file, line, fmt::format("{} is not a prefix or an address", quote(entry))});
    }
    if (prefixes.size() > kMaxPrefixes) {
      errors.push_back({file, line, fmt::format("more than {} prefixes", kMaxPrefixes)});
      break;
    }
  }
  if (!errors.empty()) return std::unexpected(std::move(errors));
  return prefixes;
}

std::expected<std::vector<net::Prefix>, std::vector<PrefixFileError>> read_prefix_file(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::unexpected(std::vector<PrefixFileError>{{file, 0, std::strerror(errno)}});
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (in.bad()) return std::unexpected(std::vector<PrefixFileError>{{file, 0, "cannot be read"}});
  return parse_prefixes(text, file);
}

}  // namespace sluice::config
