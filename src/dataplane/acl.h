// An ordered list of rules on addresses, ports and protocol, by rte_acl: a trie for each family, whose depth and not the
// number of rules is what a packet costs.
// Threading: built on the main thread, then constant; judge() from any thread.
// Ownership: owns its rte_acl contexts (memory of EAL).
#pragma once

#include <memory>
#include <span>
#include <string>

#include "sluice/base/result.h"
#include "sluice/config/config.h"
#include "sluice/net/parse.h"

struct rte_acl_ctx;

namespace sluice::dataplane {

class Acl {
 public:
  // Two lists of one process need two names.
  [[nodiscard]] static Result<Acl> create(std::span<const config::AclRule> rules, const std::string& name);

  // Whether the first rule that matches, if any, lets the packet pass. A later fragment has no ports: rules that name some
  // do not match it unless they match port 0.
  [[nodiscard]] bool allows(const net::Parsed& packet) const noexcept;

 private:
  struct Free {
    void operator()(rte_acl_ctx* context) const noexcept;
  };
  using Context = std::unique_ptr<rte_acl_ctx, Free>;
  Context ip4_, ip6_;  // nullptr: no rule is of that family
};

}  // namespace sluice::dataplane
