// Where the reading of one file has got to: the path of the current key, the marks of all keys that were read, and what
// is wrong.
// Threading: one thread.
// Ownership: the reader owns its lists; take them with take_errors() and take_warnings().
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "node.h"
#include "sluice/config/load.h"

namespace sluice::config {

class Reader {
 public:
  explicit Reader(std::string file) : file_(std::move(file)) {}

  // Enters a key ("runtime", "[3]", ...) for the lifetime of the scope. `generic` is the same step in the list of known
  // keys
  // ("*" for a name that the user chose, "[]" for an element).
  class Scope {
   public:
    Scope(Reader& reader, std::string_view key, std::string_view generic, Mark mark);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Reader& reader_;
    std::size_t path_size_;
    std::size_t generic_size_;
  };

  // The current value is one element where a list may be: its path has "[0]" inside, and is shown without.
  void mark_single() { singles_.insert(path_); }

  void error(Mark mark, std::string message);  // at the current path
  void error(const Node& at, std::string message) { error(at.mark, std::move(message)); }
  void mismatch(const Node& at, std::string_view wanted);       // "'x' is not a number in 1..9"
  void error_in(std::string_view key, std::string message);     // at a key of the current mapping
  void error_at(const std::string& path, std::string message);  // at a key that was read
  void warning_at(const std::string& path, std::string message);
  void file_error(Mark mark, std::string message);  // about the file as a whole

  [[nodiscard]] bool sound(std::string_view path) const;  // no error at this key or below
  // There is an error at this very key.
  [[nodiscard]] bool broken(std::string_view path) const { return broken_.contains(path); }
  [[nodiscard]] std::size_t error_count() const noexcept { return errors_.size(); }
  [[nodiscard]] bool has(const std::string& path) const { return marks_.contains(path); }  // the file says it
  [[nodiscard]] bool given(std::string_view key) const;          // a key of the current mapping
  [[nodiscard]] Mark mark_of(const std::string& path) const;     // of the key, or of the nearest one around it
  [[nodiscard]] std::string shown(std::string_view path) const;  // without the "[0]" of single elements

  // nearest(), as long as the message will be shown at all: in a hostile file it is not worth the work.
  [[nodiscard]] std::string_view suggest(std::string_view word, const std::vector<std::string_view>& known) const;

  // In the order of the file, at most kMaxErrors and a last line that says how many more.
  [[nodiscard]] ConfigErrors take_errors();
  [[nodiscard]] ConfigErrors take_warnings();
  [[nodiscard]] const std::set<std::string>& keys() const noexcept { return keys_; }  // generic paths of what was read

 private:
  std::string file_;
  std::string path_;
  std::string generic_;
  std::unordered_map<std::string, Mark> marks_;
  std::set<std::string> singles_;
  std::set<std::string> keys_;
  std::set<std::string, std::less<>> broken_;  // paths with an error
  ConfigErrors errors_;
  ConfigErrors warnings_;
};

// How a value is called in a message: 'text', a list, a mapping, an empty value. Long or odd text is cut and escaped.
[[nodiscard]] std::string describe(const Node& node);
[[nodiscard]] std::string quote(std::string_view text);
[[nodiscard]] std::string printable(std::string_view text);  // the same without the quotes

// "is given twice; first in line 12"
[[nodiscard]] std::string twice(Mark first);

// "a.b" and "c" give "a.b.c"; "[2]" is appended as it is.
[[nodiscard]] std::string join_path(std::string_view path, std::string_view key);

// The known word nearest to a misspelt one; empty: none is near.
[[nodiscard]] std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known);

}  // namespace sluice::config
