#include "drill_packet.h"

#include <sstream>
#include <stdexcept>

#include <fmt/format.h>

namespace sluice::tcp::test {
namespace {

std::uint32_t number(const std::string& text) {
  std::size_t used = 0;
  const unsigned long value = std::stoul(text, &used);
  if (used != text.size()) throw std::runtime_error("not a number: " + text);
  return static_cast<std::uint32_t>(value);
}

std::uint8_t parse_flags(const std::string& text) {
  std::uint8_t flags = 0;
  for (const char c : text) {
    switch (c) {
      case 'S':
        flags |= kTcpSyn;
        break;
      case 'F':
        flags |= kTcpFin;
        break;
      case 'R':
        flags |= kTcpRst;
        break;
      case 'P':
        flags |= kTcpPsh;
        break;
      case 'E':
        flags |= kTcpEce;
        break;
      case 'W':
        flags |= kTcpCwr;
        break;
      case '.':
        flags |= kTcpAck;
        break;
      case '-':
        break;  // no flag at all
      default:
        throw std::runtime_error("flags: " + text);
    }
  }
  return flags;
}

void parse_option(const std::string& text, DrillPacket& out) {
  std::istringstream in(text);
  std::string word;
  in >> word;
  if (word == "mss") {
    in >> word;
    out.options.mss = static_cast<std::uint16_t>(number(word));
  } else if (word == "wscale") {
    in >> word;
    out.options.has_window_scale = true;
    out.options.window_scale = static_cast<std::uint8_t>(number(word));
  } else if (word == "sackOK") {
    out.options.sack_permitted = true;
  } else if (word == "TS") {
    std::string val, value, ecr, echo;
    in >> val >> value >> ecr >> echo;
    if (val != "val" || ecr != "ecr") throw std::runtime_error("option: " + text);
    out.options.has_timestamp = true;
    out.any_ts_value = value == "*";
    if (!out.any_ts_value) out.options.ts_value = number(value);
    out.echo_last = echo.starts_with("last");
    if (!out.echo_last) out.options.ts_echo = number(echo);
    if (echo.starts_with("last-")) out.options.ts_echo = number(echo.substr(5));
  } else if (word == "sack") {
    while (in >> word) {
      const std::size_t colon = word.find(':');
      if (colon == std::string::npos || out.options.sack_count == kMaxSackBlocks)
        throw std::runtime_error("option: " + text);
      out.options.sack[out.options.sack_count++] = {number(word.substr(0, colon)), number(word.substr(colon + 1))};
    }
  } else if (word != "nop") {
    throw std::runtime_error("option: " + text);
  }
}

}  // namespace

DrillPacket parse_packet(const std::string& text) {
  DrillPacket out;
  std::string head = text;
  if (const std::size_t open = text.find('<'); open != std::string::npos) {
    out.options_given = true;
    std::istringstream list(text.substr(open + 1, text.find('>') - open - 1));
    std::string option;
    while (std::getline(list, option, ',')) parse_option(option, out);
    head = text.substr(0, open);
  }
  std::istringstream in(head);
  std::string flags, range, word, value;
  in >> flags >> range;
  out.flags = parse_flags(flags);
  const std::size_t colon = range.find(':'), open = range.find('(');
  if (colon == std::string::npos || open == std::string::npos) throw std::runtime_error("sequence numbers: " + range);
  out.seq = number(range.substr(0, colon));
  out.len = number(range.substr(open + 1, range.find(')') - open - 1));
  if (number(range.substr(colon + 1, open - colon - 1)) != out.seq + out.len) {
    throw std::runtime_error("sequence numbers: " + range);
  }
  while (in >> word >> value) {
    if (word == "ack") {
      out.ack = number(value);
    } else if (word == "win") {
      out.window = number(value);
    } else if (word == "ecn") {
      if (value != "none" && value != "capable" && value != "marked") throw std::runtime_error("ecn: " + value);
      out.ecn = value;
    } else {
      throw std::runtime_error("unknown: " + word);
    }
  }
  return out;
}

std::string packet_text(const DrillPacket& packet) {
  std::string text;
  if ((packet.flags & kTcpSyn) != 0) text += 'S';
  if ((packet.flags & kTcpFin) != 0) text += 'F';
  if ((packet.flags & kTcpRst) != 0) text += 'R';
  if ((packet.flags & kTcpPsh) != 0) text += 'P';
  if ((packet.flags & kTcpEce) != 0) text += 'E';
  if ((packet.flags & kTcpCwr) != 0) text += 'W';
  if ((packet.flags & kTcpAck) != 0) text += '.';
  text += fmt::format(" {}:{}({})", packet.seq, packet.seq + packet.len, packet.len);
  if (packet.ack) text += fmt::format(" ack {}", *packet.ack);
  if (packet.window) text += fmt::format(" win {}", *packet.window);
  if (packet.ecn && *packet.ecn != "none") text += " ecn " + *packet.ecn;
  const SegmentOptions& o = packet.options;
  std::string list;
  if (o.mss != 0) list += fmt::format("mss {},", o.mss);
  if (o.sack_permitted) list += "sackOK,";
  if (o.has_timestamp) list += fmt::format("TS val {} ecr {},", o.ts_value, o.ts_echo);
  if (o.has_window_scale) list += fmt::format("wscale {},", o.window_scale);
  if (o.sack_count != 0) list += "sack";
  for (std::size_t i = 0; i < o.sack_count; ++i) list += fmt::format(" {}:{}", o.sack[i].start, o.sack[i].end);
  if (o.sack_count != 0) list += ',';
  if (!list.empty()) list.back() = '>';
  return list.empty() ? text : text + " <" + list;
}

}  // namespace sluice::tcp::test
