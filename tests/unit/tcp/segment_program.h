// A stack under a program of bytes: segments made from its live state and then bent (sequence numbers at and beyond every
// edge, any flags, windows, options), calls of the application, time that passes, a sink without room. What must hold after
// each step, whatever the program:
// - what is sent is well-formed, holds the bytes that were written, and lies inside the largest window ever offered;
// - a window's edge never goes back, but for the rounding to its scale;
// - the application reads the bytes that were sent, in order;
// - memory, connections and TIME-WAIT records stay within their limits;
// and in the end nothing is left: no connection, no memory, no timer.
// Threading: one thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "sluice/tcp/stack.h"

namespace sluice::tcp::test {

struct ProgramResult {
  std::string violation;  // what does not hold; empty: everything does
  StackStats stats;       // how far the program came
};
[[nodiscard]] ProgramResult run_segment_program(std::span<const std::uint8_t> program);

}  // namespace sluice::tcp::test
