// Every script in tests/unit/tcp/drill, each named after the section that it tests.
#include "drill.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::tcp::test {
namespace {

std::vector<std::string> scripts() {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(SLUICE_DRILL_DIR)) {
    if (entry.path().extension() == ".drill") paths.push_back(entry.path().string());
  }
  std::ranges::sort(paths);
  return paths;
}

class DrillScript : public ::testing::TestWithParam<std::string> {};

TEST_P(DrillScript, Passes) { EXPECT_EQ(run_drill(GetParam()), ""); }

INSTANTIATE_TEST_SUITE_P(Tcp, DrillScript, ::testing::ValuesIn(scripts()), [](const auto& param_info) {
  std::string name = std::filesystem::path(param_info.param).stem().string();
  std::ranges::replace_if(name, [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace sluice::tcp::test
