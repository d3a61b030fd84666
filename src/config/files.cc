// check_files(): what the configuration names on the file system.
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reader.h"
#include "sluice/config/load.h"
#include "sluice/config/prefix_file.h"

namespace sluice::config {
namespace {

std::optional<std::string> problem_with(const FileReference& reference) {
  const bool directory = reference.kind == FileReference::Kind::kDirectory;
  const std::string shown = quote(reference.file);
  struct stat info{};
  if (::stat(reference.file.c_str(), &info) != 0) return fmt::format("{}: {}", shown, std::strerror(errno));
  if (directory != S_ISDIR(info.st_mode) || (!directory && !S_ISREG(info.st_mode))) {
    return fmt::format("{} is not a {}", shown, directory ? "directory" : "regular file");
  }
  if (::access(reference.file.c_str(), directory ? R_OK | X_OK : R_OK) != 0) {
    return fmt::format("{}: {}", shown, std::strerror(errno));
  }
  if (!directory && info.st_size == 0 && reference.kind != FileReference::Kind::kPrefixes)
    return fmt::format("{} is empty", shown);
  return std::nullopt;
}

void add_lines(const std::string& file, ConfigErrors& errors) {
  const auto prefixes = read_prefix_file(file);
  if (prefixes) return;
  for (const PrefixFileError& error : prefixes.error()) {
    errors.push_back({fmt::format("{}:{}", error.file, error.line), 0, 0, "", error.message});
  }
}

}  // namespace

ConfigErrors check_files(const Config& config) {
  ConfigErrors errors;
  for (const FileReference& reference : config.files) {
    auto problem = problem_with(reference);
    if (!problem && reference.kind == FileReference::Kind::kPrefixes) add_lines(reference.file, errors);
    if (problem) {
      errors.push_back({config.file, reference.mark.line, reference.mark.column, reference.path, std::move(*problem)});
    }
  }
  return errors;
}

}  // namespace sluice::config
