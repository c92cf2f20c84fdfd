#include "core/tables/set_writer.h"

#include "core/tables/parallel.h"

namespace monolith {

RecordFileWriter* SetWriter::Add(const std::string& final, Container container) {
  writers_.emplace_back(final, std::make_unique<RecordFileWriter>(files_.Temporary(final), container));
  return writers_.back().second.get();
}

Manifest SetWriter::Publish(std::vector<ManifestLink> chain, std::vector<std::vector<ManifestSection>> sections) {
  InParallel(writers_.size(), [&](size_t i) { writers_[i].second->Sync(); });
  Manifest manifest;
  manifest.chain = std::move(chain);
  for (auto& [final, writer] : writers_) {
    manifest.files.push_back({final.substr(final.rfind('/') + 1), writer->bytes(), writer->crc32c(), {}});
    writer.reset();
  }
  for (size_t i = 0; i < sections.size(); ++i) manifest.files[i].sections = std::move(sections[i]);
  WriteManifest(files_.Temporary(ManifestName(basename_)), &manifest);
  files_.Publish();
  return manifest;
}

}  // namespace monolith
