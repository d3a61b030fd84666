// Keys of session tickets, shared by all proxy threads, so that a client that comes back resumes on whichever it meets.
// Threading: any thread reads; rotate() is for one thread (control). Readers get an immutable set that they share.
// Ownership: shared_ptr; keys are wiped when the last reader lets go of them.
// Units:     time is handed in.
// Spec:      RFC 5077 section 4 (form of the ticket), RFC 8446 section 4.6.1 (lifetime at most 7 days).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>

#include "sluice/base/result.h"
#include "sluice/base/time.h"

namespace sluice::tls {

struct TicketKey {
  std::array<std::uint8_t, 16> name;
  std::array<std::uint8_t, 32> cipher_key;  // AES-256-CBC
  std::array<std::uint8_t, 32> mac_key;     // HMAC-SHA-256
};

struct TicketKeySet {
  TicketKey current;   // encrypts, and decrypts
  TicketKey previous;  // decrypts: tickets of the period before
  TicketKey next;      // decrypts: a thread or machine whose period began earlier

  TicketKeySet() = default;
  TicketKeySet(const TicketKeySet&) = default;
  TicketKeySet& operator=(const TicketKeySet&) = delete;
  ~TicketKeySet();  // wipes
};

class TicketKeys {
 public:
  // A ticket lives one period; its key decrypts for one more after it stopped encrypting.
  static constexpr Duration kDefaultPeriod = std::chrono::hours(12);

  // Keys from the kernel's generator.
  [[nodiscard]] static Result<std::shared_ptr<TicketKeys>> create(Instant now, Duration period = kDefaultPeriod);

  // Moves on when the period is over: next becomes current, current becomes previous. False: not yet, or the kernel had
  // no random bytes (the old keys stay, and the next call tries again).
  bool rotate(Instant now);
  [[nodiscard]] Instant next_rotation() const;

  [[nodiscard]] std::shared_ptr<const TicketKeySet> keys() const;
  [[nodiscard]] std::chrono::seconds ticket_lifetime() const noexcept;

 private:
  TicketKeys(std::shared_ptr<const TicketKeySet> keys, Instant next_rotation, Duration period) noexcept;

  const Duration period_;
  mutable std::mutex mutex_;  // held for the copy of a pointer, once a handshake
  std::shared_ptr<const TicketKeySet> keys_;
  Instant next_rotation_;
};

}  // namespace sluice::tls
