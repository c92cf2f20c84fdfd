// Sources and sinks that tests look into.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/io/byte_source.h"
#include "core/io/frame.h"

namespace monolith {

inline std::string FromHex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) out.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

// Hands out at most `step` bytes a read, as a slow pipe does.
class DripSource : public ByteSource {
 public:
  DripSource(std::string bytes, size_t step) : ByteSource("drip"), bytes_(std::move(bytes)), step_(step) {}
  size_t Read(char* to, size_t n) override {
    const size_t got = std::min({n, step_, bytes_.size() - at_});
    bytes_.copy(to, got, at_);
    at_ += got;
    return got;
  }

 private:
  std::string bytes_;
  size_t step_, at_ = 0;
};

class VectorSink : public RecordSink {
 public:
  void Write(const Record& record) override { records.emplace_back(record.payload); }
  void Flush() override { ++flushes; }
  std::vector<std::string> records;
  int flushes = 0;
};

inline std::vector<std::string> ReadAll(RecordReader& reader) {
  std::vector<std::string> records;
  Record record;
  while (reader.Next(&record)) records.emplace_back(record.payload);
  return records;
}

inline std::string Frames(const std::vector<std::string>& payloads, const FrameOptions& options = {}) {
  std::string out;
  for (const auto& p : payloads) AppendFrame(options, p, &out);
  return out;
}

// What `call` complains about.
template <class Call>
std::string MessageOf(Call call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "(no error)";
}

}  // namespace monolith
