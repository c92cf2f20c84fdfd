// Fields of LineId that an option names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/records/line_id.h"

namespace monolith {

// The field of that name. Throws Error(kUsage), with the fields there are, when it is unknown, a list, or not what
// `fits(field)` wants; `kind` says what that is.
template <class Fits>
const LineIdField& ChooseLineIdField(std::string_view name, const std::string& kind, Fits fits) {
  const LineIdField* field = FindLineIdField(name);
  if (field && !field->repeated && fits(*field)) return *field;
  std::vector<std::string_view> names;
  std::string all;
  for (const LineIdField& f : kLineIdFields) {
    if (f.repeated || !fits(f)) continue;
    names.push_back(f.name);
    all += (all.empty() ? "" : ", ") + std::string(f.name);
  }
  const std::string_view near = field ? "" : NearestName(name, names);
  throw Error(ErrorCode::kUsage, "\"" + std::string(name) + "\" is " + (field ? "not " + kind : "no field") + " of line_id" +
                                     (near.empty() ? "; " : "; did you mean " + std::string(near) + "? ") + "there are " + all);
}

}  // namespace monolith
