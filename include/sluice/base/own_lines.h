// Memory that one thread writes on the packet path lies on cache lines of its own: another thread that writes beside it, or
// only reads there, would take the line away from it again and again.
// Threading: values.
// Units:     kOwnLines is in bytes: two cache lines, since CPUs fetch them in pairs.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace sluice {

inline constexpr std::size_t kOwnLines = 128;

// For what is smaller, or not aligned so by its type: begins and ends on lines of its own.
template <typename T>
struct OwnLinesAllocator {
  using value_type = T;
  OwnLinesAllocator() noexcept = default;
  template <typename U>
  OwnLinesAllocator(const OwnLinesAllocator<U>&) noexcept {}  // NOLINT(google-explicit-constructor): as allocators do

  [[nodiscard]] T* allocate(std::size_t count) {
    const std::size_t bytes = (count * sizeof(T) + kOwnLines - 1) / kOwnLines * kOwnLines;
    return static_cast<T*>(::operator new(bytes, std::align_val_t{kOwnLines}));
  }
  void deallocate(T* at, std::size_t) noexcept { ::operator delete(at, std::align_val_t{kOwnLines}); }
  bool operator==(const OwnLinesAllocator&) const noexcept = default;
};

template <typename T>
using OwnVector = std::vector<T, OwnLinesAllocator<T>>;

}  // namespace sluice
