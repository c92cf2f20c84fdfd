// Saving and restoring a sliding filter.
#include "core/base/error.h"
#include "core/tables/checkpoint_files.h"
#include "core/tables/filters/filter_file.h"
#include "core/tables/filters/sliding_filter.h"

namespace monolith {
namespace {

SlidingMeta Geometry(const SlidingFilter& filter) {
  SlidingMeta m;
  m.split_num = static_cast<uint64_t>(filter.split_num());
  m.max_forward_step = SlidingFilter::kForwardStep;
  m.max_backward_step = filter.max_backward_step();
  m.max_step = SlidingFilter::kMaxStep;
  return m;
}

}  // namespace

// Others go on counting. Splits that are not counted in at the moment that is taken stay as they are; the newest two are copied
// while they change, so that a count is one the id had between the beginning and the end of the save.
void SlidingFilter::Save(const std::string& basename) {
  FileSet files(basename);
  SlidingMeta meta = Geometry(*this);
  std::vector<std::shared_ptr<CountingSplit>> splits;
  {
    LaneLock::Alone alone(lock_);
    meta.head = head_;
    meta.head_increment = head_increment_;
    meta.failure_count = failure_count_.load(std::memory_order_relaxed);
    splits = splits_;
  }
  for (unsigned ahead = 0; ahead < kForwardStep; ++ahead) {
    const size_t i = (meta.head + ahead) % splits.size();
    splits[i] = splits[i]->Copy();
  }
  for (size_t i = 0; i < splits.size(); ++i) {
    WriteSplit(*splits[i], meta, files.Temporary(ShardName(basename, i, splits.size())));
    splits[i].reset();
  }
  files.Publish();
}

void SlidingFilter::Restore(const std::string& basename) {
  FinishPublish(basename);
  const std::vector<std::string> paths = FindShards(basename);
  if (paths.size() != splits_.size())
    throw Error(ErrorCode::kConfig, basename + ": there are files of a filter whose split_num was " + std::to_string(paths.size()) +
                                        ", but is now " + std::to_string(splits_.size()) +
                                        "; set filter_split_num as it was, or remove the files to start counting anew");
  const SlidingMeta live = Geometry(*this);
  const uint64_t capacity = SplitCapacity();
  SlidingMeta first;
  std::vector<std::shared_ptr<CountingSplit>> splits;
  for (const std::string& path : paths) {
    SlidingMeta meta;
    splits.push_back(ReadSplit(path, capacity, live, &meta));
    if (splits.size() == 1) first = meta;
    if (meta.head != first.head || meta.head_increment != first.head_increment)
      throw Error(ErrorCode::kBadData, path + ": at byte 0: it is of another save than " + paths.front() + ": head " +
                                           std::to_string(meta.head) + ", not " + std::to_string(first.head));
  }
  LaneLock::Alone alone(lock_);
  splits_.swap(splits);
  head_ = first.head;
  head_increment_ = first.head_increment;
  failure_count_.store(first.failure_count, std::memory_order_relaxed);
}

}  // namespace monolith
