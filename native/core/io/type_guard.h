// Tells a stream of records of another type from the one that is asked for.
//
// protobuf takes the fields of another message for unknown ones, so that a wrong --type would read empty records without
// a word. The first records of each source are looked at: one that holds something its type does not have, while all of
// it belongs to another of the three types, is of that one.
#pragma once

#include <optional>
#include <string>

#include "core/base/error.h"
#include "core/io/record.h"

namespace monolith {

// A source whose records are of another type: no record of it is of use.
class WrongType : public Error {
 public:
  explicit WrongType(const std::string& message) : Error(ErrorCode::kBadData, message) {}
};

// The type of one record when it is certain that it is not `type`.
std::optional<RecordType> OtherType(RecordType type, std::string_view payload);

class TypeGuard {
 public:
  // Without a type nothing is looked at.
  explicit TypeGuard(std::optional<RecordType> type) : type_(type) {}

  void BeginSource() { left_ = type_ ? kLooks : 0; }
  bool looking() const { return left_ > 0; }
  // While looking. Throws WrongType naming source, byte and both types.
  void Look(const std::string& source, const Record& record) {
    --left_;
    Check(source, record);
  }

 private:
  static constexpr int kLooks = 64;

  void Check(const std::string& source, const Record& record) const;

  std::optional<RecordType> type_;
  int left_ = 0;
};

}  // namespace monolith
