// Sets of bytes, as tables.
// Threading: constants.
// Spec:      RFC 9110 section 5.6.2 (token), RFC 3986 section 2.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace sluice::http {

class ByteSet {
 public:
  explicit constexpr ByteSet(std::string_view members, bool alphanumeric) noexcept {
    for (const char c : members) in_[static_cast<unsigned char>(c)] = true;
    if (!alphanumeric) return;
    for (unsigned c = '0'; c <= '9'; ++c) in_[c] = true;
    for (unsigned c = 'a'; c <= 'z'; ++c) in_[c] = in_[c - 0x20] = true;
  }
  [[nodiscard]] constexpr bool has(std::uint8_t byte) const noexcept { return in_[byte]; }
  [[nodiscard]] constexpr bool has(char c) const noexcept { return in_[static_cast<unsigned char>(c)]; }
  [[nodiscard]] constexpr bool has_all(std::string_view text) const noexcept {
    for (const char c : text) {
      if (!has(c)) return false;
    }
    return true;
  }

 private:
  std::array<bool, 256> in_{};
};

inline constexpr ByteSet kTokenChars("!#$%&'*+-.^_`|~", true);
inline constexpr ByteSet kHostChars("-_.", true);
// Visible ASCII without '#': a fragment is never sent (RFC 9112 section 3.2). Some of these (such as '|' and '{') are not in the
// grammar of RFC 3986, but browsers send them in queries and no two parsers split a request line differently because of them.
inline constexpr ByteSet kTargetChars("!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~", true);

[[nodiscard]] constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
[[nodiscard]] constexpr char to_lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}
[[nodiscard]] constexpr int hex_value(char c) noexcept {  // -1: not a hexadecimal digit
  if (is_digit(c)) return c - '0';
  const char lower = to_lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace sluice::http
