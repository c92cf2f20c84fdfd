#pragma once

#include <fcntl.h>

namespace monolith {

// A pipe holds 64 KiB unless asked for more; with more, writer and reader take turns less often. What is no pipe, or
// may not grow (a user's share of pipe memory is limited), stays as it is.
inline void EnlargePipe(int fd) {
  constexpr int kBytes = 1 << 20;
  const int now = fcntl(fd, F_GETPIPE_SZ);
  if (now > 0 && now < kBytes) fcntl(fd, F_SETPIPE_SZ, kBytes);
}

}  // namespace monolith
