#include "sluice/net/syn_cookie.h"

#include "core.h"

namespace sluice::tcp {
namespace {

net::CookieTuple cookie_tuple(const FourTuple& tuple, Seq client_sequence) noexcept {
  return {.client = tuple.remote.address,
          .service = tuple.local.address,
          .client_port = tuple.remote.port,
          .service_port = tuple.local.port,
          .client_sequence = client_sequence};
}

}  // namespace

// RFC 4987 section 3.6: a cookie costs clients without timestamps their window scale and SACK, so it is kept for when too
// much is half open: at this listener, or at all of them together. Or when every block is taken, but half-open connections
// among them can give way to a client that proves itself.
bool Core::wants_cookie(const Listener& listener) const noexcept {
  return listener.half_open.size() >= listener.options.half_open || stats_.half_open >= max_half_open_ ||
         (is_full() && !listener.half_open.empty());
}

// The window is the least that a connection gets. Nothing is set aside for it: when there is no memory once the client
// comes back, what it sends is lost on the way like any segment.
void Core::send_cookie(Listener& listener, const Segment& s) noexcept {
  ++stats_.syn_cookies_sent;
  listener.last_cookie = now_ms_;
  HeaderFields fields;
  fields.seq = cookies_.make(cookie_tuple(s.tuple, s.seq), peer_mss(s), to_ms(now_));
  fields.ack = s.seq + 1;
  fields.window = kMinRxBlocks * kBlockSize;
  fields.flags = kTcpSyn | kTcpAck;
  fields.options.mss = own_mss(s.tuple);
  if (s.options.has_timestamp) {
    net::TcpOptions kept;
    kept.sack_permitted = s.options.sack_permitted;
    if (s.options.has_window_scale) {
      kept.window_scale = s.options.window_scale;
      fields.options.has_window_scale = true;
      fields.options.window_scale = rcv_shift_;
    }
    const std::uint32_t clock = now_ms_ + static_cast<std::uint32_t>(keyed(s.tuple) >> 32);
    fields.options.sack_permitted = kept.sack_permitted;
    fields.options.has_timestamp = true;
    fields.options.ts_value = net::SynCookies::timestamp_for(clock, kept);
    fields.options.ts_echo = s.options.ts_value;
  }
  send_bare(s.tuple, fields);
}

// A client that proves itself takes the place of the half-open connection that has waited longest: of a flood's none is
// ever completed, and a client's is within a round trip. No RST: it would go to an address that has perhaps never heard of
// us.
bool Core::evict_half_open(Listener& listener) noexcept {
  if (listener.half_open.empty()) return false;
  ++stats_.half_open_evicted;
  destroy(conn(listener.half_open.front()));
  return true;
}

Connection* Core::allocate_proven(Listener& listener, const FourTuple& tuple, std::uint32_t hash) noexcept {
  if (is_full() && !evict_half_open(listener)) {
    ++stats_.no_memory;
    return nullptr;
  }
  Connection* c = allocate_passive(listener, tuple, hash);
  if (c == nullptr) return nullptr;
  bool granted = grant_window(*c, true);
  while (!granted && evict_half_open(listener)) granted = grant_window(*c, true);
  if (granted) return c;
  ++stats_.no_memory;
  destroy(*c);
  return nullptr;
}

// The handshake's last segment, or, when that was lost, the first with data: both begin at the same sequence number.
bool Core::input_cookie(Listener& listener, Segment& s, std::uint32_t hash) noexcept {
  constexpr Ticks kGoodFor = 2 * net::SynCookies::kEpochMs;
  if (s.has(kTcpSyn) || !listener.last_cookie || now_ms_ - *listener.last_cookie > kGoodFor) return false;
  const std::optional<std::uint16_t> mss = cookies_.check(cookie_tuple(s.tuple, s.seq - 1), s.ack - 1, to_ms(now_));
  if (!mss) {  // data beyond the first segment may have overtaken it: what the client sends again comes in order
    ++stats_.syn_cookies_failed;
    return s.len() > 0;
  }
  if (listener.pending >= listener.options.backlog) {  // not lost: the client sends again
    ++stats_.listen_overflow;
    return true;
  }
  std::uint32_t source = 0;
  if (!admit_source(listener, s.tuple.remote.address, source)) {
    send_rst_for(s);
    return true;
  }
  Connection* c = allocate_proven(listener, s.tuple, hash);
  if (c == nullptr) {
    if (source != 0) sources_.remove(source);
    return true;
  }
  slots_[c->index_].link = source;
  ++stats_.syn_cookies_received;
  start_sequence(*c, nullptr);
  start_at(*c, s.ack - 1);
  c->snd_max_ = s.ack;
  c->irs_ = s.seq - 1;
  c->rcv_nxt_ = c->last_ack_sent_ = s.seq;
  c->rcv_adv_ = s.seq + kMinRxBlocks * kBlockSize;  // as the cookie's segment said
  Segment syn = s;
  syn.options.mss = *mss;
  if (s.options.has_timestamp) {
    const net::TcpOptions kept = net::SynCookies::options_of(s.options.ts_echo);
    syn.options.sack_permitted = kept.sack_permitted;
    syn.options.has_window_scale = kept.window_scale != net::kNoWindowScale;
    syn.options.window_scale = syn.options.has_window_scale ? kept.window_scale : 0;
    c->ts_on_ = true;
    c->sack_on_ = kept.sack_permitted;
    if (syn.options.has_window_scale) c->rcv_shift_ = rcv_shift_ & 0xf;
  }
  take_syn_options(*c, syn);
  establish(*c, s);  // without a sample of the round trip: the lower bits of the timestamp were not the clock's
  process(*c, s);
  return true;
}

}  // namespace sluice::tcp
