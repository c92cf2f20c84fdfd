#pragma once

#include "core/base/stop.h"

namespace monolith {

// Whether `job` came to its end; false when a signal asked to stop.
template <class Job>
bool Finished(Job* job) {
  try {
    job->Finish();
    return true;
  } catch (const Interrupted&) {
    return false;
  }
}

}  // namespace monolith
