#include "core/operators/chain.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <thread>

#include "check.h"
#include "core/base/random.h"
#include "core/base/stop.h"
#include "core/io/fd_sink.h"
#include "core/io/shard_reader.h"
#include "core/io/tfrecord.h"
#include "core/operators/limit.h"
#include "core/operators/shuffle.h"
#include "io_helpers.h"

using namespace monolith;
using Strings = std::vector<std::string>;

static std::unique_ptr<FrameReader> Reader(const std::string& bytes, size_t step = 7) {
  return std::make_unique<FrameReader>(std::make_shared<DripSource>(bytes, step), FrameOptions{});
}

// Drops records that begin with `-`, doubles those with `2`, cannot read those with `!`, holds back those with `h`.
class Picky : public Operator {
 public:
  const char* name() const override { return "picky"; }
  void Process(const Record& record, RecordSink* next) override {
    const char c = record.payload.empty() ? ' ' : record.payload[0];
    if (c == '!') throw BadRecord("it shouts");
    if (c == 'h') return held_.emplace_back(record.payload), void();
    if (c == '-') return void(++dropped_);
    next->Write(record);
    if (c == '2') next->Write(record);
  }
  void Finish(RecordSink* next) override {
    for (const auto& h : held_) {
      Record r;
      r.payload = h;
      next->Write(r);
    }
  }
  std::map<std::string, uint64_t> DroppedBy() const override { return {{"minus", dropped_}}; }

 private:
  Strings held_;
  uint64_t dropped_ = 0;
};

struct TempFile {
  std::string path = "/tmp/chain_test.XXXXXX";
  int fd = mkstemp(path.data());
  ~TempFile() {
    close(fd);
    unlink(path.c_str());
  }
  std::string Content() const {
    std::ifstream f(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(f), {}};
  }
};

TEST(PassesThroughOperators) {
  auto sink = std::make_shared<VectorSink>();
  Chain chain({std::make_shared<Picky>(), std::make_shared<Picky>()}, sink);
  CHECK(chain.Run(Reader(Frames({"a", "-", "2", "h", "b"})).get()));
  CHECK(chain.Run(Reader(Frames({"c"})).get()));
  chain.Finish();
  CHECK((sink->records == Strings{"a", "2", "2", "2", "2", "b", "c", "h"}));
  const StreamStats s = chain.stats();
  CHECK_EQ(s.records_in, 6u);
  CHECK_EQ(s.records_out, 8u);
  CHECK_EQ(s.bytes_in, 6 * 9u);
  CHECK_EQ(s.bytes_out, 8 * 9u);
  CHECK_EQ(chain.Operators()[0].dropped["minus"], 1u);
}

TEST(FinishWritesWhatWasHeldBack) {
  auto sink = std::make_shared<VectorSink>();
  Chain chain({std::make_shared<Picky>()}, sink);
  chain.Run(Reader(Frames({"h1", "a", "h2"})).get());
  CHECK((sink->records == Strings{"a"}));
  chain.Finish();
  chain.Finish();
  CHECK((sink->records == Strings{"a", "h1", "h2"}));
}

TEST(Limits) {
  for (uint64_t limit : {0, 1, 3, 9}) {
    auto in = std::make_shared<VectorSink>(), out = std::make_shared<VectorSink>();
    ChainOptions options;
    options.limit_in = limit;
    Chain a({std::make_shared<Picky>()}, in, options);
    CHECK_EQ(a.Run(Reader(Frames({"a", "2", "b", "c"})).get()), limit == 9);
    CHECK_EQ(in->records.size(), limit == 0 ? 0u : limit == 1 ? 1u : limit == 3 ? 4u : 5u);
    options = {};
    options.limit_out = limit;
    Chain b({std::make_shared<Picky>()}, out, options);
    CHECK_EQ(b.Run(Reader(Frames({"a", "2", "b", "c"})).get()), limit == 9);
    CHECK_EQ(out->records.size(), std::min<size_t>(limit, 5));
  }
}

