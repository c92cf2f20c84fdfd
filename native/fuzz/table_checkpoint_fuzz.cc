// Checkpoint files and their records from arbitrary bytes: any damage ends in an error, never in a crash.
//
// The first byte chooses what the rest is: an entry (of fixed size or not), a plain file, a file of snappy blocks, the
// uncompressed stream of one (framed and compressed here, so that the checksums do not stop everything), metadata, a table
// config, a manifest (as it is, framed, or of a delta over a base that is there), or an entry of another table than that of the
// checkpoint, adapted.
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <cstring>
#include <string>

#include "core/base/error.h"
#include "core/tables/checkpoint.h"
#include "core/tables/checkpoint_files.h"
#include "core/tables/checkpoint_manifest.h"
#include "core/tables/entry_codec.h"
#include "core/tables/entry_stream.h"
#include "core/tables/record_file.h"

using namespace monolith;

namespace {

TableConfig Config(bool varying) {
  TableConfig c;
  c.name = "t";
  using Kind = OptimizerConfig::Kind;
  for (Kind kind : {Kind::kAdagrad, Kind::kAdam, Kind::kFtrl, Kind::kSgd, Kind::kMovingAverage, Kind::kAmsgrad,
                    Kind::kGroupAdagrad}) {
    SegmentConfig s;
    s.dim = 2;
    s.optimizer.kind = kind;
    c.segments.push_back(s);
  }
  // Its entries have no fixed size and go by another way.
  if (varying) c.segments.push_back({1, {}, {}, {}}), c.segments.back().optimizer.kind = Kind::kBatchSoftmax;
  return c;
}

const std::string& Folder() {
  static const std::string* folder = [] {
    // In memory where there is such a place: what is published is synced.
    static char memory[] = "/dev/shm/table_checkpoint_fuzz.XXXXXX", disk[] = "/tmp/table_checkpoint_fuzz.XXXXXX";
    const char* made = mkdtemp(memory);
    return new std::string(made ? made : mkdtemp(disk));
  }();
  return *folder;
}

void Spill(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

void Frame(const std::string& path, Container container, std::string_view bytes) {
  unlink(path.c_str());
  RecordFileWriter w(path, container);
  while (!bytes.empty()) {  // one length byte before each record
    const size_t n = std::min<size_t>(static_cast<unsigned char>(bytes[0]), bytes.size() - 1);
    w.Write(bytes.substr(1, n));
    bytes.remove_prefix(1 + n);
  }
  w.Finish();
}

// What is read is written and read again alike.
void Entry(const EmbeddingTable& table, std::string_view bytes) {
  std::vector<float> row(static_cast<size_t>(table.plan().row_floats()));
  const EntryCodec codec("t", table.plan());
  const EntryCodec::Entry e = codec.Decode(bytes, row.data());
  std::string again;
  codec.Append({e.key, static_cast<uint32_t>(e.timestamp), row.data()}, &again);
  std::vector<float> back(row.size());
  if (codec.Decode(again, back.data()).key != e.key || memcmp(row.data(), back.data(), row.size() * 4) != 0) abort();
}

// All readers of a chain come to the same end, and agree about its rows when there is one.
void Chain(MultiTable* tables, const std::string& base) {
  bool read = false, restored = false;
  uint64_t rows = 0;
  try {
    rows = CompactChain(base, Folder() + "/compacted", 1);
    read = true;
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kBadData && e.code() != ErrorCode::kNoInput) abort();
  }
  try {
    const RestoreReport report = RestoreTables(tables, {base});
    restored = true;
    if (read && report.unknown_tables.empty() && report.rows != rows) abort();
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kBadData && e.code() != ErrorCode::kConfig && e.code() != ErrorCode::kNoInput) abort();
  }
  if (restored && !read) abort();
  try {
    EntryStream stream(base);
    DumpedEntry entry;
    uint64_t streamed = 0;
    while (stream.Next(&entry)) ++streamed;
    if (read && streamed != rows) abort();
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kBadData && e.code() != ErrorCode::kNoInput) abort();
  }
}

