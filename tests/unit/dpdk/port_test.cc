#include "sluice/dpdk/port.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "sluice/dpdk/pcap_file.h"

namespace sluice::dpdk {
namespace {

class PortTest : public ::testing::Test {
 protected:
  Mempool pool_ = *Mempool::create({.name = "ports", .mbufs = 4095, .cache = 0, .mtu = 1500});
};

TEST_F(PortTest, NullDeviceGivesAndTakesPackets) {
  {
    Result<std::unique_ptr<Port>> port = Port::open({.device = "net_null_a", .rx_queues = 2, .tx_queues = 2}, pool_);
    ASSERT_TRUE(port.has_value()) << port.error().message;
    EXPECT_EQ((*port)->driver(), "net_null");
    EXPECT_EQ((*port)->capabilities().rx_queues, 2);
    ASSERT_TRUE((*port)->start().has_value());
    std::array<rte_mbuf*, 32> mbufs{};
    ASSERT_EQ((*port)->receive(1, mbufs), 32u);
    EXPECT_EQ((*port)->send(1, mbufs), 32u);
    EXPECT_EQ((*port)->stats().rx_packets, 32u);
    EXPECT_EQ((*port)->stats().tx_packets, 32u);
  }
  EXPECT_EQ(pool_.in_use(), 0u);
}

RssKey counting_key() {
  RssKey key;
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(i + 1);
  return key;
}

TEST_F(PortTest, RssIsSetUpAsTheDeviceCan) {
  const RssKey key = counting_key();
  auto port = Port::open({.device = "net_null_r", .rx_queues = 3, .tx_queues = 1, .rss_key = key}, pool_);
  ASSERT_TRUE(port.has_value()) << port.error().message;
  ASSERT_TRUE((*port)->start().has_value());
  const Rss& rss = (*port)->rss();
  EXPECT_NE(rss.types & RTE_ETH_RSS_NONFRAG_IPV4_TCP, 0u);
  EXPECT_NE(rss.types & RTE_ETH_RSS_NONFRAG_IPV6_UDP, 0u);
  ASSERT_EQ(rss.key.size(), 40u);  // net_null's is shorter than what it is offered
  EXPECT_TRUE(std::equal(rss.key.begin(), rss.key.end(), key.begin()));
  ASSERT_EQ(rss.queues.size(), 128u);
  for (std::size_t i = 0; i < rss.queues.size(); ++i) EXPECT_EQ(rss.queues[i], i % 3);
}

TEST_F(PortTest, ADeviceMayKeepItsOwnRssKey) {
  auto port = Port::open({.device = "net_null_s", .rx_queues = 2, .tx_queues = 1}, pool_);
  ASSERT_TRUE(port.has_value()) << port.error().message;
  ASSERT_TRUE((*port)->start().has_value());
  EXPECT_EQ((*port)->rss().key.size(), 40u);
  EXPECT_EQ((*port)->rss().queues.size(), 128u);
}

TEST_F(PortTest, WithOneQueueThereIsNoRss) {
  auto port = Port::open({.device = "net_null_t", .rss_key = counting_key()}, pool_);
  ASSERT_TRUE(port.has_value()) << port.error().message;
  ASSERT_TRUE((*port)->start().has_value());
  EXPECT_EQ((*port)->rss().types, 0u);
  EXPECT_TRUE((*port)->rss().key.empty());
  EXPECT_TRUE((*port)->rss().queues.empty());
}

// Tags and checksums are then the work of the packet path and the stack.
TEST_F(PortTest, ADeviceIsNotAskedForWhatItCannotDo) {
  for (const bool wanted : {false, true}) {
    const auto port = Port::open({.device = "net_null_v", .vlans = wanted, .tcp_checksums = wanted}, pool_);
    ASSERT_TRUE(port.has_value()) << port.error().message;
    EXPECT_FALSE((*port)->capabilities().rx_vlan_strip);
    EXPECT_FALSE((*port)->capabilities().tx_vlan_insert);
    EXPECT_FALSE((*port)->capabilities().tx_tcp_checksum);
  }
}

TEST_F(PortTest, ADeviceCanBeOpenedAgainAfterItWasClosed) {
  for (int round = 0; round < 2; ++round) {
    const auto port = Port::open({.device = "net_null_b"}, pool_);
    ASSERT_TRUE(port.has_value()) << port.error().message;
  }
}

TEST_F(PortTest, CaptureFilesAreReceivedAndWritten) {
  const std::string stem = ::testing::TempDir() + "port_test_" + std::to_string(::getpid());
  const std::string in = stem + "_in.pcap", out = stem + "_out.pcap";
  PcapWriter writer = *PcapWriter::create(in);
  const std::vector<std::uint8_t> packet(60, 0x5a);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(writer.write(i, packet).has_value());
  ASSERT_TRUE(writer.close().has_value());
  {
    auto port = Port::open({.device = "net_pcap_a,rx_pcap=" + in + ",tx_pcap=" + out}, pool_);
    ASSERT_TRUE(port.has_value()) << port.error().message;
    ASSERT_TRUE((*port)->start().has_value());
    std::array<rte_mbuf*, 32> mbufs{};
    const std::size_t got = (*port)->receive(0, mbufs);
    ASSERT_EQ(got, 3u);
    EXPECT_EQ((*port)->send(0, std::span(mbufs).first(got)), 3u);
  }
  EXPECT_EQ(pool_.in_use(), 0u);
  const auto written = read_pcap(out);
  ASSERT_TRUE(written.has_value()) << written.error().message;
  ASSERT_EQ(written->size(), 3u);
  EXPECT_EQ((*written)[0].bytes, packet);
  ::unlink(in.c_str());
  ::unlink(out.c_str());
}

struct RefuseCase {
  const char* name;
  const char* device;
  const char* says;
};
const RefuseCase kRefuseCases[] = {
    {"unknown_driver", "net_nothing0", "net_nothing0"},
    {"missing_kernel_interface", "net_af_packet_x,iface=nosuchif0", "nosuchif0"},
    {"missing_file", "net_pcap_x,rx_pcap=/nowhere/in.pcap", "/nowhere/in.pcap"},
    {"pci_device_that_is_not_there", "ffff:ff:1f.7", "is it bound to vfio-pci?"},
};
class PortRefuse : public PortTest, public ::testing::WithParamInterface<RefuseCase> {};
TEST_P(PortRefuse, NamesTheDeviceAndTheReason) {
  const auto port = Port::open({.device = GetParam().device}, pool_);
  ASSERT_FALSE(port.has_value());
  EXPECT_NE(port.error().message.find(GetParam().device), std::string::npos) << port.error().message;
  EXPECT_NE(port.error().message.find(GetParam().says), std::string::npos) << port.error().message;
}
INSTANTIATE_TEST_SUITE_P(Devices, PortRefuse, ::testing::ValuesIn(kRefuseCases),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace sluice::dpdk
