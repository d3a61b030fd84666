#include "sluice/dpdk/qsbr.h"

#include <cstdlib>

#include <rte_errno.h>

namespace sluice::dpdk {

void Qsbr::Free::operator()(rte_rcu_qsbr* state) const noexcept { std::free(state); }

Result<Qsbr> Qsbr::create() {
  const std::size_t bytes = rte_rcu_qsbr_get_memsize(kMaxThreads);
  auto* state = static_cast<rte_rcu_qsbr*>(std::aligned_alloc(64, (bytes + 63) & ~std::size_t{63}));
  if (state == nullptr) return fail("no memory for the reclamation state");
  if (rte_rcu_qsbr_init(state, kMaxThreads) != 0) {
    std::free(state);
    return fail(rte_strerror(rte_errno));
  }
  return Qsbr(state);
}

}  // namespace sluice::dpdk
