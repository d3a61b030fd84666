#include "pipeline.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <unordered_map>

#include <fmt/format.h>

#include "sluice/config/load.h"
#include "sluice/dataplane/assembly.h"
#include "sluice/dataplane/memory_device.h"
#include "sluice/dpdk/pcap_file.h"
#include "sluice/lb/build_snapshot.h"
#include "sluice/lb/health_board.h"
#include "sluice/lb/port_plan.h"
#include "sluice/lb/snapshot_slot.h"
#include "sluice/net/encapsulate.h"
#include "sluice/net/esp.h"
#include "sluice/telemetry/counters.h"

namespace sluice::fuzz {

namespace {

using telemetry::Drop;

constexpr std::uint8_t kCanary = 0xa5;
// More than an input takes: the pool gives what was freed last of all, so that no mbuf comes twice in a run.
constexpr std::uint32_t kMbufs = 2047;
constexpr int kMaxTurns = 256;  // at one instant; what roles hand to one another settles long before

std::uint16_t get16(const std::uint8_t* at) { return static_cast<std::uint16_t>(at[0] << 8 | at[1]); }
void set16(std::uint8_t* at, std::uint32_t value) {
  at[0] = static_cast<std::uint8_t>(value >> 8);
  at[1] = static_cast<std::uint8_t>(value);
}
std::uint32_t get32(const std::uint8_t* at) { return std::uint32_t{get16(at)} << 16 | get16(at + 2); }
void set32(std::uint8_t* at, std::uint32_t value) {
  set16(at, value >> 16);
  set16(at + 2, value);
}

std::uint32_t sum(std::uint32_t start, const std::uint8_t* data, std::size_t size) {
  for (std::size_t i = 0; i + 1 < size; i += 2) start += get16(data + i);
  if (size % 2 != 0) start += std::uint32_t{data[size - 1]} << 8;
  return start;
}
std::uint16_t fold(std::uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

// Where things stand in a frame that may be damaged in any way: nothing of net is used, whose reading is under test.
struct Layout {
  std::size_t ip = 0, l4 = 0, end = 0;
  bool v4 = false;
  std::uint8_t proto = 0;
};
std::optional<Layout> layout_of(const Bytes& frame) {
  Layout at{.ip = 14};
  while (frame.size() >= at.ip + 4 && (get16(&frame[at.ip - 2]) == 0x8100 || get16(&frame[at.ip - 2]) == 0x88a8))
    at.ip += 4;
  if (frame.size() < at.ip + 20) return std::nullopt;
  const std::uint8_t* ip = &frame[at.ip];
  at.v4 = ip[0] >> 4 == 4;
  if (!at.v4 && (ip[0] >> 4 != 6 || frame.size() < at.ip + 40)) return std::nullopt;
  at.l4 = at.ip + (at.v4 ? (ip[0] & 15u) * 4u : 40u);
  at.end = std::min(frame.size(), at.ip + (at.v4 ? get16(ip + 2) : get16(ip + 4) + 40u));
  at.proto = at.v4 ? ip[9] : ip[6];
  if (at.l4 < at.ip + 20 || at.end < at.l4) return std::nullopt;
  return at;
}

void fix_checksums(Bytes& frame) {
  const std::optional<Layout> at = layout_of(frame);
  if (!at) return;
  std::uint8_t* ip = &frame[at->ip];
  if (at->v4) {
    set16(ip + 10, 0);
    set16(ip + 10, fold(sum(0, ip, at->l4 - at->ip)));
  }
  const std::size_t bytes = at->end - at->l4;
  std::size_t field = 0;
  if (at->proto == 6) field = 16;
  if (at->proto == 17) field = 6;
  if (at->proto == 1 || at->proto == 58) field = 2;
  if (field == 0 || bytes < field + 2) return;
  std::uint8_t* l4 = &frame[at->l4];
  std::uint32_t start = 0;
  if (at->proto != 1) {
    start = at->v4 ? sum(0, ip + 12, 8) : sum(0, ip + 8, 32);
    start += static_cast<std::uint32_t>(bytes) + at->proto;
  }
  set16(l4 + field, 0);
  const std::uint16_t value = fold(sum(start, l4, bytes));
  set16(l4 + field, value == 0 && at->proto == 17 ? 0xffff : value);
}

void swap_bytes(std::uint8_t* one, std::uint8_t* other, std::size_t count) {
  std::swap_ranges(one, one + count, other);
}

// What the receiver of a frame answers, as far as anybody looks at it.
Bytes reply_to(Bytes frame) {
  if (frame.size() < 14) return frame;
  swap_bytes(&frame[0], &frame[6], 6);
  const std::optional<Layout> at = layout_of(frame);
  if (!at) return frame;
  std::uint8_t* ip = &frame[at->ip];
  if (at->v4) {
    swap_bytes(ip + 12, ip + 16, 4);
    ip[8] = 64;
  } else {
    swap_bytes(ip + 8, ip + 24, 16);
    ip[7] = 64;
  }
  const bool ports = at->proto == 6 || at->proto == 17 || at->proto == 132;
  if (!ports || at->end < at->l4 + 8) return frame;
  std::uint8_t* l4 = &frame[at->l4];
  swap_bytes(l4, l4 + 2, 2);
  if (at->proto != 6 || at->end < at->l4 + 20) return frame;
  const std::uint32_t sequence = get32(l4 + 4), acknowledgment = get32(l4 + 8);
  const bool opens = (l4[13] & 0x12) == 0x02;
  if (opens) l4[13] |= 0x10;
  set32(l4 + 8, sequence + ((l4[13] & 3) != 0 ? 1 : 0));
  set32(l4 + 4, opens ? 0x1000 : acknowledgment);
  return frame;
}

Bytes error_about(const Bytes& frame, std::uint8_t type, std::uint8_t code) {
  const std::optional<Layout> at = layout_of(frame);
  if (!at) return frame;
  Bytes out(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(at->ip));
  swap_bytes(&out[0], &out[6], 6);
  const std::size_t quoted = std::min<std::size_t>(at->end - at->ip, 200), header = at->v4 ? 20 : 40;
  const std::uint8_t* ip = &frame[at->ip];
  out.resize(at->ip + header + 8);
  std::uint8_t* made = &out[at->ip];
  if (at->v4) {
    made[0] = 0x45;
    set16(made + 2, static_cast<std::uint32_t>(header + 8 + quoted));
    made[8] = 64;
    made[9] = 1;
    std::memcpy(made + 12, ip + 16, 4);
    std::memcpy(made + 16, ip + 12, 4);
  } else {
    made[0] = 0x60;
    set16(made + 4, static_cast<std::uint32_t>(8 + quoted));
    made[6] = 58;
    made[7] = 64;
    std::memcpy(made + 8, ip + 24, 16);
    std::memcpy(made + 24, ip + 8, 16);
  }
  made[header] = type;
  made[header + 1] = code;
  set16(made + header + 6, 1280);  // of a packet that was too big
  out.insert(out.end(), ip, ip + quoted);
  return out;
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Stays the same as configurations come and go.
std::uint16_t name_of(const std::string& text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
  return static_cast<std::uint16_t>(hash >> 48);
}

}  // namespace

// What all runs of one configuration share.
class Pipeline::Setup {
 public:
  explicit Setup(const std::string& yaml) {
    auto loaded = config::load_text(yaml, "golden.yaml");
    if (!loaded) throw std::runtime_error(config::text(loaded.error()));
    if (loaded->runtime.workers.size() == 1) loaded->runtime.workers = {0, 1};
    loaded->runtime.flows = std::min<std::uint32_t>(loaded->runtime.flows, 1024);
    config_ = std::make_shared<const config::Config>(std::move(*loaded));
    for (std::size_t i = 0; i < config_->interfaces.size(); ++i) {
      macs_.push_back({{2, 0, 0, 0, 0, static_cast<std::uint8_t>(i + 1)}});
    }
    topology_.emplace(*config_, macs_);
    ports_.emplace(config_->runtime.workers.size(), config_->runtime.proxies.size());
    const auto first = *lb::build_snapshot(config_, health_, nullptr);
    for (std::size_t i = 0; i < first->backends.size(); ++i) {
      health_.report(first->id_of(static_cast<lb::BackendIndex>(i)), {.health = lb::Health::kUp});
    }
    (void)slot_.publish(*lb::build_snapshot(config_, health_, first.get()));
  }

  std::shared_ptr<const config::Config> config_;
  std::vector<net::MacAddress> macs_;
  std::optional<dataplane::Topology> topology_;
  std::optional<lb::PortPlan> ports_;
  lb::HealthBoard health_;
  lb::SnapshotSlot slot_;
};

// One input, from an empty flow table to an empty pool.
class Pipeline::Run {
 public:
  Run(const Setup& setup, dpdk::Mempool& pool) : pool_(pool) {
    std::vector<dpdk::Device*> devices;
    for (std::size_t i = 0; i < setup.macs_.size(); ++i) {
      const bool vlan = setup.config_->interfaces[i].is_vlan();
      devices_.push_back(vlan ? nullptr : std::make_unique<dataplane::MemoryDevice>(setup.macs_[i], kQueues));
      devices.push_back(devices_.back().get());
      if (!vlan) ports_.push_back(devices.back());
    }
    auto made = dataplane::Assembly::create({.config = *setup.config_,
                                             .topology = *setup.topology_,
                                             .devices = devices,
                                             .pool = pool,
                                             .snapshots = setup.slot_,
                                             .ports = *setup.ports_,
                                             .secret = {1, ~std::uint64_t{1}},  // as replay has it
                                             .seed = 1,
                                             .announce = false});
    if (!made) throw std::runtime_error(made.error().message);
    assembly_ = std::move(*made);
  }

  std::string input(const Input& input);

 private:
  static constexpr std::uint16_t kQueues = 2;
  struct Sent {
    Bytes frame;
    std::size_t port;
  };
  struct Put {
    std::size_t end;  // of its bytes in the buffer; the canary begins here
    bool sent = false;
  };

  void put(const Bytes& frame, std::uint8_t head, std::size_t port);
  void act(const Record& record);
  void settle();
  void pass(Duration time);
  void take_sent();
  void check_canaries(const rte_mbuf* mbuf, const Put& put);
  void check_balance();
  [[nodiscard]] std::uint64_t dropped(Drop reason) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < assembly_->workers(); ++i) {
      sum += assembly_->worker_counters(i).drops[static_cast<std::size_t>(reason)].read();
    }
    return sum;
  }
  void violated(std::string what) {
    if (violation_.empty()) violation_ = std::move(what);
  }

