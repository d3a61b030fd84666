#include "sluice/http/headers.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "chars.h"

namespace sluice::http {
namespace {

constexpr std::size_t kIds = static_cast<std::size_t>(HeaderId::kCount);
constexpr std::array<std::string_view, kIds> kNames = {"",
#define SLUICE_HTTP_HEADER_NAME(id, name) name,
                                                       SLUICE_HTTP_HEADERS(SLUICE_HTTP_HEADER_NAME)
#undef SLUICE_HTTP_HEADER_NAME
};

// Known names consist of letters and '-'. One is recognised by a perfect hash over its length and three of its bytes, then compared
// eight bytes at a time: or-ing 0x20 where the known name has a letter maps exactly the two cases of that letter to it.
constexpr std::size_t kWords = 3;
constexpr std::size_t kLongest = kWords * 8;
constexpr std::size_t kSlots = 256;

struct Known {
  std::array<std::uint64_t, kWords> lower{};
  std::array<std::uint64_t, kWords> case_bits{};
  std::uint8_t length = 0;
  HeaderId id = HeaderId::kOther;
};
struct KnownNames {
  std::array<Known, kSlots> slots{};
  std::uint32_t multiplier = 0;
};

constexpr std::size_t slot_of(std::string_view name, std::uint32_t multiplier) noexcept {
  const auto fold = [](char c) { return static_cast<std::uint32_t>(static_cast<unsigned char>(c) | 0x20u); };
  const std::uint32_t mixed = static_cast<std::uint32_t>(name.size()) + (fold(name.front()) << 8) +
                              (fold(name.back()) << 16) + (fold(name[name.size() / 2]) << 24);
  return ((mixed ^ (mixed >> 15)) * multiplier) >> 24;
}

consteval KnownNames build_known_names() {
  KnownNames table;
  for (std::uint32_t multiplier = 0x9e3779b1u;; multiplier += 2) {
    std::array<bool, kSlots> used{};
    bool clash = false;
    for (std::size_t id = 1; id < kIds && !clash; ++id) {
      bool& slot = used[slot_of(kNames[id], multiplier)];
      clash = slot;
      slot = true;
    }
    if (clash) continue;
    table.multiplier = multiplier;
    break;
  }
  for (std::size_t id = 1; id < kIds; ++id) {
    const std::string_view name = kNames[id];
    Known& known = table.slots[slot_of(name, table.multiplier)];
    known.length = static_cast<std::uint8_t>(name.size());
    known.id = static_cast<HeaderId>(id);
    for (std::size_t i = 0; i < name.size(); ++i) {
      const auto byte = static_cast<std::uint64_t>(static_cast<unsigned char>(to_lower(name[i])));
      known.lower[i / 8] |= byte << (8 * (i % 8));
      if (name[i] != '-') known.case_bits[i / 8] |= std::uint64_t{0x20} << (8 * (i % 8));
    }
  }
  return table;
}
constexpr KnownNames kKnown = build_known_names();
static_assert(std::ranges::all_of(kNames, [](std::string_view name) { return name.size() <= kLongest; }));

}  // namespace

HeaderId header_id(std::string_view name) noexcept {
  if (name.empty() || name.size() > kLongest) return HeaderId::kOther;
  const Known& known = kKnown.slots[slot_of(name, kKnown.multiplier)];
  if (known.length != name.size()) return HeaderId::kOther;
  std::array<std::uint64_t, kWords> words{};
  std::memcpy(words.data(), name.data(), name.size());
  std::uint64_t difference = 0;
  for (std::size_t i = 0; i < kWords; ++i) difference |= (words[i] | known.case_bits[i]) ^ known.lower[i];
  return difference == 0 ? known.id : HeaderId::kOther;
}

std::string_view header_name(HeaderId id) noexcept {
  return id < HeaderId::kCount ? kNames[static_cast<std::size_t>(id)] : "";
}

bool equals_ignore_case(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && std::ranges::equal(a, b, [](char x, char y) { return to_lower(x) == to_lower(y); });
}

std::string_view trim(std::string_view text) noexcept {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

bool is_token(std::string_view text) noexcept { return !text.empty() && kTokenChars.has_all(text); }

void HeaderList::set(std::string_view name, std::string_view value) {
  const Header* first = find(name);
  if (first == nullptr) return add(name, value);
  const auto index = static_cast<std::size_t>(first - fields_.data());
  fields_[index].value = value;
  const auto after = fields_.begin() + static_cast<std::ptrdiff_t>(index) + 1;
  fields_.erase(std::remove_if(after, fields_.end(), [&](const Header& h) { return equals_ignore_case(h.name, name); }),
                fields_.end());
}

void HeaderList::remove(HeaderId id) noexcept {
  if (!has(id)) return;
  std::erase_if(fields_, [id](const Header& h) { return h.id == id; });
  present_ &= ~bit(id);
}

void HeaderList::remove(std::string_view name) noexcept {
  const HeaderId id = header_id(name);
  if (id != HeaderId::kOther) return remove(id);
  std::erase_if(fields_, [name](const Header& h) { return equals_ignore_case(h.name, name); });
}

void HeaderList::release() noexcept {
  fields_ = std::vector<Header>();
  present_ = 0;
}

const Header* HeaderList::find(HeaderId id) const noexcept {
  if (!has(id)) return nullptr;
  for (const Header& header : fields_) {
    if (header.id == id) return &header;
  }
  return nullptr;
}

const Header* HeaderList::find(std::string_view name) const noexcept {
  const HeaderId id = header_id(name);
  if (id != HeaderId::kOther) return find(id);
  for (const Header& header : fields_) {
    if (header.id == HeaderId::kOther && equals_ignore_case(header.name, name)) return &header;
  }
  return nullptr;
}

std::string_view HeaderList::value(HeaderId id) const noexcept {
  const Header* header = find(id);
  return header == nullptr ? std::string_view{} : header->value;
}

std::size_t HeaderList::count(HeaderId id) const noexcept {
  if (!has(id)) return 0;
  return static_cast<std::size_t>(std::ranges::count(fields_, id, &Header::id));
}

std::optional<std::string_view> ListCursor::next() noexcept {
  while (!rest_.empty()) {
    bool quoted = false;
    std::size_t end = 0;
    for (; end < rest_.size(); ++end) {
      const char c = rest_[end];
      if (c == '"') quoted = !quoted;
      if (quoted && c == '\\' && end + 1 < rest_.size()) ++end;  // RFC 9110 section 5.6.4: quoted-pair
      if (!quoted && c == ',') break;
    }
    const std::string_view element = trim(rest_.substr(0, end));
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    if (!element.empty()) return element;
  }
  return std::nullopt;
}

bool list_has(const HeaderList& headers, HeaderId id, std::string_view token) noexcept {
  if (!headers.has(id)) return false;
  for (const Header& header : headers) {
    if (header.id != id) continue;
    ListCursor list(header.value);
    while (const auto element = list.next()) {
      if (equals_ignore_case(*element, token)) return true;
    }
  }
  return false;
}

}  // namespace sluice::http
