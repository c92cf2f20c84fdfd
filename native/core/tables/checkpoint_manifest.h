// `<basename>.manifest`: which files belong to a checkpoint of tables, their sizes and checksums, and for a delta the
// checkpoints it continues (protos/monolith_protos/checkpoint_manifest.proto).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace monolith {

struct ManifestSection {
  std::string table;
  uint64_t rows = 0, erased = 0;
};

struct ManifestFile {
  std::string name;  // without its directory
  uint64_t bytes = 0;
  uint32_t crc32c = 0;
  std::vector<ManifestSection> sections;  // of a delta
};

struct ManifestLink {
  std::string basename;  // relative to the directory of the manifest
  uint32_t crc32c = 0;   // of the bytes of its manifest
};

struct Manifest {
  std::vector<ManifestFile> files;
  std::vector<ManifestLink> chain;  // of a delta: the base first
  uint32_t crc32c = 0;              // of the manifest's own bytes

  bool delta() const { return !chain.empty(); }
  const ManifestFile* Find(const std::string& name) const;
};

std::string ManifestName(const std::string& basename);
// "<basename>.delta.00001-of-00004": no pattern of a whole checkpoint takes it for one of its files.
std::string DeltaName(const std::string& basename, size_t shard, size_t shards);

// Writes the file, synced; sets manifest->crc32c.
void WriteManifest(const std::string& path, Manifest* manifest);
// Nothing when there is none. Throws Error(kBadData) naming file and offset.
std::optional<Manifest> ReadManifest(const std::string& basename);

// Throws Error(kBadData) when a file of the manifest is missing from the directory of `basename`; with `sizes` also when one has
// another size.
void CheckFiles(const Manifest& manifest, const std::string& basename, bool sizes);
// Throws Error(kBadData) when what was read of the file at `path` is not what the manifest says.
void CheckFileContent(const Manifest& manifest, const std::string& path, uint64_t bytes, uint32_t crc32c);

// The checkpoints that together are what `basename` stands for, the base first and itself last. Throws Error(kBadData)
// naming the link that is missing or was replaced.
struct ChainLink {
  std::string basename;
  std::optional<Manifest> manifest;
};
// `before` is called with each basename before it is read.
std::vector<ChainLink> ReadChain(const std::string& basename, const std::function<void(const std::string&)>& before);

// `basename` as seen from the directory of `from`, both paths as the caller has them.
std::string RelativeBasename(const std::string& basename, const std::string& from);

}  // namespace monolith
