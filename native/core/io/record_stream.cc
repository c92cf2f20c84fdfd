#include "core/io/record_stream.h"

#include <chrono>
#include <deque>
#include <exception>
#include <map>
#include <thread>

#include "core/base/error.h"
#include "core/base/stop.h"
#include "core/io/type_guard.h"

namespace monolith {
namespace {

constexpr size_t kAheadBytes = 256 << 20;  // memory of batches that wait, whatever their number
constexpr size_t kPositions = 4096;        // ends of batches that are remembered
constexpr auto kPatience = std::chrono::seconds(5);

}  // namespace

// Shared with the thread, so that one that cannot be woken (a callback that hangs) may be left behind by Stop().
struct RecordStream::State {
  explicit State(RecordType t) : type(t), guard(t) {}

  const RecordType type;
  size_t batch_size, batches_ahead;
  uint64_t skip;
  NextReader next_reader;

  mutable std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::shared_ptr<RecordBatch>> ready;
  size_t ready_bytes = 0;
  std::deque<StreamPosition> ends;  // by records, ascending
  std::shared_ptr<RecordReader> reader;
  std::exception_ptr error;
  bool stop = false, done = false;

  // Of the thread alone.
  StreamPosition at;
  TypeGuard guard;
  bool opened = false;

  void Fill();
  bool NextRecord(Record* record);
  bool Deliver(std::shared_ptr<RecordBatch> batch);
  std::shared_ptr<RecordBatch> NewBatch(size_t bytes_of_last) const;
};

bool RecordStream::State::NextRecord(Record* record) {
  while (true) {
    if (!reader) {
      std::shared_ptr<RecordReader> next = next_reader();
      if (!next) return false;
      std::lock_guard<std::mutex> lock(mutex);
      if (stop) throw Interrupted();
      reader = std::move(next);
      if (opened) ++at.source_index;
      opened = true;
      at.source = reader->name();
      at.offset = reader->offset();
      guard.BeginSource();
    }
    if (reader->Next(record)) {
      if (guard.looking()) guard.Look(reader->name(), *record);
      at.offset = record->end;
      ++at.records;
      return true;
    }
    std::shared_ptr<RecordReader> ended;
    std::lock_guard<std::mutex> lock(mutex);
    ended.swap(reader);
  }
}

std::shared_ptr<RecordBatch> RecordStream::State::NewBatch(size_t bytes_of_last) const {
  auto batch = std::make_shared<RecordBatch>();
  batch->type = type;
  batch->first = at.records;
  batch->bytes.reserve(bytes_of_last + bytes_of_last / 8);
  batch->offsets.reserve(batch_size + 1);
  batch->offsets.push_back(0);
  return batch;
}

// False when the stream is stopped.
bool RecordStream::State::Deliver(std::shared_ptr<RecordBatch> batch) {
  std::unique_lock<std::mutex> lock(mutex);
  changed.wait(lock, [&] {
    return stop || ready.empty() || (ready.size() < batches_ahead && ready_bytes + batch->bytes.size() <= kAheadBytes);
  });
  if (stop) return false;
  ready_bytes += batch->bytes.size();
  ready.push_back(std::move(batch));
  ends.push_back(at);
  if (ends.size() > kPositions) ends.pop_front();
  changed.notify_all();
  return true;
}

void RecordStream::State::Fill() {
  size_t bytes_of_last = 0;
  std::shared_ptr<RecordBatch> batch;
  std::exception_ptr failure;
  Record record;
  try {
    for (; skip > 0; --skip)
      if (!NextRecord(&record))
        throw Error(ErrorCode::kBadData, "the input ends after " + std::to_string(at.records) + " records, with " +
                                             std::to_string(skip) + " still to be skipped: is it another one?");
    batch = NewBatch(0);
    while (NextRecord(&record)) {
      batch->bytes.append(record.payload);
      batch->offsets.push_back(batch->bytes.size());
      if (batch->size() < batch_size) continue;
      bytes_of_last = batch->bytes.size();
      if (!Deliver(std::move(batch))) return;
      batch = NewBatch(bytes_of_last);
    }
  } catch (const Interrupted&) {
  } catch (const BadRecord& e) {
    const std::string name = reader ? reader->name() : at.source;
    failure = std::make_exception_ptr(
        Error(ErrorCode::kBadData, name + ": byte " + std::to_string(record.offset) + ": " + e.what()));
  } catch (...) {
    failure = std::current_exception();
  }
  if (batch && batch->size() > 0 && !Deliver(std::move(batch))) return;
  std::lock_guard<std::mutex> lock(mutex);
  error = failure;
}

RecordStream::RecordStream(RecordType type, size_t batch_size, NextReader next_reader, size_t batches_ahead,
                           uint64_t skip_records, StreamPosition start)
    : state_(std::make_shared<State>(type)) {
  if (batch_size == 0) throw Error(ErrorCode::kUsage, "a batch holds at least one record");
  state_->batch_size = batch_size;
  state_->batches_ahead = batches_ahead ? batches_ahead : 1;
  state_->skip = skip_records;
  state_->next_reader = std::move(next_reader);
  state_->at = std::move(start);
  state_->ends.push_back(state_->at);
  thread_ = std::thread([state = state_] {
    state->Fill();
    // Readers and the function that opens them are let go here, on the thread that used them.
    std::shared_ptr<RecordReader> reader;
    {
      std::lock_guard<std::mutex> lock(state->mutex);
      reader.swap(state->reader);
    }
    reader.reset();
    state->next_reader = nullptr;
    std::lock_guard<std::mutex> lock(state->mutex);
    state->done = true;
    state->changed.notify_all();
  });
}

RecordStream::~RecordStream() { Stop(); }

std::shared_ptr<RecordBatch> RecordStream::Next() {
  std::unique_lock<std::mutex> lock(state_->mutex);
  state_->changed.wait(lock, [&] { return state_->stop || state_->done || !state_->ready.empty(); });
  if (state_->stop) return nullptr;
  if (state_->ready.empty()) {
    if (state_->error) std::rethrow_exception(state_->error);
    return nullptr;
  }
  std::shared_ptr<RecordBatch> batch = std::move(state_->ready.front());
  state_->ready.pop_front();
  state_->ready_bytes -= batch->bytes.size();
  state_->changed.notify_all();
  return batch;
}

StreamPosition RecordStream::PositionAfter(uint64_t records) const {
  std::lock_guard<std::mutex> lock(state_->mutex);
  for (auto end = state_->ends.rbegin(); end != state_->ends.rend(); ++end)
    if (end->records == records) return *end;
  throw Error(ErrorCode::kInternal, "no batch ended after record " + std::to_string(records) +
                                        ", or it is longer ago than the stream remembers");
}

void RecordStream::Stop() {
  std::shared_ptr<RecordReader> reader;
  {
    std::lock_guard<std::mutex> lock(state_->mutex);
    state_->stop = true;
    reader = state_->reader;
    state_->changed.notify_all();
  }
  if (reader) reader->Cancel();
  reader.reset();
  std::lock_guard<std::mutex> join(join_mutex_);
  if (!thread_.joinable()) return;
  bool done;
  {
    std::unique_lock<std::mutex> lock(state_->mutex);
    done = state_->changed.wait_for(lock, kPatience, [&] { return state_->done; });
  }
  if (done)
    thread_.join();
  else
    thread_.detach();
}

namespace {

struct Registry {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<RecordStream>> streams;
};

// Never destroyed: a stream that is still named at exit must not wait for its thread then.
Registry& TheRegistry() {
  static Registry* registry = new Registry;
  return *registry;
}

}  // namespace

void RegisterStream(const std::string& name, std::shared_ptr<RecordStream> stream) {
  Registry& r = TheRegistry();
  std::shared_ptr<RecordStream> old;
  std::lock_guard<std::mutex> lock(r.mutex);
  auto& place = r.streams[name];
  old = std::move(place);
  place = std::move(stream);
}

std::shared_ptr<RecordStream> FindStream(const std::string& name) {
  Registry& r = TheRegistry();
  std::lock_guard<std::mutex> lock(r.mutex);
  const auto found = r.streams.find(name);
  return found == r.streams.end() ? nullptr : found->second;
}

void UnregisterStream(const std::string& name) {
  Registry& r = TheRegistry();
  std::shared_ptr<RecordStream> old;
  {
    std::lock_guard<std::mutex> lock(r.mutex);
    const auto found = r.streams.find(name);
    if (found == r.streams.end()) return;
    old = std::move(found->second);
    r.streams.erase(found);
  }
}

void UnregisterAllStreams() {
  Registry& r = TheRegistry();
  std::map<std::string, std::shared_ptr<RecordStream>> old;
  std::lock_guard<std::mutex> lock(r.mutex);
  old.swap(r.streams);
}

}  // namespace monolith