TEST(BadRecordFails) {
  auto sink = std::make_shared<VectorSink>();
  Chain chain({std::make_shared<Picky>()}, sink);
  const std::string text = MessageOf([&] { chain.Run(Reader(Frames({"a", "h", "!", "b"})).get()); });
  CHECK_EQ(text.find("drip: byte 18: it shouts"), 0u);
  CHECK((sink->records == Strings{"a", "h"}));  // what came before, held back or not
}

TEST(BadRecordIsSkippedOrSetAside) {
  TempFile file;
  for (bool keep : {false, true}) {
    auto sink = std::make_shared<VectorSink>();
    Strings warnings;
    ChainOptions options;
    options.on_bad_record = keep ? OnBadRecord::kSetAside : OnBadRecord::kSkip;
    options.set_aside_path = file.path;
    options.warn = [&](const std::string& m) { warnings.push_back(m); };
    Chain chain({std::make_shared<Picky>()}, sink, options);
    CHECK(chain.Run(Reader(Frames({"a", "!1", "b", "!2"})).get()));
    CHECK((sink->records == Strings{"a", "b"}));
    CHECK_EQ(chain.stats().bad_records, 2u);
    CHECK((warnings == Strings{"drip: byte 9: it shouts", "drip: byte 28: it shouts"}));
    CHECK(file.Content() == (keep ? Frames({"!1", "!2"}) : ""));
  }
}

// Holds `n` records back: the oldest leaves when another comes, the rest at the end.
class Late : public Operator {
 public:
  explicit Late(size_t n = 1) : n_(n) {}
  const char* name() const override { return "late"; }
  void Process(const Record& record, RecordSink* next) override {
    held_.emplace_back(record.payload);
    if (held_.size() > n_) Release(next);
  }
  void Finish(RecordSink* next) override {
    while (!held_.empty()) Release(next);
  }

 private:
  void Release(RecordSink* next) {
    const std::string oldest = held_.front();
    held_.erase(held_.begin());
    Record r;
    r.payload = oldest;
    next->Write(r);
  }

  const size_t n_;
  Strings held_;
};

TEST(ABadRecordIsThatOfItsStage) {
  auto sink = std::make_shared<VectorSink>();
  Strings warnings;
  ChainOptions options;
  options.on_bad_record = OnBadRecord::kSkip;
  options.stages = {"first", "second", "third"};
  options.warn = [&](const std::string& m) { warnings.push_back(m); };
  Chain chain({std::make_shared<Late>(), std::make_shared<Picky>(), std::make_shared<Late>()}, sink, options);
  CHECK(chain.Run(Reader(Frames({"a", "!1", "b", "c", "!2"})).get()));
  CHECK((sink->records == Strings{"a", "b"}));
  chain.Finish();
  CHECK((sink->records == Strings{"a", "b", "c"}));
  CHECK_EQ(chain.stats().bad_records, 2u);
  CHECK_EQ(chain.Operators()[0].bad, 0u);
  CHECK_EQ(chain.Operators()[1].bad, 2u);
  CHECK((warnings == Strings(2, "drip: second: in a record from the stage before: it shouts")));
}

TEST(StagesBehindABadRecordFinishAndThoseBeforeDoNot) {
  for (bool at_the_end : {false, true}) {
    auto sink = std::make_shared<VectorSink>();
    ChainOptions options;
    options.stages = {"first", "second", "third"};
    Chain chain({std::make_shared<Late>(2), std::make_shared<Picky>(), std::make_shared<Late>()}, sink, options);
    const Strings records = at_the_end ? Strings{"a", "h", "b", "!", "c"} : Strings{"a", "h", "b", "!", "c", "d"};
    auto reader = Reader(Frames(records));
    const std::string text = MessageOf([&] {
      chain.Run(reader.get());
      chain.Finish();
    });
    CHECK_EQ(text.find("drip: second: in a record from the stage before: it shouts"), 0u);
    CHECK((sink->records == Strings{"a", "b", "h"}));
  }
}

