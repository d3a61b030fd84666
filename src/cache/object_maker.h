// Builds the immutable head of a stored response.
// Threading: pure; the result is immutable.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "body.h"
#include "budget.h"
#include "sluice/cache/object.h"
#include "sluice/http/date.h"
#include "sluice/http/message.h"

namespace sluice::cache {

class ObjectMaker {
 public:
  // Takes what is kept of the fields; views only, so the request and the response must live until make().
  ObjectMaker(const http::HeaderList& request, std::uint16_t status, const http::HeaderList& response,
              const ResponsePolicy& policy, UnixSeconds response_time);
  [[nodiscard]] std::size_t cost() const noexcept { return cost_; }  // of the head
  // cost() and `index_cost` (of the tables that find the object) have been charged and belong to the object now.
  [[nodiscard]] ObjectRef make(Budget& budget, std::size_t index_cost, std::uint64_t key_hash, BodyRef body);

 private:
  std::uint16_t status_;
  ResponsePolicy policy_;
  UnixSeconds response_time_;
  http::DateText date_{};  // RFC 9110 section 6.6.1: of an answer that came without one
  http::HeaderList kept_;
  std::string vary_;
  std::string vary_values_;
  std::size_t arena_bytes_ = 0;
  std::size_t cost_ = 0;
};

}  // namespace sluice::cache
