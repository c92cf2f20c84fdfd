// The filter of filter_peer.cc run over one file in memory, without reading or writing: what the operator itself costs.
//   filter_bench FILE.pb REQ_TIME SLOT [ROUNDS]
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>

#include "core/base/bytes.h"
#include "core/operators/filter.h"

using namespace monolith;

namespace {

class CountSink : public RecordSink {
 public:
  void Write(const Record&) override { ++records; }
  void Flush() override {}
  uint64_t records = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  std::ifstream file(argv[1], std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  FilterConfig config;
  config.where = std::string("req_time >= ") + argv[2] + " and chnid >= 1 and chnid <= 10";
  config.select_slots = {static_cast<uint32_t>(std::atoi(argv[3]))};
  Filter filter(config);
  const int rounds = argc > 4 ? std::atoi(argv[4]) : 1;
  CountSink sink;
  uint64_t in = 0;
  const std::clock_t start = std::clock();
  for (int round = 0; round < rounds; ++round) {
    for (size_t at = 0; at + 8 <= bytes.size();) {
      Record record;
      record.payload = {bytes.data() + at + 8, LoadLe<uint64_t>(bytes.data() + at)};
      filter.Process(record, &sink);
      at += 8 + record.payload.size();
      ++in;
    }
  }
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;  // of this processor
  std::printf("{\"subject\": \"filter_operator\", \"records\": %llu, \"kept\": %llu, \"seconds\": %.4f, "
              "\"records_per_second\": %.0f, \"bytes_per_second\": %.0f}\n",
              static_cast<unsigned long long>(in), static_cast<unsigned long long>(sink.records), seconds,
              static_cast<double>(in) / seconds, static_cast<double>(bytes.size()) * rounds / seconds);
}