  dpdk::Mempool& pool_;
  std::vector<std::unique_ptr<dataplane::MemoryDevice>> devices_;
  std::vector<dpdk::Device*> ports_;  // those that are not VLANs
  std::unique_ptr<dataplane::Assembly> assembly_;
  std::unordered_map<const rte_mbuf*, Put> put_;
  std::size_t put_count_ = 0, sent_count_ = 0;
  std::vector<Sent> sent_;
  Instant now_{std::chrono::hours(1)};
  std::string violation_;
};

void Pipeline::Run::put(const Bytes& frame, std::uint8_t head, std::size_t port) {
  rte_mbuf* mbuf = pool_.alloc();
  if (mbuf == nullptr) return violated("the pool is empty");
  if (frame.size() > rte_pktmbuf_tailroom(mbuf)) return rte_pktmbuf_free(mbuf);
  std::ranges::copy(frame, rte_pktmbuf_append(mbuf, static_cast<std::uint16_t>(frame.size())));
  if ((head & Record::kBadChecksum) != 0) mbuf->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_BAD;
  auto* buffer = static_cast<std::uint8_t*>(mbuf->buf_addr);
  const std::size_t begin = mbuf->data_off, end = begin + frame.size();
  std::memset(buffer, kCanary, begin);
  std::memset(buffer + end, kCanary, mbuf->buf_len - end);
  if (!put_.try_emplace(mbuf, Put{.end = end}).second) violated("an mbuf that was put in came out of the pool again");
  ++put_count_;
  static_cast<dataplane::MemoryDevice*>(ports_[port])->put(mbuf, (head & Record::kSecondQueue) != 0 ? 1 : 0);
}

void Pipeline::Run::act(const Record& record) {
  const auto byte = [&](std::size_t at) { return at < record.body.size() ? record.body[at] : std::uint8_t{0}; };
  const std::size_t number = byte(0) | static_cast<std::size_t>(byte(1)) << 8;
  Bytes frame = record.body;
  std::size_t port = (record.head >> Record::kInterfaceShift) % ports_.size();
  if (record.kind() == Record::kTime) {
    settle();
    return pass(std::chrono::milliseconds(number));
  }
  if (record.kind() != Record::kRaw) {
    settle();
    if (sent_.empty()) return;
    const Sent& about = sent_[sent_.size() - 1 - number % sent_.size()];
    port = about.port;
    frame = record.kind() == Record::kReply ? reply_to(about.frame) : error_about(about.frame, byte(2), byte(3));
    for (std::size_t i = 3; record.kind() == Record::kReply && i + 1 < record.body.size() && !frame.empty(); i += 2) {
      frame[record.body[i] % frame.size()] = record.body[i + 1];
    }
  }
  if ((record.head & Record::kFixChecksums) != 0) fix_checksums(frame);
  put(frame, record.head, port);
  if ((record.head & Record::kSameBurst) == 0) settle();
}

void Pipeline::Run::settle() {
  bool worked = true;
  for (int turn = 0; worked && turn < kMaxTurns; ++turn) {
    worked = false;
    for (const auto& loop : assembly_->loops()) worked |= loop->turn(now_);
    take_sent();
  }
  if (worked) violated("the loops do not come to rest");
}

// Stops at every deadline on the way.
void Pipeline::Run::pass(Duration time) {
  const Instant end = now_ + time;
  while (const std::optional<Instant> deadline = assembly_->next_deadline()) {
    if (*deadline >= end) break;
    now_ = std::max(now_ + Duration(1), *deadline);
    settle();
  }
  now_ = std::max(now_, end);
  settle();
}

void Pipeline::Run::take_sent() {
  for (std::size_t port = 0; port < ports_.size(); ++port) {
    for (rte_mbuf* mbuf : static_cast<dataplane::MemoryDevice*>(ports_[port])->take_sent()) {
      if (const auto found = put_.find(mbuf); found != put_.end()) {
        if (std::exchange(found->second.sent, true)) violated("a packet was sent twice");
        ++sent_count_;
        check_canaries(mbuf, found->second);
      }
      if (mbuf->nb_segs == 1) {
        const auto* bytes = rte_pktmbuf_mtod(mbuf, const std::uint8_t*);
        if (mbuf->data_len != mbuf->pkt_len) violated("the length of a packet is not that of its bytes");
        sent_.push_back({Bytes(bytes, bytes + mbuf->data_len), port});
      }
      rte_pktmbuf_free(mbuf);
    }
  }
}

void Pipeline::Run::check_canaries(const rte_mbuf* mbuf, const Put& put) {
  const auto* buffer = static_cast<const std::uint8_t*>(mbuf->buf_addr);
  const auto lost = [](std::uint8_t byte) { return byte != kCanary; };
  const std::size_t end = std::max<std::size_t>(put.end, std::size_t{mbuf->data_off} + mbuf->data_len);
  if (std::any_of(buffer + end, buffer + mbuf->buf_len, lost)) violated("bytes behind the packet were written");
  // A tunnel's header is written as a whole room that ends where the packet's IP header begins, or the header of ESP does.
  constexpr std::size_t kUntouched =
      RTE_PKTMBUF_HEADROOM + 14 - net::EncapsulationHeader::kRoom - sizeof(net::EspHeader);
  const std::size_t begin = std::min<std::size_t>(mbuf->data_off, kUntouched);
  if (const auto* at = std::find_if(buffer, buffer + begin, lost); at != buffer + begin) {
    violated(fmt::format("bytes in front of the packet were written: {} of {}", at - buffer, begin));
  }
}

void Pipeline::Run::check_balance() {
  constexpr std::uint64_t kMaxPieces = 64;  // of a packet that is cut: a buffer holds no more
  std::uint64_t drops = 0, messages = 0, own_may_drop = 0, cut = 0;
  for (std::size_t reason = 1; reason < telemetry::kDropReasons; ++reason) drops += dropped(static_cast<Drop>(reason));
  for (std::size_t i = 0; i < assembly_->workers(); ++i) {
    const telemetry::WorkerCounters& counters = assembly_->worker_counters(i);
    messages += counters.arp_in.read() + counters.nd_in.read();
    cut += counters.packets_cut.read();
    own_may_drop += counters.syn_cookies_taken.read() * 2 + counters.syn_proxy_retries.read();
  }
  // Of messages for the host some are dropped, and of the drops some were never taken for a message.
  const std::uint64_t bad = dropped(Drop::kBadArp) + dropped(Drop::kBadNeighborDiscovery) + dropped(Drop::kArpNotForUs);
  const std::uint64_t ends = sent_count_ + drops + cut;
  own_may_drop += cut * kMaxPieces;  // its pieces, one by one
  if (ends + messages < put_count_ || ends + messages > put_count_ + own_may_drop + bad) {
    violated(fmt::format("{} packets in: {} sent, {} dropped, {} messages", put_count_, sent_count_, drops, messages));
  }
  if (pool_.in_use() != 0) violated(fmt::format("{} mbufs are not back in the pool", pool_.in_use()));
  for (const auto& [mbuf, put] : put_) {  // the others were written over on their way: by who took them for an answer
    if (put.sent) continue;
    const auto* buffer = static_cast<const std::uint8_t*>(mbuf->buf_addr);
    if (std::any_of(buffer + std::max<std::size_t>(put.end, 512), buffer + mbuf->buf_len,
                    [](std::uint8_t byte) { return byte != kCanary; })) {
      violated("bytes behind a dropped packet were written");
    }
  }
}

std::string Pipeline::Run::input(const Input& input) {
  for (const Record& record : input.records) act(record);
  for (int second = 0; second < 12; ++second) pass(std::chrono::seconds(1));  // whoever waits has given up by then
  check_balance();
  return violation_;
}

class Pipeline::Impl {
 public:
  explicit Impl(const std::string& golden)
      : pool_(*dpdk::Mempool::create({.name = "fuzz", .mbufs = kMbufs, .cache = 0, .mtu = 1600})) {
    for (const auto& folder : std::filesystem::directory_iterator(golden)) {
      if (!std::filesystem::exists(folder.path() / "sluice.yaml")) continue;
      const std::string yaml = read_text(folder.path() / "sluice.yaml");
      const auto loaded = config::load_text(yaml, "golden.yaml");
      if (!loaded || !loaded->runtime.proxies.empty()) continue;
      texts_.try_emplace(name_of(yaml), yaml);
      cases_.push_back(folder.path());
    }
    std::ranges::sort(cases_);
    if (texts_.empty()) throw std::runtime_error("no golden cases in " + golden);
  }

