// Files that nobody means well with: they get an error, soon, and nothing worse.
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "error_case.h"
#include "sluice/base/random.h"
#include "sluice/config/load.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace sluice::config {
namespace {

using ::testing::HasSubstr;

std::string repeat(const std::string& what, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += what;
  return out;
}

std::string laughs() {  // ten to the ninth nodes, were aliases copied without end
  std::string out = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    out += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before + repeat("," + before, 9) + "]\n";
  }
  return out;
}

std::string large_text_often() {
  return "a: &a " + std::string(1 << 20, 'x') + "\nb: [*a" + repeat(",*a", 1000) + "]\n";
}

struct HostileCase {
  const char* name;
  std::string yaml;
  const char* error;  // the first one
};
const HostileCase kHostile[] = {
    {"empty", "", "t.yaml: the file is empty"},
    {"only_a_comment", "# nothing\n", "t.yaml: the file is empty"},
    {"only_spaces", "  \n\n", "t.yaml: the file is empty"},
    {"null_document", "---\n...\n", "t.yaml: the file is empty"},
    {"a_word", "hello", "t.yaml:1:1: 'hello' is not a mapping with the keys runtime, interfaces"},
    {"a_list", "- a\n- b\n", "t.yaml:1:1: a list is not a mapping with the keys runtime, interfaces"},
    {"two_documents", "a: 1\n---\nb: 2\n", "t.yaml:2:1: a second document ('---'); one file holds one document"},
    {"zero_byte", std::string("a: \0b", 5), "t.yaml:1:4: control character \\x00 is not allowed"},
    {"end_of_transmission", "interfaces: {}\n\x04 junk", "t.yaml:2:1: control character \\x04 is not allowed"},
    {"escape_sequence", "a: \x1b[31mred", "t.yaml:1:4: control character \\x1b is not allowed"},
    {"c1_control", "a: \xc2\x9b", "t.yaml:1:4: control character \\xc2\\x9b is not allowed"},
    {"latin1", "a: caf\xe9\n", "t.yaml:1:7: byte 0xe9 is not UTF-8 text"},
    {"overlong_utf8", "a: \xc0\xaf", "t.yaml:1:4: byte 0xc0 is not UTF-8 text"},
    {"surrogate", "a: \xed\xa0\x80", "t.yaml:1:4: byte 0xed is not UTF-8 text"},
    {"cut_utf8", "a: \xe2\x82", "t.yaml:1:4: byte 0xe2 is not UTF-8 text"},
    {"utf16",
     std::string("\xff\xfe"
                 "a\0",
                 4),
     "t.yaml:1:1: byte 0xff is not UTF-8 text"},
    {"elf",
     std::string("\x7f"
                 "ELF\x02\x01",
                 6),
     "t.yaml:1:1: control character \\x7f is not allowed"},
    {"tab_indent", "a:\n\tb: 1\n",
     "t.yaml:2:3: not valid YAML: illegal map value; the line is indented with a tab, YAML wants spaces"},
    {"unclosed_brace", "interfaces: { a: 1\n", "not valid YAML: end of map flow not found"},
    {"unclosed_quote", "a: \"b", "not valid YAML: "},
    {"unknown_alias", "a: *b", "not valid YAML: the referenced anchor is not defined"},
    {"alias_of_itself", "a: &a [ *a ]", "t.yaml:1:9: an alias inside of what it names"},
    {"tag", "a: !!python/object 1", "t.yaml:1:4: tag '!!python/object' is not known"},
    {"own_tag", "a: !include other.yaml", "t.yaml:1:4: tag '!include' is not known"},
    {"deep_lists", std::string(100'000, '['), "more than 32 levels"},
    {"deep_maps", repeat("{a: ", 100'000), "more than 32 levels"},
    {"deep_blocks", repeat("- ", 10'000) + "a", "more than 32 levels"},
    {"billion_laughs", laughs(), "more than 200000 values, aliases followed"},
    {"large_text_often", large_text_often(), "more than 16777216 bytes of text, aliases followed"},
    {"many_values", "a: [" + repeat("1,", 300'000) + "1]", "more than 200000 values, aliases followed"},
    {"many_unknown_keys", repeat("x: 1\n", 90'000), "unknown key"},
    {"too_large", std::string(kMaxFileBytes + 1, ' '), "t.yaml: larger than 4194304 bytes"},
    {"long_key", std::string(1000, 'k') + ": 1\n", "..."},
};
void PrintTo(const HostileCase& row, std::ostream* out) { *out << row.name; }
class Hostile : public ::testing::TestWithParam<HostileCase> {};
TEST_P(Hostile, IsRefused) {
  const auto config = load_text(GetParam().yaml, "t.yaml");
  ASSERT_FALSE(config.has_value());
  ASSERT_FALSE(config.error().empty());
  EXPECT_THAT(text(config.error()), HasSubstr(GetParam().error));
  EXPECT_LE(config.error().size(), kMaxErrors + 1);
}
INSTANTIATE_TEST_SUITE_P(Config, Hostile, ::testing::ValuesIn(kHostile), row_name);

TEST(Hostile, AByteOrderMarkIsNoError) {
  const auto config = load_text("\xef\xbb\xbf" + file_with(Part::kRest, ""), "t.yaml");
  EXPECT_TRUE(config.has_value()) << text(config.error());
}

TEST(Hostile, LineEndsOfDosAreNoError) {
  std::string yaml;
  for (const char c : file_with(Part::kRest, "runtime: { drain: 30 }")) yaml += c == '\n' ? "\r\n" : std::string(1, c);
  const auto config = load_text(yaml, "t.yaml");
  ASSERT_FALSE(config.has_value());
  EXPECT_EQ(config.error().at(0).line, 4u);
}

// Any cut and any flipped bytes of a sound file give a Config or errors: tests/fuzz/config_fuzz.cc checks it.
TEST(Hostile, DamagedFilesDoNoHarm) {
  const auto run = [](const std::string& yaml) {
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(yaml.data()), yaml.size());
  };
  const std::string sound =
      file_with(Part::kRest, "runtime: { workers: [1, 2-3], drain: 1m30s }\ncache: &c { memory: 1MiB }");
  for (std::size_t cut = 0; cut < sound.size(); ++cut) run(sound.substr(0, cut));
  Random random(7);
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = sound;
    for (int i = 0; i < 3; ++i) {
      const auto at = random.below(static_cast<std::uint32_t>(damaged.size()));
      damaged[at] = static_cast<char>(random.below(256));
    }
    run(damaged);
  }
}

}  // namespace
}  // namespace sluice::config
