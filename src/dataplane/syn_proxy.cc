#include "syn_proxy.h"

#include <algorithm>

namespace sluice::dataplane {
namespace {

constexpr std::uint32_t kPeriodMs = 1000;                     // over which SYNs are counted
constexpr std::uint16_t kLeastMss4 = 536, kLeastMss6 = 1220;  // RFC 9293 section 3.7.1

net::CookieTuple tuple_of(const net::Parsed& packet, std::uint32_t client_sequence) noexcept {
  return {.client = packet.src,
          .service = packet.dst,
          .client_port = packet.src_port,
          .service_port = packet.dst_port,
          .client_sequence = client_sequence};
}

Ms after(Ms now, std::uint32_t ms) noexcept { return static_cast<Ms>(static_cast<std::uint32_t>(now) + ms); }
bool is_due(Ms due, Ms now) noexcept { return elapsed(now, due) <= 0x7fffffff; }

SipKey key_of_clock(const SipKey& secret) noexcept { return {secret[0] ^ 0x636c6f636b, secret[1]}; }

}  // namespace

SynProxy::SynProxy(const SipKey& secret, std::size_t places, std::size_t workers, telemetry::WorkerCounters& counters)
    : cookies_(secret),
      clock_offset_(static_cast<std::uint32_t>(siphash24(key_of_clock(secret), {}))),
      workers_(static_cast<std::uint32_t>(workers)),
      counters_(counters),
      entries_(places),
      waiting_(places) {
  if (places != 0) engaged_.reserve(rates_.size());
}

// On as soon as a period has seen too many, off after one that has not.
bool SynProxy::engages(lb::ServiceIndex service, const config::SynProxy& settings, Ms now) noexcept {
  if (settings.above == 0) return true;
  Rate& rate = rates_[service % rates_.size()];
  const std::uint32_t share = std::max(settings.above / workers_, 1u);
  bool engaged = rate.engaged;
  if (const std::uint32_t passed = elapsed(now, rate.since); passed >= kPeriodMs) {
    engaged = passed < 2 * kPeriodMs && rate.seen > share;
    rate.seen = 0;
    rate.since = now;
  }
  if (++rate.seen > share) engaged = true;
  if (engaged != rate.engaged) set_engaged(service, rate, engaged, now);
  return engaged;
}

void SynProxy::set_engaged(lb::ServiceIndex service, Rate& rate, bool engaged, Ms now) noexcept {
  rate.engaged = engaged;
  counters_.syn_proxy_engaged.add(engaged ? 1 : -1);
  if (!engaged) {
    std::erase(engaged_, service);
    return;
  }
  if (engaged_.empty()) look_at_ = after(now, kPeriodMs);
  engaged_.push_back(service);
}

void SynProxy::disengage_idle(Ms now) noexcept {
  if (engaged_.empty() || !is_due(look_at_, now)) return;
  look_at_ = after(now, kPeriodMs);
  for (std::size_t i = engaged_.size(); i-- > 0;) {
    Rate& rate = rates_[engaged_[i] % rates_.size()];
    if (elapsed(now, rate.since) >= 2 * kPeriodMs) set_engaged(engaged_[i], rate, false, now);
  }
}

std::optional<Ms> SynProxy::next_due(Ms now) const noexcept {
  if (first_ == kNone) return engaged_.empty() ? std::nullopt : std::optional(look_at_);
  const Ms retry = waiting_[first_].due;
  if (engaged_.empty() || is_due(retry, now)) return retry;
  return is_due(look_at_, now) || elapsed(look_at_, now) < elapsed(retry, now) ? look_at_ : retry;
}

net::TcpSegment SynProxy::answer(std::span<const std::uint8_t> frame, const net::Parsed& syn,
                                 const config::SynProxy& settings, std::uint16_t mtu, Ms now) noexcept {
  const auto& tcp = net::header_at<net::TcpHeader>(frame, syn.l4_offset);
  net::TcpOptions client = net::parse_tcp_options(frame, syn.l4_offset);
  const bool v4 = syn.family == net::Family::kIp4;
  if (client.mss == 0) client.mss = v4 ? kLeastMss4 : kLeastMss6;
  client.sack_permitted = client.sack_permitted && settings.sack;
  const std::uint32_t sequence = tcp.sequence.host();
  const std::size_t headers = (v4 ? sizeof(net::Ip4Header) : sizeof(net::Ip6Header)) + sizeof(net::TcpHeader);
  net::TcpSegment out{.src = {syn.dst, syn.dst_port},
                      .dst = {syn.src, syn.src_port},
                      .sequence = cookies_.make(tuple_of(syn, sequence), client.mss, now),
                      .acknowledgment = sequence + 1,
                      .flags = net::kTcpSyn | net::kTcpAck,
                      .window = 0,
                      .options = {.mss = settings.mss.value_or(static_cast<std::uint16_t>(mtu - headers))}};
  if (client.timestamps && settings.timestamps) {
    out.options.timestamps = true;
    out.options.timestamp = net::SynCookies::timestamp_for(static_cast<std::uint32_t>(now) + clock_offset_, client);
    out.options.timestamp_echo = client.timestamp;
    out.options.sack_permitted = client.sack_permitted;
    if (client.window_scale != net::kNoWindowScale) out.options.window_scale = settings.window_scale;
  }
  return out;
}

std::optional<SynProxy::Entry> SynProxy::check(std::span<const std::uint8_t> frame, const net::Parsed& ack,
                                               const config::SynProxy& settings, Ms now) noexcept {
  const auto& tcp = net::header_at<net::TcpHeader>(frame, ack.l4_offset);
  const std::uint32_t cookie = tcp.acknowledgment.host() - 1;
  // A probe of the window that we closed has the number before (RFC 9293 section 3.8.6.1): the first ACK was lost.
  for (const std::uint32_t sequence : {tcp.sequence.host() - 1, tcp.sequence.host()}) {
    const std::optional<std::uint16_t> mss = cookies_.check(tuple_of(ack, sequence), cookie, now);
    if (!mss) continue;
    Entry entry{
        .shift = {.sequence = cookie}, .client_sequence = sequence, .client_window = tcp.window.host(), .mss = *mss};
    const net::TcpOptions said = net::parse_tcp_options(frame, ack.l4_offset);
    if (!said.timestamps || !settings.timestamps) return entry;
    const net::TcpOptions kept = net::SynCookies::options_of(said.timestamp_echo);
    entry.shift.timestamp = said.timestamp_echo;
    entry.client_timestamp = said.timestamp;
    entry.client_scale = kept.window_scale;
    if (kept.window_scale != net::kNoWindowScale) entry.offered_scale = settings.window_scale;
    entry.sack_permitted = kept.sack_permitted;
    entry.timestamps = true;
    return entry;
  }
  return std::nullopt;
}

void SynProxy::begin(std::size_t place, const Entry& entry, Ms now) noexcept {
  entries_[place] = entry;
  end_wait(place);  // of a flow that was here before, and has ended
  wait_again({.place = place, .tries = 0}, now);
}

void SynProxy::wait_again(const Retry& sent, Ms now) noexcept {
  const auto place = static_cast<std::uint32_t>(sent.place);
  waiting_[place] = {
      .before = last_, .after = kNone, .due = after(now, kRetryMs), .tries = static_cast<std::uint8_t>(sent.tries + 1)};
  (last_ == kNone ? first_ : waiting_[last_].after) = place;
  last_ = place;
}

void SynProxy::end_wait(std::size_t place) noexcept {
  Waiting& entry = waiting_[place];
  if (entry.tries == 0) return;
  (entry.before == kNone ? first_ : waiting_[entry.before].after) = entry.after;
  (entry.after == kNone ? last_ : waiting_[entry.after].before) = entry.before;
  entry.tries = 0;
}

std::optional<SynProxy::Retry> SynProxy::take_due(Ms now) noexcept {
  if (first_ == kNone || !is_due(waiting_[first_].due, now)) return std::nullopt;
  const Retry due{.place = first_, .tries = waiting_[first_].tries};
  end_wait(first_);
  return due;
}

net::TcpSegment SynProxy::opening(const Entry& entry) noexcept {
  return {.src = {},
          .dst = {},
          .sequence = entry.client_sequence,
          .acknowledgment = 0,
          .flags = net::kTcpSyn,
          .window = entry.client_window,
          .options = {.mss = entry.mss,
                      .window_scale = entry.client_scale,
                      .sack_permitted = entry.sack_permitted,
                      .timestamps = entry.timestamps,
                      .timestamp = entry.client_timestamp,
                      .timestamp_echo = 0}};
}

void SynProxy::join(Entry& entry, const net::TcpOptions& backend, std::uint32_t sequence) noexcept {
  entry.joined = true;
  entry.shift.sequence -= sequence;
  entry.shift.timestamp = backend.timestamps ? entry.shift.timestamp - backend.timestamp : 0;
  const bool scaled = backend.window_scale != net::kNoWindowScale;  // only where the client does it too
  if (entry.offered_scale != net::kNoWindowScale) {
    entry.shift.to_client = static_cast<std::int8_t>((scaled ? backend.window_scale : 0) - entry.offered_scale);
    entry.shift.to_backend = static_cast<std::int8_t>(scaled ? 0 : entry.client_scale);
  }
}

}  // namespace sluice::dataplane
