// Instances of one file in memory → columns, in batches: the slots 1..N and the label, as a model asks for them.
//   parse_bench FILE.pb SLOTS [BATCH] [ROUNDS]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/parse/parse.h"

using namespace monolith;

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  std::ifstream file(argv[1], std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  ParseSpec spec;
  for (int slot = 1; slot <= std::atoi(argv[2]); ++slot) spec.fidv1.push_back({slot, "slot_" + std::to_string(slot)});
  spec.dense = {{"label", 1, ColumnType::kFloat}};
  spec.extra = {{"req_time", 1}};
  const RecordParser parser(spec);
  std::vector<std::string_view> records;
  for (size_t at = 0; at + 8 <= bytes.size(); at += 8 + records.back().size())
    records.push_back({bytes.data() + at + 8, LoadLe<uint64_t>(bytes.data() + at)});
  const size_t batch = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 512;
  const int rounds = argc > 4 ? std::atoi(argv[4]) : 1;
  ParsedColumns out;
  uint64_t parsed = 0, values = 0;
  const std::clock_t start = std::clock();
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < records.size(); i += batch) {
      parser.Parse(&records[i], std::min(batch, records.size() - i), &out);
      parsed += out.rows;
      for (const SparseColumn& c : out.sparse) values += c.values.size();
    }
  }
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;  // of this processor
  std::printf("{\"subject\": \"record_parser\", \"records\": %llu, \"values\": %llu, \"seconds\": %.4f, \"records_per_second\": %.0f}\n",
              static_cast<unsigned long long>(parsed), static_cast<unsigned long long>(values), seconds,
              static_cast<double>(parsed) / seconds);
}
