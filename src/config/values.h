// How each kind of scalar is read: numbers, durations, sizes, words, addresses, paths, header names.
// What is wrong is said as "<found> is not <what is allowed>".
// Threading: codecs are values.
// Units:     durations `500ms`, `30s`, `2h4m`; sizes `64KiB`, `1MB`, `4096` (bytes); counts `65536`, `10k`, `4M`.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "codec.h"
#include "sluice/config/config.h"

namespace sluice::config {

// The text of a scalar; nullptr, and an error, for anything else.
[[nodiscard]] const std::string* scalar_text(Reader& reader, const Node& node, std::string_view wanted);

[[nodiscard]] Codec<std::uint64_t> wide_number(std::uint64_t min, std::uint64_t max, bool suffixes);

template <typename V>
[[nodiscard]] Codec<V> narrowed(Codec<std::uint64_t> wide) {
  return {[wide](Reader& reader, const Node& node, V& out) {
    std::uint64_t value = out;
    wide.read(reader, node, value);
    out = static_cast<V>(value);
  }};
}
template <typename V>  // 8080
[[nodiscard]] Codec<V> number(V min, V max) {
  return narrowed<V>(wide_number(min, max, false));
}
template <typename V>  // 65536, 10k, 4M
[[nodiscard]] Codec<V> count(V min, V max) {
  return narrowed<V>(wide_number(min, max, true));
}
[[nodiscard]] inline Codec<std::uint16_t> port() { return number<std::uint16_t>(1, 65535); }
[[nodiscard]] Codec<std::uint64_t> size(std::uint64_t min, std::uint64_t max);
template <typename V>
[[nodiscard]] Codec<V> small_size(V min, V max) {
  return narrowed<V>(size(min, max));
}
[[nodiscard]] Codec<Duration> duration(Duration min, Duration max);
[[nodiscard]] Codec<bool> boolean();
[[nodiscard]] Codec<std::string> text(std::size_t min_bytes, std::size_t max_bytes);
[[nodiscard]] Codec<std::string> absolute_path(std::size_t max_bytes = 4095);
[[nodiscard]] Codec<std::string> name();  // of a backend; pool and interface names are checked by name_is_good()
[[nodiscard]] Codec<std::string>
reference();  // to a name: no more is asked of it here, whether it exists is checked later
[[nodiscard]] Codec<net::IpAddress> address();
[[nodiscard]] Codec<net::Prefix> prefix();
[[nodiscard]] Codec<net::MacAddress> mac();
[[nodiscard]] Codec<std::vector<unsigned>> cpus(std::size_t min);  // 2, [2, 3], "2-5", [0, 4-7]
[[nodiscard]] Codec<Template> text_template();                     // a header value: no control characters

[[nodiscard]] bool name_is_good(Reader& reader, const Node& key);  // 1..63 letters, digits, '_', '-', '.'
[[nodiscard]] bool is_token(std::string_view text) noexcept;       // RFC 9110 section 5.6.2

// One word of a fixed set. `not_yet`: words that the design has and this version does not.
template <typename E>
struct Word {
  std::string_view text;
  E value;
};
template <typename E>
[[nodiscard]] Codec<E> one_of(std::vector<Word<E>> words, std::vector<std::string_view> not_yet = {}) {
  return {[words = std::move(words), not_yet = std::move(not_yet)](Reader& reader, const Node& node, E& out) {
    std::vector<std::string_view> known;
    for (const Word<E>& word : words) known.push_back(word.text);
    const std::string allowed = fmt::format("one of {}", fmt::join(known, ", "));
    const std::string* found = scalar_text(reader, node, allowed);
    if (found == nullptr) return;
    for (const Word<E>& word : words) {
      if (word.text == *found) {
        out = word.value;
        return;
      }
    }
    if (std::ranges::find(not_yet, *found) == not_yet.end()) return reader.mismatch(node, allowed);
    reader.error(node, fmt::format("'{}' is not supported yet; supported: {}", *found, fmt::join(known, ", ")));
  }};
}

// In the largest unit that holds the value without a rest.
[[nodiscard]] std::string duration_text(Duration value);
[[nodiscard]] std::string size_text(std::uint64_t bytes);

}  // namespace sluice::config
