#include "core/operators/chain.h"

#include <algorithm>
#include <chrono>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/stop.h"

namespace monolith {
namespace {

constexpr uint64_t kLookEvery = 1 << 16;  // records between looks at the stop flag while input is at hand
constexpr uint64_t kRun = 1 << 14;  // records taken at once

}  // namespace

// A record that the operator `stage` cannot read ends the run.
class Chain::Failed : public Error {
 public:
  Failed(size_t stage, const std::string& message) : Error(ErrorCode::kBadData, message), stage_(stage) {}
  size_t stage() const { return stage_; }

 private:
  size_t stage_;
};

// Feeds one operator, which writes to the next.
class Chain::Link : public RecordSink {
 public:
  Link(Chain* chain, size_t stage, RecordSink* next)
      : chain_(chain), stage_(stage), op_(chain->operators_[stage].get()), next_(next), timed_(chain->options_.time_operators) {
    chain_->ended_ |= op_->ended();
  }
  void Write(const Record& record) override {
    ++records_;
    try {
      if (timed_) {
        const Clock clock(&seconds_);
        op_->Process(record, next_);
      } else {
        op_->Process(record, next_);
      }
    } catch (const BadRecord& e) {
      ++bad_;
      chain_->HandleBadRecord(stage_, record, e);
    }
    chain_->ended_ |= op_->ended();
  }
  void Flush() override { next_->Flush(); }
  void Finish() {
    const Clock clock(&seconds_);
    op_->Finish(next_);
  }
  void FlushOperator() { op_->Flush(next_); }
  uint64_t records() const { return records_; }
  uint64_t bad() const { return bad_; }
  double seconds() const { return seconds_; }  // of this operator and all behind it

 private:
  class Clock {
   public:
    explicit Clock(double* seconds) : seconds_(seconds), start_(std::chrono::steady_clock::now()) {}
    ~Clock() { *seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

   private:
    double* seconds_;
    std::chrono::steady_clock::time_point start_;
  };

  Chain* const chain_;
  const size_t stage_;
  Operator* const op_;
  RecordSink* const next_;
  const bool timed_;
  uint64_t records_ = 0, bad_ = 0;
  double seconds_ = 0;
};

// Counts what leaves and holds the limit.
class Chain::Tail : public RecordSink {
 public:
  Tail(RecordSink* sink, uint64_t limit) : sink_(sink), limit_(limit) {}
  void Write(const Record& record) override {
    if (records_ >= limit_) return;
    sink_->Write(record);
    ++records_;
    bytes_ += record.payload.size() + 8;
  }
  void WriteRun(std::string_view frames, uint64_t records) override {
    sink_->WriteRun(frames, records);
    records_ += records;
    bytes_ += frames.size();
  }
  void Flush() override { sink_->Flush(); }
  uint64_t left() const { return limit_ - records_; }
  bool full() const { return records_ >= limit_; }
  uint64_t records() const { return records_; }
  uint64_t bytes() const { return bytes_; }

