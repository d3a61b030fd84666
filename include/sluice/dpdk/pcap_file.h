// Capture files: the classic pcap format, read whole and written packet by packet; for replay and its tests.
// Threading: one thread a file.
// Units:     stamps are nanoseconds since 1970; files in microseconds are read too, files are written in nanoseconds.
// Spec:      draft-ietf-opsawg-pcap (magic a1b2c3d4: microseconds, a1b23c4d: nanoseconds, either byte order); link
//            type 1.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sluice/base/result.h"

namespace sluice::dpdk {

struct CapturedPacket {
  std::int64_t at_ns = 0;
  std::vector<std::uint8_t> bytes;
};

[[nodiscard]] Result<std::vector<CapturedPacket>> read_pcap(const std::string& path);

class PcapWriter {
 public:
  [[nodiscard]] static Result<PcapWriter> create(const std::string& path);
  [[nodiscard]] Result<void> write(std::int64_t at_ns, std::span<const std::uint8_t> bytes);
  // Errors of the last writes show here; a writer that is destroyed without it loses them.
  [[nodiscard]] Result<void> close();

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  PcapWriter(std::string path, std::FILE* file) : path_(std::move(path)), file_(file) {}
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace sluice::dpdk
