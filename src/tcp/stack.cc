#include "sluice/tcp/stack.h"

#include "core.h"

namespace sluice::tcp {

class TcpStack::Impl final : public Core {
 public:
  using Core::Core;
};

TcpStack::TcpStack(const StackConfig& config, PacketSink& sink, Instant now)
    : impl_(std::make_unique<Impl>(config, sink, now)) {}
TcpStack::~TcpStack() = default;

void TcpStack::input(std::span<const std::uint8_t> packet, Offloads offloads, Instant now) noexcept {
  const Received one{packet, offloads};
  impl_->input({&one, 1}, now);
}
void TcpStack::input(std::span<const Received> burst, Instant now) noexcept { impl_->input(burst, now); }
void TcpStack::input_icmp_error(const IcmpMessage& message, Instant now) noexcept {
  impl_->input_icmp_error(message, now);
}
std::size_t TcpStack::dispatch() noexcept { return impl_->dispatch(); }
void TcpStack::advance(Instant now) noexcept { impl_->advance(now); }
void TcpStack::flush(Instant now) noexcept { impl_->flush(now); }
std::optional<Instant> TcpStack::next_deadline() const noexcept { return impl_->next_deadline(); }
Result<void> TcpStack::listen(const net::Endpoint& local, const ListenOptions& options, Acceptor& acceptor) {
  return impl_->listen(local, options, acceptor);
}
void TcpStack::unlisten(const net::Endpoint& local) noexcept { impl_->unlisten(local); }
Conn* TcpStack::connect(const net::Endpoint& local, const net::Endpoint& remote, StreamHandler& handler, Instant now,
                        Duration timeout, const ConnOptions& options) noexcept {
  return impl_->connect(local, remote, handler, now, timeout, options);
}
bool TcpStack::is_free(const net::Endpoint& local, const net::Endpoint& remote) const noexcept {
  return impl_->is_free(local, remote);
}
const StackStats& TcpStack::stats() const noexcept { return impl_->stats(); }

}  // namespace sluice::tcp
