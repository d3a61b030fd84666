// services: where they listen, and layer 4 (`forward`). Layer 7 (`proxy`) is in proxy_schema.cc.
#include <charconv>
#include <string_view>
#include <utility>

#include "schema.h"
#include "values.h"

namespace sluice::config {
namespace {

constexpr std::size_t kMaxListen = 256;

constexpr std::string_view kListenShape =
    "'address:port', 'address:port/udp', '/sctp' or '/quic', an IPv6 address in brackets";

bool is_port(std::string_view text) noexcept {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 1 && value <= 65535;
}

bool is_bracketed(std::string_view host) noexcept {
  return host.size() > 2 && host.front() == '[' && host.back() == ']';
}

// 192.0.2.1:80, [2001:db8::1]:80; a prefix 192.0.2.0/28:80, 2001:db8::/64:80 or [2001:db8::/64]:80; `*` for every port.
std::optional<Listen> parse_listen(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos) return std::nullopt;
  const std::string_view port = text.substr(colon + 1);
  std::string_view host = text.substr(0, colon);
  Listen out;
  if (port != "*") {
    if (!is_port(port) && port != "*") return std::nullopt;
    std::from_chars(port.data(), port.data() + port.size(), out.endpoint.port);
  }
  const bool bracketed = is_bracketed(host);
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.find('/') != host.npos) {
    const auto prefix = net::Prefix::parse(host);
    if (!prefix || (bracketed && prefix->address.is_v4())) return std::nullopt;
    out.endpoint.address = prefix->address;
    if (prefix->length != (prefix->address.is_v4() ? 32 : 128)) out.prefix = prefix->length;
    return out;
  }
  const auto address = net::IpAddress::parse(host);
  if (!address || address->is_v4() == bracketed) return std::nullopt;
  out.endpoint.address = *address;
  return out;
}

// What is wrong with "address:port": the nearest reason, for a text that parse_listen() refused or that means "any".
std::string listen_problem(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  const std::string_view host = text.substr(0, colon);
  if (net::IpAddress::parse(text))
    return fmt::format("{} has no port, or an IPv6 address is not in brackets", quote(text));
  if (colon == text.npos) return fmt::format("{} is not {}", quote(text), kListenShape);
  const std::string_view port = text.substr(colon + 1);
  if (host.empty() || host == "*") return "listening on every address is not supported yet; name the address";
  const std::string_view inner = is_bracketed(host) ? host.substr(1, host.size() - 2) : host;
  if (inner.find('/') != inner.npos && !net::Prefix::parse(inner))
    return fmt::format("{} is not a prefix such as 192.0.2.0/28 or 2001:db8::/64", quote(inner));
  if (inner.find('/') == inner.npos && !net::IpAddress::parse(inner))
    return fmt::format("{} is not an IPv4 address or an IPv6 address in brackets", quote(host));
  if (!is_port(port)) return fmt::format("port {} is not in 1..65535", printable(port));
  return fmt::format("{} is not {}", quote(text), kListenShape);
}

Codec<Listen> listen() {
  return {[](Reader& reader, const Node& node, Listen& out) {
    const std::string* found = scalar_text(reader, node, kListenShape);
    if (found == nullptr) return;
    std::string_view text = *found;
    net::IpProto proto = net::IpProto::kTcp;
    bool quic = false;
    // A slash of a prefix has a colon behind it.
    if (const std::size_t slash = text.rfind('/'); slash != text.npos && text.find(':', slash) == text.npos) {
      const std::string_view word = text.substr(slash + 1);
      if (word == "icmp") return reader.error(node, "ICMP has no ports; echo is 'icmp' of a service with 'forward'");
      if (word != "tcp" && word != "udp" && word != "sctp" && word != "quic")
        return reader.error(node, fmt::format("protocol {} is not one of tcp, udp, sctp, quic", quote(word)));
      quic = word == "quic";
      if (word == "udp" || quic) proto = net::IpProto::kUdp;
      if (word == "sctp") proto = net::IpProto::kSctp;
      text = text.substr(0, slash);
    }
    const auto parsed = parse_listen(text);
    if (!parsed) return reader.error(node, listen_problem(text));
    const net::IpAddress& first = parsed->endpoint.address;
    if (first.is_unspecified() || first == net::IpAddress::v4(Be32(0))) {
      return reader.error(node, "listening on every address is not supported yet; name the address");
    }
    out = *parsed;
    out.proto = proto;
    out.quic = quic;
  }};
}

