#include "reader.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "utf8.h"

namespace sluice::config {
namespace {

constexpr std::size_t kMaxQuoted = 60;

void append_step(std::string& path, std::string_view key) {
  if (!path.empty() && !key.starts_with('[')) path += '.';
  path += key;
}

// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours each count one.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

ConfigErrors in_file_order(ConfigErrors list) {
  std::ranges::sort(list, [](const ConfigError& a, const ConfigError& b) {
    return std::tie(a.line, a.column, a.path, a.message) < std::tie(b.line, b.column, b.path, b.message);
  });
  if (list.size() > kMaxErrors) {
    const std::size_t more = list.size() - kMaxErrors;
    list.resize(kMaxErrors);
    list.push_back({list.back().file, 0, 0, "", fmt::format("{} more are not shown", more)});
  }
  return list;
}

}  // namespace

Reader::Scope::Scope(Reader& reader, std::string_view key, std::string_view generic, Mark mark)
    : reader_(reader), path_size_(reader.path_.size()), generic_size_(reader.generic_.size()) {
  append_step(reader.path_, key);
  append_step(reader.generic_, generic);
  reader.marks_.try_emplace(reader.path_, mark);
  if (!generic.starts_with('[') && generic != "*") reader.keys_.insert(reader.generic_);
}

Reader::Scope::~Scope() {
  reader_.path_.resize(path_size_);
  reader_.generic_.resize(generic_size_);
}

void Reader::error(Mark mark, std::string message) {
  broken_.insert(path_);
  errors_.push_back({file_, mark.line, mark.column, shown(path_), std::move(message)});
}

void Reader::mismatch(const Node& at, std::string_view wanted) {
  error(at, fmt::format("{} is not {}", describe(at), wanted));
}

void Reader::error_in(std::string_view key, std::string message) {
  error_at(join_path(path_, key), std::move(message));
}

void Reader::error_at(const std::string& path, std::string message) {
  const Mark mark = mark_of(path);
  broken_.insert(path);
  errors_.push_back({file_, mark.line, mark.column, shown(path), std::move(message)});
}

void Reader::warning_at(const std::string& path, std::string message) {
  const Mark mark = mark_of(path);
  warnings_.push_back({file_, mark.line, mark.column, shown(path), std::move(message)});
}

void Reader::file_error(Mark mark, std::string message) {
  broken_.insert("");
  errors_.push_back({file_, mark.line, mark.column, "", std::move(message)});
}

bool Reader::given(std::string_view key) const { return has(join_path(path_, key)); }

bool Reader::sound(std::string_view path) const {
  for (auto it = broken_.lower_bound(path); it != broken_.end() && it->starts_with(path); ++it) {
    if (it->size() == path.size() || (*it)[path.size()] == '.' || (*it)[path.size()] == '[') return false;
  }
  return true;
}

Mark Reader::mark_of(const std::string& path) const {
  for (std::string at = path; !at.empty();) {
    if (const auto found = marks_.find(at); found != marks_.end()) return found->second;
    const std::size_t cut = at.find_last_of(".[");
    at.resize(cut == std::string::npos ? 0 : cut);
  }
  return {1, 1};
}

std::string Reader::shown(std::string_view path) const {
  std::string out;
  std::size_t done = 0;
  for (std::size_t at = path.find("[0]"); at != std::string_view::npos; at = path.find("[0]", at + 3)) {
    if (!singles_.contains(std::string(path.substr(0, at)))) continue;
    out += path.substr(done, at - done);
    done = at + 3;
  }
  out += path.substr(done);
  return out;
}

std::string_view Reader::suggest(std::string_view word, const std::vector<std::string_view>& known) const {
  return errors_.size() < kMaxErrors ? nearest(word, known) : std::string_view{};
}

ConfigErrors Reader::take_errors() { return in_file_order(std::move(errors_)); }
ConfigErrors Reader::take_warnings() { return in_file_order(std::move(warnings_)); }

std::string quote(std::string_view text) { return "'" + printable(text) + "'"; }

std::string printable(std::string_view text) {
  std::string out;
  std::size_t at = 0;
  while (at < text.size() && at < kMaxQuoted) {
    const std::size_t length = std::max<std::size_t>(1, utf8_length(text.substr(at)));
    const std::string_view character = text.substr(at, length);
    const bool odd = is_control(character) || (length == 1 && static_cast<unsigned char>(character[0]) >= 0x80);
    for (const char c : character)
      out += odd ? fmt::format("\\x{:02x}", static_cast<unsigned char>(c)) : std::string(1, c);
    at += length;
  }
  if (at < text.size()) out += "...";
  return out;
}

std::string describe(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return "an empty value";
    case Node::Kind::kScalar:
      return quote(node.scalar);
    case Node::Kind::kList:
      return "a list";
    case Node::Kind::kMap:
      return "a mapping";
  }
  return {};
}

std::string twice(Mark first) { return fmt::format("is given twice; first in line {}", first.line); }

std::string join_path(std::string_view path, std::string_view key) {
  std::string out(path);
  append_step(out, key);
  return out;
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known) {
  constexpr std::size_t kLongest = 64;  // no key is longer; bounds the work on a hostile one
  if (word.size() > kLongest) return {};
  std::string_view best;
  std::size_t best_distance = 1 + std::max<std::size_t>(1, word.size() / 3);
  for (const std::string_view candidate : known) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace sluice::config
