// The declarative half of the reader: a Section<T> is the table of keys that a mapping may have, a Codec<V> says how
// one value is read. The tables in *_schema.cc are made of these, and the list of known keys is derived from them.
// Threading: tables are built once (function statics) and then only read.
#pragma once

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "node.h"
#include "reader.h"

namespace sluice::config {

using KeyList = std::set<std::string>;  // generic paths: pools.*.backends[].port

using KeyMarks = std::map<std::string_view, Mark>;  // the keys of one mapping and where they stand

template <typename V>
struct Codec {
  // Reads the node into the value. What is wrong is recorded in the reader; the value then keeps what could be read of
  // it.
  std::function<void(Reader&, const Node&, V&)> read;
  // Adds the keys below `path`; nothing to add for a scalar.
  std::function<void(const std::string& path, KeyList&)> list_keys = [](const std::string&, KeyList&) {};
};

// One mapping: its keys, which of them must be there, and rules about several of them.
template <typename T>
class Section {
 public:
  template <typename V>
  Section& required(std::string_view key, V T::* member, Codec<V> codec) {
    return add(key, true, bind(member, codec), codec.list_keys, equal(member));
  }
  template <typename V>
  Section& optional(std::string_view key, V T::* member, Codec<V> codec) {
    return add(key, false, bind(member, codec), codec.list_keys, equal(member));
  }
  template <typename V>
  Section& optional(std::string_view key, std::optional<V> T::* member, Codec<V> codec) {
    return add(
        key, false,
        [member, codec](Reader& reader, const Node& node, T& out) {
          codec.read(reader, node, (out.*member).emplace());
        },
        codec.list_keys, equal(member));
  }
  // For a value that is stored in another shape than a member: set(T&, V&&), called only for a value that is good.
  template <typename V, typename Set>
  Section& required_with(std::string_view key, Codec<V> codec, Set set) {
    return add(key, true, bind_with(codec, set), codec.list_keys);
  }
  template <typename V, typename Set>
  Section& optional_with(std::string_view key, Codec<V> codec, Set set) {
    return add(key, false, bind_with(codec, set), codec.list_keys);
  }
  // Keys that the design has and this version does not.
  Section& not_yet(std::initializer_list<std::string_view> keys) {
    not_yet_.insert(not_yet_.end(), keys);
    return *this;
  }
  Section& exactly_one(std::initializer_list<std::string_view> keys) {
    one_of_.assign(keys);
    return *this;
  }
  // Looks at the whole mapping once it was read without an error: check(Reader&, const Node&, T&).
  Section& check(std::function<void(Reader&, const Node&, T&)> rule) {
    check_ = std::move(rule);
    return *this;
  }

  void read(Reader& reader, const Node& node, T& out) const {
    if (!node.is_map() && !node.is_null()) {  // `cache:` with nothing behind it means `cache: {}`
      reader.mismatch(node, fields_.empty() ? std::string("an empty mapping {}")
                                            : fmt::format("a mapping with the keys {}", fmt::join(known(), ", ")));
      return;
    }
    KeyMarks seen;
    const std::size_t errors_before = reader.error_count();
    for (std::size_t i = 0; i < node.keys.size(); ++i) read_entry(reader, node.keys[i], node.items[i], seen, out);
    for (const Field& field : fields_) {
      if (field.required && !seen.contains(field.key)) {
        reader.error(node, fmt::format("required key '{}' is missing", field.key));
      }
    }
    if (!one_of_.empty() && reader.error_count() == errors_before) check_one_of(reader, node, seen);
    if (check_ && reader.error_count() == errors_before) check_(reader, node, out);
  }

  void list_keys(const std::string& path, KeyList& out) const {
    for (const Field& field : fields_) {
      std::string key = join_path(path, field.key);
      field.list_keys(key, out);
      out.insert(std::move(key));
    }
  }

  // The keys whose values differ. What is stored in another shape than a member counts as different always.
  [[nodiscard]] std::vector<std::string_view> differences(const T& a, const T& b) const {
    std::vector<std::string_view> out;
    for (const Field& field : fields_) {
      if (!field.same || !field.same(a, b)) out.push_back(field.key);
    }
    return out;
  }

 private:
  using Same = std::function<bool(const T&, const T&)>;
  struct Field {
    std::string_view key;
    bool required;
    std::function<void(Reader&, const Node&, T&)> read;
    std::function<void(const std::string&, KeyList&)> list_keys;
    Same same;  // empty: not known
  };

  template <typename V>
  static Same equal(V T::* member) {
    return [member](const T& a, const T& b) { return a.*member == b.*member; };
  }
  template <typename V>
  static auto bind(V T::* member, const Codec<V>& codec) {
    return [member, codec](Reader& reader, const Node& node, T& out) { codec.read(reader, node, out.*member); };
  }
  template <typename V, typename Set>
  static auto bind_with(const Codec<V>& codec, Set set) {
    return [codec, set](Reader& reader, const Node& node, T& out) {
      V value{};
      const std::size_t errors_before = reader.error_count();
      codec.read(reader, node, value);
      if (reader.error_count() == errors_before) set(out, std::move(value));
    };
  }
  Section& add(std::string_view key, bool required, std::function<void(Reader&, const Node&, T&)> read,
               std::function<void(const std::string&, KeyList&)> list, Same same = {}) {
    fields_.push_back({key, required, std::move(read), std::move(list), std::move(same)});
    return *this;
  }

