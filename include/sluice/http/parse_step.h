// What one call of an HTTP parser's feed() found.
// Threading: values.
// Ownership: `body` is a view into the bytes given to feed(); it is dead once these are consumed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::http {

enum class Step : std::uint8_t {
  kNeedMore,  // every byte given was taken; wait for more
  kHead,      // head() is complete and valid
  kInterim,   // ResponseParser only: a 1xx head is complete; another head follows
  kBody,      // `body` is the next piece of the body
  kEnd,       // the message is complete; bytes left over belong to the next one
  kError,  // answer `status` (towards a client; a parser of responses always says 502) and close; nothing more is taken
};

struct ParseStep {
  Step step = Step::kNeedMore;
  std::size_t consumed = 0;              // bytes of the input that are done with; includes `body`
  std::span<const std::uint8_t> body{};  // kBody
  std::uint16_t status = 0;              // kError
  const char* reason = "";               // kError: a fixed text for the log
};

}  // namespace sluice::http
