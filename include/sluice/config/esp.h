// What `esp:` asks for: the security associations with the backends of services with mode `esp`.
// Threading: values; copy, compare or share as const.
// Ownership: no pointers into anything; peers are found by a backend's address. Keys are secret: none is ever logged.
// Units:     SPIs are plain numbers; keys are bytes, the salt behind the key.
// Spec:      RFC 4303 (ESP), RFC 4106 section 8.1 (what a key is made of).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sluice/net/address.h"

namespace sluice::config {

struct EspSa {
  std::uint32_t spi = 0;  // `out`: of the first worker, the others have those that follow
  // Key and salt (RFC 4106 section 8.1): 20 bytes, or 36; empty until read from key_file.
  std::vector<std::uint8_t> key;
  std::string key_file;   // absolute path; empty: the key stands in the file itself
  bool extended = false;  // sequence numbers of 64 bits
  bool operator==(const EspSa&) const = default;
};

struct EspPeer {
  net::IpAddress address;  // of a backend: the outer destination
  EspSa out;
  std::vector<EspSa> in;  // what the peer may send by: while a key is changed, the new and the old one
  bool operator==(const EspPeer&) const = default;
};

struct Esp {
  std::string state = "/var/lib/sluice/esp.state";  // which sequence numbers are used up; absolute path
  std::vector<EspPeer> peers;                       // one for each address
  bool operator==(const Esp&) const = default;
};

}  // namespace sluice::config
