#include "sluice/esp/gcm.h"

#include <algorithm>
#include <cstring>

#include "manager.h"
#include "sluice/esp/key_ledger.h"

namespace sluice::esp {

namespace {

constexpr const char* kNoAes = "this CPU has no AES instructions, which mode esp needs";

}  // namespace

Result<Manager> make_manager(std::uint64_t flags) {
  Manager manager(alloc_mb_mgr(flags));
  if (manager == nullptr && imb_get_errno(nullptr) != IMB_ERR_NO_AESNI_EMU) return fail("no memory for ipsec-mb");
  if (manager == nullptr) return fail(kNoAes);
  IMB_ARCH arch = IMB_ARCH_NONE;
  init_mb_mgr_auto(manager.get(), &arch);
  if (arch == IMB_ARCH_NONE || arch == IMB_ARCH_NOAESNI || imb_get_errno(manager.get()) != 0) {
    return fail(kNoAes);
  }
  return manager;
}

// Its vector loads want 16-byte alignment, which the type asks for only with -DLINUX.
struct alignas(64) GcmKey::Expanded {
  gcm_key_data data{};
  std::uint32_t key_bytes = 0;
};

GcmKey::GcmKey() : expanded_(std::make_unique<Expanded>()) {}
GcmKey::~GcmKey() { imb_clear_mem(expanded_.get(), sizeof(Expanded)); }

Result<std::shared_ptr<const GcmKey>> GcmKey::expand(std::span<const std::uint8_t> material) {
  const Result<Manager> manager = make_manager();
  if (!manager) return std::unexpected(manager.error());
  std::shared_ptr<GcmKey> key(new GcmKey);
  const std::size_t key_bytes = material.size() - kSaltBytes;
  key->expanded_->key_bytes = static_cast<std::uint32_t>(key_bytes);
  if (key_bytes == IMB_KEY_128_BYTES) {
    IMB_AES128_GCM_PRE(manager->get(), material.data(), &key->expanded_->data);
  } else {
    IMB_AES256_GCM_PRE(manager->get(), material.data(), &key->expanded_->data);
  }
  std::ranges::copy(material.last(kSaltBytes), key->salt_.begin());
  return key;
}

Result<Fingerprint> fingerprint(std::span<const std::uint8_t> material) {
  const Result<Manager> manager = make_manager();
  if (!manager) return std::unexpected(manager.error());
  Fingerprint out{};
  IMB_SHA256(manager->get(), material.data(), material.size(), out.data());
  return out;
}

struct GcmEngine::Impl {
  Manager manager;

  void run(std::span<GcmMessage> messages, IMB_CIPHER_DIRECTION direction) noexcept;
};

// AES-GCM jobs are done when they are submitted, in order: no out-of-order queue stands behind them. A job's fields that do
// not change from packet to packet are written all the same: the ring of jobs is the manager's.
void GcmEngine::Impl::run(std::span<GcmMessage> messages, IMB_CIPHER_DIRECTION direction) noexcept {
  IMB_JOB* jobs[kMaxBurst];
  const auto count = static_cast<std::uint32_t>(messages.size());
  if (count == 0) return;
  while (IMB_GET_NEXT_BURST(manager.get(), count, jobs) < count) {  // the ring ends: what is in it is done
    IMB_FLUSH_BURST(manager.get(), count, jobs);
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    GcmMessage& message = messages[i];
    const GcmKey::Expanded& key = *message.key->expanded_;
    IMB_JOB& job = *jobs[i];
    job.enc_keys = job.dec_keys = &key.data;
    job.key_len_in_bytes = key.key_bytes;
    job.src = job.dst = message.text;
    job.cipher_start_src_offset_in_bytes = job.hash_start_src_offset_in_bytes = 0;
    job.msg_len_to_cipher_in_bytes = job.msg_len_to_hash_in_bytes = message.text_bytes;
    job.iv = message.nonce.data();
    job.iv_len_in_bytes = kNonceBytes;
    job.auth_tag_output = message.tag;
    job.auth_tag_output_len_in_bytes = kTagBytes;
    job.u.GCM.aad = message.aad.data();
    job.u.GCM.aad_len_in_bytes = message.aad_bytes;
    job.cipher_mode = IMB_CIPHER_GCM;
    job.cipher_direction = direction;
    job.hash_alg = IMB_AUTH_AES_GMAC;
    job.chain_order = direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
  }
  IMB_SUBMIT_BURST_NOCHECK(manager.get(), count, jobs);
}

GcmEngine::GcmEngine(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
GcmEngine::~GcmEngine() = default;
GcmEngine::GcmEngine(GcmEngine&&) noexcept = default;
GcmEngine& GcmEngine::operator=(GcmEngine&&) noexcept = default;

Result<GcmEngine> GcmEngine::create() {
  Result<Manager> manager = make_manager();
  if (!manager) return std::unexpected(manager.error());
  return GcmEngine(std::make_unique<Impl>(std::move(*manager)));
}

void GcmEngine::seal(std::span<GcmMessage> messages) noexcept { impl_->run(messages, IMB_DIR_ENCRYPT); }
void GcmEngine::open(std::span<GcmMessage> messages) noexcept { impl_->run(messages, IMB_DIR_DECRYPT); }

}  // namespace sluice::esp
