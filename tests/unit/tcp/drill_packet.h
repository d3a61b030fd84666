// A segment as a script writes it: "P. 1:101(100) ack 1 win 65535 <mss 1460,TS val 7 ecr 3>".
// Threading: values.
// Units:     sequence numbers count from each side's initial one, as in packetdrill.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "segment.h"

namespace sluice::tcp::test {

struct DrillPacket {
  std::uint8_t flags = 0;
  std::uint32_t seq = 0;
  std::uint32_t len = 0;  // payload bytes
  std::optional<std::uint32_t> ack;
  std::optional<std::uint32_t> window;
  bool options_given = false;
  std::optional<std::string> ecn;  // of the IP header: none, capable, marked
  SegmentOptions options;
  bool any_ts_value = false;  // TS val *
  bool echo_last = false;     // TS ecr last-N: the value that came in the last segment, less N; ts_echo is N
};

// Throws std::runtime_error with what is wrong.
[[nodiscard]] DrillPacket parse_packet(const std::string& text);
[[nodiscard]] std::string packet_text(const DrillPacket& packet);

}  // namespace sluice::tcp::test
