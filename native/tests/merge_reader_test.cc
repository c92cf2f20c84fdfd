// Merging: order within an input, all of it there, errors of one input; pipes have their own threads.
#include "core/io/merge_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <thread>

#include "core/base/atomic_file.h"
#include "tests/check.h"
#include "tests/io_helpers.h"

using namespace monolith;

namespace {

std::vector<std::string> Numbered(char name, int n) {
  std::vector<std::string> records;
  for (int i = 0; i < n; ++i) records.push_back(name + std::to_string(i) + std::string(static_cast<size_t>(i % 50), '.'));
  return records;
}

std::vector<std::string> Of(const std::vector<std::string>& merged, char name) {
  std::vector<std::string> records;
  for (const std::string& r : merged)
    if (r[0] == name) records.push_back(r);
  return records;
}

MergeReader::Input Dripping(const std::string& bytes, size_t step, bool live) {
  return {std::make_shared<FrameReader>(std::make_shared<DripSource>(bytes, step), FrameOptions{}), live};
}

}  // namespace

TEST(inputs_in_turn) {
  MergeReader reader({Dripping(Frames({"a", "b"}), 100, false), Dripping(Frames({"c"}), 100, false)}, MergeReader::OnError::kHold);
  const std::vector<std::string> expected = {"a", "c", "b"};
  CHECK(ReadAll(reader) == expected);
}

TEST(live_and_other_inputs_lose_nothing) {
  std::vector<MergeReader::Input> inputs;
  for (char name : {'a', 'b', 'c', 'd'})
    inputs.push_back(Dripping(Frames(Numbered(name, 3000)), name == 'b' ? 7 : 5000, name != 'd'));
  MergeReader reader(std::move(inputs), MergeReader::OnError::kHold);
  const std::vector<std::string> merged = ReadAll(reader);
  CHECK_EQ(merged.size(), 12000u);
  for (char name : {'a', 'b', 'c', 'd'}) CHECK(Of(merged, name) == Numbered(name, 3000));
}

TEST(pipes_that_keep_waiting) {
  std::vector<MergeReader::Input> inputs;
  std::vector<std::thread> writers;
  for (char name : {'a', 'b'}) {
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    inputs.push_back({std::make_shared<FrameReader>(std::make_shared<FdSource>(ends[0], "pipe", true), FrameOptions{}), true});
    writers.emplace_back([name, fd = ends[1]] {
      for (const std::string& record : Numbered(name, 500)) {
        const std::string frame = Frames({record});
        WriteAll(fd, frame.data(), frame.size(), "pipe");
        if (record.size() % 50 == 0) usleep(100);
      }
      close(fd);
    });
  }
  MergeReader reader(std::move(inputs), MergeReader::OnError::kHold);
  const std::vector<std::string> merged = ReadAll(reader);
  for (std::thread& writer : writers) writer.join();
  for (char name : {'a', 'b'}) CHECK(Of(merged, name) == Numbered(name, 500));
}

TEST(may_be_left_while_an_input_waits) {
  int ends[2];
  CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
  {
    MergeReader reader({{std::make_shared<FrameReader>(std::make_shared<FdSource>(ends[0], "pipe", true), FrameOptions{}), true},
                        Dripping(Frames(Numbered('a', 2)), 100, true)},
                       MergeReader::OnError::kHold);
    Record record;
    CHECK(reader.Next(&record));
  }
  close(ends[1]);
}

TEST(errors_of_one_input) {
  const std::string broken = Frames({"a0", "a1"}) + std::string(8, '\xff') + "rest";
  for (bool live : {false, true}) {
    std::string warned;
    MergeReader hold({Dripping(broken, 1000, live), Dripping(Frames(Numbered('b', 5)), 1000, live)}, MergeReader::OnError::kHold,
                     [&](const std::string& message) { warned = message; });
    std::vector<std::string> merged;
    Record record;
    const std::string error = MessageOf([&] { while (hold.Next(&record)) merged.emplace_back(record.payload); });
    CHECK_EQ(merged.size(), 7u);
    CHECK(error.find("drip: byte 20: ") == 0);
    CHECK(warned.find("the others go on") != std::string::npos);
    MergeReader give({Dripping(broken, 1000, live), Dripping(Frames(Numbered('b', 5)), 1000, live)}, MergeReader::OnError::kGiveRest);
    std::string bad;
    size_t records = 0;
    for (bool more = true; more;) {
      try {
        more = give.Next(&record);
        records += more;
      } catch (const BadRecord&) {
        bad += record.payload;
      }
    }
    CHECK_EQ(records, 7u);
    CHECK_EQ(bad, std::string(8, '\xff') + "rest");
  }
}
