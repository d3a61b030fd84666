#include "sluice/dpdk/eal.h"

#include <filesystem>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace sluice::dpdk {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsSupersetOf;
using ::testing::Not;

struct PciCase {
  const char* name;
  const char* device;
  bool pci;
};
const PciCase kPciCases[] = {
    {"full_address", "0000:3b:00.0", true},
    {"without_domain", "3b:00.0", true},
    {"with_arguments", "0000:3b:00.0,mprq_en=1", true},
    {"vdev", "net_af_xdp0,iface=veth0", false},
    {"vdev_whose_arguments_look_like_it", "net_pcap0,rx_pcap=a:b.c", false},
    {"empty", "", false},
    {"dots_before_colon", "3b.00:0", false},
};
class IsPci : public ::testing::TestWithParam<PciCase> {};
TEST_P(IsPci, TellsAddressesFromVdevs) { EXPECT_EQ(is_pci_device(GetParam().device), GetParam().pci); }
INSTANTIATE_TEST_SUITE_P(Devices, IsPci, ::testing::ValuesIn(kPciCases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(EalArguments, OrdinaryMemoryAndVdevsTouchNeitherFilesNorPci) {
  const EalOptions options{.main_cpu = 3,
                           .memory_bytes = std::size_t{512} << 20,
                           .huge_pages = HugePages::kOff,
                           .devices = {"net_null0"},
                           .extra = {"--log-level=8"},
                           .file_prefix = "mine"};
  EXPECT_THAT(eal_arguments(options, false),
              ElementsAre("sluice", "--lcores", "0@3", "--no-telemetry", "-m", "512", "--no-huge", "--no-shconf",
                          "--file-prefix", "mine", "--no-pci", "--log-level=8"));
}

TEST(EalArguments, PciDevicesAreAllowedByName) {
  const EalOptions options{.main_cpu = 0,
                           .memory_bytes = std::size_t{1} << 30,
                           .huge_pages = HugePages::kAuto,
                           .devices = {"0000:3b:00.0", "net_null0"},
                           .extra = {},
                           .file_prefix = {}};
  const std::vector<std::string> arguments = eal_arguments(options, true);
  EXPECT_THAT(arguments, IsSupersetOf({"-a", "0000:3b:00.0"}));
  EXPECT_THAT(arguments, Not(Contains("--no-pci")));
  EXPECT_THAT(arguments, Not(Contains("--no-huge")));
  EXPECT_THAT(arguments, Contains("--in-memory"));
}

TEST(FreeHugePages, AddsUpAllSizes) {
  const std::filesystem::path root =
      std::filesystem::path(::testing::TempDir()) / ("hugepages" + std::to_string(::getpid()));
  for (const auto& [folder, pages] : {std::pair{"hugepages-2048kB", 3}, std::pair{"hugepages-1048576kB", 1}}) {
    std::filesystem::create_directories(root / folder);
    std::ofstream(root / folder / "free_hugepages") << pages << "\n";
  }
  EXPECT_EQ(free_huge_page_bytes(root), (std::size_t{1} << 30) + (std::size_t{6} << 20));
  std::filesystem::remove_all(root);
  EXPECT_EQ(free_huge_page_bytes(root), 0u);
}

TEST(ThreadRegistration, GivesEachThreadAnLcoreOfItsOwn) {
  std::vector<unsigned> lcores(2);
  std::thread([&] {
    const ThreadRegistration outer;
    lcores[0] = outer.lcore();
    std::thread([&] {
      const ThreadRegistration inner;
      lcores[1] = inner.lcore();
    }).join();
  }).join();
  EXPECT_NE(lcores[0], lcores[1]);
}

}  // namespace
}  // namespace sluice::dpdk
