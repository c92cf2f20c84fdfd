#include "core/io/merge_reader.h"

#include "core/base/bytes.h"
#include "core/base/stop.h"

namespace monolith {
namespace {

constexpr uint64_t kRun = 1 << 14;      // records taken from a reader at once
constexpr size_t kCopied = 256 << 10;   // bytes, where records have to be copied
constexpr size_t kRestPiece = 1 << 20;

}  // namespace

MergeReader::MergeReader(std::vector<Input> inputs, OnError on_error, Warn warn)
    : on_error_(on_error), warn_(std::move(warn)) {
  if (inputs.empty()) throw Error(ErrorCode::kUsage, "nothing to merge");
  for (Input& input : inputs) {
    slots_.push_back(std::make_unique<Slot>());
    slots_.back()->reader = std::move(input.reader);
    slots_.back()->live = input.live;
  }
  for (auto& slot : slots_)
    if (slot->live) slot->thread = std::thread([this, s = slot.get()] { RunThread(s); });
  current_ = slots_.size() - 1;
}

MergeReader::~MergeReader() {
  Cancel();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (auto& slot : slots_)
    if (slot->thread.joinable()) slot->thread.join();
}

void MergeReader::Cancel() {
  for (auto& slot : slots_) slot->reader->Cancel();
}

void MergeReader::RunThread(Slot* slot) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || slot->state.load(std::memory_order_acquire) == State::kReading; });
    if (stopping_) return;
    lock.unlock();
    ReadOn(slot);
    const bool last = slot->ended;
    lock.lock();
    slot->state.store(State::kAtHand, std::memory_order_release);
    changed_.notify_all();
    if (last) return;
  }
}

// Fills a slot that is empty.
void MergeReader::ReadOn(Slot* slot) {
  slot->frames = {};
  slot->copied.clear();
  slot->offsets.clear();
  slot->next_offset = 0;
  try {
    slot->broken ? ReadRestOf(slot) : ReadAhead(slot);
  } catch (const Interrupted&) {
    slot->interrupted = slot->ended = true;
  } catch (const Error& e) {
    slot->broken ? void(slot->ended = true) : Break(slot, e);
  } catch (const std::exception& e) {
    Break(slot, Error(ErrorCode::kInternal, slot->reader->name() + ": " + e.what()));
  }
  if (!slot->copied.empty()) slot->frames = slot->copied;
}

void MergeReader::ReadAhead(Slot* slot) {
  slot->offset = slot->reader->offset();
  if (slot->reader->NextRun(kRun, &slot->frames) > 0) {
    slot->runs = true;
    return;
  }
  do {
    Record record;
    try {
      if (!slot->reader->Next(&record)) {
        slot->ended = true;
        return;
      }
    } catch (const BadRecord& e) {
      return Note(slot, e, record);
    }
    Keep(slot, record);
  } while (!slot->runs && slot->reader->Buffered() && slot->copied.size() < kCopied);
}

void MergeReader::Keep(Slot* slot, const Record& record) {
  char size[8];
  StoreLe<uint64_t>(size, record.payload.size());
  slot->copied.append(size, 8);
  slot->copied.append(record.payload);
  slot->offsets.push_back(record.offset);
  slot->offsets.push_back(record.end);
}

void MergeReader::Note(Slot* slot, const Error& error, const Record& record) {
  slot->error = std::make_unique<Error>(error);
  slot->of_record = true;
  slot->bad_payload.assign(record.payload);
  slot->bad_begin = record.offset;
  slot->bad_end = record.end;
}

// There is no telling where the next record begins: where it is wanted, the rest is handed out in pieces.
void MergeReader::Break(Slot* slot, const Error& error) {
  Record rest;
  rest.offset = rest.end = slot->reader->offset();
  Note(slot, error, rest);
  slot->of_record = error.code() == ErrorCode::kBadData && on_error_ != OnError::kHold;
  slot->broken = slot->of_record && on_error_ == OnError::kGiveRest;
  slot->ended = !slot->broken;
  const std::string at = slot->reader->name() + ": byte " + std::to_string(rest.offset) + ": ", text = error.what();
  if (slot->of_record && text.compare(0, at.size(), at) == 0) *slot->error = Error(error.code(), text.substr(at.size()));
}