  void read_entry(Reader& reader, const Node& key, const Node& value, KeyMarks& seen, T& out) const {
    if (!key.is_scalar()) return reader.error(key, fmt::format("{} is not a key", describe(key)));
    const auto field = std::ranges::find(fields_, key.scalar, &Field::key);
    const Reader::Scope scope(reader, printable(key.scalar), key.scalar, value.mark);
    const auto [first, fresh] = seen.try_emplace(key.scalar, key.mark);
    if (!fresh) return reader.error(key, twice(first->second));
    if (field == fields_.end()) return report_unknown(reader, key);
    field->read(reader, value, out);
  }

  void report_unknown(Reader& reader, const Node& key) const {
    if (std::ranges::find(not_yet_, key.scalar) != not_yet_.end()) return reader.error(key, "is not supported yet");
    if (key.scalar == "<<") return reader.error(key, "merge keys are not supported; write the keys out");
    const std::string_view near = reader.suggest(key.scalar, known());
    if (!near.empty()) return reader.error(key, fmt::format("unknown key; did you mean '{}'?", near));
    if (fields_.empty()) return reader.error(key, "unknown key; none are known here");
    reader.error(key, fmt::format("unknown key; known here: {}", fmt::join(known(), ", ")));
  }

  void check_one_of(Reader& reader, const Node& node, const KeyMarks& seen) const {
    const auto given = std::ranges::count_if(one_of_, [&](std::string_view key) { return seen.contains(key); });
    if (given == 1) return;
    reader.error(node, fmt::format("{} of the keys {}; exactly one is needed", given == 0 ? "none" : "more than one",
                                   fmt::join(one_of_, ", ")));
  }

  [[nodiscard]] std::vector<std::string_view> known() const {
    std::vector<std::string_view> out;
    for (const Field& field : fields_) out.push_back(field.key);
    return out;
  }

  std::vector<Field> fields_;
  std::vector<std::string_view> not_yet_;
  std::vector<std::string_view> one_of_;
  std::function<void(Reader&, const Node&, T&)> check_;
};

template <typename T>
[[nodiscard]] Codec<T> section(const Section<T>& table) {
  return {[&table](Reader& reader, const Node& node, T& out) { table.read(reader, node, out); },
          [&table](const std::string& path, KeyList& out) { table.list_keys(path, out); }};
}

// A list of at least `min` elements; a list of one may be written as the element alone.
template <typename V>
[[nodiscard]] Codec<std::vector<V>> list(Codec<V> element, std::size_t min = 0, std::size_t max = 65536) {
  auto read = [element, min, max](Reader& reader, const Node& node, std::vector<V>& out) {
    out.clear();
    if (node.is_null()) return reader.mismatch(node, "a list");
    if (!node.is_list()) {
      reader.mark_single();
      const Reader::Scope scope(reader, "[0]", "[]", node.mark);
      return element.read(reader, node, out.emplace_back());
    }
    if (node.items.size() < min) return reader.error(node, fmt::format("an empty list; at least {} is needed", min));
    if (node.items.size() > max)
      return reader.error(node, fmt::format("{} elements; at most {}", node.items.size(), max));
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const Reader::Scope scope(reader, fmt::format("[{}]", i), "[]", node.items[i].mark);
      element.read(reader, node.items[i], out.emplace_back());  // stays, even if wrong: indexes are the file's
    }
  };
  return {read, [element](const std::string& path, KeyList& out) { element.list_keys(path + "[]", out); }};
}

// A mapping whose keys are names that the user chose: each gives one T, whose `name` is the key.
template <typename T>
[[nodiscard]] Codec<std::vector<T>> named(const Section<T>& table,
                                          std::function<bool(Reader&, const Node&)> check_name) {
  auto read = [&table, check_name](Reader& reader, const Node& node, std::vector<T>& out) {
    if (node.is_null()) return;
    if (!node.is_map()) return reader.mismatch(node, "a mapping of names");
    KeyMarks seen;
    for (std::size_t i = 0; i < node.keys.size(); ++i) {
      const Node& key = node.keys[i];
      if (!key.is_scalar()) {
        reader.error(key, fmt::format("{} is not a name", describe(key)));
        continue;
      }
      const Reader::Scope scope(reader, printable(key.scalar), "*", node.items[i].mark);
      if (!check_name(reader, key)) continue;
      const auto [first, fresh] = seen.try_emplace(key.scalar, key.mark);
      if (!fresh) {
        reader.error(key, twice(first->second));
        continue;
      }
      T& one = out.emplace_back();
      one.name = key.scalar;
      table.read(reader, node.items[i], one);
    }
  };
  return {read, [&table](const std::string& path, KeyList& out) { table.list_keys(path + ".*", out); }};
}

}  // namespace sluice::config
