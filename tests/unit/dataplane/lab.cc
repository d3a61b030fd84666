#include "lab.h"

#include <cstring>
#include <numeric>

#include <fmt/format.h>
#include <rte_ether.h>

#include "sluice/net/checksum.h"
#include "sluice/net/parse.h"
#include "sluice/net/wire.h"

namespace sluice::dataplane {
namespace {

// As a NIC does: it trusts the lengths, and adds up from there what is in the frame.
void complete_checksum(rte_mbuf* mbuf) {
  EXPECT_EQ(mbuf->ol_flags & RTE_MBUF_F_TX_L4_MASK, RTE_MBUF_F_TX_TCP_CKSUM);
  const std::size_t l3 = mbuf->l2_len, l4 = l3 + mbuf->l3_len;
  const std::span<std::uint8_t> frame(rte_pktmbuf_mtod(mbuf, std::uint8_t*), rte_pktmbuf_data_len(mbuf));
  ASSERT_LT(l4 + sizeof(net::TcpHeader), frame.size() + 1);
  const bool v4 = (mbuf->ol_flags & RTE_MBUF_F_TX_IPV4) != 0;
  EXPECT_NE(v4, (mbuf->ol_flags & RTE_MBUF_F_TX_IPV6) != 0);
  EXPECT_EQ(frame[l3] >> 4, v4 ? 4 : 6);
  net::header_at<net::TcpHeader>(frame, l4).checksum = net::checksum(frame.subspan(l4));
}

}  // namespace

Lab::Lab(const std::string& yaml, const LabOptions& options) : vlan_offloads_(options.vlan_offloads) {
  auto loaded = config::load_text(yaml, "lab.yaml");
  if (!loaded) throw std::runtime_error(config::text(loaded.error()));
  config_ = std::make_shared<const config::Config>(std::move(*loaded));
  pool_.emplace(*dpdk::Mempool::create({.name = "lab", .mbufs = options.mbufs, .cache = 0, .mtu = 1500}));
  std::vector<net::MacAddress> macs;
  std::vector<dpdk::Device*> devices;
  for (std::size_t i = 0; i < config_->interfaces.size(); ++i) {
    macs.push_back({{2, 0, 0, 0, 0, static_cast<std::uint8_t>(i + 1)}});
    const bool vlan = config_->interfaces[i].is_vlan();
    devices_.push_back(vlan ? nullptr : std::make_unique<MemoryDevice>(macs.back(), options.queues));
    devices.push_back(devices_.back().get());
    if (vlan) continue;
    devices_.back()->set_rss(options.rss);
    devices_.back()->set_vlan_offloads(options.vlan_offloads);
    devices_.back()->set_tcp_checksums(i < options.tcp_checksums.size() && options.tcp_checksums[i]);
  }
  topology_.emplace(*config_, macs);
  const config::Runtime& runtime = config_->runtime;
  ports_.emplace(
      runtime.workers.size(),
      std::max(options.port_owners, runtime.workers.size() + runtime.proxies.size()) - runtime.workers.size());
  if (options.publish)
    (void)slot_.publish(*lb::build_snapshot(config_, health_, nullptr, {}, *lb::load_access(*config_)));
  assembly_ = *Assembly::create({.config = *config_,
                                 .topology = *topology_,
                                 .devices = devices,
                                 .pool = *pool_,
                                 .snapshots = slot_,
                                 .ports = *ports_,
                                 .secret = {1, 2},
                                 .seed = 3,
                                 .announce = options.announce});
  assembly_->learn_rss();
}

Lab::~Lab() {
  assembly_.reset();
  devices_.clear();
  EXPECT_EQ(pool_->in_use(), 0u) << "mbufs were not given back";
}

rte_mbuf* Lab::buffer_of(const Bytes& frame, std::uint16_t headroom) {
  rte_mbuf* mbuf = pool_->alloc();
  if (mbuf == nullptr) throw std::runtime_error("no mbuf is left");
  mbuf->data_off = headroom;
  std::memcpy(rte_pktmbuf_append(mbuf, static_cast<std::uint16_t>(frame.size())), frame.data(), frame.size());
  return mbuf;
}

void Lab::put(const Bytes& frame, std::size_t interface, std::uint16_t queue, std::uint64_t marks) {
  rte_mbuf* mbuf = buffer_of(frame, RTE_PKTMBUF_HEADROOM);
  mbuf->ol_flags |= marks;
  if (vlan_offloads_) (void)rte_vlan_strip(mbuf);  // what is not tagged stays as it is
  devices_[interface]->put(mbuf, queue);
}

void Lab::run() {
  for (bool worked = true; worked;) {
    worked = false;
    for (const auto& loop : assembly_->loops()) worked |= loop->turn(now_);
  }
}

void Lab::run_with_buffers(std::size_t left) {
  std::vector<rte_mbuf*> taken;
  while (rte_mbuf* mbuf = pool().alloc()) taken.push_back(mbuf);
  for (; left != 0; --left) {
    rte_pktmbuf_free(taken.back());
    taken.pop_back();
  }
  run();
  rte_pktmbuf_free_bulk(taken.data(), static_cast<unsigned>(taken.size()));
}

std::vector<Bytes> Lab::sent(std::size_t interface) {
  std::vector<Bytes> frames;
  for (rte_mbuf* mbuf : devices_[interface]->take_sent()) {
    if ((mbuf->ol_flags & RTE_MBUF_F_TX_L4_MASK) != 0) {
      EXPECT_TRUE(devices_[interface]->capabilities().tx_tcp_checksum);
      complete_checksum(mbuf);
    }
    if ((mbuf->ol_flags & RTE_MBUF_F_TX_VLAN) != 0) {
      EXPECT_TRUE(vlan_offloads_);
      EXPECT_EQ(rte_vlan_insert(&mbuf), 0);
    }
    const auto* bytes = rte_pktmbuf_mtod(mbuf, const std::uint8_t*);
    frames.emplace_back(bytes, bytes + rte_pktmbuf_data_len(mbuf));
    rte_pktmbuf_free(mbuf);
  }
  return frames;
}

std::vector<Bytes> Lab::exchange(const Bytes& frame, std::size_t interface) {
  put(frame, interface);
  run();
  return sent(interface);
}

std::vector<Bytes> Lab::exchange_with_headroom(const Bytes& frame, std::uint16_t headroom, std::size_t interface) {
  rte_mbuf* mbuf = buffer_of(frame, headroom);
  if (vlan_offloads_) (void)rte_vlan_strip(mbuf);  // what is not tagged stays as it is
  devices_[interface]->put(mbuf, 0);
  run();
  return sent(interface);
}

std::uint64_t Lab::drops(telemetry::Drop reason) {
  const auto at = static_cast<std::size_t>(reason);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < assembly_->workers(); ++i) sum += assembly_->worker_counters(i).drops[at].read();
  for (std::size_t i = 0; i < assembly_->proxies(); ++i) sum += assembly_->proxy_counters(i).drops[at].read();
  return sum;
}