void MergeReader::ReadRestOf(Slot* slot) {
  std::string piece(kRestPiece, '\0');
  piece.resize(slot->reader->ReadRest(piece.data(), piece.size()));
  slot->ended = piece.empty();
  if (piece.empty()) return;
  Record record;
  record.payload = piece;
  record.offset = slot->bad_end;
  record.end = slot->bad_end + piece.size();
  Note(slot, BadRecord("what follows the broken frame"), record);
}

bool MergeReader::Buffered() const {
  for (const auto& slot : slots_)
    if (slot->state.load(std::memory_order_acquire) == State::kAtHand && !slot->frames.empty()) return true;
  return false;
}

void MergeReader::Take(Slot* slot, Record* record) {
  const char* p = slot->frames.data();
  const size_t size = static_cast<size_t>(LoadLe<uint64_t>(p));
  record->payload = {p + 8, size};
  record->framed = false;  // other inputs' records come between
  slot->frames.remove_prefix(8 + size);
  record->offset = slot->offset;
  record->end = slot->offset + 8 + size;
  if (!slot->offsets.empty()) {
    record->offset = slot->offsets[slot->next_offset++];
    record->end = slot->offsets[slot->next_offset++];
  }
  slot->offset = record->end;
}

// A slot without records at hand: passes on its error, or has it read on. True when a bad record is in *record.
bool MergeReader::Settle(Slot* slot, Record* record) {
  if (slot->error) {
    const std::unique_ptr<Error> error = std::move(slot->error);
    if (slot->of_record && on_error_ != OnError::kHold) {
      *record = {};
      record->payload = slot->bad_payload;
      record->offset = slot->bad_begin;
      record->end = slot->bad_end;
      throw BadRecord(error->what());
    }
    std::string text = error->what();
    if (slot->of_record) text = slot->reader->name() + ": byte " + std::to_string(slot->bad_begin) + ": " + text;
    if (warn_) warn_(text + "; this input ends here, the others go on");
    if (!held_) held_ = std::make_unique<Error>(error->code(), text);
    slot->ended = true;
  }
  if (slot->ended) {
    slot->state.store(State::kEnded, std::memory_order_release);
    return false;
  }
  if (slot->live) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      slot->state.store(State::kReading, std::memory_order_release);
    }
    changed_.notify_all();
    return false;
  }
  if (StopRequested()) {
    slot->interrupted = slot->ended = true;
    return false;
  }
  ReadOn(slot);
  return true;
}

// Until some slot has something. False when all have ended.
bool MergeReader::Wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  bool more = false;
  changed_.wait(lock, [&] {
    more = false;
    for (const auto& slot : slots_) {
      const State state = slot->state.load(std::memory_order_acquire);
      if (state == State::kAtHand || (state == State::kReading && !slot->live)) return more = true;
      more |= state == State::kReading;
    }
    return !more;
  });
  return more;
}

bool MergeReader::Next(Record* record) {
  const size_t n = slots_.size();
  while (true) {
    const size_t last = current_;
    for (size_t i = 1; i <= n; ++i) {
      const size_t at = (last + i) % n;
      Slot* slot = slots_[at].get();
      const State state = slot->state.load(std::memory_order_acquire);
      if (state == State::kEnded || (state == State::kReading && slot->live)) continue;
      slot->state.store(State::kAtHand, std::memory_order_relaxed);
      if (slot->frames.empty()) {
        current_ = at;
        while (slot->frames.empty() && Settle(slot, record)) {
        }
        if (slot->state.load(std::memory_order_acquire) != State::kAtHand || slot->frames.empty()) continue;
      }
      current_ = at;
      Take(slot, record);
      return true;
    }
    if (!Wait()) break;
  }
  for (const auto& slot : slots_)
    if (slot->interrupted) throw Interrupted();
  if (held_) throw Error(*held_);
  return false;
}

}  // namespace monolith
