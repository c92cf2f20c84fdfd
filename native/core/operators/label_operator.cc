#include "core/operators/label_operator.h"

#include <cstring>

namespace monolith {
namespace {

// By bits, so that NaN is itself and -0 is another number than 0.
bool Same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

}  // namespace

LabelOperator::LabelOperator(RecordType type) : view_(type, "pb-label"), patch_(type) { view_.WantLabels(); }

void LabelOperator::Process(const Record& record, RecordSink* next) {
  view_.Load(record.payload);
  patch_.Load(record.payload);
  labels_ = view_.labels();
  Relabel(&labels_);
  if (!Same(labels_, view_.labels())) patch_.SetLabels(labels_);
  patch_.Write(record, next);
}

}  // namespace monolith
