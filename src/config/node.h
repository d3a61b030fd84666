// The YAML text as a tree of our own, built from yaml-cpp's events: every node has its mark, keys keep their order and
// their duplicates, and limits are enforced while the tree grows, so that a hostile file costs no more than they allow.
// Threading: values.
// Ownership: a Node owns its children; an alias becomes a copy of what it names.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/config/config.h"

namespace sluice::config {

struct Node {
  enum class Kind : std::uint8_t { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  Mark mark;
  std::string scalar;       // kScalar
  std::vector<Node> keys;   // kMap: as many as items
  std::vector<Node> items;  // kList, kMap

  [[nodiscard]] bool is_null() const noexcept { return kind == Kind::kNull; }
  [[nodiscard]] bool is_scalar() const noexcept { return kind == Kind::kScalar; }
  [[nodiscard]] bool is_list() const noexcept { return kind == Kind::kList; }
  [[nodiscard]] bool is_map() const noexcept { return kind == Kind::kMap; }
};

struct SyntaxError {
  Mark mark;  // line 0: about the file as a whole
  std::string message;
};

// One document, not empty. Bytes that are not text are refused before yaml-cpp sees them.
[[nodiscard]] std::expected<Node, SyntaxError> parse_yaml(std::string_view text);

}  // namespace sluice::config
