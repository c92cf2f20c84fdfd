#include "core/tables/row_loader.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "core/base/error.h"

namespace monolith {

RowLoader::RowLoader(EmbeddingTable* table, const RestoreOptions& options, const KeySet* newer, bool keep_keys, bool own_thread)
    : table_(*table),
      options_(options),
      newer_(newer),
      keep_keys_(keep_keys),
      codec_(table->config().name, table->plan()),
      adapter_(table->plan(), options),
      row_floats_(static_cast<size_t>(table->plan().row_floats())) {
  filling_.rows.resize(kBatch * row_floats_);
  if (!own_thread) return;
  handed_.rows.resize(kBatch * row_floats_);
  thread_ = std::thread([this] { Work(); });
}

RowLoader::~RowLoader() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool RowLoader::Wanted(int64_t key) {
  if (newer_ && newer_->Contains(key)) return false;
  if (options_.parts == 1) return true;
  const int64_t parts = static_cast<int64_t>(options_.parts);
  const int64_t rest = key % parts;
  if (static_cast<uint64_t>(rest < 0 ? rest + parts : rest) == options_.part) return true;
  ++report_.other_parts;
  return false;
}

EntryCodec::Entry RowLoader::Decode(std::string_view message, float* floats) {
  if (!adapting_) {
    try {
      return codec_.Decode(message, floats);
    } catch (const Error& e) {
      if (e.code() != ErrorCode::kConfig || !options_.adapts()) throw;
    }
    adapting_ = true;
  }
  dumped_.Parse(message);
  if (const char* mode = adapter_.Adapt(dumped_, floats)) {
    try {
      codec_.Decode(message, floats);
    } catch (const Error& e) {
      throw Error(e.code(), std::string(e.what()) + "; restore mode '" + mode + "' is needed too");
    }
  }
  report_.adapted_rows += adapter_.changed();
  return {dumped_.key, dumped_.timestamp};
}

void RowLoader::Add(std::string_view message) {
  const EntryCodec::Entry e = Decode(message, filling_.rows.data() + filling_.keys.size() * row_floats_);
  newest_ = std::max(newest_, static_cast<uint32_t>(e.timestamp));
  if (keep_keys_) keys_.push_back(e.key);
  if (!Wanted(e.key)) return;
  filling_.keys.push_back(e.key);
  filling_.timestamps.push_back(static_cast<uint32_t>(e.timestamp));
  ++report_.rows;
  if (filling_.keys.size() == kBatch) Flush();
}

void RowLoader::Insert(Batch* batch) {
  table_.PutRows(batch->keys.data(), batch->keys.size(), batch->rows.data(), batch->timestamps.data());
  batch->keys.clear();
  batch->timestamps.clear();
}

void RowLoader::Flush() {
  if (!thread_.joinable()) return Insert(&filling_);
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return !has_work_; });
  if (error_) std::rethrow_exception(error_);
  std::swap(filling_, handed_);
  has_work_ = true;
  lock.unlock();
  changed_.notify_all();
}

void RowLoader::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return has_work_ || stop_; });
    if (!has_work_) return;
    lock.unlock();
    std::exception_ptr error;
    try {
      Insert(&handed_);
    } catch (...) {
      error = std::current_exception();
      handed_.keys.clear();
      handed_.timestamps.clear();
    }
    lock.lock();
    if (error) error_ = error;
    has_work_ = false;
    changed_.notify_all();
  }
}

void RowLoader::Finish() {
  Flush();
  if (thread_.joinable()) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return !has_work_; });
    if (error_) std::rethrow_exception(error_);
  }
  table_.RaiseMaxUpdateTs(newest_);
}

}  // namespace monolith
