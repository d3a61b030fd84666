// What a control-plane function gives back: a value, or one Error that says what went wrong in a sentence.
// Threading: values; no shared state.
// Errors:    this is the error type. The data plane uses enums (Drop, Verdict) instead, and never allocates.
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace sluice {

struct Error {
  std::string message;  // a sentence for the operator, without a trailing full stop
};

template <typename T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(std::string message) {
  return std::unexpected<Error>(Error{std::move(message)});
}

}  // namespace sluice
