// Errors of the core as TensorFlow statuses.
#pragma once

#include <exception>
#include <new>
#include <string>

#include "absl/status/status.h"
#include "core/base/error.h"

namespace monolith {

inline absl::StatusCode StatusCodeOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUsage:
    case ErrorCode::kConfig:
      return absl::StatusCode::kInvalidArgument;
    case ErrorCode::kBadData:
      return absl::StatusCode::kDataLoss;
    case ErrorCode::kNoInput:
      return absl::StatusCode::kNotFound;
    case ErrorCode::kUnavailable:
      return absl::StatusCode::kUnavailable;
    case ErrorCode::kCannotCreate:
    case ErrorCode::kTryAgain:
      return absl::StatusCode::kFailedPrecondition;
    case ErrorCode::kIo:
      return absl::StatusCode::kUnknown;
    case ErrorCode::kInternal:
      break;
  }
  return absl::StatusCode::kInternal;
}

// `[exit 65] message`, ended by a newline: TensorFlow writes names of nodes around it, and tables.graph.unwrap_error
// takes what stands between the mark and the end of the line.
inline absl::Status ToStatus(ErrorCode code, std::string message) {
  for (char& c : message)
    if (c == '\n') c = ' ';
  return absl::Status(StatusCodeOf(code), "[exit " + std::to_string(static_cast<int>(code)) + "] " + message + "\n");
}

// Runs `work`; what it throws becomes the status.
template <class Work>
absl::Status Guard(Work&& work) {
  try {
    work();
    return absl::OkStatus();
  } catch (const Error& e) {
    return ToStatus(e.code(), e.what());
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("out of memory");
  } catch (const std::exception& e) {
    return ToStatus(ErrorCode::kInternal, e.what());
  }
}

}  // namespace monolith