TEST(AnOperatorThatEndsEndsTheReading) {
  for (uint64_t limit : {0, 1, 2, 5}) {
    auto sink = std::make_shared<VectorSink>();
    Chain chain({std::make_shared<Late>(), std::make_shared<Limit>(limit), std::make_shared<Late>()}, sink);
    CHECK_EQ(chain.Run(Reader(Frames({"a", "b", "c", "d"})).get()), limit == 5);
    chain.Finish();
    CHECK_EQ(sink->records.size(), std::min<size_t>(limit, 4));
    CHECK_EQ(chain.stats().records_in, limit == 0 ? 0u : std::min<uint64_t>(limit + 1, 4));  // no more than it takes
    CHECK_EQ(chain.Operators()[1].dropped["limit"], limit == 0 || limit == 5 ? 0u : 1u);
  }
}

TEST(BrokenSourceFailsAfterAllBefore) {
  for (const std::string& tail : {std::string("\x05", 1), std::string("\xff\xff\xff\xff\xff\xff\xff\xff tail"), FromHex("fefefefe00000000")}) {
    TempFile file;
    auto sink = std::make_shared<FdSink>(file.fd, file.path);
    Chain chain({}, sink);
    CHECK_THROWS(chain.Run(Reader(Frames({"a", "bb"}) + tail, 1000).get()), ErrorCode::kBadData);
    CHECK(file.Content() == Frames({"a", "bb"}));
  }
}

TEST(BrokenSourceIsLeftOutOrSetAside) {
  TempFile file;
  const std::string tail = std::string(8, '\xff') + std::string(3 << 20, 'x');
  for (bool keep : {false, true}) {
    auto sink = std::make_shared<VectorSink>();
    ChainOptions options;
    options.on_bad_record = keep ? OnBadRecord::kSetAside : OnBadRecord::kSkip;
    options.set_aside_path = file.path;
    Chain chain({}, sink, options);
    CHECK(chain.Run(Reader(Frames({"a"}) + tail, 100000).get()));
    CHECK(chain.Run(Reader(Frames({"b"})).get()));
    CHECK((sink->records == Strings{"a", "b"}));
    CHECK_EQ(chain.stats().bad_records, 1u);
  }
  std::string kept;
  FrameReader aside(std::make_shared<MemorySource>(file.Content(), "aside"), {});
  for (const auto& piece : ReadAll(aside)) kept += piece;
  CHECK(kept == tail);
}

TEST(FlushedWheneverTheInputHasNothingAtHand) {
  int fds[2];
  CHECK(pipe(fds) == 0);
  auto sink = std::make_shared<VectorSink>();
  Chain chain({}, sink);
  FrameReader reader(std::make_shared<DripSource>(Frames({"a", "b", "c", "d"}), 18), {});  // two records a read
  chain.Run(&reader);
  CHECK(sink->flushes >= 3);
  close(fds[0]);
  close(fds[1]);
}

TEST(FdSinkWritesTheSameBytesWhateverTheMix) {
  Random random(3);
  for (int round = 0; round < 30; ++round) {
    TempFile file;
    std::string expected;
    {
      FdSink sink(file.fd, file.path);
      for (int batch = 0; batch < 4; ++batch) {
        std::string memory;  // framed records point into it until the flush
        Strings payloads;
        for (int i = 0; i < 40; ++i) payloads.emplace_back(random.Below(i % 7 == 0 ? 40000 : 300), static_cast<char>('a' + i % 26));
        memory = Frames(payloads);
        size_t at = 8;
        for (const auto& p : payloads) {
          Record r;
          r.payload = {memory.data() + at, p.size()};
          at += p.size() + 8;
          r.framed = random.Below(10) > 1;
          if (random.Below(10) == 0) continue;
          std::string copy;
          if (!r.framed) {
            copy = p;
            r.payload = copy;
          }
          sink.Write(r);
          AppendFrame({}, p, &expected);
        }
        sink.Flush();
      }
    }
    CHECK(file.Content() == expected);
  }
}