 private:
  RecordSink* sink_;
  const uint64_t limit_;
  uint64_t records_ = 0, bytes_ = 0;
};

Chain::Chain(std::vector<std::shared_ptr<Operator>> operators, std::shared_ptr<RecordSink> sink, ChainOptions options)
    : operators_(std::move(operators)), sink_(std::move(sink)), options_(std::move(options)),
      bad_(options_.on_bad_record, options_.set_aside_path, options_.warn), guard_(options_.type) {
  tail_ = std::make_unique<Tail>(sink_.get(), options_.limit_out);
  head_ = tail_.get();
  links_.resize(operators_.size());
  for (size_t i = operators_.size(); i-- > 0;) {
    links_[i] = std::make_unique<Link>(this, i, head_);
    head_ = links_[i].get();
  }
}

Chain::~Chain() = default;

bool Chain::Full() const { return ended_ || tail_->full(); }

bool Chain::Wanted() const { return records_in_ < options_.limit_in && !Full(); }

bool Chain::Run(RecordReader* reader) {
  guard_.BeginSource();
  reader_ = reader;
  source_ = reader->name();
  passed_ = reader->offset();
  try {
    for (uint64_t i = 1; Wanted(); ++i) {
      if (!reader->Buffered()) {
        FlushOf(reader);
        if (StopRequested()) return false;
      } else if (i % kLookEvery == 0) {
        Publish();
      }
      if (RunAtHand(reader)) continue;
      if (!Step(reader)) break;
    }
  } catch (const Interrupted&) {
    FlushOf(reader);
    return false;
  } catch (const Failed& e) {
    FinishFrom(e.stage());
    FlushOf(reader);
    throw;
  } catch (const WrongType&) {
    FinishFrom(0);
    FlushOf(reader);
    throw;
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kBadData) throw;
    if (bad_.fail()) {
      FinishFrom(0);
      FlushOf(reader);
      throw;
    }
    FlushAll();
    bad_.LeaveRest(reader, e);
  }
  FlushOf(reader);
  return Wanted() && !StopRequested();
}

// What is buffered goes through without asking the reader for each record.
bool Chain::RunAtHand(RecordReader* reader) {
  std::string_view frames;
  const uint64_t offset = reader->offset();
  const uint64_t wanted = std::min(options_.limit_in - records_in_, kRun);
  const uint64_t records = reader->NextRun(operators_.empty() ? std::min(wanted, tail_->left()) : wanted, &frames);
  if (records == 0) return false;
  if (operators_.empty()) {
    records_in_ += records;
    bytes_in_ += frames.size();
    tail_->WriteRun(frames, records);
    passed_ = reader->offset();
    return true;
  }
  Record record;
  record.framed = true;
  record.end = offset;
  const char* p = frames.data();
  const char* const end = p + frames.size();
  while (p < end && !Full()) {
    record.payload = {p + 8, static_cast<size_t>(LoadLe<uint64_t>(p))};
    p += 8 + record.payload.size();
    record.offset = record.end;
    record.end += 8 + record.payload.size();
    ++records_in_;
    bytes_in_ += 8 + record.payload.size();
    if (guard_.looking()) guard_.Look(reader->name(), record);
    head_->Write(record);
    passed_ = record.end;
  }
  return true;
}

bool Chain::Step(RecordReader* reader) {
  Record record;
  try {
    if (!reader->Next(&record)) return false;
    ++records_in_;
    bytes_in_ += record.end - record.offset;
    if (guard_.looking()) guard_.Look(reader->name(), record);
    head_->Write(record);
  } catch (const BadRecord& e) {
    HandleBadRecord(0, record, e);
  }
  passed_ = record.end;
  return true;
}

// What an earlier operator made or held back has no place in the source.
void Chain::HandleBadRecord(size_t stage, const Record& record, const BadRecord& error) {
  const bool placed = stage == 0 || record.end != 0;
  const std::string name = stage < options_.stages.size() ? options_.stages[stage] + ": " : "";
  const std::string place = reader_ ? reader_->Place(record.offset) : "byte " + std::to_string(record.offset);
  const std::string where = (reader_ ? reader_->name() : source_) + (placed ? ": " + place : "") + ": " + name +
                            (placed ? "" : "in a record from the stage before: ") + error.what();
  if (bad_.fail()) throw Failed(stage, where + BadRecords::kHint);
  bad_.Leave(record, where);
}

void Chain::Finish() {
  reader_ = nullptr;
  FinishFrom(0);
  for (auto& op : operators_) op->Commit();
}

void Chain::FinishFrom(size_t stage) {
  if (!finished_) {
    finished_ = true;
    FinishLinks(stage);
  }
  FlushAll();
}

void Chain::FinishLinks(size_t stage) {
  for (size_t i = stage; i < links_.size(); ++i) {
    try {
      links_[i]->Finish();
    } catch (const Failed& e) {  // of one further behind
      FinishLinks(e.stage());
      FlushAll();
      throw;
    }
  }
}

void Chain::FlushAll() {
  for (auto& link : links_) link->FlushOperator();
  sink_->Flush();
  Publish();
}

void Chain::FlushOf(RecordReader* reader) {
  FlushAll();
  reader->Passed(passed_, !HoldsBack());
}

bool Chain::HoldsBack() const {
  return std::any_of(operators_.begin(), operators_.end(), [](const auto& op) { return op->HoldsBack(); });
}

void Chain::Publish() {
  const uint64_t now[5] = {records_in_, tail_->records(), bytes_in_, tail_->bytes(), bad_.count()};
  for (int i = 0; i < 5; ++i) published_[i].store(now[i], std::memory_order_relaxed);
}

StreamStats Chain::stats() const {
  StreamStats s;
  s.records_in = published_[0].load(std::memory_order_relaxed);
  s.records_out = published_[1].load(std::memory_order_relaxed);
  s.bytes_in = published_[2].load(std::memory_order_relaxed);
  s.bytes_out = published_[3].load(std::memory_order_relaxed);
  s.bad_records = published_[4].load(std::memory_order_relaxed);
  return s;
}

std::vector<OperatorStats> Chain::Operators() const {
  std::vector<OperatorStats> all(operators_.size());
  for (size_t i = 0; i < all.size(); ++i) {
    const Link* next = i + 1 < all.size() ? links_[i + 1].get() : nullptr;
    all[i].name = operators_[i]->name();
    all[i].in = links_[i]->records();
    all[i].out = next ? next->records() : tail_->records();
    all[i].bad = links_[i]->bad();
    all[i].dropped = operators_[i]->DroppedBy();
    all[i].counts = operators_[i]->Counts();
    if (options_.time_operators) all[i].seconds = links_[i]->seconds() - (next ? next->seconds() : 0);
  }
  return all;
}

}  // namespace monolith
