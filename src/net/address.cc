#include "sluice/net/address.h"

#include <algorithm>
#include <bit>
#include <charconv>

#include <arpa/inet.h>
#include <fmt/format.h>

namespace sluice::net {
namespace {

// inet_pton wants a terminated string; no textual address is longer than this.
constexpr std::size_t kMaxText = INET6_ADDRSTRLEN;

template <typename T>
std::optional<T> parse_number(std::string_view text, T max) noexcept {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

}  // namespace

std::optional<MacAddress> MacAddress::parse(std::string_view text) noexcept {
  if (text.size() != 17) return std::nullopt;
  MacAddress mac;
  for (std::size_t i = 0; i < 6; ++i) {
    const std::string_view pair = text.substr(i * 3, 2);
    const auto [end, error] = std::from_chars(pair.data(), pair.data() + 2, mac.bytes[i], 16);
    if (error != std::errc() || end != pair.data() + 2) return std::nullopt;
    if (i < 5 && text[i * 3 + 2] != ':') return std::nullopt;
  }
  return mac;
}

std::string MacAddress::text() const {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2], bytes[3], bytes[4],
                     bytes[5]);
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) noexcept {
  if (text.empty() || text.size() >= kMaxText) return std::nullopt;
  char terminated[kMaxText] = {};
  std::memcpy(terminated, text.data(), text.size());
  if (Be32 four; ::inet_pton(AF_INET, terminated, &four) == 1) return v4(four);
  std::array<std::uint8_t, 16> six;
  if (::inet_pton(AF_INET6, terminated, six.data()) == 1) return v6(six);
  return std::nullopt;
}

std::string IpAddress::text() const {
  char out[kMaxText] = {};
  if (is_v4()) {
    ::inet_ntop(AF_INET, bytes_.data() + 12, out, sizeof(out));
  } else {
    ::inet_ntop(AF_INET6, bytes_.data(), out, sizeof(out));
  }
  return out;
}

std::string Endpoint::text() const {
  if (port == 0) return address.text();
  return address.is_v4() ? fmt::format("{}:{}", address.text(), port) : fmt::format("[{}]:{}", address.text(), port);
}

std::optional<Endpoint> Endpoint::parse(std::string_view text) noexcept {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = IpAddress::parse(host);
  const auto port = parse_number<std::uint16_t>(text.substr(colon + 1), 65535);
  if (!address || !port || address->is_v4() == bracketed) return std::nullopt;
  return Endpoint{*address, *port};
}

std::optional<Prefix> Prefix::parse(std::string_view text) noexcept {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const auto length = parse_number<std::uint8_t>(text.substr(slash + 1), address->is_v4() ? 32 : 128);
  if (!length) return std::nullopt;
  return Prefix{*address, *length};
}

bool Prefix::contains(const IpAddress& other) const noexcept {
  if (address.is_v4() != other.is_v4()) return false;
  const std::size_t bits = address.is_v4() ? 96u + length : length;
  const std::size_t whole = bits / 8;
  if (std::memcmp(address.bytes().data(), other.bytes().data(), whole) != 0) return false;
  const std::size_t rest = bits % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xff00u >> rest);
  return (address.bytes()[whole] & mask) == (other.bytes()[whole] & mask);
}

IpAddress masked(const IpAddress& address, std::uint8_t prefix4, std::uint8_t prefix6) noexcept {
  const unsigned length = address.is_v4() ? 96u + prefix4 : prefix6;
  auto words = address.words();
  for (unsigned i = 0; i < 2; ++i) {
    const unsigned bits = std::clamp(static_cast<int>(length) - static_cast<int>(i) * 64, 0, 64) & 0x7f;
    const std::uint64_t keep = bits == 0 ? 0 : ~std::uint64_t{0} << (64 - bits);
    words[i] &= std::byteswap(keep);
  }
  return IpAddress::from_words(words);
}

std::string Prefix::text() const { return fmt::format("{}/{}", address.text(), length); }

}  // namespace sluice::net
