#include "sluice/dpdk/eal.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_memory.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log_capture.h"
#include "sluice/base/log.h"

namespace sluice::dpdk {
namespace {

constexpr std::size_t kMib = std::size_t{1} << 20;

bool is_hex(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

int first_usable_cpu() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) return cpu;
    }
  }
  return 0;
}

// Ordinary memory is one large mapping: transparent huge pages make it nearly as fast as reserved ones where the kernel
// grants them; where it does not, nothing is lost.
int ask_for_huge_pages(const rte_memseg_list* /*list*/, const rte_memseg* segment, std::size_t length, void* /*arg*/) {
  ::madvise(segment->addr, length, MADV_HUGEPAGE);
  return 0;
}

}  // namespace

bool is_pci_device(std::string_view device) noexcept {
  std::string_view text = device.substr(0, device.find(','));
  if (std::ranges::count(text, ':') == 2) {  // domain
    if (!is_hex(text.substr(0, text.find(':')))) return false;
    text.remove_prefix(text.find(':') + 1);
  }
  const std::size_t colon = text.find(':');
  const std::size_t dot = text.find('.');
  if (colon == std::string_view::npos || dot == std::string_view::npos || dot < colon) return false;
  return is_hex(text.substr(0, colon)) && is_hex(text.substr(colon + 1, dot - colon - 1)) &&
         is_hex(text.substr(dot + 1));
}

std::vector<std::string> eal_arguments(const EalOptions& options, bool huge) {
  const int cpu = options.main_cpu >= 0 ? options.main_cpu : first_usable_cpu();
  std::vector<std::string> out{"sluice", "--lcores", fmt::format("0@{}", cpu), "--no-telemetry"};
  out.insert(out.end(), {"-m", fmt::format("{}", std::max<std::size_t>(options.memory_bytes / kMib, 64))});
  if (huge) {
    out.emplace_back("--in-memory");
  } else {  // EAL takes --in-memory not together with --no-huge; these come to the same
    out.insert(out.end(), {"--no-huge", "--no-shconf"});
  }
  out.insert(out.end(), {"--file-prefix",
                         options.file_prefix.empty() ? fmt::format("sluice{}", ::getpid()) : options.file_prefix});
  bool pci = false;
  for (const std::string& device : options.devices) {
    if (!is_pci_device(device)) continue;
    out.insert(out.end(), {"-a", device});
    pci = true;
  }
  if (!pci) out.emplace_back("--no-pci");
  out.insert(out.end(), options.extra.begin(), options.extra.end());
  return out;
}

std::size_t free_huge_page_bytes(const std::string& root) {
  std::size_t total = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root, error)) {
    // hugepages-2048kB/free_hugepages
    const std::string name = entry.path().filename();
    std::size_t kib = 0;
    constexpr std::string_view kPrefix = "hugepages-";
    if (!name.starts_with(kPrefix)) continue;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), kib);
    std::size_t pages = 0;
    std::ifstream(entry.path() / "free_hugepages") >> pages;
    total += pages * kib * 1024;
  }
  return total;
}

Result<Eal> Eal::start(const EalOptions& options) {
  const std::size_t free_bytes = free_huge_page_bytes("/sys/kernel/mm/hugepages");
  if (options.huge_pages == HugePages::kRequired && free_bytes < options.memory_bytes) {
    return fail(
        fmt::format("runtime.hugepages is `required`, but {} MiB of hugepages are free and runtime.memory is {} MiB "
                    "(reserve more in /proc/sys/vm/nr_hugepages)",
                    free_bytes / kMib, options.memory_bytes / kMib));
  }
  const bool huge = options.huge_pages != HugePages::kOff && free_bytes >= options.memory_bytes;
  install_log_capture();

  std::vector<std::string> arguments = eal_arguments(options, huge);
  log::debug("dpdk arguments: {}", fmt::join(arguments, " "));
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);

  cpu_set_t before;
  CPU_ZERO(&before);
  ::pthread_getaffinity_np(::pthread_self(), sizeof(before), &before);
  ::optind = 1;  // rte_eal_init() parses with getopt, and so may have the program
  if (rte_eal_init(static_cast<int>(argv.size()) - 1, argv.data()) < 0) {
    const std::string why = take_log_lines();
    return fail(fmt::format("DPDK does not start: {}", why.empty() ? rte_strerror(rte_errno) : why));
  }
  // rte_eal_init() has pinned this thread; threads that are started later must not inherit that.
  ::pthread_setaffinity_np(::pthread_self(), sizeof(before), &before);
  if (!huge) rte_memseg_contig_walk(ask_for_huge_pages, nullptr);
  return Eal(huge);
}

Eal::Eal(Eal&& other) noexcept : live_(std::exchange(other.live_, false)), huge_pages_(other.huge_pages_) {}

Eal::~Eal() {
  if (!live_) return;
  const std::string folder = rte_eal_get_runtime_dir();
  rte_eal_cleanup();
  ::rmdir(folder.c_str());  // EAL makes it and leaves it, empty
}

ThreadRegistration::ThreadRegistration() {
  if (rte_thread_register() != 0) {
    throw std::runtime_error(fmt::format("DPDK takes no more threads: {}", rte_strerror(rte_errno)));
  }
  lcore_ = rte_lcore_id();
}

ThreadRegistration::~ThreadRegistration() { rte_thread_unregister(); }

}  // namespace sluice::dpdk
