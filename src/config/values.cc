#include "values.h"

#include <array>
#include <charconv>
#include <optional>

#include <fmt/format.h>

namespace sluice::config {
namespace {

template <typename V>
struct Unit {
  std::string_view text;
  V value;
};

constexpr std::array<Unit<std::int64_t>, 7> kDurationUnits{{{"d", 86'400'000'000'000},
                                                            {"h", 3'600'000'000'000},
                                                            {"m", 60'000'000'000},
                                                            {"s", 1'000'000'000},
                                                            {"ms", 1'000'000},
                                                            {"us", 1'000},
                                                            {"ns", 1}}};
constexpr std::array<Unit<std::uint64_t>, 10> kSizeUnits{{{"TiB", 1ull << 40},
                                                          {"GiB", 1ull << 30},
                                                          {"MiB", 1ull << 20},
                                                          {"KiB", 1ull << 10},
                                                          {"TB", 1'000'000'000'000},
                                                          {"GB", 1'000'000'000},
                                                          {"MB", 1'000'000},
                                                          {"KB", 1'000},
                                                          {"kB", 1'000},
                                                          {"B", 1}}};
constexpr std::array<Unit<std::uint64_t>, 3> kCountUnits{{{"G", 1'000'000'000}, {"M", 1'000'000}, {"k", 1'000}}};

constexpr std::size_t kShownSizeUnits = 4;  // messages use KiB and its like only

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

// The digits at the start of `text`, which loses them; nullopt: there are none. Too large a number becomes the largest.
std::optional<std::uint64_t> take_number(std::string_view& text) noexcept {
  if (text.empty() || !is_digit(text.front())) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) value = std::numeric_limits<std::uint64_t>::max();
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

std::uint64_t saturating_multiply(std::uint64_t a, std::uint64_t b) noexcept {
  std::uint64_t out = 0;
  return __builtin_mul_overflow(a, b, &out) ? std::numeric_limits<std::uint64_t>::max() : out;
}

template <std::size_t N>
std::optional<std::uint64_t> parse_with_units(std::string_view text, const std::array<Unit<std::uint64_t>, N>& units) {
  const auto value = take_number(text);
  if (!value || text.empty()) return value;
  for (const auto& unit : units) {
    if (text == unit.text) return saturating_multiply(*value, unit.value);
  }
  return std::nullopt;
}

// "1h30m": numbers with units, large units first.
std::optional<Duration> parse_duration(std::string_view text) {
  if (text == "0") return Duration::zero();
  if (text.empty()) return std::nullopt;
  std::int64_t total = 0;
  std::size_t next_unit = 0;
  while (!text.empty()) {
    const auto value = take_number(text);
    if (!value) return std::nullopt;
    const std::string_view unit_text = text.substr(0, text.find_first_of("0123456789"));
    text.remove_prefix(unit_text.size());
    while (next_unit < kDurationUnits.size() && kDurationUnits[next_unit].text != unit_text) ++next_unit;
    if (next_unit == kDurationUnits.size()) return std::nullopt;
    std::int64_t part = 0;
    if (*value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) ||
        __builtin_mul_overflow(static_cast<std::int64_t>(*value), kDurationUnits[next_unit].value, &part) ||
        __builtin_add_overflow(total, part, &total)) {
      return Duration::max();
    }
    ++next_unit;
  }
  return Duration(total);
}

bool is_name(std::string_view text) noexcept {
  if (text.empty() || text.size() > 63) return false;
  for (const char c : text) {
    if (!is_digit(c) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '_' && c != '-' && c != '.')
      return false;
  }
  return text.front() != '-' && text.front() != '.';
}

constexpr std::string_view kNameRule = "a name of 1..63 letters, digits, '_', '-', '.'";
constexpr unsigned kMaxCpu = 1023;  // CPU_SETSIZE - 1
constexpr std::size_t kMaxCpus = 64;

std::optional<std::pair<unsigned, unsigned>> parse_cpu_range(std::string_view text) {
  const auto first = take_number(text);
  if (!first || *first > kMaxCpu) return std::nullopt;
  if (text.empty()) return std::pair{static_cast<unsigned>(*first), static_cast<unsigned>(*first)};
  if (text.front() != '-') return std::nullopt;
  text.remove_prefix(1);
  const auto last = take_number(text);
  if (!last || !text.empty() || *last > kMaxCpu || *last < *first) return std::nullopt;
  return std::pair{static_cast<unsigned>(*first), static_cast<unsigned>(*last)};
}

// A scalar that parse(text) turns into a value, else the message says that it is not `wanted`.
template <typename V, typename Parse>
Codec<V> parsed(std::string wanted, Parse parse) {
  return {[wanted = std::move(wanted), parse](Reader& reader, const Node& node, V& out) {
    const std::string* found = scalar_text(reader, node, wanted);
    if (found == nullptr) return;
    if (auto value = parse(*found)) {
      out = std::move(*value);
    } else {
      reader.mismatch(node, wanted);
    }
  }};
}

// What stands in the message for a value of the right kind and the wrong size.
std::string range_message(std::string_view found, std::string_view min, std::string_view max) {
  return fmt::format("{} is not in {}..{}", found, min, max);
}

}  // namespace

const std::string* scalar_text(Reader& reader, const Node& node, std::string_view wanted) {
  if (node.is_scalar()) return &node.scalar;
  reader.mismatch(node, wanted);
  return nullptr;
}

Codec<std::uint64_t> wide_number(std::uint64_t min, std::uint64_t max, bool suffixes) {
  return {[=](Reader& reader, const Node& node, std::uint64_t& out) {
    const std::string wanted =
        fmt::format("a {} in {}..{}", suffixes ? "count (such as 65536, 10k, 4M)" : "number", min, max);
    const std::string* found = scalar_text(reader, node, wanted);
    if (found == nullptr) return;
    std::string_view digits = *found;
    if (digits.starts_with('-')) digits.remove_prefix(1);
    const auto value = suffixes ? parse_with_units(digits, kCountUnits) : parse_with_units<0>(digits, {});
    if (!value) return reader.mismatch(node, wanted);
    const bool negative = digits.size() != found->size();
    if (negative || *value < min || *value > max) {
      return reader.error(node, range_message(printable(*found), std::to_string(min), std::to_string(max)));
    }
    out = *value;
  }};
}

Codec<std::uint64_t> size(std::uint64_t min, std::uint64_t max) {
  return {[=](Reader& reader, const Node& node, std::uint64_t& out) {
    constexpr std::string_view kWanted = "a size such as 64KiB, 1MB, 2GiB";
    const std::string* found = scalar_text(reader, node, kWanted);
    if (found == nullptr) return;
    const auto value = parse_with_units(*found, kSizeUnits);
    if (!value) return reader.mismatch(node, kWanted);
    if (*value < min || *value > max) {
      return reader.error(node, range_message(printable(*found), size_text(min), size_text(max)));
    }
    out = *value;
  }};
}

Codec<Duration> duration(Duration min, Duration max) {
  return {[=](Reader& reader, const Node& node, Duration& out) {
    constexpr std::string_view kWanted = "a duration such as 500ms, 30s, 2m, 1h30m";
    const std::string* found = scalar_text(reader, node, kWanted);
    if (found == nullptr) return;
    const auto value = parse_duration(*found);
    if (!value) return reader.mismatch(node, kWanted);
    if (*value < min || *value > max) {
      return reader.error(node, range_message(printable(*found), duration_text(min), duration_text(max)));
    }
    out = *value;
  }};
}

Codec<bool> boolean() {
  return parsed<bool>("true or false", [](std::string_view text) -> std::optional<bool> {
    if (text == "true" || text == "yes" || text == "on") return true;
    if (text == "false" || text == "no" || text == "off") return false;
    return std::nullopt;
  });
}

Codec<std::string> text(std::size_t min_bytes, std::size_t max_bytes) {
  return parsed<std::string>(fmt::format("a text of {}..{} bytes", min_bytes, max_bytes),
                             [=](std::string_view found) -> std::optional<std::string> {
                               if (found.size() < min_bytes || found.size() > max_bytes) return std::nullopt;
                               return std::string(found);
                             });
}

Codec<std::string> absolute_path(std::size_t max_bytes) {
  return parsed<std::string>(fmt::format("an absolute path of at most {} bytes without '..'", max_bytes),
                             [=](std::string_view found) -> std::optional<std::string> {
                               const bool climbs = found.find("/../") != found.npos || found.ends_with("/..");
                               if (!found.starts_with('/') || found.size() > max_bytes || climbs) return std::nullopt;
                               for (const char c : found) {
                                 if (static_cast<unsigned char>(c) < 0x20) return std::nullopt;
                               }
                               return std::string(found);
                             });
}

Codec<std::string> name() {
  return parsed<std::string>(std::string(kNameRule), [](std::string_view found) -> std::optional<std::string> {
    if (!is_name(found)) return std::nullopt;
    return std::string(found);
  });
}

Codec<std::string> reference() {
  return parsed<std::string>("a name", [](std::string_view found) { return std::optional(std::string(found)); });
}

Codec<net::IpAddress> address() {
  return parsed<net::IpAddress>("an IPv4 or IPv6 address (host names are not supported yet)",
                                [](std::string_view found) { return net::IpAddress::parse(found); });
}

Codec<net::Prefix> prefix() {
  return parsed<net::Prefix>("an address with its prefix length, such as 192.0.2.1/24 or 2001:db8::1/64",
                             [](std::string_view found) { return net::Prefix::parse(found); });
}

Codec<net::MacAddress> mac() {
  return parsed<net::MacAddress>("a MAC address such as 02:00:00:00:00:01",
                                 [](std::string_view found) { return net::MacAddress::parse(found); });
}

Codec<std::vector<unsigned>> cpus(std::size_t min) {
  static const auto range = parsed<std::pair<unsigned, unsigned>>(
      fmt::format("a cpu in 0..{}, or a range such as 2-5", kMaxCpu), parse_cpu_range);
  static const auto ranges = list(range);
  return {[min](Reader& reader, const Node& node, std::vector<unsigned>& out) {
    std::vector<std::pair<unsigned, unsigned>> found;
    const std::size_t errors_before = reader.error_count();
    ranges.read(reader, node, found);
    if (reader.error_count() != errors_before) return;
    std::vector<unsigned> all;
    for (const auto& [first, last] : found) {
      for (unsigned cpu = first; cpu <= last && all.size() <= kMaxCpus; ++cpu) all.push_back(cpu);
    }
    if (all.size() < min) return reader.error(node, fmt::format("no cpu; at least {} is needed", min));
    if (all.size() > kMaxCpus) return reader.error(node, fmt::format("more than {} cpus", kMaxCpus));
    out = std::move(all);
  }};
}

Codec<Template> text_template() {
  return {[](Reader& reader, const Node& node, Template& out) {
    constexpr std::size_t kMaxBytes = 8192;
    const std::string wanted = fmt::format("a text of at most {} bytes without control characters", kMaxBytes);
    const std::string* found = scalar_text(reader, node, wanted);
    if (found == nullptr) return;
    bool good = found->size() <= kMaxBytes;
    for (const char c : *found) good &= static_cast<unsigned char>(c) >= 0x20 || c == '\t';
    if (!good) return reader.mismatch(node, wanted);
    auto parsed_template = Template::parse(*found);
    if (!parsed_template) return reader.error(node, parsed_template.error().message);
    out = std::move(*parsed_template);
  }};
}

bool name_is_good(Reader& reader, const Node& key) {
  if (is_name(key.scalar)) return true;
  reader.mismatch(key, kNameRule);
  return false;
}

bool is_token(std::string_view text) noexcept {
  constexpr std::string_view kOther = "!#$%&'*+-.^_`|~";
  for (const char c : text) {
    if (!is_digit(c) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && kOther.find(c) == kOther.npos)
      return false;
  }
  return !text.empty();
}

std::string duration_text(Duration value) {
  for (const auto& unit : kDurationUnits) {
    if (value.count() != 0 && value.count() % unit.value == 0)
      return fmt::format("{}{}", value.count() / unit.value, unit.text);
  }
  return "0s";
}

std::string size_text(std::uint64_t bytes) {
  for (std::size_t i = 0; i < kShownSizeUnits; ++i) {
    if (bytes != 0 && bytes % kSizeUnits[i].value == 0)
      return fmt::format("{}{}", bytes / kSizeUnits[i].value, kSizeUnits[i].text);
  }
  return fmt::format("{}B", bytes);
}

}  // namespace sluice::config
