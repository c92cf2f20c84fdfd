#include <initializer_list>
#include "core/base/stop.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <initializer_list>

namespace monolith {
namespace {

std::atomic<int> stop_signal{0};
int stop_pipe[2] = {-1, -1};
static_assert(std::atomic<int>::is_always_lock_free, "the flag is set in a signal handler");

void Handle(int signal) {
  const int saved = errno;
  int none = 0;
  if (!stop_signal.compare_exchange_strong(none, signal)) _exit(128 + signal);
  [[maybe_unused]] const ssize_t written = write(stop_pipe[1], "", 1);
  errno = saved;
}

// Clear of the standard descriptors, which may be closed: a pipe in their place would be taken for them.
void MakePipe() {
  int low[2];
  if (stop_pipe[0] >= 0 || pipe2(low, O_CLOEXEC | O_NONBLOCK) != 0) return;
  for (int i : {0, 1}) {
    stop_pipe[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 3);
    close(low[i]);
  }
}

}  // namespace

void InstallStopHandlers() {
  MakePipe();
  struct sigaction action = {};
  action.sa_handler = Handle;
  sigemptyset(&action.sa_mask);
  for (int signal : {SIGINT, SIGTERM}) {
    struct sigaction old;
    // A shell starts background jobs with SIGINT ignored; that stays.
    if (sigaction(signal, nullptr, &old) == 0 && old.sa_handler == SIG_IGN) continue;
    sigaction(signal, &action, nullptr);
  }
}

int StopRequested() { return stop_signal.load(std::memory_order_relaxed); }

int StopDescriptor() { return stop_pipe[0]; }

}  // namespace monolith
