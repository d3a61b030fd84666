#include "table.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace sluice::app {
namespace {

const nlohmann::json* look_up(const nlohmann::json& row, std::string_view key) {
  const nlohmann::json* at = &row;
  while (true) {
    const std::size_t dot = key.find('.');
    const auto found = at->find(std::string(key.substr(0, dot)));
    if (!at->is_object() || found == at->end()) return nullptr;
    at = &*found;
    if (dot == std::string_view::npos) return at;
    key.remove_prefix(dot + 1);
  }
}

std::string cell(const nlohmann::json& row, std::string_view key) {
  const nlohmann::json* value = look_up(row, key);
  std::string text = "-";
  if (value != nullptr && !value->is_null()) {
    if (value->is_string()) {
      text = value->get<std::string>();
    } else if (value->is_array()) {
      text.clear();
      for (const nlohmann::json& item : *value) {
        if (!text.empty()) text += ' ';
        text += item.is_string() ? item.get<std::string>() : item.dump();
      }
    } else {
      text = value->dump();
    }
  }
  for (char& letter : text) {
    if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f) letter = '?';
  }
  return text;
}

bool is_number(const nlohmann::json& row, std::string_view key) {
  const nlohmann::json* value = look_up(row, key);
  return value != nullptr && value->is_number();
}

}  // namespace

std::string format_table(const nlohmann::json& rows, const std::vector<Column>& columns) {
  std::vector<std::vector<std::string>> cells;
  std::vector<std::size_t> widths;
  std::vector<bool> right;
  for (const Column& column : columns) {
    widths.push_back(column.title.size());
    right.push_back(!rows.empty() && is_number(rows.front(), column.key));
  }
  for (const nlohmann::json& row : rows) {
    std::vector<std::string> line;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      line.push_back(cell(row, columns[i].key));
      widths[i] = std::max(widths[i], line.back().size());
    }
    cells.push_back(std::move(line));
  }
  std::string out;
  const auto add_line = [&](auto&& text_of) {
    std::string line;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (i > 0) line += "  ";
      line += right[i] ? fmt::format("{:>{}}", text_of(i), widths[i]) : fmt::format("{:<{}}", text_of(i), widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  };
  add_line([&](std::size_t i) { return std::string(columns[i].title); });
  for (const auto& line : cells) add_line([&](std::size_t i) { return line[i]; });
  return out;
}

std::string format_fields(const nlohmann::json& object, const std::vector<Column>& fields) {
  std::size_t width = 0;
  for (const Column& field : fields) width = std::max(width, field.title.size());
  std::string out;
  for (const Column& field : fields) out += fmt::format("{:<{}}  {}\n", field.title, width, cell(object, field.key));
  return out;
}

}  // namespace sluice::app
