// Files of items with their bias and embedding, for whoever searches among them (spec 30, 13.3).
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <string>

#include "core/base/error.h"
#include "core/io/tfrecord.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/op_checks.h"

namespace monolith {
namespace {

namespace tf = tensorflow;

REGISTER_OP("MonolithEntryFileAppend")
    .Input("path: string")
    .Input("item_id: int64")
    .Input("bias: float")
    .Input("embedding: float")
    .SetIsStateful()
    .SetShapeFn([](tf::shape_inference::InferenceContext* c) { return CheckRanks(c, {{0, "path", 0}, {1, "item_id", 1}}); })
    .Doc("Appends a TFRecord with EntryDump{id, num = [bias, embedding...]} for each item to a file, which is made where there is none.");

void AppendFloat(float value, std::string* out) {
  char bytes[5] = {0x15};  // field 2, fixed32
  std::memcpy(bytes + 1, &value, sizeof value);
  out->append(bytes, sizeof bytes);
}

// Floats that each item has of an argument.
int64_t PerItem(const char* argument, const tf::Tensor& values, int64_t n) {
  if (n == 0 || values.NumElements() % n != 0)
    throw Error(ErrorCode::kUsage, std::string(argument) + " of shape " + values.shape().DebugString() + " has no equal part for each of the " +
                                       std::to_string(n) + " items");
  return values.NumElements() / n;
}

std::string Records(const tf::Tensor& ids, const tf::Tensor& bias, const tf::Tensor& embedding) {
  const int64_t n = ids.NumElements(), biases = PerItem("bias", bias, n), dim = PerItem("embedding", embedding, n);
  std::string out, entry;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t id = ids.flat<int64_t>()(i);
    entry.assign(1, '\x09');  // field 1, fixed64
    entry.append(reinterpret_cast<const char*>(&id), sizeof id);
    for (int64_t b = 0; b < biases; ++b) AppendFloat(bias.flat<float>()(i * biases + b), &entry);
    for (int64_t d = 0; d < dim; ++d) AppendFloat(embedding.flat<float>()(i * dim + d), &entry);
    AppendTFRecord(entry, &out);
  }
  return out;
}

// All of it or nothing: what a full disk took of it is cut off again.
void AppendToFile(const std::string& path, const std::string& bytes) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) throw Error(ErrorCode::kCannotCreate, path + ": " + std::strerror(errno));
  const off_t end = lseek(fd, 0, SEEK_END);
  bool written = end >= 0;
  for (size_t at = 0; written && at < bytes.size();) {
    const ssize_t n = write(fd, bytes.data() + at, bytes.size() - at);
    if (n > 0) at += static_cast<size_t>(n);
    else written = n < 0 && errno == EINTR;
  }
  int reason = errno;
  if (!written && end >= 0) (void)!ftruncate(fd, end);  // a device cannot be cut, and keeps nothing either
  if (close(fd) != 0 && written) {
    written = false;
    reason = errno;
  }
  if (!written) throw Error(ErrorCode::kIo, path + ": " + std::strerror(reason));
}

class EntryFileAppendOp : public tf::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(tf::OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, Guard([&] {
                     const std::string path = ScalarInput<tf::tstring>(ctx, "path");
                     const std::string records = Records(InputOfRank(ctx, "item_id", 1), ctx->input(2), ctx->input(3));
                     std::lock_guard<std::mutex> lock(mutex_);
                     AppendToFile(path, records);
                   }));
  }

 private:
  static std::mutex mutex_;  // appends of one process do not mix
};

std::mutex EntryFileAppendOp::mutex_;

REGISTER_KERNEL_BUILDER(Name("MonolithEntryFileAppend").Device(tf::DEVICE_CPU), EntryFileAppendOp);

}  // namespace
}  // namespace monolith
