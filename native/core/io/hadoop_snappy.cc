#include <algorithm>
#include <cstring>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/snappy.h"
#include "core/io/byte_source.h"
#include "core/io/input_buffer.h"

namespace monolith {
namespace {

constexpr uint32_t kMaxBlock = 256u << 20;  // Hadoop writes 256 KiB; upstream's readers hold 64 MiB

class HadoopSnappySource : public ByteSource {
 public:
  explicit HadoopSnappySource(std::shared_ptr<ByteSource> compressed)
      : ByteSource(compressed->name()), input_(std::move(compressed)) {}

  size_t Read(char* to, size_t n) override {
    while (used_ == plain_.size()) {
      if (!NextChunk()) return 0;
    }
    const size_t got = std::min(n, plain_.size() - used_);
    std::memcpy(to, plain_.data() + used_, got);
    used_ += got;
    return got;
  }

  void Cancel() override { input_.source().Cancel(); }

 private:
  [[noreturn]] void Fail(const std::string& what) {
    throw Error(ErrorCode::kBadData, name() + ": byte " + std::to_string(input_.position()) +
                                         " of the compressed file: " + what);
  }

  uint32_t ReadLength(const char* what) {
    if (!input_.Fill(4)) Fail(std::string("the snappy data is cut short inside the length of a ") + what);
    const uint32_t length = LoadBe32(input_.data());
    if (length > kMaxBlock)
      Fail(std::string("the length of a snappy ") + what + " is " + std::to_string(length) +
           " bytes; this is no Hadoop block snappy");
    input_.Consume(4);
    return length;
  }

  bool NextChunk() {
    used_ = 0;
    plain_.clear();
    while (block_left_ == 0) {
      if (input_.size() == 0 && !input_.Fill(1)) return false;
      block_left_ = ReadLength("block");
    }
    const uint32_t length = ReadLength("chunk");
    if (!input_.Fill(length)) Fail("the snappy data is cut short inside a chunk");
    try {
      SnappyDecompress({input_.data(), length}, &plain_, block_left_);
    } catch (const Error& e) {
      plain_.clear();
      Fail(e.what());
    }
    input_.Consume(length);
    block_left_ -= static_cast<uint32_t>(plain_.size());
    return true;
  }

  InputBuffer input_;
  uint32_t block_left_ = 0;  // uncompressed bytes of the block that are still to come
  std::string plain_;
  size_t used_ = 0;
};

}  // namespace

std::unique_ptr<ByteSource> MakeHadoopSnappySource(std::shared_ptr<ByteSource> compressed) {
  return std::make_unique<HadoopSnappySource>(std::move(compressed));
}

}  // namespace monolith
