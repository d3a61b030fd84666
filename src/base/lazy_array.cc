#include "sluice/base/lazy_array.h"

#include <sys/mman.h>

namespace sluice {

void* map_lazy(std::size_t bytes) {
  void* address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) throw std::bad_alloc();
  // Else one write would bring 2 MiB, and the time to zero them. Advice: on failure the array only takes more memory.
  ::madvise(address, bytes, MADV_NOHUGEPAGE);
  return address;
}

void unmap_lazy(void* address, std::size_t bytes) noexcept { ::munmap(address, bytes); }

}  // namespace sluice
