// EAL for a test program: ordinary memory, no files, no PCI; started once for all of its tests.
#pragma once

#include <optional>

#include <gtest/gtest.h>

#include "sluice/dpdk/eal.h"

namespace sluice::dpdk {

class EalEnvironment : public ::testing::Environment {
 public:
  void SetUp() override {
    Result<Eal> eal = Eal::start({.main_cpu = -1,
                                  .memory_bytes = std::size_t{192} << 20,
                                  .huge_pages = HugePages::kOff,
                                  .devices = {},
                                  .extra = {},
                                  .file_prefix = {}});
    ASSERT_TRUE(eal.has_value()) << eal.error().message;
    eal_.emplace(std::move(*eal));
  }
  void TearDown() override { eal_.reset(); }

 private:
  std::optional<Eal> eal_;
};

}  // namespace sluice::dpdk