const Section<FlowTimeouts>& flow_timeouts_schema() {
  static const Section<FlowTimeouts> table =
      Section<FlowTimeouts>()
          .optional("established", &FlowTimeouts::established, duration(1s, 24h * 30))
          .optional("opening", &FlowTimeouts::opening, duration(1s, 1h))
          .optional("closing", &FlowTimeouts::closing, duration(1s, 1h))
          .optional("udp", &FlowTimeouts::udp, duration(1s, 24h))
          .optional("sctp", &FlowTimeouts::sctp, duration(1s, 24h * 30));
  return table;
}

// 10.0.0.1, or 172.16.0.0/16: one address, or as many as the prefix leaves free.
Codec<net::Prefix> address_or_prefix() {
  return {[](Reader& reader, const Node& node, net::Prefix& out) {
    constexpr std::string_view kWanted = "an address such as 192.0.2.1, or a prefix such as 172.16.0.0/16";
    const std::string* found = scalar_text(reader, node, kWanted);
    if (found == nullptr) return;
    if (const auto one = net::IpAddress::parse(*found)) {
      out = {*one, static_cast<std::uint8_t>(one->is_v4() ? 32 : 128)};
      return;
    }
    const auto prefix = net::Prefix::parse(*found);
    if (!prefix) return reader.mismatch(node, kWanted);
    out = *prefix;
  }};
}

Codec<std::uint16_t> mss() {
  return {[](Reader& reader, const Node& node, std::uint16_t& out) {
    constexpr std::string_view kWanted = "auto or a number in 536..9560";
    const std::string* found = scalar_text(reader, node, kWanted);
    if (found == nullptr) return;
    if (*found == "auto") {
      out = kMssAuto;
      return;
    }
    const auto [end, error] = std::from_chars(found->data(), found->data() + found->size(), out);
    if (error != std::errc() || end != found->data() + found->size() || out < 536 || out > 9560)
      reader.mismatch(node, kWanted);
  }};
}

const Section<Outer>& outer_schema() {
  static const Section<Outer> table = Section<Outer>()
                                          .optional("source", &Outer::source, list(address_or_prefix(), 1, 2))
                                          .optional("ttl", &Outer::ttl, number<std::uint8_t>(1, 255));
  return table;
}

const Section<Gue>& gue_schema() {
  static const Section<Gue> table = Section<Gue>()
                                        .optional("port", &Gue::port, port())
                                        .optional("variant", &Gue::variant, number<std::uint8_t>(0, 1));
  return table;
}

const Section<Vxlan>& vxlan_schema() {
  static const Section<Vxlan> table = Section<Vxlan>()
                                          .required("vni", &Vxlan::vni, number(0u, 0xffffffu))
                                          .optional("port", &Vxlan::port, port())
                                          .optional("mac", &Vxlan::mac, mac());
  return table;
}

// Keys that say something about a mode which is not this service's.
void check_mode_keys(Reader& reader, const Node& node, ForwardService& forward) {
  const auto only = [&](std::string_view key, bool meant, std::string_view modes) {
    if (reader.given(key) && !meant) reader.error_in(key, fmt::format("has a meaning in mode {} only", modes));
  };
  only("source", takes_port(forward.mode), "nat");
  only("outer", has_tunnel(forward.mode), "ipip, gre, gue, vxlan or esp");
  only("gue", forward.mode == ForwardMode::kGue, "gue");
  only("vxlan", forward.mode == ForwardMode::kVxlan, "vxlan");
  if (forward.mode == ForwardMode::kVxlan && !reader.given("vxlan"))
    reader.error(node, "mode vxlan needs 'vxlan: { vni: ... }'");
}

