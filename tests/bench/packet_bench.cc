#include "packet_bench.h"

#include <rte_mbuf.h>

#include "sluice/net/tcp_options.h"
#include "sluice/net/vlan.h"

namespace sluice::bench {
namespace {

constexpr std::uint32_t kFirstClient = 0x64400000;  // 100.64.0.0/10, and below 2001:db8:c::/48: routed by the gateway
constexpr std::uint16_t kServicePort = 80;
constexpr net::VlanTags kTag{.ids = {100, 0}};

net::IpAddress address6(std::uint16_t net, std::uint32_t host) {
  return net::IpAddress::v6({0x20, 0x01, 0x0d, 0xb8, static_cast<std::uint8_t>(net >> 8),
                             static_cast<std::uint8_t>(net), 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(host >> 24),
                             static_cast<std::uint8_t>(host >> 16), static_cast<std::uint8_t>(host >> 8),
                             static_cast<std::uint8_t>(host)});
}

// The addresses of one side of the bench, in the family at hand.
struct Addresses {
  bool ipv6;
  [[nodiscard]] net::IpAddress of(std::uint16_t net6, std::uint32_t ip4, std::uint32_t host) const {
    return ipv6 ? address6(net6, host) : net::IpAddress::v4(Be32(ip4 + host));
  }
  [[nodiscard]] net::IpAddress own() const { return of(2, 0xc6330000, 2); }  // 198.51.0.2
  [[nodiscard]] net::IpAddress gateway() const { return of(2, 0xc6330000, 1); }
  [[nodiscard]] net::IpAddress backend(std::size_t n) const {
    return of(2, 0xc6330000, 256 + static_cast<std::uint32_t>(n));
  }
  [[nodiscard]] net::IpAddress service(std::size_t n) const {
    return of(3, 0xcb000000, 256 + static_cast<std::uint32_t>(n));
  }  // 203.0.1.0
  [[nodiscard]] net::IpAddress client(std::uint32_t n) const { return of(0xc, kFirstClient, n); }
};

std::string yaml(const Setup& setup) {
  const Addresses at{setup.ipv6};
  const std::string_view bits = setup.ipv6 ? "64" : "16";
  std::string out = fmt::format(
      "runtime: {{ workers: [0], flows: {}, hugepages: auto }}\n"
      "interfaces:\n{}addresses: [\"{}/{}\"], gateway: \"{}\" }}\n"
      "neighbors:\n  - {{ interface: edge, address: \"{}\", mac: \"{}\" }}\n",
      setup.flows,
      setup.tags == Tags::kNone ? "  edge: { device: net_null0, "
                                : "  wire: { device: net_null0 }\n  edge: { parent: wire, vlan: 100, ",
      at.own().text(), bits, at.gateway().text(), at.gateway().text(), kGateway.text());
  std::string backends, services;
  for (std::size_t i = 0; i < setup.backends; ++i) {
    const std::string address = at.backend(i).text();
    out += fmt::format("  - {{ interface: edge, address: \"{}\", mac: \"02:00:00:02:{:02x}:{:02x}\" }}\n", address,
                       i / 256, i % 256);
    backends += fmt::format("      - {{ name: web{}, address: \"{}\", port: {} }}\n", i, address, kServicePort);
  }
  for (std::size_t i = 0; i < setup.services; ++i) {
    services += fmt::format("  web{}: {{ listen: \"{}\", {}forward: {{ mode: {}, pool: web }} }}\n", i,
                            net::Endpoint{at.service(i), kServicePort}.text(),
                            setup.syn_proxy ? "syn_proxy: always, " : "", setup.mode);
  }
  return out + "pools:\n  web:\n    backends:\n" + backends + "services:\n" + services;
}

// Headers for a frame of kPacketBytes. The checksum of TCP is any: forwarding only changes it.
void write_packet(rte_mbuf* mbuf, const net::Endpoint& src, const net::Endpoint& dst, std::uint8_t flags) {
  mbuf->data_off = RTE_PKTMBUF_HEADROOM;
  mbuf->data_len = kPacketBytes;
  mbuf->pkt_len = kPacketBytes;
  mbuf->ol_flags = 0;
  const std::span<std::uint8_t> frame(rte_pktmbuf_mtod(mbuf, std::uint8_t*), kPacketBytes);
  const bool v4 = src.address.is_v4();
  constexpr std::size_t kL3 = sizeof(net::EthernetHeader);
  net::header_at<net::EthernetHeader>(frame, 0) = {
      kOurs, kGateway, Be16(static_cast<std::uint16_t>(v4 ? net::EtherType::kIp4 : net::EtherType::kIp6))};
  std::size_t l4 = kL3;
  if (v4) {
    auto& ip = net::header_at<net::Ip4Header>(frame, kL3);
    ip = {.version_ihl = 0x45,
          .dscp_ecn = 0,
          .total_len = Be16(kPacketBytes - kL3),
          .id = Be16(std::uint16_t{1}),
          .fragment = Be16(net::kIp4DontFragment),
          .ttl = 64,
          .proto = static_cast<std::uint8_t>(net::IpProto::kTcp),
          .checksum = {},
          .src = src.address.v4(),
          .dst = dst.address.v4()};
    ip.checksum = net::checksum(frame.subspan(kL3, sizeof(ip)));
    l4 += sizeof(ip);
  } else {
    auto& ip = net::header_at<net::Ip6Header>(frame, kL3);
    ip = {.version_class_flow = Be32(0x60000000u),
          .payload_len = Be16(kPacketBytes - kL3 - sizeof(ip)),
          .next_header = static_cast<std::uint8_t>(net::IpProto::kTcp),
          .hop_limit = 64,
          .src = src.address.bytes(),
          .dst = dst.address.bytes()};
    l4 += sizeof(ip);
  }
  net::header_at<net::TcpHeader>(frame, l4) = {.src_port = Be16(src.port),
                                               .dst_port = Be16(dst.port),
                                               .sequence = Be32(1u),
                                               .acknowledgment = Be32(1u),
                                               .data_offset = 0x50,
                                               .flags = flags,
                                               .window = Be16(std::uint16_t{0xffff}),
                                               .checksum = Be16(std::uint16_t{0x1234}),
                                               .urgent = {}};
}

// Makes a packet of write_packet() the SYN of a Linux client: 20 bytes of options and no data.
void make_linux_syn(rte_mbuf* mbuf, bool ipv6, std::uint32_t timestamp) {
  constexpr std::size_t kL3 = sizeof(net::EthernetHeader);
  const std::size_t l4 = kL3 + (ipv6 ? sizeof(net::Ip6Header) : sizeof(net::Ip4Header));
  const std::span<std::uint8_t> frame(rte_pktmbuf_mtod(mbuf, std::uint8_t*), kPacketBytes);
  auto& tcp = net::header_at<net::TcpHeader>(frame, l4);
  const std::size_t options = net::write_tcp_options(
      frame.data() + l4 + sizeof(tcp),
      {.mss = 1460, .window_scale = 7, .sack_permitted = true, .timestamps = true, .timestamp = timestamp});
  const std::size_t tcp_len = sizeof(tcp) + options;
  tcp.data_offset = static_cast<std::uint8_t>(tcp_len / 4 << 4);
  tcp.sequence = Be32(timestamp * 2654435761u);
  if (ipv6) {
    net::header_at<net::Ip6Header>(frame, kL3).payload_len = Be16(static_cast<std::uint16_t>(tcp_len));
  } else {
    auto& ip = net::header_at<net::Ip4Header>(frame, kL3);
    ip.total_len = Be16(static_cast<std::uint16_t>(sizeof(ip) + tcp_len));
    ip.checksum = {};
    ip.checksum = net::checksum(frame.subspan(kL3, sizeof(ip)));
  }
  mbuf->data_len = static_cast<std::uint16_t>(l4 + tcp_len);
  mbuf->pkt_len = mbuf->data_len;
}

}  // namespace

PacketBench::PacketBench(const dpdk::Mempool& pool, const Setup& setup)
    : setup_(setup), replies_(setup.mode == "nat"), device_(setup.tags == Tags::kByDevice) {
  auto config = config::load_text(yaml(setup), "bench_l4");
  if (!config) die(config::text(config.error()));
  config_ = std::move(*config);
  topology_ = std::make_unique<dataplane::Topology>(config_, std::vector(config_.interfaces.size(), kOurs));
  (void)slot_.publish(must(lb::build_snapshot(std::make_shared<const config::Config>(config_), health_, nullptr)));
  std::vector<dpdk::Device*> devices(config_.interfaces.size());
  devices[0] = &device_;  // a VLAN, the second, has none
  assembly_ = must(dataplane::Assembly::create({.config = config_,
                                                .topology = *topology_,
                                                .devices = devices,
                                                .pool = pool,
                                                .snapshots = slot_,
                                                .ports = ports_,
                                                .secret = {kSeed, ~kSeed},
                                                .seed = kSeed,
                                                .announce = false}));
  for (std::size_t i = 0; i < kBatch; ++i) device_.batch.push_back(pool.alloc());
}

PacketBench::~PacketBench() {
  assembly_.reset();
  rte_pktmbuf_free_bulk(device_.batch.data(), static_cast<unsigned>(device_.batch.size()));
}

std::size_t PacketBench::room() const {
  const auto& counters = assembly_->worker_counters(0);
  return static_cast<std::size_t>(counters.flow_capacity.read() - counters.flows.read());
}

double PacketBench::load() const {
  const auto& counters = assembly_->worker_counters(0);
  return static_cast<double>(counters.flows.read()) / static_cast<double>(counters.flow_capacity.read()) *
         lb::FlowTable::kLoad;
}

PacketBench::Flow PacketBench::next_flow() {
  const auto number = static_cast<std::uint32_t>(flows_.size());
  return {.client = number / 50,
          .client_port = static_cast<std::uint16_t>(1024 + number % 50 * 1000 + random_.below(1000)),
          .nat_port = 0,
          .backend = 0};
}

void PacketBench::prepare(std::size_t index, const Flow& flow, bool reply, std::uint8_t flags) {
  const Addresses at{setup_.ipv6};
  if (reply) {
    write_packet(device_.batch[index], {at.backend(flow.backend), kServicePort}, {at.own(), flow.nat_port}, flags);
  } else {
    write_packet(device_.batch[index], {at.client(flow.client), flow.client_port}, {at.service(0), kServicePort},
                 flags);
  }
  tag(device_.batch[index]);
}

// As the device gives it: with the tag in the frame, or beside it.
void PacketBench::tag(rte_mbuf* mbuf) const {
  if (setup_.tags == Tags::kInSoftware) {
    auto* room = reinterpret_cast<std::uint8_t*>(rte_pktmbuf_prepend(mbuf, sizeof(net::VlanTag)));
    net::insert_tags({room, mbuf->data_len}, kTag);
  } else if (setup_.tags == Tags::kByDevice) {
    mbuf->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
    mbuf->vlan_tci = kTag.ids.outer;
  }
}

void PacketBench::run_batch() {
  device_.given = device_.taken = 0;
  // A turn of the loop as the daemon makes it, clock included.
  while (device_.given < device_.batch.size()) (void)assembly_->loops()[0]->turn(dataplane::monotonic_now());
  if (device_.taken == device_.batch.size()) return;
  die(fmt::format("{} packets went in and {} came out", device_.batch.size(), device_.taken));
}

// The backend and the NAT port, off the SYN that came out.
void PacketBench::learn_reply(std::size_t index, Flow& flow) const {
  const auto* frame = rte_pktmbuf_mtod(device_.batch[index], const std::uint8_t*);
  const net::Parsed sent = net::parse({frame, device_.batch[index]->data_len});
  flow.nat_port = sent.src_port;
  const auto& bytes = sent.dst.bytes();
  flow.backend = static_cast<std::uint16_t>((bytes[14] << 8 | bytes[15]) - 256);
}

void PacketBench::open_flows(std::size_t count) {
  flows_.reserve(count);
  while (flows_.size() < count) {
    const std::size_t first = flows_.size();
    const std::size_t many = std::min(kBatch, count - first);
    for (std::size_t i = 0; i < kBatch; ++i) {
      if (i < many) flows_.push_back(next_flow());
      prepare(i, flows_[first + i % many], false, net::kTcpSyn);
    }
    run_batch();
    if (replies_) {
      for (std::size_t i = 0; i < many; ++i) learn_reply(i, flows_[first + i]);
    }
    for (const bool reply : {true, false, false}) {
      if (reply && !replies_) continue;
      for (std::size_t i = 0; i < kBatch; ++i) {
        const std::uint8_t flags = reply ? net::kTcpSyn | net::kTcpAck : net::kTcpAck;
        prepare(i, flows_[first + i % many], reply, flags);
      }
      run_batch();
    }
  }
}

void PacketBench::prepare_random() {
  for (std::size_t i = 0; i < kBatch; ++i) {
    const Flow& flow = flows_[random_.below(static_cast<std::uint32_t>(flows_.size()))];
    prepare(i, flow, replies_ && (random_.next() & 1) != 0, net::kTcpAck);
  }
}

double PacketBench::measure() {
  prepare_random();
  const double before = cpu_ns();
  run_batch();
  return cpu_ns() - before;
}

double PacketBench::measure_new() {
  for (std::size_t i = 0; i < kBatch; ++i) {
    flows_.push_back(next_flow());
    prepare(i, flows_.back(), false, net::kTcpSyn);
  }
  const double before = cpu_ns();
  run_batch();
  return cpu_ns() - before;
}

double PacketBench::measure_cookies() {
  for (std::size_t i = 0; i < kBatch; ++i) {
    const Flow client{.client = random_.below(1u << 21),
                      .client_port = static_cast<std::uint16_t>(1024 + random_.below(60'000)),
                      .nat_port = 0,
                      .backend = 0};
    prepare(i, client, false, net::kTcpSyn);
    make_linux_syn(device_.batch[i], setup_.ipv6, static_cast<std::uint32_t>(random_.next()));
  }
  const std::uint64_t answered = counters().syn_cookies_sent.read();
  const double before = cpu_ns();
  run_batch();
  const double spent = cpu_ns() - before;
  if (counters().syn_cookies_sent.read() - answered != kBatch) die("a SYN was not answered with a cookie");
  return spent;
}

double PacketBench::measure_floor() {
  prepare_random();
  std::array<rte_mbuf*, 32> burst;
  device_.given = device_.taken = 0;
  const double before = cpu_ns();
  for (std::size_t count = device_.receive(0, burst); count > 0; count = device_.receive(0, burst)) {
    for (std::size_t i = 0; i < count; ++i) rte_prefetch0(rte_pktmbuf_mtod(burst[i], void*));
    for (std::size_t i = 0; i < count; ++i) {
      auto& ethernet = *rte_pktmbuf_mtod(burst[i], net::EthernetHeader*);
      std::swap(ethernet.src, ethernet.dst);
    }
    (void)device_.send(0, std::span(burst).first(count));
  }
  return cpu_ns() - before;
}

}  // namespace sluice::bench
