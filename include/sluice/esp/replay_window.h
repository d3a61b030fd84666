// Anti-replay: which sequence numbers of an inbound association have been seen, and what the high half of an extended
// number is that is never sent.
// Threading: one thread.
// Use:       find() before the packet is deciphered (it costs nothing to refuse a replay), accept() once its integrity is proven.
// Spec:      RFC 4303 section 3.4.3 and appendix A2; the ring of words is that of RFC 6479.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace sluice::esp {

class ReplayWindow {
 public:
  static constexpr std::size_t kWords = 64;                   // a power of two
  static constexpr std::uint64_t kWidth = (kWords - 1) * 64;  // 4032: one word is always being cleared

  explicit ReplayWindow(bool extended) noexcept : extended_(extended) {}

  // The whole number of a packet that carries `low`; nothing: left of the window, seen already, or 0.
  [[nodiscard]] std::optional<std::uint64_t> find(std::uint32_t low) const noexcept;
  // Remembers a number that find() gave. false: another packet has brought it since.
  [[nodiscard]] bool accept(std::uint64_t number) noexcept;
  [[nodiscard]] std::uint64_t highest() const noexcept { return top_; }

 private:
  [[nodiscard]] std::uint64_t extend(std::uint32_t low) const noexcept;
  [[nodiscard]] bool is_fresh(std::uint64_t number) const noexcept;

  std::array<std::uint64_t, kWords> seen_{};  // bit of number n: n % 64 of word n / 64 % kWords
  std::uint64_t top_ = 0;                     // the highest number accepted
  bool extended_;
};

}  // namespace sluice::esp
