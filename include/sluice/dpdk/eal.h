// DPDK's environment: started once, before any port, pool or ring, and ended after all of them.
// Threading: start() and the destructor on the main thread. Packet threads are ordinary threads of ours that register
//            (ThreadRegistration), so that they have an lcore id and with it the mempool's per-thread cache.
// Ownership: Eal outlives every object of this module.
// Isolation: no shared files, no telemetry socket and no PCI bus unless an interface names a PCI
//            device: two sluices run side by side, and nothing is left behind.
// Errors:    what a driver logs while a device is opened becomes part of the Error.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/base/result.h"

namespace sluice::dpdk {

enum class HugePages : std::uint8_t { kAuto, kRequired, kOff };

struct EalOptions {
  int main_cpu = -1;  // CPU of the control thread; -1: any that the process may use
  std::size_t memory_bytes = std::size_t{512} << 20;
  HugePages huge_pages = HugePages::kAuto;  // kAuto: used when enough are free, else ordinary memory
  std::vector<std::string> devices;  // as in interfaces.*.device; PCI addresses among them are allowed to be probed
  std::vector<std::string> extra;    // runtime.eal
  std::string file_prefix;           // empty: one of the process id, so that no two processes share it
};

// "0000:3b:00.0" or "3b:00.0", with or without ",arguments".
[[nodiscard]] bool is_pci_device(std::string_view device) noexcept;

// The arguments that start() gives to rte_eal_init(), for tests and for the log. `huge`: whether hugepages are used.
[[nodiscard]] std::vector<std::string> eal_arguments(const EalOptions& options, bool huge);

// Bytes in free hugepages of all sizes, as the kernel says under `root` (normally /sys/kernel/mm/hugepages).
[[nodiscard]] std::size_t free_huge_page_bytes(const std::string& root);

class Eal {
 public:
  [[nodiscard]] static Result<Eal> start(const EalOptions& options);
  ~Eal();
  Eal(Eal&& other) noexcept;
  Eal& operator=(Eal&&) = delete;

  [[nodiscard]] bool huge_pages() const noexcept { return huge_pages_; }

 private:
  explicit Eal(bool huge_pages) noexcept : huge_pages_(huge_pages) {}
  bool live_ = true;
  bool huge_pages_;
};

// Makes the calling thread known to DPDK for as long as this lives. Throws std::runtime_error when there are too many.
class ThreadRegistration {
 public:
  ThreadRegistration();
  ~ThreadRegistration();
  ThreadRegistration(const ThreadRegistration&) = delete;
  ThreadRegistration& operator=(const ThreadRegistration&) = delete;

  [[nodiscard]] unsigned lcore() const noexcept { return lcore_; }

 private:
  unsigned lcore_;
};

}  // namespace sluice::dpdk
