#include "packets.h"

#include <cassert>
#include <cctype>
#include <string>

#include <fmt/format.h>

namespace sluice::test {
namespace {

void put16(Bytes& out, std::uint32_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}
void put32(Bytes& out, std::uint32_t value) {
  put16(out, value >> 16);
  put16(out, value & 0xffff);
}
void put(Bytes& out, const Bytes& more) { out.insert(out.end(), more.begin(), more.end()); }
void put_address(Bytes& out, const net::IpAddress& address) {
  const auto& bytes = address.bytes();
  out.insert(out.end(), bytes.begin() + (address.is_v4() ? 12 : 0), bytes.end());
}

}  // namespace

Bytes from_hex(std::string_view text) {
  Bytes out;
  int high = -1;
  for (const char c : text) {
    if (std::isspace(static_cast<unsigned char>(c)) != 0) continue;
    const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
    if (high < 0) {
      high = digit;
    } else {
      out.push_back(static_cast<std::uint8_t>(high << 4 | digit));
      high = -1;
    }
  }
  return out;
}

std::string to_hex(const std::uint8_t* data, std::size_t size) {
  std::string out;
  for (std::size_t i = 0; i < size; ++i) out += fmt::format("{:02x}", data[i]);
  return out;
}

std::uint16_t naive_checksum(const Bytes& bytes, std::uint32_t start) {
  std::uint32_t sum = start;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<std::uint32_t>(bytes[i] << 8) + (i + 1 < bytes.size() ? bytes[i + 1] : 0u);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(~sum);
}

std::uint32_t naive_crc32c(const Bytes& bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
  }
  return ~crc;
}

Bytes sctp_chunk(std::uint8_t type, std::uint8_t flags, Bytes value) {
  Bytes out{type, flags};
  put16(out, static_cast<std::uint32_t>(4 + value.size()));
  put(out, value);
  while (out.size() % 4 != 0) out.push_back(0);
  return out;
}

PacketBuilder::PacketBuilder(const char* src, const char* dst)
    : src_(*net::IpAddress::parse(src)), dst_(*net::IpAddress::parse(dst)) {
  assert(src_.is_v4() == dst_.is_v4());
  ether_type_ = src_.is_v4() ? 0x0800 : 0x86dd;
}

PacketBuilder& PacketBuilder::link(const net::MacAddress& src, const net::MacAddress& dst) {
  link_src_ = src;
  link_dst_ = dst;
  return *this;
}

PacketBuilder& PacketBuilder::vlan(std::uint16_t id) {
  vlan_ = id;
  return *this;
}

PacketBuilder& PacketBuilder::ether_type(std::uint16_t type) {
  ether_type_ = type;
  return *this;
}

PacketBuilder& PacketBuilder::pad(std::size_t frame_bytes) {
  pad_ = frame_bytes;
  return *this;
}

PacketBuilder& PacketBuilder::cut(std::size_t frame_bytes) {
  cut_ = frame_bytes;
  return *this;
}

PacketBuilder& PacketBuilder::ttl(std::uint8_t ttl) {
  ttl_ = ttl;
  return *this;
}

PacketBuilder& PacketBuilder::options(Bytes options) {
  options_ = std::move(options);
  return *this;
}

PacketBuilder& PacketBuilder::fragment(std::uint16_t offset_bytes, bool more, std::uint32_t id) {
  fragmented_ = true;
  fragment_id_ = id;
  fragment_ = src_.is_v4() ? static_cast<std::uint16_t>(offset_bytes / 8 | (more ? 0x2000 : 0))
                           : static_cast<std::uint16_t>(offset_bytes | (more ? 1 : 0));
  return *this;
}

PacketBuilder& PacketBuilder::extension(std::uint8_t kind, Bytes body) {
  extensions_.emplace_back(kind, std::move(body));
  return *this;
}

PacketBuilder& PacketBuilder::set_ip(std::size_t offset, std::uint8_t value) {
  ip_patches_.emplace_back(offset, value);
  return *this;
}

PacketBuilder& PacketBuilder::tcp(std::uint16_t src, std::uint16_t dst, std::uint8_t flags, std::uint32_t sequence,
                                  std::uint32_t acknowledgment, Bytes payload) {
  proto_ = 6;
  l4_.clear();
  put16(l4_, src);
  put16(l4_, dst);
  put32(l4_, sequence);
  put32(l4_, acknowledgment);
  l4_.push_back(5 << 4);
  l4_.push_back(flags);
  put16(l4_, 65535);
  put32(l4_, 0);
  put(l4_, payload);
  checksum_at_ = 16;
  return *this;
}

PacketBuilder& PacketBuilder::tcp_window(std::uint16_t window) {
  l4_[14] = static_cast<std::uint8_t>(window >> 8);
  l4_[15] = static_cast<std::uint8_t>(window);
  return *this;
}

PacketBuilder& PacketBuilder::tcp_options(Bytes options) {
  l4_.insert(l4_.begin() + 20, options.begin(), options.end());
  l4_[12] = static_cast<std::uint8_t>((20 + options.size()) / 4 << 4);
  return *this;
}

PacketBuilder& PacketBuilder::udp(std::uint16_t src, std::uint16_t dst, Bytes payload) {
  proto_ = 17;
  l4_.clear();
  put16(l4_, src);
  put16(l4_, dst);
  put16(l4_, static_cast<std::uint32_t>(8 + payload.size()));
  put16(l4_, 0);
  put(l4_, payload);
  checksum_at_ = 6;
  return *this;
}

