#include "core/io/record_stream.h"

#include <unistd.h>

#include <atomic>
#include <chrono>

#include "check.h"
#include "io_helpers.h"

using namespace monolith;

// Sources of 10 records each, "s.i".
static RecordStream::NextReader Sources(int count, const std::string& last_tail = "") {
  auto opened = std::make_shared<int>(0);
  return [=]() -> std::shared_ptr<RecordReader> {
    if (*opened == count) return nullptr;
    std::string bytes;
    for (int i = 0; i < 10; ++i) AppendFrame({}, std::to_string(*opened) + "." + std::to_string(i), &bytes);
    if (*opened == count - 1) bytes += last_tail;
    const std::string name = "s" + std::to_string((*opened)++);
    return std::make_shared<FrameReader>(std::make_shared<MemorySource>(bytes, name), FrameOptions{});
  };
}

static RecordStreamOptions Ahead(size_t batches, uint64_t skip_records = 0) {
  RecordStreamOptions options;
  options.batches_ahead = batches;
  options.skip_records = skip_records;
  return options;
}

TEST(BatchesReachOverSources) {
  RecordStream stream(RecordType::kExample, 8, Sources(3));
  uint64_t seen = 0;
  std::vector<size_t> sizes;
  while (auto batch = stream.Next()) {
    CHECK_EQ(batch->first, seen);
    CHECK(batch->type == RecordType::kExample);
    for (size_t i = 0; i < batch->size(); ++i, ++seen)
      CHECK_EQ(batch->record(i), std::to_string(seen / 10) + "." + std::to_string(seen % 10));
    sizes.push_back(batch->size());
  }
  CHECK((sizes == std::vector<size_t>{8, 8, 8, 6}));
  CHECK(stream.Next() == nullptr);
  const StreamPosition p = stream.PositionAfter(8);
  CHECK(p.source == "s0" && p.source_index == 0 && p.offset == 8 * 11);
  const StreamPosition q = stream.PositionAfter(24);
  CHECK(q.source == "s2" && q.source_index == 2 && q.offset == 4 * 11);
  CHECK_EQ(stream.PositionAfter(0).source, "");
  CHECK_EQ(stream.PositionAfter(30).offset, 110u);
  CHECK_THROWS(stream.PositionAfter(9), ErrorCode::kInternal);
}

TEST(SkippedRecordsCount) {
  RecordStream stream(RecordType::kInstance, 4, Sources(2), Ahead(2, 13));
  auto batch = stream.Next();
  CHECK_EQ(batch->first, 13u);
  CHECK_EQ(batch->record(0), "1.3");
  CHECK_EQ(stream.PositionAfter(17).offset, 7 * 11u);
  RecordStream too_far(RecordType::kInstance, 4, Sources(2), Ahead(2, 21));
  CHECK_THROWS(too_far.Next(), ErrorCode::kBadData);
}

TEST(NumberingGoesOn) {
  RecordStreamOptions options = Ahead(2);
  options.start.records = 100;
  options.start.source_index = 7;
  RecordStream stream(RecordType::kInstance, 15, Sources(2), options);
  CHECK_EQ(stream.Next()->first, 100u);
  CHECK_EQ(stream.PositionAfter(115).source_index, 8u);
}

TEST(ErrorComesAfterTheBatchesBefore) {
  RecordStream stream(RecordType::kInstance, 8, Sources(2, "\x01"));
  size_t records = 0;
  std::string text = MessageOf([&] {
    while (auto batch = stream.Next()) records += batch->size();
  });
  CHECK_EQ(records, 20u);
  CHECK_EQ(text.find("s1: byte 110: the last record is cut short"), 0u);
}

// "s.i" with i = 3 or s = 1 and i >= 8 are of no use.
static void NoUse(std::string_view record) {
  if (record.substr(2) == "3" || record == "1.8" || record == "1.9") throw BadRecord("of no use");
}

TEST(RecordsOfNoUseAreLeftOut) {
  std::vector<std::string> told;
  RecordStreamOptions options = Ahead(2, 2);
  options.bad_records =
      std::make_shared<BadRecords>(OnBadRecord::kSkip, "", [&](const std::string& message) { told.push_back(message); });
  options.check = NoUse;
  RecordStream stream(RecordType::kInstance, 8, Sources(2, "\x01"), options);
  auto batch = stream.Next();
  CHECK_EQ(batch->size(), 8u);
  CHECK_EQ(batch->first, 2u);
  CHECK_EQ(batch->end, 11u);
  CHECK_EQ(batch->record(1), "0.4");
  CHECK_EQ(batch->Place(1), "s0: byte 44");
  CHECK_EQ(batch->Place(7), "s1: byte 0");
  CHECK_EQ(stream.PositionAfter(11).offset, 11u);
  batch = stream.Next();
  CHECK_EQ(batch->size(), 6u);
  CHECK_EQ(batch->end, 20u);
  CHECK_EQ(stream.PositionAfter(20).offset, 110u);
  CHECK(stream.Next() == nullptr);
  CHECK_EQ(stream.bad_records(), 5u);
  CHECK_EQ(told.size(), 5u);
  CHECK_EQ(told[0], "s0: byte 33: of no use");
  CHECK_EQ(told[4].find("s1: byte 110: the last record is cut short"), 0u);
  CHECK(told[4].find("the rest of this source is left out") != std::string::npos);
}

TEST(ARecordOfNoUseEndsTheStreamInFrontOfIt) {
  RecordStreamOptions options;
  options.check = NoUse;
  RecordStream stream(RecordType::kInstance, 8, Sources(1), options);
  const auto batch = stream.Next();
  CHECK_EQ(batch->size(), 3u);
  CHECK_EQ(batch->end, 3u);
  CHECK_EQ(stream.PositionAfter(3).offset, 33u);
  CHECK_EQ(MessageOf([&] { stream.Next(); }), "s0: byte 33: of no use (--on-bad-record skip leaves such records out)");
}

TEST(StopWakesAReaderThatWaits) {
  int fds[2];
  CHECK(pipe(fds) == 0);
  const auto begin = std::chrono::steady_clock::now();
  {
    RecordStream stream(RecordType::kInstance, 8, [&]() -> std::shared_ptr<RecordReader> {
      return std::make_shared<FrameReader>(std::make_shared<FdSource>(fds[0], "pipe", true), FrameOptions{});
    });
    usleep(20000);
    stream.Stop();
    CHECK(stream.Next() == nullptr);
  }
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(4));
  close(fds[1]);
}

TEST(StopWakesAFullQueue) {
  RecordStream stream(RecordType::kInstance, 1, Sources(5), Ahead(1));
  usleep(20000);
  stream.Stop();
}

TEST(AHangingOpenerIsLeftBehind) {
  auto done = std::make_shared<std::atomic<bool>>(false);
  {
    RecordStream stream(RecordType::kInstance, 1, [done]() -> std::shared_ptr<RecordReader> {
      sleep(6);
      *done = true;
      return nullptr;
    });
  }
  CHECK(!*done);
  sleep(2);
}

TEST(ByName) {
  auto stream = std::make_shared<RecordStream>(RecordType::kInstance, 5, Sources(1));
  RegisterStream("a", stream);
  CHECK(FindStream("a") == stream);
  CHECK(FindStream("b") == nullptr);
  UnregisterStream("a");
  UnregisterStream("a");
  CHECK(FindStream("a") == nullptr);
}
