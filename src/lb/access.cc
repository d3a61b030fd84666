#include "sluice/lb/access.h"

#include <vector>

#include "sluice/config/prefix_file.h"

namespace sluice::lb {
namespace {

class Loader {
 public:
  net::PrefixSet load(const std::vector<std::string>& files) {
    std::vector<net::Prefix> all;
    for (const std::string& file : files) {
      auto prefixes = config::read_prefix_file(file);
      if (prefixes) {
        all.insert(all.end(), prefixes->begin(), prefixes->end());
        continue;
      }
      for (const config::PrefixFileError& error : prefixes.error()) {
        problems_ += (problems_.empty() ? "" : "\n") + error.text();
      }
    }
    prefixes_ += all.size();
    return net::PrefixSet(all);
  }
  AccessLists load(const config::AccessFiles& files) { return {.allow = load(files.allow), .deny = load(files.deny)}; }
  [[nodiscard]] const std::string& problems() const noexcept { return problems_; }
  [[nodiscard]] std::size_t prefixes() const noexcept { return prefixes_; }

 private:
  std::string problems_;
  std::size_t prefixes_ = 0;
};

}  // namespace

Result<std::shared_ptr<const Access>> load_access(const config::Config& config) {
  Loader loader;
  auto access = std::make_shared<Access>();
  access->all = loader.load(config.defence.access);
  for (const config::Service& service : config.services) {
    if (!service.access.empty()) access->services[service.name] = loader.load(service.access);
  }
  if (!loader.problems().empty()) return fail(loader.problems());
  access->prefixes = loader.prefixes();
  return access;
}

}  // namespace sluice::lb
