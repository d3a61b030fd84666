// The request line of the message that is being read.
// Threading: values.
// Ownership: positions, not views: the buffer may move while the rest of the head comes.
// Spec:      RFC 9112 section 3.
#pragma once

#include <cstdint>

#include "sluice/http/message.h"

namespace sluice::http {

struct RequestLine {
  Method method = Method::kUnknown;
  std::uint8_t minor_version = 1;
  std::uint32_t target_begin = 0;  // in the head
  std::uint32_t target_size = 0;
};

}  // namespace sluice::http
