// The whole packet path under any sequence of packets: what must hold, and inputs to begin with. The configurations are those
// of the golden cases, so that every mode of theirs is reached; flows are opened by the input's first packets.
// What must hold after an input:
// - each packet that came in was sent once, or dropped with one reason, or was a message for the host itself (ARP, ND);
// - every mbuf is back in the pool;
// - nothing was written behind the end of a packet, nor in front of where a tunnel's header may begin.
// Input: 2 bytes that name the configuration, then records: a byte of kind and flags (Record), then by kind
//   raw      2 bytes of length, the frame
//   reply    2 bytes: which sent packet is answered, from the last; 1 byte: how many patches; a patch is offset and value
//   error    2 bytes: which sent packet an ICMP error quotes; type, code
//   time     2 bytes: so many milliseconds pass
// Threading: one thread; EAL must be started.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace sluice::fuzz {

using Bytes = std::vector<std::uint8_t>;

struct Record {
  enum Kind : std::uint8_t { kRaw = 0, kReply = 1, kError = 2, kTime = 3 };
  static constexpr std::uint8_t kKindMask = 0x03, kFixChecksums = 0x04, kSecondQueue = 0x08, kBadChecksum = 0x10;
  static constexpr std::uint8_t kSameBurst = 0x20;  // the next packet comes before the loops turn
  static constexpr std::uint8_t kInterfaceShift = 6;

  std::uint8_t head = 0;
  Bytes body;  // without the length of a raw frame

  [[nodiscard]] Kind kind() const noexcept { return static_cast<Kind>(head & kKindMask); }
};

struct Input {
  std::uint16_t config = 0;
  std::vector<Record> records;
};

// Any bytes are an input; what does not make a whole record ends it.
[[nodiscard]] Input decode(std::span<const std::uint8_t> bytes);
[[nodiscard]] Bytes encode(const Input& input);

struct Seed {
  std::string name;
  Bytes bytes;
};

class Pipeline {
 public:
  // `golden`: the folder of the golden cases. Throws std::runtime_error where none can be used.
  explicit Pipeline(const std::string& golden);
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  // What was violated; empty: nothing.
  [[nodiscard]] std::string run(std::span<const std::uint8_t> input);
  // An input for each golden case, and one that replies to and reports errors about what was sent.
  [[nodiscard]] std::vector<Seed> seeds() const;

 private:
  class Setup;
  class Run;
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Another input like `input`: one record is changed, added, repeated, taken away or moved. `mutate` changes bytes in place,
// as LLVMFuzzerMutate() does: gives the new size, at most the second number.
using Mutate = std::function<std::size_t(std::uint8_t* data, std::size_t size, std::size_t max_size)>;
void mutate(Input& input, unsigned seed, const Mutate& mutate);

}  // namespace sluice::fuzz
