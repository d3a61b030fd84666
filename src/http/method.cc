#include <array>

#include "sluice/http/message.h"

namespace sluice::http {
namespace {

constexpr std::array kMethodNames = {
#define SLUICE_HTTP_METHOD_NAME(id, name) std::string_view{name},
    SLUICE_HTTP_METHODS(SLUICE_HTTP_METHOD_NAME)
#undef SLUICE_HTTP_METHOD_NAME
};

}  // namespace

std::string_view method_name(Method method) noexcept {
  const auto index = static_cast<std::size_t>(method);
  return index < kMethodNames.size() ? kMethodNames[index] : std::string_view{"UNKNOWN"};
}

Method find_method(std::string_view name) noexcept {
  for (std::size_t i = 0; i < kMethodNames.size(); ++i) {
    if (kMethodNames[i] == name) return static_cast<Method>(i);
  }
  return Method::kUnknown;
}

}  // namespace sluice::http
