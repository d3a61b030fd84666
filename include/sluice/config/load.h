// From a YAML file to a Config, or to the list of everything that is wrong with it.
// Threading: none of it is on a data path; any thread, no shared state. No exception leaves these functions.
// Limits:    a file of at most kMaxFileBytes, kMaxDepth levels and kMaxNodes nodes after aliases were followed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/config/config.h"

namespace sluice::config {

inline constexpr std::size_t kMaxFileBytes = std::size_t{4} << 20;
inline constexpr std::size_t kMaxDepth = 32;
inline constexpr std::size_t kMaxNodes = 200'000;
inline constexpr std::size_t kMaxErrors = 100;  // more are cut, and a last one says so

struct ConfigError {
  std::string file;
  std::uint32_t line = 0;    // from 1; 0: about the file as a whole
  std::uint32_t column = 0;  // from 1
  std::string path;          // services.site.proxy.routes[2].pool; empty: about the file as a whole
  std::string message;       // what was found and what is allowed

  // "sluice.yaml:14:9: services[2].port: 70000 is not in 1..65535"
  [[nodiscard]] std::string text() const;
  bool operator==(const ConfigError&) const = default;
};
using ConfigErrors = std::vector<ConfigError>;  // in the order of the file

// `warnings`, where given, gets what is allowed and probably not meant; it is filled whether loading succeeds or not.
[[nodiscard]] std::expected<Config, ConfigErrors> load_file(const std::filesystem::path& file,
                                                            ConfigErrors* warnings = nullptr);
[[nodiscard]] std::expected<Config, ConfigErrors> load_text(std::string_view yaml, std::string_view filename,
                                                            ConfigErrors* warnings = nullptr);

// The files that the configuration names: certificates, keys and `static` folders exist, are of the right kind and can
// be read by this process. A pass of its own, since a configuration may be checked on a machine that has not got them.
[[nodiscard]] ConfigErrors check_files(const Config& config);

// Reads the `key_file`s of `esp` into the configuration. That no key serves two associations is looked at here once more:
// no IV may be used twice under a key.
[[nodiscard]] ConfigErrors read_esp_keys(Config& config);

// load_file() and, each only where nothing was wrong before, the passes that look at other files: all that a process needs
// to start with the configuration, or to go on with it.
struct Passes {
  bool files = true;  // check_files()
  bool keys = true;   // read_esp_keys()
};
[[nodiscard]] std::expected<Config, ConfigErrors> load_whole(const std::filesystem::path& file,
                                                             ConfigErrors* warnings = nullptr, Passes passes = {});

// All of them as text, a line each; for logs and terminals.
[[nodiscard]] std::string text(const ConfigErrors& errors);

}  // namespace sluice::config
