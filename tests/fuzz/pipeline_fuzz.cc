// The worker pipeline under any packets (pipeline.h says what must hold).
//   fuzz_pipeline --seeds DIR   writes the golden cases as inputs into DIR, and ends
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>

#include "pipeline.h"
#include "sluice/dpdk/eal.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

using namespace sluice;

// Lives as long as the process: libFuzzer leaves by exit().
fuzz::Pipeline& pipeline() {
  static auto* const eal = new Result<dpdk::Eal>(dpdk::Eal::start({.main_cpu = -1,
                                                                   .memory_bytes = std::size_t{192} << 20,
                                                                   .huge_pages = dpdk::HugePages::kOff,
                                                                   .devices = {},
                                                                   .extra = {},
                                                                   .file_prefix = {}}));
  if (!*eal) {
    std::fprintf(stderr, "%s\n", eal->error().message.c_str());
    std::exit(1);
  }
  static auto* const made = new fuzz::Pipeline(SLUICE_GOLDEN);
  return *made;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc != 3 || std::string_view((*argv)[1]) != "--seeds") return 0;
  const std::filesystem::path folder = (*argv)[2];
  std::filesystem::create_directories(folder);
  for (const fuzz::Seed& seed : pipeline().seeds()) {
    std::ofstream(folder / seed.name)
        .write(reinterpret_cast<const char*>(seed.bytes.data()), static_cast<std::streamsize>(seed.bytes.size()));
  }
  std::exit(0);
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  fuzz::Input input = fuzz::decode({data, size});
  fuzz::mutate(input, seed, LLVMFuzzerMutate);
  const fuzz::Bytes bytes = fuzz::encode(input);
  const std::size_t taken = std::min(bytes.size(), max_size);
  std::copy_n(bytes.begin(), taken, data);
  return taken;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string violation = pipeline().run({data, size});
  if (violation.empty()) return 0;
  std::fprintf(stderr, "violated: %s\n", violation.c_str());
  std::abort();
}
