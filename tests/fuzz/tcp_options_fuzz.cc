// Any bytes as the options of a segment. What must hold:
// - what is read lies within its limits, and the reader of layer 4 (net/tcp_options.h) reads the same;
// - what is written again from it is read as the same.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include "segment.h"
#include "sluice/net/tcp_options.h"

namespace {

using namespace sluice;
using tcp::SegmentOptions;

constexpr std::size_t kIp = 20, kTcp = 20;

void require(bool holds) {
  if (!holds) std::abort();
}

bool same(const SegmentOptions& a, const SegmentOptions& b) {
  return a.mss == b.mss && a.window_scale == b.window_scale && a.has_window_scale == b.has_window_scale &&
         a.has_timestamp == b.has_timestamp && a.sack_permitted == b.sack_permitted && a.ts_value == b.ts_value &&
         a.ts_echo == b.ts_echo && a.sack_count == b.sack_count &&
         std::equal(a.sack.begin(), a.sack.begin() + a.sack_count, b.sack.begin());
}

// Written, with a right checksum, and read.
SegmentOptions through_a_packet(const SegmentOptions& options) {
  const tcp::FourTuple tuple{{*net::IpAddress::parse("192.0.2.1"), 80},
                             {*net::IpAddress::parse("198.51.100.7"), 40'000}};
  std::vector<std::uint8_t> packet(kIp + kTcp + tcp::options_len(options));
  require(packet.size() <= kIp + 60);
  tcp::build_segment(packet, tuple, {.flags = tcp::kTcpAck, .options = options}, 0, false);
  tcp::Segment s;
  require(tcp::parse_segment(packet, {}, s) == tcp::ParseResult::kOk);
  return s.options;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Around the bytes as many headers as make a packet.
  const std::size_t length = std::min<std::size_t>(size, 40) / 4 * 4;
  const tcp::FourTuple tuple{{*net::IpAddress::parse("192.0.2.1"), 80},
                             {*net::IpAddress::parse("198.51.100.7"), 40'000}};
  std::vector<std::uint8_t> packet(kIp + kTcp + length);
  std::copy_n(data, length, packet.begin() + kIp + kTcp);
  tcp::build_segment(packet, tuple, {.flags = tcp::kTcpAck, .options = {}}, length, false);
  packet[kIp + 12] = static_cast<std::uint8_t>((kTcp + length) / 4 << 4);

  tcp::Segment s;
  require(tcp::parse_segment(packet, {.tx_checksum = false, .rx_checksum_good = true}, s) == tcp::ParseResult::kOk);
  const SegmentOptions& read = s.options;
  require(s.payload.empty());
  require(read.window_scale <= tcp::kMaxWindowScale && (read.has_window_scale || read.window_scale == 0));
  require(read.sack_count <= tcp::kMaxSackBlocks);

  const net::TcpOptions other = net::parse_tcp_options(packet, kIp);
  require(other.mss == read.mss && other.sack_permitted == read.sack_permitted);
  require(other.window_scale == (read.has_window_scale ? read.window_scale : net::kNoWindowScale));
  require(other.timestamps == read.has_timestamp && other.timestamp == read.ts_value &&
          other.timestamp_echo == read.ts_echo);

  SegmentOptions syn = read;
  syn.sack_count = 0;
  if (syn.mss == 0) syn.mss = 1;
  require(same(through_a_packet(syn), syn));
  SegmentOptions later = read;
  later.mss = 0;
  later.sack_permitted = later.has_window_scale = false;
  later.window_scale = 0;
  if (later.has_timestamp) later.sack_count = std::min<std::uint8_t>(later.sack_count, 3);
  require(same(through_a_packet(later), later));
  return 0;
}