  const Setup& setup(std::uint16_t name) {
    auto at = texts_.find(name);
    if (at == texts_.end()) at = std::next(texts_.begin(), static_cast<std::ptrdiff_t>(name % texts_.size()));
    std::unique_ptr<Setup>& made = setups_[at->first];
    if (!made) made = std::make_unique<Setup>(at->second);
    return *made;
  }

  dpdk::Mempool pool_;
  std::map<std::uint16_t, std::string> texts_;
  std::map<std::uint16_t, std::unique_ptr<Setup>> setups_;
  std::vector<std::filesystem::path> cases_;
};

Pipeline::Pipeline(const std::string& golden) : impl_(std::make_unique<Impl>(golden)) {}
Pipeline::~Pipeline() = default;

std::string Pipeline::run(std::span<const std::uint8_t> input) {
  const Input decoded = decode(input);
  return Run(impl_->setup(decoded.config), impl_->pool_).input(decoded);
}

std::vector<Seed> Pipeline::seeds() const {
  std::vector<Seed> out;
  for (const std::filesystem::path& folder : impl_->cases_) {
    const std::string yaml = read_text(folder / "sluice.yaml");
    const auto config = config::load_text(yaml, "golden.yaml");
    Input input{.config = name_of(yaml), .records = {}};
    std::multimap<std::int64_t, Record> packets;  // by time; of one time as they stand in the files
    std::uint8_t port = 0;
    for (const config::Interface& interface : config->interfaces) {
      if (interface.is_vlan()) continue;
      const auto capture = dpdk::read_pcap(folder / ("in_" + interface.name + ".pcap"));
      for (const dpdk::CapturedPacket& packet : capture.value_or(std::vector<dpdk::CapturedPacket>{})) {
        packets.emplace(packet.at_ns, Record{static_cast<std::uint8_t>(port << Record::kInterfaceShift), packet.bytes});
      }
      ++port;
    }
    for (auto& [at_ns, record] : packets) input.records.push_back(std::move(record));
    out.push_back({folder.filename(), encode(input)});
    Input answered{.config = input.config, .records = {}};
    for (const Record& record : input.records) {
      answered.records.push_back(record);
      answered.records.push_back({Record::kReply | Record::kFixChecksums, {0, 0, 0}});
      answered.records.push_back({Record::kError | Record::kFixChecksums, {1, 0, 3, 4}});
    }
    out.push_back({folder.filename().string() + "_answered", encode(answered)});
  }
  return out;
}

}  // namespace sluice::fuzz
