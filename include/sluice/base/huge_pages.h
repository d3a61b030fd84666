// Large flat arrays outside DPDK's heap: mmap with MADV_HUGEPAGE, zeroed, fixed in size, so that they are fast without
// reserved hugepages too.
// Threading: construction on the control thread; then the elements belong to whoever the owner says.
// Ownership: the array owns its mapping; elements are never destroyed (T is trivially destructible).
// Errors:    std::bad_alloc when the kernel has no memory.
#pragma once

#include <cstddef>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace sluice {

// Maps `bytes` of zeroed memory on a 2 MiB boundary, with transparent huge pages asked for. Throws std::bad_alloc.
[[nodiscard]] void* map_huge(std::size_t bytes);
void unmap_huge(void* address, std::size_t bytes) noexcept;

template <typename T>
  requires(std::is_trivially_destructible_v<T>)
class HugeArray {
 public:
  HugeArray() = default;
  explicit HugeArray(std::size_t count)
      : data_(count == 0 ? nullptr : static_cast<T*>(map_huge(count * sizeof(T)))), size_(count) {}
  HugeArray(HugeArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  HugeArray& operator=(HugeArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~HugeArray() {
    if (data_ != nullptr) unmap_huge(data_, size_ * sizeof(T));
  }

  [[nodiscard]] T& operator[](std::size_t index) noexcept { return data_[index]; }
  [[nodiscard]] const T& operator[](std::size_t index) const noexcept { return data_[index]; }
  [[nodiscard]] T* data() noexcept { return data_; }
  [[nodiscard]] const T* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<T> span() noexcept { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace sluice