TEST(FullDevice) {
  const int fd = open("/dev/full", O_WRONLY);
  FdSink sink(fd, "standard output", true);
  Record r;
  r.payload = "abc";
  sink.Write(r);
  CHECK(MessageOf([&] { sink.Flush(); }).find("standard output: cannot write: No space left") == 0);
}

TEST(ShardsShareOut) {
  Strings all;
  for (int i = 0; i < 23; ++i) all.push_back(std::to_string(i));
  for (uint64_t count : {1, 2, 5, 40}) {
    std::multiset<std::string> seen;
    for (uint64_t index = 0; index < count; ++index) {
      auto sink = std::make_shared<VectorSink>();
      Chain chain({}, sink);
      ShardReader reader(Reader(Frames(all), 50), index, count);
      CHECK(chain.Run(&reader));
      for (size_t i = 0; i < sink->records.size(); ++i) CHECK_EQ(sink->records[i], all[index + i * count]);
      seen.insert(sink->records.begin(), sink->records.end());
    }
    CHECK_EQ(seen.size(), all.size());
  }
  CHECK_THROWS(ShardReader(Reader(""), 2, 2), ErrorCode::kUsage);
}

TEST(ShardOfABadRecordReportsIt) {
  std::string bytes;
  for (const char* p : {"a", "b", "c", "d"}) AppendTFRecord(p, &bytes);
  bytes[17 + 12] ^= 1;  // `b`
  for (uint64_t index : {0, 1}) {
    auto sink = std::make_shared<VectorSink>();
    ChainOptions options;
    options.on_bad_record = OnBadRecord::kSkip;
    Chain chain({}, sink, options);
    ShardReader reader(std::make_shared<TFRecordReader>(std::make_shared<MemorySource>(bytes, "m")), index, 2);
    chain.Run(&reader);
    CHECK(sink->records == (index ? Strings{"d"} : Strings{"a", "c"}));
    CHECK_EQ(chain.stats().bad_records, index);
  }
}

TEST(ShuffleKeepsEveryRecordAndItsBounds) {
  Strings all;
  for (int i = 0; i < 500; ++i) all.push_back("record " + std::to_string(i));
  auto mixed = [&](uint64_t seed, size_t records, size_t bytes) {
    auto sink = std::make_shared<VectorSink>();
    Chain chain({std::make_shared<ShuffleOperator>(seed, records, bytes)}, sink);
    chain.Run(Reader(Frames(all), 100).get());
    CHECK(sink->records.size() + records >= all.size());
    chain.Finish();
    CHECK(std::multiset<std::string>(sink->records.begin(), sink->records.end()) ==
          std::multiset<std::string>(all.begin(), all.end()));
    return sink->records;
  };
  CHECK(mixed(1, 100, 1 << 20) == mixed(1, 100, 1 << 20));
  CHECK(mixed(1, 100, 1 << 20) != mixed(2, 100, 1 << 20));
  CHECK(mixed(1, 1000, 1 << 20) != all);
  CHECK(mixed(1, 1, 1 << 20) == all);
  CHECK(mixed(1, 1000, 10) == all);  // no room: all pass through
  const Strings few = mixed(5, 20, 1 << 20);
  for (size_t i = 0; i < few.size(); ++i) CHECK(std::stoul(few[i].substr(7)) <= i + 20);
}

// The flag stays set, so this test comes last.
TEST(StopLeavesAtARecordBoundary) {
  InstallStopHandlers();
  auto sink = std::make_shared<VectorSink>();
  Chain chain({}, sink);
  int fds[2];
  CHECK(pipe(fds) == 0);
  const std::string bytes = Frames({"a", "b"}) + "\x05";
  CHECK(write(fds[1], bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  std::thread killer([&] {
    usleep(50000);
    kill(getpid(), SIGTERM);
  });
  FrameReader reader(std::make_shared<FdSource>(fds[0], "pipe", true), {});
  CHECK(!chain.Run(&reader));
  killer.join();
  CHECK((sink->records == Strings{"a", "b"}));
  CHECK_EQ(StopRequested(), SIGTERM);
  close(fds[1]);
}
