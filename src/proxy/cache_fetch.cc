#include "cache_fetch.h"

#include <algorithm>
#include <utility>

#include "core.h"
#include "events.h"

namespace sluice::proxy {

namespace {

constexpr std::size_t kPiece = 64 << 10;  // fed at a time: bounds what waits when the object became a pipe

}  // namespace

class CacheFetches::Fetch {
 public:
  Fetch(Core& core, UpstreamLease connection, cache::Fill fill)
      : core_(core),
        connection_(std::move(connection)),
        fill_(std::move(fill)),
        port_(core.ready),
        waiter_(core.wakers, port_),
        timer_([](void* raw) noexcept { static_cast<Fetch*>(raw)->port_.post(events::kUpstreamTimeout); }, this) {
    connection_->set_port(&port_);
    task_ = run();
    task_.start();
  }
  Fetch(const Fetch&) = delete;
  Fetch& operator=(const Fetch&) = delete;

  [[nodiscard]] bool done() const noexcept { return task_.done(); }
  void attach(CacheFetches& owner, std::list<std::unique_ptr<Fetch>>::iterator position) noexcept {
    owner_ = &owner;
    position_ = position;
    port_.set_after_resume(
        [](void* raw) noexcept {
          auto& self = *static_cast<Fetch*>(raw);
          if (self.done()) self.owner_->running_.erase(self.position_);
        },
        this);
  }

 private:
  enum class Step : std::uint8_t { kWait, kFull, kEnd, kBroken };

  [[nodiscard]] Task<> run();
  [[nodiscard]] Step read();
  [[nodiscard]] bool store(std::span<const std::uint8_t> bytes);

  Core& core_;
  UpstreamLease connection_;
  cache::Fill fill_;
  std::string rest_;  // what a full pipe did not take
  bool moved_ = false;
  EventPort port_;
  CacheWaiter waiter_;
  Timer timer_;
  CacheFetches* owner_ = nullptr;
  std::list<std::unique_ptr<Fetch>>::iterator position_;
  Task<> task_;
};

Task<> CacheFetches::Fetch::run() {
  for (;;) {
    const Step step = read();
    if (step == Step::kEnd) {
      fill_.finish();
      core_.counters.cache_stored.add();
      const bool keep = connection_->parser().head().keep_alive;
      core_.upstreams.give_back(std::move(connection_), keep);
      co_return;
    }
    if (step == Step::kBroken) {
      core_.counters.upstream_failed.add();
      fill_.fail();
      connection_.reset();
      co_return;
    }
    if (fill_.unwanted()) {
      fill_.fail();
      connection_.reset();
      co_return;
    }
    if (step == Step::kFull) {
      timer_.cancel();  // the backend owes nothing while the reader is behind
      if (!fill_.wait_space(waiter_)) continue;
      waiter_.registered();
    } else if (moved_ || !timer_.armed()) {
      core_.timers.arm(timer_, core_.now + connection_->pool().config->timeouts.response);
    }
    moved_ = false;
    const EventPort::Bits bits = co_await port_.next_event();
    waiter_.cancel();
    if ((bits & events::kUpstreamTimeout) != 0) {
      core_.counters.upstream_timeouts.add();
      fill_.fail(504);
      connection_.reset();
      co_return;
    }
  }
}

bool CacheFetches::Fetch::store(std::span<const std::uint8_t> bytes) {
  const std::size_t taken = fill_.append(bytes);
  if (taken == bytes.size()) return true;
  const std::span<const std::uint8_t> left = bytes.subspan(taken);
  rest_.assign(reinterpret_cast<const char*>(left.data()), left.size());
  return false;
}

CacheFetches::Fetch::Step CacheFetches::Fetch::read() {
  if (!rest_.empty()) {
    const std::string waiting = std::exchange(rest_, {});
    if (!store({reinterpret_cast<const std::uint8_t*>(waiting.data()), waiting.size()})) return Step::kFull;
  }
  for (;;) {
    tcp::Stream& stream = connection_->stream();
    const auto available = stream.rx_peek();
    const auto input = available.first(std::min(available.size(), kPiece));
    const http::ParseStep step = connection_->parser().feed(input);
    const bool room = step.step != http::Step::kBody || store(step.body);
    connection_->consume(step.consumed);
    moved_ = moved_ || step.consumed > 0;
    if (!room) return Step::kFull;
    if (step.step == http::Step::kEnd) return Step::kEnd;
    if (step.step == http::Step::kError) return Step::kBroken;
    if (step.step == http::Step::kNeedMore && input.empty()) {
      if (!stream.rx_ended()) return connection_->closed() ? Step::kBroken : Step::kWait;
      return connection_->parser().finish().step == http::Step::kEnd ? Step::kEnd : Step::kBroken;
    }
  }
}

CacheFetches::CacheFetches(Core& core) noexcept : core_(core) {}
CacheFetches::~CacheFetches() = default;

void CacheFetches::start(UpstreamLease connection, cache::Fill fill) {
  auto fetch = std::make_unique<Fetch>(core_, std::move(connection), std::move(fill));
  if (fetch->done()) return;
  running_.push_front(std::move(fetch));
  running_.front()->attach(*this, running_.begin());
}

}  // namespace sluice::proxy
