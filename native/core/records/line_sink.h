// The end of a chain that makes text: each record is one line.
#pragma once

#include <string>

#include "core/io/record.h"

namespace monolith {

class LineSink : public RecordSink {
 public:
  // Does not close `fd`. `name` is for messages.
  LineSink(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

  void Write(const Record& record) override;
  void Flush() override;  // throws Error(kIo)

 private:
  const int fd_;
  const std::string name_;
  std::string buffer_;
};

}  // namespace monolith
