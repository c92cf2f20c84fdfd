// Waiting in a loop: first for moments, then for whoever has the core.
#pragma once

#include <sched.h>

namespace monolith {

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}
inline void YieldCpu() { sched_yield(); }

}  // namespace monolith