// A delta with the content of the fuzzer over a base: the manifest says how many rows and erased keys there are.
void Delta(MultiTable* tables, std::string_view bytes) {
  static const std::string base = Folder() + "/base";
  static const uint32_t crc = [] {
    MultiTable empty({Config(false)});
    empty.Save(base, 1);
    return ReadManifest(base)->crc32c;
  }();
  if (bytes.size() < 3) return;
  const std::string delta = Folder() + "/d", file = DeltaName(delta, 0, 1), manifest = ManifestName(delta);
  unlink(file.c_str());
  unlink(manifest.c_str());
  RecordFileWriter w(file, Container::kSnappyBlocks);
  std::string_view rest = bytes.substr(2);
  while (!rest.empty()) {
    const size_t n = std::min<size_t>(static_cast<unsigned char>(rest[0]), rest.size() - 1);
    w.Write(rest.substr(1, n));
    rest.remove_prefix(1 + n);
  }
  w.Finish();
  Manifest m;
  m.files = {{"d.delta.00000-of-00001", w.bytes(), w.crc32c(), {{"t", static_cast<unsigned char>(bytes[0]), static_cast<unsigned char>(bytes[1])}}}};
  m.chain = {{"base", crc}};
  WriteManifest(manifest, &m);
  Chain(tables, delta);
}

// A row of whatever shape into a table: as far as it fits, or an error.
void Adapted(std::string_view bytes) {
  static EmbeddingTable* table = new EmbeddingTable(Config(false));
  const std::string base = Folder() + "/a";
  Frame(ShardName(base, 0, 1), Container::kPlain, bytes);
  RestoreOptions options;
  options.pad = options.truncate = options.reset_state = true;
  RestoreTable(table, base, options);
}

void Try(uint8_t what, std::string_view bytes) {
  static const TableConfig config = Config(false), varying = Config(true);
  static EmbeddingTable* table = new EmbeddingTable(config);
  static EmbeddingTable* varying_table = new EmbeddingTable(varying);
  static MultiTable* tables = new MultiTable({config});
  const std::string base = Folder() + "/t", data = ShardName(base, 0, 1), meta = ShardName(base + ".meta", 0, 1);
  switch (what % 12) {
    case 0: return Entry(*table, bytes);
    case 7: return Entry(*varying_table, bytes);
    case 1:
      Spill(data, bytes);
      RestoreTable(table, base);
      return;
    case 2:
      Frame(data, Container::kPlain, bytes);
      RestoreTable(table, base);
      return;
    case 3:
      Spill(data, bytes);
      Frame(meta, Container::kPlain, std::string_view("\x05\x0a\x01t\x10\x02", 6));
      return tables->Restore(base);
    case 4:
      Frame(data, Container::kSnappyBlocks, bytes);
      Frame(meta, Container::kPlain, std::string_view("\x05\x0a\x01t\x10\x02", 6));
      return tables->Restore(base);
    case 5:
      Spill(data, "");
      Frame(meta, Container::kPlain, bytes);
      return tables->Restore(base);
    case 8:
      Spill(ManifestName(Folder() + "/m"), bytes);
      ReadManifest(Folder() + "/m");
      return;
    case 9:
      Frame(ManifestName(Folder() + "/m"), Container::kPlain, bytes);
      return Chain(tables, Folder() + "/m");
    case 10: return Delta(tables, bytes);
    case 11: return Adapted(bytes);
    default:
      DecodeTableConfig("t", bytes);
  }
}

}  // namespace

// Segments of tables lie in memory where the search for leaks does not look for pointers.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  try {
    Try(data[0], {reinterpret_cast<const char*>(data + 1), size - 1});
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kBadData && e.code() != ErrorCode::kConfig) abort();
  }
  return 0;
}
