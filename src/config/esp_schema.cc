// esp: the security associations towards backends.
#include <charconv>
#include <utility>

#include "esp_key.h"
#include "schema.h"
#include "values.h"

namespace sluice::config {
namespace {

constexpr std::size_t kMaxPeers = 16'384;
constexpr std::size_t kMaxInbound = 4;
constexpr std::uint32_t kFirstSpi = 256;  // RFC 4303 section 2.1: 1 to 255 are reserved

Codec<std::uint32_t> spi() {
  return {[](Reader& reader, const Node& node, std::uint32_t& out) {
    constexpr std::string_view kWanted = "an SPI in 256..4294967295 (0x100..0xffffffff)";
    const std::string* found = scalar_text(reader, node, kWanted);
    if (found == nullptr) return;
    std::string_view digits = *found;
    const bool hex = digits.starts_with("0x") || digits.starts_with("0X");
    if (hex) digits.remove_prefix(2);
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, hex ? 16 : 10);
    if (error != std::errc() || end != digits.data() + digits.size() || value < kFirstSpi) {
      return reader.mismatch(node, kWanted);
    }
    out = value;
  }};
}

// What was found is a secret, or nearly one: no message repeats it.
Codec<std::vector<std::uint8_t>> esp_key() {
  return {[](Reader& reader, const Node& node, std::vector<std::uint8_t>& out) {
    auto key = node.is_scalar() ? parse_esp_key(node.scalar) : std::nullopt;
    if (!key) return reader.error(node, fmt::format("is not {}", kEspKeyShape));
    out = std::move(*key);
  }};
}

const Section<EspSa>& sa_schema() {
  static const Section<EspSa> table = Section<EspSa>()
                                          .required("spi", &EspSa::spi, spi())
                                          .optional("key", &EspSa::key, esp_key())
                                          .optional("key_file", &EspSa::key_file, absolute_path())
                                          .exactly_one({"key", "key_file"})
                                          .optional("esn", &EspSa::extended, boolean());
  return table;
}

const Section<EspPeer>& peer_schema() {
  static const Section<EspPeer> table = Section<EspPeer>()
                                            .required("address", &EspPeer::address, address())
                                            .required("out", &EspPeer::out, section(sa_schema()))
                                            .optional("in", &EspPeer::in, list(section(sa_schema()), 1, kMaxInbound));
  return table;
}

}  // namespace

const Section<Esp>& esp_schema() {
  static const Section<Esp> table = Section<Esp>()
                                        .optional("state", &Esp::state, absolute_path())
                                        .optional("peers", &Esp::peers, list(section(peer_schema()), 0, kMaxPeers));
  return table;
}

}  // namespace sluice::config
