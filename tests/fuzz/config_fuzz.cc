// Any bytes as a configuration file: a Config or errors, never a crash, a leak or a hang.
// Seeds: config/sluice.yaml and config/examples/. The unit tests run it over damaged files; libFuzzer runs it when it is built
// with -fsanitize=fuzzer,address,undefined and the sources of src/config and src/net.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "sluice/config/load.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view yaml(reinterpret_cast<const char*>(data), size);
  const auto config = sluice::config::load_text(yaml, "fuzz.yaml");
  if (!config && config.error().empty()) std::abort();
  return 0;
}
