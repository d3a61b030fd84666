// What the fuzzer checks (tests/fuzz/pipeline.h), on the inputs that it begins with and on some that follow from them.
#include "../../fuzz/pipeline.h"

#include <cstring>
#include <random>

#include <gtest/gtest.h>

namespace sluice::fuzz {
namespace {

// Stands in for libFuzzer: bytes are changed, put in and taken out.
std::size_t change_bytes(std::minstd_rand& random, std::uint8_t* data, std::size_t size, std::size_t max_size) {
  for (std::size_t left = 1 + random() % 4; left > 0 && size > 0; --left) {
    const std::size_t at = random() % size;
    const auto value = static_cast<std::uint8_t>(random());
    switch (random() % 8) {
      case 0:
        if (size == max_size) break;
        std::memmove(data + at + 1, data + at, size++ - at);
        data[at] = value;
        break;
      case 1:
        std::memmove(data + at, data + at + 1, --size - at);
        break;
      case 2:
        data[at] = std::uint8_t(random() % 2 == 0 ? 0 : 0xff);
        break;
      case 3:
        data[at] ^= static_cast<std::uint8_t>(1u << value % 8);
        break;
      default:
        data[at] = value;
    }
  }
  return size;
}

TEST(PipelineInput, IsReadAsItWasWritten) {
  const Input input{.config = 0x1234,
                    .records = {{Record::kRaw, {1, 2, 3}},
                                {Record::kReply | Record::kFixChecksums, {0, 0, 2, 47, 0x11, 3, 4}},
                                {Record::kError, {1, 0, 3, 4}},
                                {Record::kTime, {0xe8, 3}}}};
  const Input read = decode(encode(input));
  EXPECT_EQ(read.config, 0x1234);
  ASSERT_EQ(read.records.size(), input.records.size());
  for (std::size_t i = 0; i < read.records.size(); ++i) {
    EXPECT_EQ(read.records[i].head, input.records[i].head);
    EXPECT_EQ(read.records[i].body, input.records[i].body);
  }
}

TEST(Pipeline, EveryPacketHasOneEnd) {
  Pipeline pipeline(SLUICE_GOLDEN);
  std::minstd_rand random(7);
  const auto change = [&](std::uint8_t* data, std::size_t size, std::size_t max_size) {
    return change_bytes(random, data, size, max_size);
  };
  for (const Seed& seed : pipeline.seeds()) {
    EXPECT_EQ(pipeline.run(seed.bytes), "") << seed.name;
    Input input = decode(seed.bytes);
    for (int round = 0; round < 10; ++round) {
      mutate(input, static_cast<unsigned>(random()), change);
      EXPECT_EQ(pipeline.run(encode(input)), "") << seed.name << ", changed " << round + 1 << " times";
    }
  }
}

}  // namespace
}  // namespace sluice::fuzz
