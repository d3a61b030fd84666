// Tables for people: rows of JSON objects as aligned columns.
// Threading: pure function.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace sluice::app {

struct Column {
  std::string_view title;
  std::string_view key;  // of the row's object; "a.b" looks into a nested one
};

// One line a row, numbers to the right and words to the left, a title line first. A key that a row lacks shows as "-".
// Control characters are shown as "?", so that a name out of the network or a file cannot drive the terminal.
[[nodiscard]] std::string format_table(const nlohmann::json& rows, const std::vector<Column>& columns);

// "key  value" lines for one object.
[[nodiscard]] std::string format_fields(const nlohmann::json& object, const std::vector<Column>& fields);

}  // namespace sluice::app