PacketBuilder& PacketBuilder::icmp(std::uint8_t type, std::uint8_t code, std::uint32_t rest, Bytes payload) {
  proto_ = src_.is_v4() ? 1 : 58;
  pseudo_header_ = !src_.is_v4();
  l4_ = {type, code, 0, 0};
  put32(l4_, rest);
  put(l4_, payload);
  checksum_at_ = 2;
  return *this;
}

PacketBuilder& PacketBuilder::sctp(std::uint16_t src, std::uint16_t dst, std::uint32_t tag, Bytes chunks) {
  proto_ = 132;
  l4_.clear();
  put16(l4_, src);
  put16(l4_, dst);
  put32(l4_, tag);
  put32(l4_, 0);
  put(l4_, chunks);
  checksum_at_ = 8;
  crc32c_ = true;
  return *this;
}

PacketBuilder& PacketBuilder::payload(net::IpProto proto, Bytes bytes) {
  proto_ = static_cast<std::uint8_t>(proto);
  l4_ = std::move(bytes);
  checksum_at_ = 0;
  return *this;
}

PacketBuilder& PacketBuilder::set_l4(std::size_t offset, std::uint8_t value) {
  l4_patches_.emplace_back(offset, value);
  return *this;
}

PacketBuilder& PacketBuilder::no_checksum() {
  checksum_at_ = 0;
  return *this;
}

PacketBuilder& PacketBuilder::set(std::size_t frame_offset, std::uint8_t value) {
  patches_.emplace_back(frame_offset, value);
  return *this;
}

Bytes PacketBuilder::finished_l4() const {
  Bytes out = l4_;
  for (const auto& [offset, value] : l4_patches_) out.at(offset) = value;
  if (checksum_at_ == 0) return out;
  if (crc32c_) {
    const std::uint32_t crc = naive_crc32c(out);
    for (std::size_t i = 0; i < 4; ++i) out.at(checksum_at_ + i) = static_cast<std::uint8_t>(crc >> 8 * i);
    return out;
  }
  Bytes pseudo;
  if (pseudo_header_) {
    put_address(pseudo, src_);
    put_address(pseudo, dst_);
    put32(pseudo, static_cast<std::uint32_t>(out.size()));
    put32(pseudo, proto_);
  }
  put(pseudo, out);
  std::uint16_t sum = naive_checksum(pseudo);
  if (proto_ == 17 && sum == 0) sum = 0xffff;
  out.at(checksum_at_) = static_cast<std::uint8_t>(sum >> 8);
  out.at(checksum_at_ + 1) = static_cast<std::uint8_t>(sum);
  return out;
}

Bytes PacketBuilder::ip_packet() const {
  const Bytes l4 = finished_l4();
  Bytes out;
  if (src_.is_v4()) {
    const std::size_t header_len = 20 + options_.size();
    out = {static_cast<std::uint8_t>(0x40 | header_len / 4), 0};
    put16(out, static_cast<std::uint32_t>(header_len + l4.size()));
    put16(out, fragment_id_ & 0xffff);
    put16(out, fragment_);
    out.push_back(ttl_);
    out.push_back(proto_);
    put16(out, 0);
    put_address(out, src_);
    put_address(out, dst_);
    put(out, options_);
    for (const auto& [offset, value] : ip_patches_) out.at(offset) = value;
    const std::uint16_t sum = naive_checksum(out);
    out[10] = static_cast<std::uint8_t>(sum >> 8);
    out[11] = static_cast<std::uint8_t>(sum);
    put(out, l4);
    return out;
  }
  auto extensions = extensions_;
  if (fragmented_) {
    Bytes body;
    put16(body, fragment_);
    put32(body, fragment_id_);
    extensions.emplace_back(std::uint8_t{44}, body);
  }
  Bytes chain;
  for (std::size_t i = 0; i < extensions.size(); ++i) {
    const auto& [kind, body] = extensions[i];
    chain.push_back(i + 1 < extensions.size() ? extensions[i + 1].first : proto_);
    chain.push_back(kind == 44 ? std::uint8_t{0} : static_cast<std::uint8_t>((body.size() + 2) / 8 - 1));
    put(chain, body);
  }
  put32(out, 6u << 28);
  put16(out, static_cast<std::uint32_t>(chain.size() + l4.size()));
  out.push_back(extensions.empty() ? proto_ : extensions.front().first);
  out.push_back(ttl_);
  put_address(out, src_);
  put_address(out, dst_);
  put(out, chain);
  for (const auto& [offset, value] : ip_patches_) out.at(offset) = value;
  put(out, l4);
  return out;
}

Bytes PacketBuilder::frame() const {
  Bytes out(link_dst_.bytes.begin(), link_dst_.bytes.end());
  out.insert(out.end(), link_src_.bytes.begin(), link_src_.bytes.end());
  if (vlan_ != 0) {
    put16(out, 0x8100);
    put16(out, vlan_);
  }
  put16(out, ether_type_);
  put(out, ip_packet());
  for (const auto& [offset, value] : patches_) out.at(offset) = value;
  if (out.size() < pad_) out.resize(pad_);
  if (cut_ != 0) out.resize(cut_);
  return out;
}

}  // namespace sluice::test
