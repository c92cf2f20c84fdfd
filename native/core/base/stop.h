// SIGINT and SIGTERM as a request to leave in order: a flag that loops look at, and a descriptor that waits wake up from.
#pragma once

#include <exception>

namespace monolith {

// From now on the first SIGINT or SIGTERM only sets the flag; system calls return EINTR. The second one ends the process
// with 128 + its number. May be called more than once.
void InstallStopHandlers();

// The signal that asked to stop, 0 when none did.
int StopRequested();

// Becomes readable, and stays so, when a stop was requested; -1 before InstallStopHandlers().
int StopDescriptor();

// Thrown by reads that a stop, or the Cancel() of their source, has broken off. The record at hand is not complete.
class Interrupted : public std::exception {
 public:
  const char* what() const noexcept override { return "interrupted"; }
};

}  // namespace monolith
