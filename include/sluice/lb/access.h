// Which sources may use the services: allow and deny lists, read from their files. Part of a snapshot, so that new lists
// reach the workers as anything new does.
// Threading: built by control, then immutable.
// Errors:    a file that cannot be read or has a wrong line: all of them, and nothing is built.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "sluice/base/result.h"
#include "sluice/config/config.h"
#include "sluice/net/prefix_set.h"

namespace sluice::lb {

struct AccessLists {
  net::PrefixSet allow, deny;
  [[nodiscard]] bool empty() const noexcept { return allow.empty() && deny.empty(); }
};

struct Access {
  AccessLists all;                              // of `defence`
  std::map<std::string, AccessLists> services;  // by name, of those that have lists
  std::size_t prefixes = 0;                     // lines that were read
};

[[nodiscard]] Result<std::shared_ptr<const Access>> load_access(const config::Config& config);

}  // namespace sluice::lb
