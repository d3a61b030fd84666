// The chunked coding, both ways: what is encoded decodes to itself, however it is cut.
#include "sluice/http/chunked.h"

#include <random>

#include <gtest/gtest.h>

namespace sluice::http {
namespace {

std::string encode(std::string_view body, std::minstd_rand& random) {
  std::string out;
  while (!body.empty()) {
    const std::size_t count = std::min<std::size_t>(body.size(), 1 + random() % 5000);
    append_chunk_start(out, count);
    out.append(body.substr(0, count)).append(kChunkEnd);
    body.remove_prefix(count);
  }
  return out.append(kLastChunk);
}

TEST(Chunked, DecodesWhatItEncodes) {
  std::minstd_rand random(1);
  for (int round = 0; round < 50; ++round) {
    std::string body(random() % 20000, ' ');
    for (char& c : body) c = static_cast<char>(random());
    const std::string encoded = encode(body, random);
    ChunkedDecoder decoder;
    decoder.reset(2);  // the CR LF of an empty trailer section
    std::string got;
    bool ended = false;
    std::size_t at = 0;
    for (std::size_t arrived = 0; arrived < encoded.size();) {
      arrived = std::min<std::size_t>(encoded.size(), arrived + 1 + random() % 1000);
      for (;;) {
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(encoded.data());
        const auto decoded = decoder.feed({bytes + at, arrived - at});
        at += decoded.consumed;
        ASSERT_NE(decoded.outcome, ChunkedDecoder::Outcome::kBad);
        ended = decoded.outcome == ChunkedDecoder::Outcome::kEnd;
        if (decoded.outcome != ChunkedDecoder::Outcome::kData) break;
        got.append(decoded.data.begin(), decoded.data.end());
      }
    }
    EXPECT_TRUE(ended);
    EXPECT_TRUE(got == body);
  }
}

TEST(Chunked, SizesAreHexadecimal) {
  const auto start = [](std::size_t bytes) {
    std::string out;
    append_chunk_start(out, bytes);
    return out;
  };
  EXPECT_EQ(start(1), "1\r\n");
  EXPECT_EQ(start(15), "f\r\n");
  EXPECT_EQ(start(16), "10\r\n");
  EXPECT_EQ(start(0xdeadbeef), "deadbeef\r\n");
}

}  // namespace
}  // namespace sluice::http
