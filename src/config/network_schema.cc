// interfaces, neighbors, routes, fragments.
#include <array>
#include <string_view>
#include <utility>

#include "schema.h"
#include "values.h"

namespace sluice::config {
namespace {

constexpr std::uint16_t kMinMtu = 68;    // RFC 791 section 3.2
constexpr std::uint16_t kMaxMtu = 9600;  // jumbo frames, as far as NICs go
constexpr std::uint16_t kMaxQueues = 64;

bool is_hex(std::string_view text, std::size_t digits) noexcept {
  if (text.size() != digits) return false;
  return text.find_first_not_of("0123456789abcdefABCDEF") == text.npos;
}

// "0000:3b:00.0" or "3b:00.0".
bool is_pci(std::string_view text) noexcept {
  if (text.size() == 12 && is_hex(text.substr(0, 4), 4) && text[4] == ':') text.remove_prefix(5);
  return text.size() == 7 && is_hex(text.substr(0, 2), 2) && text[2] == ':' && is_hex(text.substr(3, 2), 2) &&
         text[5] == '.' && text[6] >= '0' && text[6] <= '7';
}

// "net_af_xdp0,iface=veth-in,busy_budget=0": a driver of the net class with a number, then its arguments.
bool is_vdev(std::string_view text) noexcept {
  const std::string_view driver = text.substr(0, text.find(','));
  if (!driver.starts_with("net_") && !driver.starts_with("eth_")) return false;
  if (driver.size() == 4 || driver.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-", 4) != driver.npos)
    return false;
  std::string_view arguments = text.substr(driver.size());
  while (!arguments.empty()) {
    arguments.remove_prefix(1);  // the comma
    const std::string_view argument = arguments.substr(0, arguments.find(','));
    if (argument.empty() || argument.front() == '=') return false;
    arguments.remove_prefix(argument.size());
  }
  return text.find_first_of(" \t\r\n") == text.npos;
}

struct Device {
  std::string text;
  DeviceKind kind = DeviceKind::kVdev;
};

Codec<Device> device() {
  return {[](Reader& reader, const Node& node, Device& out) {
    constexpr std::string_view kWanted = "a PCI address (0000:3b:00.0) or a DPDK vdev (net_af_xdp0,iface=eth0)";
    const std::string* found = scalar_text(reader, node, kWanted);
    if (found == nullptr) return;
    if (is_pci(*found)) {
      out = {found->size() == 7 ? "0000:" + *found : *found, DeviceKind::kPci};
    } else if (is_vdev(*found)) {
      out = {*found, DeviceKind::kVdev};
    } else {
      reader.mismatch(node, kWanted);
    }
  }};
}

constexpr std::uint16_t kMaxVlan = 4094;  // 0 and 4095 are no identifiers (IEEE 802.1Q table 9-2)

// 100, or [100, 7] of two tags: the outer one first.
Codec<std::vector<std::uint16_t>> vlan() { return list(number<std::uint16_t>(1, kMaxVlan), 1, 2); }

void set_vlan(Interface& out, std::vector<std::uint16_t>&& ids) {
  out.vlan = ids[0];
  out.inner_vlan = ids.size() > 1 ? ids[1] : 0;
}

// A VLAN is a part of another interface, and what belongs to the device is said there.
void check_interface(Reader& reader, const Node& node, Interface& interface) {
  if (!interface.is_vlan()) {
    if (reader.given("vlan")) reader.error(node, "required key 'parent' is missing: which interface the VLAN is on");
    return;
  }
  if (interface.vlan == 0) reader.error(node, "required key 'vlan' is missing");
  if (reader.given("outer_tag") && interface.inner_vlan == 0)
    reader.error_in("outer_tag", "is for two tags, such as vlan: [100, 7]");
  for (const std::string_view key : {"rx_queues", "tx_queues", "rss_key", "promiscuous"}) {
    if (reader.given(key)) reader.error_in(key, "belongs to the device: say it at the parent");
  }
}

void set_gateways(Interface& out, std::vector<net::IpAddress>&& gateways) {
  for (const net::IpAddress& gateway : gateways) (gateway.is_v4() ? out.gateway4 : out.gateway6) = gateway;
}

Codec<std::vector<net::IpAddress>> gateways() {
  return {[addresses = list(address(), 1, 2)](Reader& reader, const Node& node, std::vector<net::IpAddress>& out) {
    const std::size_t errors_before = reader.error_count();
    addresses.read(reader, node, out);
    if (reader.error_count() != errors_before || out.size() < 2) return;
    if (out[0].is_v4() == out[1].is_v4())
      reader.error(node, "two gateways of one family; one for IPv4 and one for IPv6");
  }};
}

}  // namespace

const Section<Interface>& interface_schema() {
  static const Section<Interface> table =
      Section<Interface>()
          .optional_with("device", device(),
                         [](Interface& out, Device&& found) {
                           out.device = std::move(found.text);
                           out.kind = found.kind;
                         })
          .optional("parent", &Interface::parent, reference())
          .optional_with("vlan", vlan(), set_vlan)
          .optional("outer_tag", &Interface::outer_tag,
                    one_of<OuterTag>({{"802.1ad", OuterTag::k8021ad}, {"802.1q", OuterTag::k8021q}}))
          .optional("addresses", &Interface::addresses, list(prefix(), 0, 256))
          .optional_with("gateway", gateways(), set_gateways)
          .optional("mtu", &Interface::mtu, number(kMinMtu, kMaxMtu))
          .optional("rx_queues", &Interface::rx_queues, number<std::uint16_t>(1, kMaxQueues))
          .optional("tx_queues", &Interface::tx_queues, number<std::uint16_t>(1, kMaxQueues))
          .optional("rss_key", &Interface::rss_key,
                    one_of<RssKey>(
                        {{"random", RssKey::kRandom}, {"symmetric", RssKey::kSymmetric}, {"driver", RssKey::kDriver}}))
          .optional("announce", &Interface::announce, boolean())
          .optional("promiscuous", &Interface::promiscuous, boolean())
          .exactly_one({"device", "parent"})
          .check(check_interface)
          .not_yet({"bond", "mac", "accept_ra", "kernel"});
  return table;
}

const Section<Neighbor>& neighbor_schema() {
  static const Section<Neighbor> table = Section<Neighbor>()
                                             .required("interface", &Neighbor::interface, reference())
                                             .required("address", &Neighbor::address, address())
                                             .required("mac", &Neighbor::mac, mac());
  return table;
}

const Section<StaticRoute>& static_route_schema() {
  static const Section<StaticRoute> table = Section<StaticRoute>()
                                                .required("prefix", &StaticRoute::prefix, prefix())
                                                .required("via", &StaticRoute::via, address())
                                                .optional("interface", &StaticRoute::interface, reference())
                                                .not_yet({"metric", "source"});
  return table;
}

const Section<Fragments>& fragments_schema() {
  static const Section<Fragments> table = Section<Fragments>()
                                              .optional("packets", &Fragments::packets, count(16u, 1u << 20))
                                              .optional("waiting", &Fragments::waiting, count(0u, 1u << 16))
                                              // RFC 1122 section 3.3.2 has at most 120 s for those who put together.
                                              .optional("timeout", &Fragments::timeout, duration(10ms, 120s));
  return table;
}

}  // namespace sluice::config
