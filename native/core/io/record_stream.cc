#include "core/io/record_stream.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <exception>
#include <iterator>
#include <map>
#include <optional>
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

std::string RecordBatch::Place(size_t i) const {
  if (i >= places.size() || sources.empty()) return "record " + std::to_string(first + i);
  auto source = std::upper_bound(sources.begin(), sources.end(), i, [](size_t n, const Source& s) { return n < s.first; });
  return *std::prev(source)->name + ": byte " + std::to_string(places[i]);
}

// Shared with the thread, so that one that cannot be woken (a callback that hangs) may be left behind by Stop().
struct RecordStream::State {
  State(RecordType t, size_t batch, NextReader next, RecordStreamOptions o)
      : type(t), batch_size(batch), next_reader(std::move(next)), options(std::move(o)), at(options.start), guard(t) {
    if (!options.bad_records) options.bad_records = std::make_shared<BadRecords>();
  }

  const RecordType type;
  const size_t batch_size;
  NextReader next_reader;
  RecordStreamOptions options;

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
  std::shared_ptr<const std::string> source_name;

  void Fill();
  bool Open();
  void Close();
  bool Read(Record* record);
  bool NextRecord(Record* record);
  bool NextUsable(Record* record);
  void Pass(const Record& record);
  void SkipRecords();
  void Add(const Record& record, RecordBatch* batch) const;
  bool Deliver(std::shared_ptr<RecordBatch> batch);
  std::shared_ptr<RecordBatch> NewBatch(size_t bytes_of_last) const;
};

// The next source; false when there is none.
bool RecordStream::State::Open() {
  std::shared_ptr<RecordReader> next = next_reader();
  if (!next) return false;
  std::lock_guard<std::mutex> lock(mutex);
  if (stop) throw Interrupted();
  reader = std::move(next);
  if (opened) ++at.source_index;
  opened = true;
  at.source = reader->name();
  at.offset = reader->offset();
  source_name = std::make_shared<const std::string>(at.source);
  guard.BeginSource();
  return true;
}

void RecordStream::State::Close() {
  std::shared_ptr<RecordReader> ended;
  std::lock_guard<std::mutex> lock(mutex);
  ended.swap(reader);
}

// The next record of the source; false at its end, and where its framing is broken but may be.
bool RecordStream::State::Read(Record* record) {
  try {
    return reader->Next(record);
  } catch (const BadRecord&) {
    throw;
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kBadData || options.bad_records->fail()) throw;
    options.bad_records->LeaveRest(reader.get(), e);
    return false;
  }
}

// Throws BadRecord for one that the reader cannot use.
bool RecordStream::State::NextRecord(Record* record) {
  while (reader || Open()) {
    if (!Read(record)) {
      Close();
      continue;
    }
    if (guard.looking()) guard.Look(reader->name(), *record);
    return true;
  }
  return false;
}

// Goes on behind it.
void RecordStream::State::Pass(const Record& record) {
  at.offset = record.end;
  ++at.records;
}

// Leaves out those that cannot be used, where they may be.
bool RecordStream::State::NextUsable(Record* record) {
  while (true) {
    try {
      if (!NextRecord(record)) return false;
      if (options.check) options.check(record->payload);
      Pass(*record);
      return true;
    } catch (const BadRecord& e) {
      const std::string where = reader->name() + ": " + reader->Place(record->offset) + ": " + e.what();
      if (options.bad_records->fail()) throw Error(ErrorCode::kBadData, where + BadRecords::kHint);
      options.bad_records->Leave(*record, where);
      Pass(*record);
    }
  }
}

void RecordStream::State::SkipRecords() {
  Record record;
  for (uint64_t left = options.skip_records; left > 0; --left) {
    bool there = true;
    try {
      there = NextRecord(&record);
    } catch (const BadRecord& e) {
      if (options.bad_records->fail())
        throw Error(ErrorCode::kBadData, reader->name() + ": " + reader->Place(record.offset) + ": " + e.what() + BadRecords::kHint);
    }
    if (!there)
      throw Error(ErrorCode::kBadData, "the input ends after " + std::to_string(at.records) + " records, with " +
                                           std::to_string(left) + " still to be skipped: is it another one?");
    Pass(record);
  }
}

void RecordStream::State::Add(const Record& record, RecordBatch* batch) const {
  if (batch->size() == 0) batch->first = at.records - 1;
  if (batch->sources.empty() || batch->sources.back().name != source_name) batch->sources.push_back({batch->size(), source_name});
  batch->places.push_back(record.offset);
  batch->bytes.append(record.payload);
  batch->offsets.push_back(batch->bytes.size());
}

std::shared_ptr<RecordBatch> RecordStream::State::NewBatch(size_t bytes_of_last) const {
  auto batch = std::make_shared<RecordBatch>();
  batch->type = type;
  batch->bytes.reserve(bytes_of_last + bytes_of_last / 8);
  batch->offsets.reserve(batch_size + 1);
  batch->places.reserve(batch_size);
  batch->offsets.push_back(0);
  return batch;
}

// False when the stream is stopped.
bool RecordStream::State::Deliver(std::shared_ptr<RecordBatch> batch) {
  batch->end = at.records;
  std::unique_lock<std::mutex> lock(mutex);
  changed.wait(lock, [&] {
    return stop || ready.empty() || (ready.size() < options.batches_ahead && ready_bytes + batch->bytes.size() <= kAheadBytes);
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
    SkipRecords();
    batch = NewBatch(0);
    while (NextUsable(&record)) {
      Add(record, batch.get());
      if (batch->size() < batch_size) continue;
      bytes_of_last = batch->bytes.size();
      if (!Deliver(std::move(batch))) return;
      batch = NewBatch(bytes_of_last);
    }
  } catch (const Interrupted&) {
  } catch (...) {
    failure = std::current_exception();
  }
  if (batch && batch->size() > 0 && !Deliver(std::move(batch))) return;
  std::lock_guard<std::mutex> lock(mutex);
  error = failure;
}

RecordStream::RecordStream(RecordType type, size_t batch_size, NextReader next_reader, RecordStreamOptions options) {
  if (batch_size == 0) throw Error(ErrorCode::kUsage, "a batch holds at least one record");
  options.batches_ahead = std::max<size_t>(options.batches_ahead, 1);
  state_ = std::make_shared<State>(type, batch_size, std::move(next_reader), std::move(options));
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
    state->options.check = nullptr;
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

uint64_t RecordStream::bad_records() const { return state_->options.bad_records->count(); }

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
