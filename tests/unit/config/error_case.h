// A row of the error tables: one section of a small, sound file is replaced, and these are the messages, all of them.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace sluice::config {

// The file has a line for each; a section that is written over several lines moves only those behind it.
enum class Part : std::uint8_t { kInterfaces, kPools, kServices, kRest };

struct ErrorCase {
  const char* name;
  Part part;         // is replaced
  const char* yaml;  // by this
  std::vector<std::string> errors;
};

inline void PrintTo(const ErrorCase& row, std::ostream* out) { *out << row.name; }

inline std::string file_with(Part part, const std::string& yaml) {
  std::string sections[] = {
      R"(interfaces: { edge: { device: net_null0, addresses: [198.51.100.2/24, "2001:db8:1::2/64"] } })",
      R"(pools: { web: { backends: { address: 198.51.100.11, port: 80 } } })",
      R"(services: { web: { listen: "198.51.100.80:80", forward: { mode: nat, pool: web } } })", ""};
  sections[static_cast<std::size_t>(part)] = yaml;
  std::string out;
  for (const std::string& section : sections) out += section + "\n";
  return out;
}

class ErrorText : public ::testing::TestWithParam<ErrorCase> {};

// The name of a row of any table, for INSTANTIATE_TEST_SUITE_P.
inline constexpr auto row_name = [](const auto& row) { return std::string(row.param.name); };

}  // namespace sluice::config
