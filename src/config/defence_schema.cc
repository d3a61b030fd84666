// defence, and what services have of it: allow and deny lists, ACL rules, limits.
#include <charconv>
#include <string_view>

#include "schema.h"
#include "values.h"

namespace sluice::config {
namespace {

constexpr std::size_t kMaxRules = 4096;
constexpr std::size_t kMaxFiles = 64;
constexpr std::uint64_t kMaxRate = 1'000'000'000'000;

std::optional<std::uint16_t> take_port(std::string_view& text) noexcept {
  std::uint16_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

Codec<PortRange> ports() {
  return {[](Reader& reader, const Node& node, PortRange& out) {
    constexpr std::string_view kWanted = "a port in 0..65535, or a range such as 1024-65535";
    const std::string* found = scalar_text(reader, node, kWanted);
    if (found == nullptr) return;
    std::string_view text = *found;
    const auto first = take_port(text);
    if (!first) return reader.mismatch(node, kWanted);
    out = {*first, *first};
    if (text.empty()) return;
    if (text.front() != '-') return reader.mismatch(node, kWanted);
    text.remove_prefix(1);
    const auto last = take_port(text);
    if (!last || !text.empty() || *last < *first) return reader.mismatch(node, kWanted);
    out.last = *last;
  }};
}

const Section<AclRule>& acl_rule_section() {
  static const Section<AclRule> table =
      Section<AclRule>()
          .required("action", &AclRule::allow, one_of<bool>({{"allow", true}, {"deny", false}}))
          .optional("src", &AclRule::src, prefix())
          .optional("dst", &AclRule::dst, prefix())
          .optional("src_ports", &AclRule::src_ports, ports())
          .optional("dst_ports", &AclRule::dst_ports, ports())
          .optional("protocol", &AclRule::proto,
                    one_of<std::uint8_t>({{"icmp", 1}, {"tcp", 6}, {"udp", 17}, {"icmpv6", 58}, {"sctp", 132}}))
          .check([](Reader& reader, const Node& node, AclRule& rule) {
            if (rule.src && rule.dst && rule.src->address.is_v4() != rule.dst->address.is_v4())
              reader.error(node, "src and dst are of two families");
            const bool has_ports = rule.src_ports || rule.dst_ports;
            if (has_ports && !(rule.proto && (*rule.proto == 6 || *rule.proto == 17 || *rule.proto == 132)))
              reader.error(node, "ports need a protocol that has them: tcp, udp or sctp");
            const bool icmp4 = rule.proto == 1, icmp6 = rule.proto == 58;
            for (const auto& prefix : {rule.src, rule.dst}) {
              if (!prefix || (!icmp4 && !icmp6) || prefix->address.is_v4() == icmp4) continue;
              reader.error(node, icmp4 ? "icmp is of IPv4, and src or dst of IPv6"
                                       : "icmpv6 is of IPv6, and src or dst of IPv4");
              break;
            }
          });
  return table;
}

template <typename Owner>
void add_limits(Section<Owner>& table, Limits Owner::* member) {
  const auto rate = [member](std::uint64_t Limits::* which) {
    return [member, which](Owner& owner, std::uint64_t&& value) { owner.*member.*which = value; };
  };
  table.optional_with("packets", count<std::uint64_t>(1, kMaxRate), rate(&Limits::packets))
      .optional_with("bits", count<std::uint64_t>(1, kMaxRate), rate(&Limits::bits))
      .optional_with("flows", count<std::uint64_t>(1, kMaxRate), rate(&Limits::flows))
      .optional_with("burst", duration(1ms, 1h),
                     [member](Owner& owner, Duration&& value) { (owner.*member).burst = value; })
      .check([member](Reader& reader, const Node& node, Owner& owner) {
        const bool given = reader.given("packets") || reader.given("bits") || reader.given("flows");
        if ((owner.*member).empty() && !given) reader.error(node, "none of packets, bits, flows: this limits nothing");
      });
}

const Section<SourceLimits>& source_limits_section() {
  static const Section<SourceLimits> table = [] {
    Section<SourceLimits> out;
    add_limits(out, &SourceLimits::limits);
    out.optional("prefix4", &SourceLimits::prefix4, number<std::uint8_t>(8, 32))
        .optional("prefix6", &SourceLimits::prefix6, number<std::uint8_t>(16, 128))
        .optional("entries", &SourceLimits::entries, count(64u, 1u << 26));
    return out;
  }();
  return table;
}

struct LimitsHolder {
  Limits limits;
};

const Section<LimitsHolder>& limits_section() {
  static const Section<LimitsHolder> table = [] {
    Section<LimitsHolder> out;
    add_limits(out, &LimitsHolder::limits);
    return out;
  }();
  return table;
}

}  // namespace

Codec<std::vector<AclRule>> acl() { return list(section(acl_rule_section()), 0, kMaxRules); }

Codec<std::vector<std::string>> prefix_files() { return list(absolute_path(), 0, kMaxFiles); }

Codec<Limits> limits() {
  const Codec<LimitsHolder> holder = section(limits_section());
  return {[holder](Reader& reader, const Node& node, Limits& out) {
            LimitsHolder read;
            holder.read(reader, node, read);
            out = read.limits;
          },
          holder.list_keys};
}

const Section<Defence>& defence_schema() {
  static const Section<Defence> table =
      Section<Defence>()
          .optional_with("allow", prefix_files(),
                         [](Defence& out, std::vector<std::string>&& files) { out.access.allow = std::move(files); })
          .optional_with("deny", prefix_files(),
                         [](Defence& out, std::vector<std::string>&& files) { out.access.deny = std::move(files); })
          .optional("acl", &Defence::acl, acl())
          .optional("bogons", &Defence::bogons, boolean())
          .optional("checksums", &Defence::verify_checksums, one_of<bool>({{"device", false}, {"verify", true}}))
          .optional("source_limits", &Defence::source_limits, section(source_limits_section()));
  return table;
}

}  // namespace sluice::config
