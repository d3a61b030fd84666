#include "connection.h"

#include <algorithm>

#include "core.h"

namespace sluice::tcp {

Connection::Connection(Core& core, ConnIndex index, std::uint32_t generation) noexcept
    : index_(index), core_(&core), generation_(generation), timer_(&Core::fire, this) {}

std::span<const std::uint8_t> Connection::rx_peek() noexcept { return rx_.peek(core_->pool_); }

void Connection::rx_consume(std::size_t bytes) noexcept {
  if (bytes == 0) return;
  rx_.consume(core_->pool_, static_cast<std::uint32_t>(std::min<std::size_t>(bytes, rx_.ready())));
  if (state_ == State::kDone) {
    rx_.shrink_quota(core_->pool_, 0);
  } else {
    core_->consumed(*this);
  }
}

bool Connection::rx_ended() const noexcept { return peer_fin_ && seq_gt(rcv_nxt_, peer_fin_seq_) && rx_.ready() == 0; }

bool Connection::can_write() const noexcept { return !fin_queued_ && state_ != State::kDone; }

// How much one connection may keep: four congestion windows or two of the peer's, so that a slow peer does not make us
// hold what it cannot take soon, and no more than a sixteenth of what is left above the reserve, so that many slow readers
// together leave something to the others. A little in any case, and a block when even the reserve is half gone.
std::uint32_t Core::max_tx_blocks(const Connection& c) noexcept {
  constexpr std::uint32_t kAtFirst = 16, kAlways = 4;
  const std::uint32_t available = pool_.available();
  const std::uint32_t always = available > reserve() / 2 ? kAlways : 1;
  const std::uint32_t window = c.syn_acked() ? sending(c).congestion.window : 0;
  const std::uint32_t useful = std::max(kAtFirst, std::min(window / (kBlockSize / 4), c.snd_wnd_ / (kBlockSize / 2)));
  const std::uint32_t share = std::max(always, (available - std::min(available, reserve())) / 16);
  return std::min({useful, share, max_tx_blocks_});
}

void Core::after_write(Connection& c, bool fell_short) noexcept {
  if (fell_short) {
    c.want_write_ = true;
    // With nothing of its own on the way no acknowledgment will free a block: only others' can.
    if (pool_.available() == 0 || c.tx_.blocks() == 0) push(ListId::kStarved, c);
  }
  if (c.tx_.bytes() > 0) push(ListId::kOutput, c);
}

std::size_t Connection::write(std::span<const std::uint8_t> bytes) noexcept {
  if (!can_write() || bytes.empty()) return 0;
  const std::size_t taken = tx_.append(core_->pool_, bytes, core_->max_tx_blocks(*this));
  core_->after_write(*this, taken < bytes.size());
  return taken;
}

std::span<std::uint8_t> Connection::tx_reserve(std::size_t bytes) noexcept {
  if (!can_write() || bytes == 0) return {};
  const std::span<std::uint8_t> room = tx_.reserve(core_->pool_, bytes, core_->max_tx_blocks(*this));
  if (room.size() < std::min(bytes, TxQueue::kUsefulRoom)) core_->after_write(*this, true);
  return room;
}

void Connection::tx_commit(std::size_t bytes) noexcept {
  if (state_ == State::kDone) return;  // it ended while the reservation was open
  tx_.commit(core_->pool_, bytes);
  core_->after_write(*this, false);
}

std::size_t Connection::tx_space() const noexcept {
  return can_write() ? tx_.space(core_->pool_, core_->max_tx_blocks(*this)) : 0;
}

bool Connection::tx_drained() const noexcept { return tx_.bytes() == 0; }

// RFC 9293 section 3.10.4: the state changes at once, the FIN follows what is still to be sent.
void Connection::shutdown_write() noexcept {
  if (!can_write()) return;
  fin_queued_ = true;
  if (state_ == State::kEstablished) {
    state_ = State::kFinWait1;
  } else if (state_ == State::kCloseWait) {
    state_ = State::kLastAck;
  }
  core_->push(ListId::kOutput, *this);
}

// What the peer sends from now on is acknowledged and thrown away until the linger bound. RFC 9293 section 3.10.4
// (SHLD-2 of RFC 1122 section 4.2.2.13) would have us reset it; that destroys at the peer the answer it has not read
// yet (RFC 9112 section 9.6).
void Connection::close() noexcept {
  if (released_) return;
  released_ = true;
  handler_ = nullptr;
  core_->remove(ListId::kReady, *this);
  if (state_ == State::kDone || state_ == State::kSynSent) return core_->destroy(*this);
  rx_.clear(core_->pool_);
  shutdown_write();
  const Ticks linger = Core::ticks(core_->config_.linger);
  progress_ = core_->now_ms_;
  end_deadline_ = core_->now_ms_ + kLingerInAll * linger;
  core_->bring_forward(*this, core_->now_ms_ + linger);
}

void Connection::abort() noexcept {
  if (released_) return;
  if (state_ != State::kDone) core_->reset(*this);
  core_->destroy(*this);
}

void Connection::set_handler(StreamHandler* handler) noexcept {
  handler_ = handler;
  if (handler_ != nullptr && accepted_ && events_ != StreamEvents::kNone) core_->push(ListId::kReady, *this);
}

}  // namespace sluice::tcp
