// The files of one save under temporary names, and their publication together with a manifest.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/tables/checkpoint_files.h"
#include "core/tables/checkpoint_manifest.h"
#include "core/tables/record_file.h"

namespace monolith {

class SetWriter {
 public:
  explicit SetWriter(const std::string& basename) : basename_(basename), files_(basename) {}

  // A new file that will be named `final`. Files are renamed in the order they were added.
  RecordFileWriter* Add(const std::string& final, Container container);

  // After Finish() of all files: syncs them, writes the manifest and lets the set take the place of an older one. `chain`: of
  // a delta; `sections` then has those of each file. Returns the manifest.
  Manifest Publish(std::vector<ManifestLink> chain = {}, std::vector<std::vector<ManifestSection>> sections = {});

 private:
  std::string basename_;
  FileSet files_;
  std::vector<std::pair<std::string, std::unique_ptr<RecordFileWriter>>> writers_;
};

}  // namespace monolith
