#include "conn_bio.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace sluice::tls {
namespace {

ConnIo& io_of(BIO* bio) noexcept { return *static_cast<ConnIo*>(BIO_get_data(bio)); }

int bio_write(BIO* bio, const char* data, std::size_t bytes, std::size_t* written) noexcept {
  BIO_clear_retry_flags(bio);
  const bool done = io_of(bio).write({reinterpret_cast<const std::uint8_t*>(data), bytes});
  *written = done ? bytes : 0;
  return done ? 1 : 0;
}

// The end of the peer's direction also reads as "nothing now": the session looks at rx_ended() itself, because to
// libssl it would be a fatal error, and ours is to be a truncation that the reader may judge.
int bio_read(BIO* bio, char* data, std::size_t bytes, std::size_t* read) noexcept {
  BIO_clear_retry_flags(bio);
  *read = io_of(bio).read({reinterpret_cast<std::uint8_t*>(data), bytes});
  if (*read != 0 || bytes == 0) return 1;
  BIO_set_retry_read(bio);
  return 0;
}

long bio_ctrl(BIO* bio, int command, long /*number*/, void* /*pointer*/) noexcept {
  switch (command) {
    case BIO_CTRL_FLUSH:  // the stack sends at the end of the turn
      return 1;
    case BIO_CTRL_WPENDING:
      return io_of(bio).spilt() ? 1 : 0;
    default:
      return 0;
  }
}

}  // namespace

bool ConnIo::write(std::span<const std::uint8_t> bytes) noexcept {
  const std::size_t taken = spilt() ? 0 : conn_.write(bytes);
  bytes = bytes.subspan(taken);
  if (bytes.empty()) return true;
  const std::size_t total = spill_bytes_ + bytes.size();
  if (total > kMaxSpill) return false;
  std::unique_ptr<std::uint8_t[]> grown(new (std::nothrow) std::uint8_t[total]);
  if (grown == nullptr) return false;
  if (spill_bytes_ != 0) std::memcpy(grown.get(), spill_.get() + spill_at_, spill_bytes_);
  std::memcpy(grown.get() + spill_bytes_, bytes.data(), bytes.size());
  spill_ = std::move(grown);
  spill_at_ = 0;
  spill_bytes_ = total;
  return true;
}

std::size_t ConnIo::read(std::span<std::uint8_t> into) noexcept {
  std::size_t got = 0;
  while (got < into.size()) {
    const std::span<const std::uint8_t> piece = conn_.rx_peek();
    if (piece.empty()) break;
    const std::size_t bytes = std::min(piece.size(), into.size() - got);
    std::memcpy(into.data() + got, piece.data(), bytes);
    conn_.rx_consume(bytes);
    got += bytes;
  }
  return got;
}

void ConnIo::discard() noexcept {
  for (auto piece = conn_.rx_peek(); !piece.empty(); piece = conn_.rx_peek()) conn_.rx_consume(piece.size());
}

bool ConnIo::flush() noexcept {
  if (spill_bytes_ == 0) return true;
  const std::size_t taken = conn_.write({spill_.get() + spill_at_, spill_bytes_});
  spill_at_ += taken;
  spill_bytes_ -= taken;
  if (spill_bytes_ != 0) return false;
  spill_.reset();
  spill_at_ = 0;
  return true;
}

BioMethodPtr make_conn_bio_method() noexcept {
  BioMethodPtr method(BIO_meth_new(BIO_TYPE_SOURCE_SINK, "tcp::Conn"));
  if (method == nullptr) return nullptr;
  BIO_meth_set_write_ex(method.get(), bio_write);
  BIO_meth_set_read_ex(method.get(), bio_read);
  BIO_meth_set_ctrl(method.get(), bio_ctrl);
  return method;
}

BioPtr make_conn_bio(OSSL_LIB_CTX* context, const BIO_METHOD* method, ConnIo& io) noexcept {
  BioPtr bio(BIO_new_ex(context, method));
  if (bio == nullptr) return nullptr;
  BIO_set_data(bio.get(), &io);
  BIO_set_init(bio.get(), 1);
  return bio;
}

}  // namespace sluice::tls
