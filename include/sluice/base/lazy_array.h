// A large array of which little may ever be used: address space is reserved at construction, memory comes page by page
// (4 KiB, zeroed) as elements are first written. For what is dense and always used, HugeArray (huge_pages.h) is faster.
// Threading: construction on the control thread; then the elements belong to whoever the owner says.
// Ownership: the array owns its mapping; elements are never destroyed (T is trivially destructible).
// Errors:    std::bad_alloc when the kernel has no address space.
#pragma once

#include <cstddef>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace sluice {

// Throws std::bad_alloc.
[[nodiscard]] void* map_lazy(std::size_t bytes);
void unmap_lazy(void* address, std::size_t bytes) noexcept;

template <typename T>
  requires(std::is_trivially_destructible_v<T>)
class LazyArray {
 public:
  LazyArray() = default;
  explicit LazyArray(std::size_t count)
      : data_(count == 0 ? nullptr : static_cast<T*>(map_lazy(count * sizeof(T)))), size_(count) {}
  LazyArray(LazyArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  LazyArray& operator=(LazyArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~LazyArray() {
    if (data_ != nullptr) unmap_lazy(data_, size_ * sizeof(T));
  }

  [[nodiscard]] T& operator[](std::size_t index) noexcept { return data_[index]; }
  [[nodiscard]] const T& operator[](std::size_t index) const noexcept { return data_[index]; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<const T> span() const noexcept { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace sluice
