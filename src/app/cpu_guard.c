// Says so, rather than dying of SIGILL, where the CPU lacks the instructions that the build assumes. Runs before every other
// constructor, and is itself compiled for the oldest x86-64.
#include <string.h>
#include <unistd.h>

#ifdef SLUICE_NEEDS_V3
__attribute__((constructor(101))) static void check_cpu(void) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma")) return;
  static const char kText[] =
      "sluice: this CPU lacks AVX2, BMI2 or FMA (x86-64-v3), which this build needs; "
      "build with -Dcpu=x86-64-v2 for it\n";
  ssize_t written = write(STDERR_FILENO, kText, sizeof(kText) - 1);
  (void)written;
  _exit(1);
}
#endif
