#include "test_eal.h"

namespace {

[[maybe_unused]] const auto* const kEnvironment =
    ::testing::AddGlobalTestEnvironment(new sluice::dpdk::EalEnvironment);  // owned by GoogleTest

}  // namespace
