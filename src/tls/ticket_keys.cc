#include "sluice/tls/ticket_keys.h"

#include <cstddef>
#include <type_traits>
#include <utility>

#include <openssl/crypto.h>
#include <sys/random.h>

namespace sluice::tls {
namespace {

// RFC 8446 section 4.6.1: at most seven days.
constexpr std::chrono::seconds kMaxLifetime = std::chrono::days(7);

bool make_key(TicketKey& key) noexcept {
  static_assert(std::is_trivially_copyable_v<TicketKey> &&
                sizeof(TicketKey) <= 256);  // getrandom() gives that much whole
  return ::getrandom(&key, sizeof key, 0) == static_cast<ssize_t>(sizeof key);
}

}  // namespace

TicketKeySet::~TicketKeySet() {
  OPENSSL_cleanse(&current, sizeof current);
  OPENSSL_cleanse(&previous, sizeof previous);
  OPENSSL_cleanse(&next, sizeof next);
}

TicketKeys::TicketKeys(std::shared_ptr<const TicketKeySet> keys, Instant next_rotation, Duration period) noexcept
    : period_(period), keys_(std::move(keys)), next_rotation_(next_rotation) {}

Result<std::shared_ptr<TicketKeys>> TicketKeys::create(Instant now, Duration period) {
  if (period < std::chrono::seconds(1)) return fail("tls: the period of ticket keys is below one second");
  auto keys = std::make_shared<TicketKeySet>();
  if (!make_key(keys->current) || !make_key(keys->previous) || !make_key(keys->next)) {
    return fail("tls: the kernel gives no random bytes for ticket keys");
  }
  return std::shared_ptr<TicketKeys>(new TicketKeys(std::move(keys), now + period, period));
}

bool TicketKeys::rotate(Instant now) {
  const std::shared_ptr<const TicketKeySet> old = keys();
  const Instant due = next_rotation();
  if (now < due) return false;
  auto moved = std::make_shared<TicketKeySet>();
  moved->current = old->next;
  // After a pause of two periods and more the old key has outlived every ticket that it made.
  if (now < due + period_) {
    moved->previous = old->current;
  } else if (!make_key(moved->previous)) {
    return false;
  }
  if (!make_key(moved->next)) return false;
  const std::lock_guard lock(mutex_);
  keys_ = std::move(moved);
  next_rotation_ = now < due + period_ ? due + period_ : now + period_;
  return true;
}

Instant TicketKeys::next_rotation() const {
  const std::lock_guard lock(mutex_);
  return next_rotation_;
}

std::shared_ptr<const TicketKeySet> TicketKeys::keys() const {
  const std::lock_guard lock(mutex_);
  return keys_;
}

std::chrono::seconds TicketKeys::ticket_lifetime() const noexcept {
  return std::min(std::chrono::duration_cast<std::chrono::seconds>(period_), kMaxLifetime);
}

}  // namespace sluice::tls
