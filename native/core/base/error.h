// Errors of the core. Every one carries the exit code a command ends with, so that the layers above only pass it on.
#pragma once

#include <stdexcept>
#include <string>

namespace monolith {

// Exit codes of docs/manners (sysexits); the numbers are part of the command line contract.
enum class ErrorCode : int {
  kUsage = 2,          // an argument that cannot be right
  kBadData = 65,       // input that is not what it should be
  kNoInput = 66,       // input that is not there
  kUnavailable = 69,   // a server cannot be reached
  kInternal = 70,      // a bug of ours
  kCannotCreate = 73,  // an output that cannot be made
  kIo = 74,            // reading or writing failed
  kTryAgain = 75,      // held by somebody else; later it may work
  kConfig = 78,        // a configuration that cannot be right
};

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

// A record whose frame is whole but whose content is not what it should be: the stream goes on behind it.
// The reader of the stream adds source and offset; `what()` is the reason alone.
class BadRecord : public Error {
 public:
  explicit BadRecord(const std::string& reason) : Error(ErrorCode::kBadData, reason) {}
};

}  // namespace monolith
