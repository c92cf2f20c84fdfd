// Checkpoint files of tables (spec 30, 13 and 14): saving, restoring, and chains of a base and what changed after it.
//
// A set of files appears by rename when all of it is written and synced, over an older set all or nothing; its manifest
// (checkpoint_manifest.h) says last what belongs to it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/tables/restore_options.h"
#include "core/tables/table.h"

namespace monolith {

// One table as plain TFRecords of EntryDump: <basename>-%05d-of-%05d. Shards: 0 or less chooses by size.
void SaveTable(const EmbeddingTable& table, const std::string& basename, int shards);
// Replaces the content. Throws Error(kBadData) naming file and offset, Error(kConfig) naming table, key and both shapes, or
// Error(kNoInput). After an error in the rows the table is empty; what is found before that leaves it as it was.
RestoreReport RestoreTable(EmbeddingTable* table, const std::string& basename, const RestoreOptions& options = {});

// The tables of one or several sets, such as those of all servers, in the tables of this process. As RestoreTable.
RestoreReport RestoreTables(MultiTable* tables, const std::vector<std::string>& basenames, const RestoreOptions& options = {});

// The basenames of the checkpoints that `basename` needs, the base first and itself last; itself alone when it is whole.
// Throws Error(kBadData) naming the link that is missing or was replaced.
std::vector<std::string> CheckpointChain(const std::string& basename);

// Writes what the chain of `from` stands for as one whole set `to`: row by row, no table is built. Memory is needed for the keys
// of the deltas of one table. Shards: 0 or less chooses by size. Returns the number of rows. Rows that have expired since the base was
// saved are kept: the files do not say how long each slot is kept. The next whole save leaves them out, and so does table-evict.
uint64_t CompactChain(const std::string& from, const std::string& to, int shards);

// Rows of each table of a whole set of several tables, as its metadata has them. Throws as a restore does.
std::map<std::string, uint64_t> FeatureCounts(const std::string& basename);

// How many shards a table of `size` rows is saved in when nobody says.
int AutoShards(size_t size);
// The number asked for, or that; throws Error(kUsage) when names have no room for it.
size_t ShardCount(int asked, size_t size);

}  // namespace monolith