std::uint64_t Lab::drops() {
  std::uint64_t sum = 0;
  for (std::size_t i = 1; i < telemetry::kDropReasons; ++i) sum += drops(static_cast<telemetry::Drop>(i));
  return sum;
}

Bytes from_client(test::PacketBuilder packet) { return packet.link(kGatewayMac, kOurMac).frame(); }
Bytes from_backend(test::PacketBuilder packet) { return packet.link(kBackendMac, kOurMac).frame(); }
Bytes syn(std::uint16_t port) { return from_client(ip4(kClient, kService).tcp(port, 80)); }
Bytes query(std::uint16_t port) { return from_client(ip4(kClient, kService).udp(port, 53, {1})); }

void Lab::report(const std::string& backend, lb::Health health) {
  const lb::Snapshot& now = snapshot();
  for (std::size_t i = 0; i < now.backends.size(); ++i) {
    if (now.backend_names[i] != backend) continue;
    health_.report(now.id_of(static_cast<lb::BackendIndex>(i)), {.health = health});
  }
  before_ = slot_.publish(*lb::build_snapshot(config_, health_, slot_.owner().get()));
}

void Lab::reload(const std::string& yaml) {
  auto loaded = config::load_text(yaml, "lab.yaml");
  ASSERT_TRUE(loaded.has_value()) << config::text(loaded.error());
  auto config = std::make_shared<const config::Config>(std::move(*loaded));
  before_ = slot_.publish(*lb::build_snapshot(config, health_, slot_.owner().get()));
}

