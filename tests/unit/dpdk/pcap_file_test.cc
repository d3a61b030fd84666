#include "sluice/dpdk/pcap_file.h"

#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

namespace sluice::dpdk {
namespace {

class PcapFile : public ::testing::Test {
 protected:
  void TearDown() override { ::unlink(path_.c_str()); }
  void write(const std::string& bytes) { std::ofstream(path_, std::ios::binary) << bytes; }
  std::string path_ = ::testing::TempDir() + "pcap_file_test_" + std::to_string(::getpid()) + ".pcap";
};

using namespace std::string_literals;

// Magic, version 2.4, zone, accuracy, snap length, link type.
const std::string kLittleMicro = "\xd4\xc3\xb2\xa1\2\0\4\0\0\0\0\0\0\0\0\0\0\0\4\0\1\0\0\0"s;
const std::string kLittleNano = "\x4d\x3c\xb2\xa1\2\0\4\0\0\0\0\0\0\0\0\0\0\0\4\0\1\0\0\0"s;
const std::string kBigMicro = "\xa1\xb2\xc3\xd4\0\2\0\4\0\0\0\0\0\0\0\0\0\4\0\0\0\0\0\1"s;

struct ReadCase {
  const char* name;
  std::string header;
  std::string record;  // 5 s, 7 units, 3 bytes
  std::int64_t at_ns;
};
const ReadCase kReadCases[] = {
    {"microseconds", kLittleMicro, "\5\0\0\0\7\0\0\0\3\0\0\0\3\0\0\0abc"s, 5'000'007'000},
    {"nanoseconds", kLittleNano, "\5\0\0\0\7\0\0\0\3\0\0\0\3\0\0\0abc"s, 5'000'000'007},
    {"big_endian", kBigMicro, "\0\0\0\5\0\0\0\7\0\0\0\3\0\0\0\3abc"s, 5'000'007'000},
};
class PcapRead : public PcapFile, public ::testing::WithParamInterface<ReadCase> {};
TEST_P(PcapRead, Reads) {
  write(GetParam().header + GetParam().record + GetParam().record);
  const auto packets = read_pcap(path_);
  ASSERT_TRUE(packets.has_value()) << packets.error().message;
  ASSERT_EQ(packets->size(), 2u);
  EXPECT_EQ((*packets)[1].at_ns, GetParam().at_ns);
  EXPECT_EQ(std::string((*packets)[1].bytes.begin(), (*packets)[1].bytes.end()), "abc");
}
INSTANTIATE_TEST_SUITE_P(Formats, PcapRead, ::testing::ValuesIn(kReadCases),
                         [](const auto& test) { return std::string(test.param.name); });

struct BadCase {
  const char* name;
  std::string bytes;
  const char* says;
};
const BadCase kBadCases[] = {
    {"empty", "", "not a pcap file"},
    {"other_magic", std::string(24, 'x'), "not a pcap file"},
    {"pcapng", "\x0a\x0d\x0d\x0a"s + std::string(20, '\0'), "pcapng"},
    {"not_ethernet", "\xd4\xc3\xb2\xa1\2\0\4\0\0\0\0\0\0\0\0\0\0\0\4\0\x71\0\0\0"s, "link type 113"},
    {"header_cut_off", kLittleMicro + "\5\0\0\0"s, "packet 1 is damaged"},
    {"absurd_length", kLittleMicro + "\5\0\0\0\7\0\0\0\xff\xff\xff\x7f\3\0\0\0"s, "packet 1 is damaged"},
    {"packet_cut_off", kLittleMicro + "\5\0\0\0\7\0\0\0\3\0\0\0\3\0\0\0ab"s, "packet 1 is cut off"},
};
class PcapRefuse : public PcapFile, public ::testing::WithParamInterface<BadCase> {};
TEST_P(PcapRefuse, NamesFileAndReason) {
  write(GetParam().bytes);
  const auto packets = read_pcap(path_);
  ASSERT_FALSE(packets.has_value());
  EXPECT_NE(packets.error().message.find(GetParam().says), std::string::npos) << packets.error().message;
  EXPECT_NE(packets.error().message.find(path_), std::string::npos) << packets.error().message;
}
INSTANTIATE_TEST_SUITE_P(Files, PcapRefuse, ::testing::ValuesIn(kBadCases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_F(PcapFile, WhatWasWrittenIsRead) {
  Result<PcapWriter> writer = PcapWriter::create(path_);
  ASSERT_TRUE(writer.has_value()) << writer.error().message;
  const std::vector<std::uint8_t> first = {1, 2, 3}, second = {};
  ASSERT_TRUE(writer->write(1'700'000'000'123'456'789, first).has_value());
  ASSERT_TRUE(writer->write(1'700'000'000'123'456'790, second).has_value());
  ASSERT_TRUE(writer->close().has_value());
  const auto packets = read_pcap(path_);
  ASSERT_TRUE(packets.has_value()) << packets.error().message;
  ASSERT_EQ(packets->size(), 2u);
  EXPECT_EQ((*packets)[0].at_ns, 1'700'000'000'123'456'789);
  EXPECT_EQ((*packets)[0].bytes, first);
  EXPECT_EQ((*packets)[1].bytes, second);
}

TEST_F(PcapFile, MissingFileIsNamed) {
  const auto packets = read_pcap("/nowhere/in.pcap");
  ASSERT_FALSE(packets.has_value());
  EXPECT_EQ(packets.error().message, "/nowhere/in.pcap: No such file or directory");
}

}  // namespace
}  // namespace sluice::dpdk
