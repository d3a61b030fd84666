#include "node.h"

#include <algorithm>
#include <array>
#include <exception>
#include <optional>
#include <sstream>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "reader.h"
#include "sluice/config/load.h"
#include "utf8.h"

namespace sluice::config {
namespace {

constexpr std::size_t kMaxScalarBytes = std::size_t{16} << 20;  // of all scalars together, aliases followed

// yaml-cpp takes 0x04 for the end of the file and guesses UTF-16 from zero bytes: neither may reach it.
std::optional<SyntaxError> find_bad_byte(std::string_view text) {
  Mark mark{1, 1};
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const std::size_t length = utf8_length(text.substr(at));
    if (length == 0) return SyntaxError{mark, fmt::format("byte 0x{:02x} is not UTF-8 text", byte)};
    if (is_control(text.substr(at, length)) && byte != '\t' && byte != '\n' && byte != '\r') {
      return SyntaxError{mark, fmt::format("control character {} is not allowed", printable(text.substr(at, length)))};
    }
    if (byte == '\n') {
      mark = Mark{mark.line + 1, 1};
    } else {
      mark.column += static_cast<std::uint32_t>(length);
    }
    at += length;
  }
  return std::nullopt;
}

Mark to_mark(const YAML::Mark& mark) noexcept {
  if (mark.is_null()) return {};
  return {static_cast<std::uint32_t>(mark.line + 1), static_cast<std::uint32_t>(mark.column + 1)};
}

// A tab before the first word of a line is the commonest mistake that yaml-cpp's messages do not name.
std::string_view hint_for(std::string_view text, Mark mark) {
  for (std::uint32_t line = 1; line < mark.line && !text.empty(); ++line) {
    text.remove_prefix(std::min(text.size(), std::min(text.find('\n'), text.size()) + 1));
  }
  const std::string_view indent = text.substr(0, text.find_first_not_of(" \t"));
  return indent.find('\t') == indent.npos ? "" : "; the line is indented with a tab, YAML wants spaces";
}

struct Refused {  // thrown through yaml-cpp out of an event, caught in parse_yaml()
  SyntaxError error;
};

[[noreturn]] void refuse(Mark mark, std::string message) { throw Refused{{mark, std::move(message)}}; }

class TreeBuilder final : public YAML::EventHandler {
 public:
  [[nodiscard]] Node take() && { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0) refuse(to_mark(mark), "a second document ('---'); one file holds one document");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(Node{Node::Kind::kNull, to_mark(mark), {}, {}, {}}, anchor);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check_tag(mark, tag);
    add(Node{Node::Kind::kScalar, to_mark(mark), value, {}, {}}, anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) refuse(to_mark(mark), "an alias inside of what it names");
    charge(found->second, to_mark(mark));
    attach(Node(found->second));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(Node::Kind::kList, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(Node::Kind::kMap, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    Node node;
    YAML::anchor_t anchor;
  };

  // "?" and "!" are what yaml-cpp says for "no tag"; those of the YAML core say no more than our own types do.
  static void check_tag(const YAML::Mark& mark, const std::string& tag) {
    constexpr std::string_view kCore = "tag:yaml.org,2002:";
    constexpr std::array<std::string_view, 7> kKnown{"str", "int", "float", "bool", "null", "seq", "map"};
    if (tag.empty() || tag == "?" || tag == "!") return;
    const bool core = tag.starts_with(kCore);
    if (core && std::ranges::find(kKnown, std::string_view(tag).substr(kCore.size())) != kKnown.end()) return;
    refuse(to_mark(mark),
           fmt::format("tag {} is not known", core ? "'!!" + tag.substr(kCore.size()) + "'" : quote(tag)));
  }

  void open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    check_tag(mark, tag);
    if (open_.size() == kMaxDepth) refuse(to_mark(mark), fmt::format("more than {} levels", kMaxDepth));
    count(1, 0, to_mark(mark));
    open_.push_back({Node{kind, to_mark(mark), {}, {}, {}}, anchor});
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    remember(done.node, done.anchor);
    attach(std::move(done.node));
  }

  void add(Node node, YAML::anchor_t anchor) {
    count(1, node.scalar.size(), node.mark);
    remember(node, anchor);
    attach(std::move(node));
  }

  void remember(const Node& node, YAML::anchor_t anchor) {
    if (anchor == YAML::NullAnchor) return;
    charge(node, node.mark);
    anchors_.insert_or_assign(anchor, node);
  }

  void attach(Node node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Node& parent = open_.back().node;
    if (parent.is_map() && parent.keys.size() == parent.items.size()) {
      parent.keys.push_back(std::move(node));
      return;
    }
    // yaml-cpp marks a value that is not there at the token after it; its key is where the reader of a message looks.
    if (parent.is_map() && node.is_null()) node.mark = parent.keys.back().mark;
    parent.items.push_back(std::move(node));
  }

  void charge(const Node& node, Mark at) {  // recursion is bounded: see kMaxDepth
    count(1, node.scalar.size(), at);
    for (const Node& key : node.keys) charge(key, at);
    for (const Node& item : node.items) charge(item, at);
  }

  void count(std::size_t nodes, std::size_t bytes, Mark at) {
    nodes_ += nodes;
    bytes_ += bytes;
    if (nodes_ > kMaxNodes) refuse(at, fmt::format("more than {} values, aliases followed", kMaxNodes));
    if (bytes_ > kMaxScalarBytes)
      refuse(at, fmt::format("more than {} bytes of text, aliases followed", kMaxScalarBytes));
  }

  Node root_;
  std::vector<Open> open_;
  std::unordered_map<YAML::anchor_t, Node> anchors_;
  std::size_t documents_ = 0;
  std::size_t nodes_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace

std::expected<Node, SyntaxError> parse_yaml(std::string_view text) {
  if (text.size() > kMaxFileBytes) {
    return std::unexpected(SyntaxError{{}, fmt::format("larger than {} bytes", kMaxFileBytes)});
  }
  if (auto bad = find_bad_byte(text)) return std::unexpected(std::move(*bad));
  try {
    std::istringstream in{std::string(text)};
    YAML::Parser parser(in);
    TreeBuilder builder;
    while (parser.HandleNextDocument(builder)) {
    }
    Node root = std::move(builder).take();
    if (root.is_null()) return std::unexpected(SyntaxError{{}, "the file is empty"});
    return root;
  } catch (const Refused& refused) {
    return std::unexpected(refused.error);
  } catch (const YAML::Exception& bad) {
    const Mark mark = to_mark(bad.mark);
    return std::unexpected(SyntaxError{mark, "not valid YAML: " + bad.msg + std::string(hint_for(text, mark))});
  } catch (const std::exception& bad) {  // std::bad_alloc and the like
    return std::unexpected(SyntaxError{{}, fmt::format("cannot be parsed: {}", bad.what())});
  }
}

}  // namespace sluice::config