const Section<ForwardService>& forward_schema() {
  static const Section<ForwardService> table =
      Section<ForwardService>()
          .required("mode", &ForwardService::mode,
                    one_of<ForwardMode>({{"nat", ForwardMode::kNat},
                                         {"dnat", ForwardMode::kDnat},
                                         {"dsr", ForwardMode::kDsr},
                                         {"ipip", ForwardMode::kIpIp},
                                         {"gre", ForwardMode::kGre},
                                         {"gue", ForwardMode::kGue},
                                         {"vxlan", ForwardMode::kVxlan},
                                         {"esp", ForwardMode::kEsp}}))
          .required("pool", &ForwardService::pool, reference())
          .optional("source", &ForwardService::source, list(address(), 1, 64))
          .optional("icmp", &ForwardService::icmp,
                    one_of<EchoTo>({{"answer", EchoTo::kAnswer}, {"forward", EchoTo::kForward}}))
          .optional("timeouts", &ForwardService::timeouts, section(flow_timeouts_schema()))
          .optional("on_down", &ForwardService::on_down,
                    one_of<OnDown>({{"keep", OnDown::kKeep}, {"reset", OnDown::kReset}, {"rehash", OnDown::kRehash}}))
          .optional("persist", &ForwardService::persist, duration(1s, 24h * 30))
          .optional("one_packet", &ForwardService::one_packet, boolean())
          .optional("mss", &ForwardService::mss, mss())
          .optional("outer", &ForwardService::outer, section(outer_schema()))
          .optional("gue", &ForwardService::gue, section(gue_schema()))
          .optional("vxlan", &ForwardService::vxlan, section(vxlan_schema()))
          .check(check_mode_keys);
  return table;
}

const Section<SynProxy>& syn_proxy_section() {
  static const Section<SynProxy> table =
      Section<SynProxy>()
          .required("above", &SynProxy::above, count(0u, 1'000'000'000u))
          .optional("mss", &SynProxy::mss, number<std::uint16_t>(536, 9560))
          .optional("window_scale", &SynProxy::window_scale, number<std::uint8_t>(0, 14))
          .optional("sack", &SynProxy::sack, boolean())
          .optional("timestamps", &SynProxy::timestamps, boolean())
          .check([](Reader& reader, const Node&, SynProxy& settings) {
            if (reader.given("window_scale") && !settings.timestamps)
              reader.error_in("window_scale",
                              "has no meaning without timestamps, which carry what clients said of theirs");
          });
  return table;
}

// `always`, or a mapping.
Codec<SynProxy> syn_proxy() {
  const Codec<SynProxy> mapping = section(syn_proxy_section());
  return {[mapping](Reader& reader, const Node& node, SynProxy& out) {
            if (node.is_scalar() && node.scalar == "always") return;
            if (node.is_scalar()) return reader.mismatch(node, "always, or a mapping with the key above");
            mapping.read(reader, node, out);
          },
          mapping.list_keys};
}

}  // namespace

const Section<Service>& service_schema() {
  static const Section<Service> table =
      Section<Service>()
          .required("listen", &Service::listen, list(listen(), 1, kMaxListen))
          .optional("announce", &Service::announce, list(reference(), 1, 64))
          .optional_with("allow", prefix_files(),
                         [](Service& out, std::vector<std::string>&& files) { out.access.allow = std::move(files); })
          .optional_with("deny", prefix_files(),
                         [](Service& out, std::vector<std::string>&& files) { out.access.deny = std::move(files); })
          .optional("acl", &Service::acl, acl())
          .optional("limits", &Service::limits, limits())
          .optional("syn_proxy", &Service::syn_proxy, syn_proxy())
          .optional("forward", &Service::forward, section(forward_schema()))
          .optional("proxy", &Service::proxy, section(proxy_schema()))
          .exactly_one({"forward", "proxy"})
          .not_yet({"on_no_backend", "proxy_protocol"});
  return table;
}

}  // namespace sluice::config
