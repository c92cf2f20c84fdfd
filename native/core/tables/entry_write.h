// EntryDump messages (spec 30, 1.1 and 1.6) without the config of their table: what they are told apart by, and written anew.
#pragma once

#include <string>
#include <string_view>

#include "core/tables/entry_dump.h"

namespace monolith {

struct EntryHead {
  int64_t key = 0, timestamp = 0;
};

// Throws BadRecord when the message is no entry.
EntryHead ReadEntryHead(std::string_view message);

// Writes entries as tables save them: fields in order, `opt` and `last_update_ts_sec` always there, floats not packed.
class EntryWriter {
 public:
  void Append(const DumpedEntry& entry, std::string* out);

 private:
  std::string opt_, dump_, body_;
};

}  // namespace monolith
