#include "sluice/base/huge_pages.h"

#include <cstdint>

#include <sys/mman.h>

namespace sluice {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Small arrays stay on small pages: rounding them up to 2 MiB would waste more than the TLB gains.
std::size_t mapped_bytes(std::size_t bytes) noexcept {
  const std::size_t unit = bytes < kHugePage ? std::size_t{4096} : kHugePage;
  return (bytes + unit - 1) / unit * unit;
}

}  // namespace

void* map_huge(std::size_t bytes) {
  const std::size_t want = mapped_bytes(bytes);
  const std::size_t slack = want < kHugePage ? 0 : kHugePage;
  void* raw = ::mmap(nullptr, want + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) throw std::bad_alloc();
  if (slack == 0) return raw;
  const auto start = reinterpret_cast<std::uintptr_t>(raw);
  const std::uintptr_t aligned = (start + kHugePage - 1) / kHugePage * kHugePage;
  const std::size_t head = aligned - start;
  if (head > 0) ::munmap(raw, head);
  if (slack > head) ::munmap(reinterpret_cast<void*>(aligned + want), slack - head);
  void* address = reinterpret_cast<void*>(aligned);
  ::madvise(address, want, MADV_HUGEPAGE);  // advice: on failure the array is only slower
  return address;
}

void unmap_huge(void* address, std::size_t bytes) noexcept { ::munmap(address, mapped_bytes(bytes)); }

}  // namespace sluice
