// ipsec-mb's manager: which of its implementations runs on this CPU.
// Threading: a manager belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>

#include <intel-ipsec-mb.h>

#include "sluice/base/result.h"

namespace sluice::esp {

struct FreeManager {
  void operator()(IMB_MGR* manager) const noexcept { free_mb_mgr(manager); }
};
using Manager = std::unique_ptr<IMB_MGR, FreeManager>;

// `flags` as alloc_mb_mgr() has them. Fails where the CPU has no AES instructions: what ipsec-mb does instead is far too slow.
[[nodiscard]] Result<Manager> make_manager(std::uint64_t flags = 0);

}  // namespace sluice::esp
