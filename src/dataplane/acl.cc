#include "acl.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include <fmt/format.h>
#include <rte_acl.h>

namespace sluice::dataplane {
namespace {

// What rte_acl reads of a packet: network byte order, in words of 4 bytes but for the protocol, which it wants first.
struct Key4 {
  std::uint8_t proto = 0;
  std::array<std::uint8_t, 3> unused{};
  std::uint32_t src = 0, dst = 0;
  Be16 src_port{}, dst_port{};
};
struct Key6 {
  std::uint8_t proto = 0;
  std::array<std::uint8_t, 3> unused{};
  std::array<std::uint8_t, 16> src{}, dst{};
  Be16 src_port{}, dst_port{};
};
static_assert(sizeof(Key4) == 16 && sizeof(Key6) == 40);

// Protocol; source and destination in words; ports.
template <std::size_t kWords>
constexpr std::size_t kFields = 1 + 2 * kWords + 2;
constexpr std::size_t kWords4 = 1, kWords6 = 4;

template <std::size_t kWords>
std::array<rte_acl_field_def, kFields<kWords>> layout() {
  std::array<rte_acl_field_def, kFields<kWords>> out{};
  out[0] = {.type = RTE_ACL_FIELD_TYPE_BITMASK, .size = 1, .field_index = 0, .input_index = 0, .offset = 0};
  for (std::uint8_t i = 1; i <= 2 * kWords; ++i) {
    out[i] = {.type = RTE_ACL_FIELD_TYPE_MASK, .size = 4, .field_index = i, .input_index = i, .offset = i * 4u};
  }
  constexpr std::uint8_t kPorts = 1 + 2 * kWords;
  for (std::uint8_t i = 0; i < 2; ++i) {  // both ports are one word of input
    out[kPorts + i] = {.type = RTE_ACL_FIELD_TYPE_RANGE,
                       .size = 2,
                       .field_index = static_cast<std::uint8_t>(kPorts + i),
                       .input_index = kPorts,
                       .offset = kPorts * 4u + i * 2u};
  }
  return out;
}

RTE_ACL_RULE_DEF(Rule4, kFields<kWords4>);
RTE_ACL_RULE_DEF(Rule6, kFields<kWords6>);

void put_prefix(rte_acl_field* fields, std::size_t words, const std::optional<net::Prefix>& prefix) {
  if (!prefix) return;  // 0 bits of 0
  const auto& bytes = prefix->address.bytes();
  for (std::size_t i = 0; i < words; ++i) {
    Be32 word;
    std::memcpy(&word, bytes.data() + (words == 1 ? 12 : i * 4), 4);
    fields[i].value.u32 = word.host();
    const int bits = prefix->length - static_cast<int>(i) * 32;
    fields[i].mask_range.u32 = static_cast<std::uint32_t>(std::clamp(bits, 0, 32));
  }
}

template <typename RuleOf, std::size_t kWords>
RuleOf rule_of(const config::AclRule& from, std::size_t number) {
  RuleOf out{};
  out.data.category_mask = 1;
  out.data.priority = static_cast<std::int32_t>(RTE_ACL_MAX_PRIORITY - number);
  out.data.userdata = from.allow ? 2 : 1;
  if (from.proto) {
    out.field[0].value.u8 = *from.proto;
    out.field[0].mask_range.u8 = 0xff;
  }
  put_prefix(&out.field[1], kWords, from.src);
  put_prefix(&out.field[1 + kWords], kWords, from.dst);
  const std::size_t ports = 1 + 2 * kWords;
  const config::PortRange src = from.src_ports.value_or(config::PortRange{});
  const config::PortRange dst = from.dst_ports.value_or(config::PortRange{});
  out.field[ports].value.u16 = src.first;
  out.field[ports].mask_range.u16 = src.last;
  out.field[ports + 1].value.u16 = dst.first;
  out.field[ports + 1].mask_range.u16 = dst.last;
  return out;
}

bool is_of(const config::AclRule& rule, bool v4) noexcept {
  const std::optional<net::Prefix>& named = rule.src ? rule.src : rule.dst;
  return !named || named->address.is_v4() == v4;
}

template <typename RuleOf, std::size_t kWords>
Result<rte_acl_ctx*> build(std::span<const config::AclRule> rules, const std::string& name) {
  std::vector<RuleOf> made;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (is_of(rules[i], kWords == kWords4)) made.push_back(rule_of<RuleOf, kWords>(rules[i], i));
  }
  if (made.empty()) return nullptr;
  const rte_acl_param parameters{.name = name.c_str(),
                                 .socket_id = -1,
                                 .rule_size = RTE_ACL_RULE_SZ(kFields<kWords>),
                                 .max_rule_num = static_cast<std::uint32_t>(made.size())};
  rte_acl_ctx* context = rte_acl_create(&parameters);
  if (context == nullptr) return fail(fmt::format("no memory for {} ACL rules (raise runtime.memory)", made.size()));
  rte_acl_config config{};
  config.num_categories = 1;
  config.num_fields = kFields<kWords>;
  const auto fields = layout<kWords>();
  std::ranges::copy(fields, config.defs);
  const auto* first = reinterpret_cast<const rte_acl_rule*>(made.data());
  if (rte_acl_add_rules(context, first, static_cast<std::uint32_t>(made.size())) != 0 ||
      rte_acl_build(context, &config) != 0) {
    rte_acl_free(context);
    return fail(fmt::format("{} ACL rules cannot be built (raise runtime.memory)", made.size()));
  }
  return context;
}

bool passes(const rte_acl_ctx* context, const void* key) noexcept {
  const auto* data = static_cast<const std::uint8_t*>(key);
  std::uint32_t result = 0;
  return rte_acl_classify(context, &data, &result, 1, 1) != 0 || result != 1;
}

}  // namespace

void Acl::Free::operator()(rte_acl_ctx* context) const noexcept { rte_acl_free(context); }

Result<Acl> Acl::create(std::span<const config::AclRule> rules, const std::string& name) {
  Acl out;
  auto ip4 = build<Rule4, kWords4>(rules, name + "4");
  if (!ip4) return std::unexpected(ip4.error());
  out.ip4_.reset(*ip4);
  auto ip6 = build<Rule6, kWords6>(rules, name + "6");
  if (!ip6) return std::unexpected(ip6.error());
  out.ip6_.reset(*ip6);
  return out;
}

bool Acl::allows(const net::Parsed& packet) const noexcept {
  const bool v4 = packet.family == net::Family::kIp4;
  const Context& context = v4 ? ip4_ : ip6_;
  if (context == nullptr) return true;
  if (v4) {
    const Key4 key{.proto = static_cast<std::uint8_t>(packet.proto),
                   .src = packet.src.v4().raw(),
                   .dst = packet.dst.v4().raw(),
                   .src_port = Be16(packet.src_port),
                   .dst_port = Be16(packet.dst_port)};
    return passes(context.get(), &key);
  }
  const Key6 key{.proto = static_cast<std::uint8_t>(packet.proto),
                 .src = packet.src.bytes(),
                 .dst = packet.dst.bytes(),
                 .src_port = Be16(packet.src_port),
                 .dst_port = Be16(packet.dst_port)};
  return passes(context.get(), &key);
}

}  // namespace sluice::dataplane
