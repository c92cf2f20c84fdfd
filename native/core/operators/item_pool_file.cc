#include "core/operators/item_pool_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "core/base/atomic_file.h"
#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/io/byte_source.h"
#include "core/io/tfrecord.h"
#include "core/records/feature_value.h"
#include "core/wire/cursor.h"
#include "core/wire/schema.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

using wire::Cursor;
using wire::Key;
using wire::Type;

constexpr size_t kMessage = 64 << 20;  // bytes after which a channel goes on in another message
constexpr uint64_t kLongest = uint64_t{1} << 36;

uint32_t CountOf(uint64_t value, const Cursor& c) {
  if (static_cast<int64_t>(value) < 0) c.Fail("a negative count");
  return static_cast<uint32_t>(std::min<uint64_t>(value, UINT32_MAX));
}

// That a NamedFeature can be walked as deep as readers of records do, so that no broken one gets into a record.
void CheckColumn(std::string_view column, const char* origin) {
  ForEachBytesOf(column, schema::named_feature::kFeature, origin, [&](std::string_view feature) {
    Cursor c(feature, origin);
    while (!c.done()) {
      const uint32_t tag = c.Tag();
      if (tag == Key(schema::feature::kFidV1List, Type::kBytes) || tag == Key(schema::feature::kFidV2List, Type::kBytes)) {
        ForEachFixedRun<8>(c.Bytes(), schema::kListValue, origin, [](std::string_view) {});
      } else {
        c.Skip(tag);
      }
    }
  });
}

void AppendFid(uint64_t fid, std::string* out) {
  char bytes[8];
  StoreLe<uint64_t>(bytes, fid);
  out->append(bytes, 8);
}

// One FeatureData; `fids` and `columns` are scratch.
StoredItem ParseItem(std::string_view message, const char* origin, std::string* fids, std::string* columns) {
  using namespace schema::feature_data;
  StoredItem item;
  fids->clear();
  columns->clear();
  Cursor c(message, origin);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    switch (tag) {
      case Key(kGid, Type::kVarint): item.id = c.Varint(); break;
      case Key(kFids, Type::kVarint): AppendFid(c.Varint(), fids); break;
      case Key(kFids, Type::kBytes): {
        Cursor packed(c.Bytes(), origin);
        while (!packed.done()) AppendFid(packed.Varint(), fids);
        break;
      }
      case Key(kFeatureColumns, Type::kBytes): {
        const std::string_view column = c.Bytes();
        CheckColumn(column, origin);
        wire::Writer(columns).Bytes(schema::example::kNamedFeature, column);
        break;
      }
      case Key(kOriginCnt, Type::kVarint): item.origin_count = CountOf(c.Varint(), c); break;
      case Key(kSampleCnt, Type::kVarint): item.sample_count = CountOf(c.Varint(), c); break;
      default: c.Skip(tag);
    }
  }
  item.fids = *fids;
  item.columns = *columns;
  return item;
}

class Output {
 public:
  explicit Output(const std::string& path) : path_(path) {
    fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd_ < 0) throw Error(ErrorCode::kCannotCreate, path + ": cannot create: " + std::strerror(errno));
  }
  ~Output() {
    if (fd_ < 0) return;
    close(fd_);
    unlink(path_.c_str());
  }
  void Write(std::string_view bytes) { WriteAll(fd_, bytes.data(), bytes.size(), path_); }
  void Finish() {
    if (fsync(fd_) != 0) throw Error(ErrorCode::kIo, path_ + ": cannot sync: " + std::strerror(errno));
    close(fd_);
    fd_ = -1;
  }

 private:
  const std::string path_;
  int fd_;
};

void AppendItem(const PooledItem& item, std::string* scratch, std::string* out) {
  using namespace schema::feature_data;
  scratch->clear();
  wire::Writer w(scratch);
  if (item.id) w.Varint(kGid, item.id);
  const std::string_view fids = item.fids();
  if (!fids.empty()) {
    std::string packed;
    wire::Writer p(&packed);
    for (size_t i = 0; i < fids.size(); i += 8) p.RawVarint(LoadLe<uint64_t>(fids.data() + i));
    w.Bytes(kFids, packed);
  }
  ForEachBytesOf(item.columns(), schema::example::kNamedFeature, item.data,
                 [&](std::string_view column) { w.Bytes(kFeatureColumns, column); });
  if (item.origin_count) w.Varint(kOriginCnt, item.origin_count);
  if (item.sample_count) w.Varint(kSampleCnt, item.sample_count);
  wire::Writer(out).Bytes(schema::channel_cache::kFeatureDatas, *scratch);
}

}  // namespace

void ParseChannelCache(std::string_view message, const std::function<void(const StoredItem&)>& visit) {
  using namespace schema::channel_cache;
  uint64_t channel = 0;
  const char* const origin = message.data();
  Cursor c(message);
  while (!c.done()) {
    const uint32_t tag = c.Tag();
    tag == Key(kChannelId, Type::kVarint) ? void(channel = c.Varint()) : c.Skip(tag);
  }
  std::string fids, columns;
  ForEachBytesOf(message, kFeatureDatas, origin, [&](std::string_view data) {
    StoredItem item = ParseItem(data, origin, &fids, &columns);
    item.channel = channel;
    visit(item);
  });
}

void ReadPoolFile(const std::string& path, const std::function<void(const StoredItem&)>& visit) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw Error(ErrorCode::kNoInput, path + ": cannot read: " + std::strerror(errno));
  TFRecordReader reader(std::make_shared<FdSource>(fd, path, true), kLongest);
  Record record;
  try {
    while (reader.Next(&record)) ParseChannelCache(record.payload, visit);
  } catch (const BadRecord& e) {
    throw Error(e.code(), path + ": byte " + std::to_string(record.offset) + ": " + e.what());
  }
}

void WritePoolFile(const std::string& path, const ItemPool& pool, uint32_t shard, uint32_t shards) {
  Output file(path);
  std::string scratch, message, framed;
  const auto write = [&] {
    framed.clear();
    AppendTFRecord(message, &framed);
    file.Write(framed);
  };
  for (const ItemQueue& queue : pool.channels()) {
    if (queue.channel() % shards != shard) continue;
    const auto begin = [&] {
      message.clear();
      if (queue.channel()) wire::Writer(&message).Varint(schema::channel_cache::kChannelId, queue.channel());
    };
    begin();
    for (size_t i = 0; i < queue.size(); ++i) {
      if (message.size() > kMessage) write(), begin();
      AppendItem(queue[i], &scratch, &message);
    }
    write();
  }
  file.Finish();
}

}  // namespace monolith