std::string simple_config(const std::string& runtime) {
  return fmt::format(R"(
runtime: {{ {} }}
interfaces:
  edge: {{ device: net_null0, addresses: [198.51.100.2/24, "2001:db8:1::2/64"], gateway: [198.51.100.1, "2001:db8:1::1"] }}
neighbors:
  - {{ interface: edge, address: 198.51.100.1, mac: "02:00:00:00:ff:01" }}
  - {{ interface: edge, address: "2001:db8:1::1", mac: "02:00:00:00:ff:01" }}
  - {{ interface: edge, address: 198.51.100.11, mac: "02:00:00:00:bb:01" }}
pools:
  web: {{ backends: [ {{ name: web1, address: 198.51.100.11, port: 8080 }} ] }}
services:
  web: {{ listen: ["203.0.113.10:80/tcp", "203.0.113.10:53/udp"], forward: {{ mode: nat, pool: web }} }}
)",
                     runtime);
}

std::string edge_config(const std::string& rest, const std::string& runtime) {
  return "runtime: { " + runtime + R"( }
interfaces:
  edge: { device: net_null0, addresses: [198.51.100.2/24], gateway: 198.51.100.1 }
neighbors:
  - { interface: edge, address: 198.51.100.1, mac: "02:00:00:00:ff:01" }
  - { interface: edge, address: 198.51.100.11, mac: "02:00:00:00:bb:01" }
  - { interface: edge, address: 198.51.100.12, mac: "02:00:00:00:bb:02" }
)" + rest;
}

std::string narrow_config(const std::string& forward, const std::string& backend) {
  return R"(runtime: { workers: [0], flows: 1024 }
interfaces:
  edge: { device: net_null0, mtu: 1290, addresses: [198.51.100.2/24, "2001:db8:1::2/64"], gateway: [198.51.100.1, "2001:db8:1::1"] }
neighbors:
  - { interface: edge, address: "2001:db8:1::1", mac: "02:00:00:00:ff:01" }
  - { interface: edge, address: 198.51.100.11, mac: "02:00:00:00:bb:01" }
  - { interface: edge, address: "2001:db8:1::11", mac: "02:00:00:00:bb:01" }
pools: { web: { backends: [ { name: web1, address: ")" +
         backend + R"(" } ] } }
services: { web: { listen: "[2001:db8:5::10]:53/udp", forward: { )" +
         forward + ", pool: web } } }\n";
}

Bytes query6(std::size_t bytes) {
  Bytes data(bytes - 48);
  std::iota(data.begin(), data.end(), std::uint8_t{0});
  return from_client(ip6("2001:db8:99::7", "2001:db8:5::10").udp(40000, 53, data));
}

Bytes joined_payload(const std::vector<Bytes>& fragments) {
  Bytes out;
  std::uint32_t id = 0;
  for (std::size_t i = 0; i < fragments.size(); ++i) {
    const Bytes& frame = fragments[i];
    EXPECT_LE(frame.size(), 14u + 1290);
    const net::Parsed parsed = net::parse(frame);
    EXPECT_TRUE(parsed.ok()) << net::text_of(parsed.error);
    if (i == 0) id = parsed.fragment_id;
    EXPECT_EQ(parsed.fragment_id, id);
    const bool v4 = parsed.family == net::Family::kIp4;
    const auto field = static_cast<unsigned>(v4 ? frame[20] << 8 | frame[21] : frame[56] << 8 | frame[57]);
    EXPECT_EQ(v4 ? (field & 0x1fff) * 8 : field & 0xfff8, out.size());
    EXPECT_EQ((field & (v4 ? 0x2000 : 1)) != 0, i + 1 != fragments.size());
    if (v4) {
      EXPECT_EQ(field & 0x4000, 0u) << "DF";
    }
    out.insert(out.end(), frame.begin() + (v4 ? 34 : 62), frame.end());
  }
  return out;
}

std::uint16_t src_port_of(const Bytes& frame) { return static_cast<std::uint16_t>(frame[34] << 8 | frame[35]); }
std::uint32_t word_at(const Bytes& frame, std::size_t at) {
  return static_cast<std::uint32_t>(frame[at] << 24 | frame[at + 1] << 16 | frame[at + 2] << 8 | frame[at + 3]);
}

}  // namespace sluice::dataplane
