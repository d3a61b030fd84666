#include "sluice/dpdk/pcap_file.h"

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace sluice::dpdk {
namespace {

constexpr std::uint32_t kMagicMicro = 0xa1b2c3d4;
constexpr std::uint32_t kMagicNano = 0xa1b23c4d;
constexpr std::uint32_t kLinkEthernet = 1;
constexpr std::uint32_t kMaxPacket = 256 << 10;

struct FileHeader {
  std::uint32_t magic;
  std::uint16_t major, minor;
  std::int32_t zone;
  std::uint32_t accuracy, snap_length, link_type;
};
struct PacketHeader {
  std::uint32_t seconds, fraction, captured, original;
};
static_assert(sizeof(FileHeader) == 24 && sizeof(PacketHeader) == 16);

std::string system_reason() { return std::strerror(errno); }

}  // namespace

Result<std::vector<CapturedPacket>> read_pcap(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (file == nullptr) return fail(fmt::format("{}: {}", path, system_reason()));
  FileHeader header{};
  if (std::fread(&header, sizeof(header), 1, file.get()) != 1) return fail(fmt::format("{}: not a pcap file", path));
  const std::uint32_t swapped_magic = std::byteswap(header.magic);
  const bool swapped = swapped_magic == kMagicMicro || swapped_magic == kMagicNano;
  const auto host = [swapped](std::uint32_t value) { return swapped ? std::byteswap(value) : value; };
  const std::uint32_t magic = host(header.magic);
  if (magic != kMagicMicro && magic != kMagicNano) {
    return fail(fmt::format("{}: not a pcap file (pcapng is not read: convert it with `editcap -F nsecpcap`)", path));
  }
  if ((host(header.link_type) & 0xffff) != kLinkEthernet) {
    return fail(fmt::format("{}: link type {} is not Ethernet", path, host(header.link_type)));
  }
  const std::int64_t unit_ns = magic == kMagicNano ? 1 : 1000;

  std::vector<CapturedPacket> packets;
  PacketHeader packet{};
  for (;;) {
    const std::size_t got = std::fread(&packet, 1, sizeof(packet), file.get());
    if (got == 0) break;
    const std::uint32_t captured = host(packet.captured);
    if (got != sizeof(packet) || captured > kMaxPacket) {
      return fail(fmt::format("{}: packet {} is damaged", path, packets.size() + 1));
    }
    CapturedPacket& out = packets.emplace_back();
    out.at_ns = std::int64_t{host(packet.seconds)} * 1'000'000'000 + std::int64_t{host(packet.fraction)} * unit_ns;
    out.bytes.resize(captured);
    if (captured != 0 && std::fread(out.bytes.data(), captured, 1, file.get()) != 1) {
      return fail(fmt::format("{}: packet {} is cut off", path, packets.size()));
    }
  }
  return packets;
}

Result<PcapWriter> PcapWriter::create(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return fail(fmt::format("{}: {}", path, system_reason()));
  PcapWriter writer(path, file);
  const FileHeader header{kMagicNano, 2, 4, 0, 0, kMaxPacket, kLinkEthernet};
  if (std::fwrite(&header, sizeof(header), 1, file) != 1) return fail(fmt::format("{}: {}", path, system_reason()));
  return writer;
}

Result<void> PcapWriter::write(std::int64_t at_ns, std::span<const std::uint8_t> bytes) {
  const auto size = static_cast<std::uint32_t>(bytes.size());
  const PacketHeader header{static_cast<std::uint32_t>(at_ns / 1'000'000'000),
                            static_cast<std::uint32_t>(at_ns % 1'000'000'000), size, size};
  if (std::fwrite(&header, sizeof(header), 1, file_.get()) != 1 ||
      (size != 0 && std::fwrite(bytes.data(), size, 1, file_.get()) != 1)) {
    return fail(fmt::format("{}: {}", path_, system_reason()));
  }
  return {};
}

Result<void> PcapWriter::close() {
  if (std::fclose(file_.release()) != 0) return fail(fmt::format("{}: {}", path_, system_reason()));
  return {};
}

}  // namespace sluice::dpdk
