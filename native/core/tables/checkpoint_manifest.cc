#include "core/tables/checkpoint_manifest.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "core/base/error.h"
#include "core/tables/record_file.h"
#include "core/wire/wire.h"

namespace monolith {
namespace {

using wire::Field;
using wire::Reader;
using wire::Type;
using wire::Writer;

constexpr uint64_t kVersion = 1;

std::string FileName(const std::string& path) { return path.substr(path.rfind('/') + 1); }
std::string FolderOf(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

[[noreturn]] void Bad(const std::string& path, uint64_t at, const std::string& what) {
  throw Error(ErrorCode::kBadData, path + ": at byte " + std::to_string(at) + ": " + what);
}

std::string EncodeSection(const ManifestSection& s) {
  std::string out;
  Writer w(&out);
  w.Bytes(1, s.table);
  w.Varint(2, s.rows);
  w.Varint(3, s.erased);
  return out;
}

std::string EncodeFile(const ManifestFile& f) {
  std::string out;
  Writer w(&out);
  w.Bytes(1, f.name);
  w.Varint(2, f.bytes);
  w.Fixed32(3, f.crc32c);
  for (const ManifestSection& s : f.sections) w.Bytes(4, EncodeSection(s));
  return out;
}

std::string Encode(const Manifest& m) {
  std::string out;
  Writer w(&out);
  w.Varint(1, kVersion);
  for (const ManifestFile& f : m.files) w.Bytes(2, EncodeFile(f));
  for (const ManifestLink& l : m.chain) {
    std::string link;
    Writer lw(&link);
    lw.Bytes(1, l.basename);
    lw.Fixed32(2, l.crc32c);
    w.Bytes(3, link);
  }
  return out;
}

ManifestSection DecodeSection(std::string_view message) {
  ManifestSection s;
  Field f;
  for (Reader r(message); r.Next(&f);) {
    if (f.number == 1 && f.type == Type::kBytes) s.table = f.bytes;
    if (f.number == 2 && f.type == Type::kVarint) s.rows = f.scalar;
    if (f.number == 3 && f.type == Type::kVarint) s.erased = f.scalar;
  }
  return s;
}

ManifestFile DecodeFile(std::string_view message) {
  ManifestFile file;
  Field f;
  for (Reader r(message); r.Next(&f);) {
    if (f.number == 1 && f.type == Type::kBytes) file.name = f.bytes;
    if (f.number == 2 && f.type == Type::kVarint) file.bytes = f.scalar;
    if (f.number == 3 && f.type == Type::kFixed32) file.crc32c = static_cast<uint32_t>(f.scalar);
    if (f.number == 4 && f.type == Type::kBytes) file.sections.push_back(DecodeSection(f.bytes));
  }
  if (file.name.empty() || file.name.find('/') != std::string::npos) throw BadRecord("'" + file.name + "' is no name of a file");
  return file;
}

ManifestLink DecodeLink(std::string_view message) {
  ManifestLink link;
  Field f;
  for (Reader r(message); r.Next(&f);) {
    if (f.number == 1 && f.type == Type::kBytes) link.basename = f.bytes;
    if (f.number == 2 && f.type == Type::kFixed32) link.crc32c = static_cast<uint32_t>(f.scalar);
  }
  if (link.basename.empty()) throw BadRecord("a link has no name");
  return link;
}

Manifest Decode(std::string_view message) {
  Manifest m;
  uint64_t version = 0;
  Field f;
  for (Reader r(message); r.Next(&f);) {
    if (f.number == 1 && f.type == Type::kVarint) version = f.scalar;
    if (f.number == 2 && f.type == Type::kBytes) m.files.push_back(DecodeFile(f.bytes));
    if (f.number == 3 && f.type == Type::kBytes) m.chain.push_back(DecodeLink(f.bytes));
  }
  if (version != kVersion)
    throw BadRecord("version " + std::to_string(version) + " of the manifest is not known here; version " + std::to_string(kVersion) + " is");
  return m;
}

// A manifest that is whole but was copied to the place of another would pass off that other's rows.
void CheckOwner(const Manifest& m, const std::string& basename, const std::string& path) {
  const std::string own = FileName(basename);
  for (const ManifestFile& f : m.files)
    if (f.name.compare(0, own.size(), own) != 0 || f.name.size() == own.size() || (f.name[own.size()] != '-' && f.name[own.size()] != '.'))
      Bad(path, 0, "the manifest is that of another save: it lists " + f.name);
}

bool Exists(const std::string& path) {
  struct stat st;
  return stat(path.c_str(), &st) == 0;
}

void CheckSize(const ManifestFile& f, const std::string& path, uint64_t size) {
  if (size != f.bytes)
    Bad(path, std::min(size, f.bytes), "the file has " + std::to_string(size) + " bytes, but the manifest says " + std::to_string(f.bytes));
}

}  // namespace

std::string ManifestName(const std::string& basename) { return basename + ".manifest"; }

std::string DeltaName(const std::string& basename, size_t shard, size_t shards) {
  char suffix[64];
  std::snprintf(suffix, sizeof suffix, ".delta.%05zu-of-%05zu", shard, shards);
  return basename + suffix;
}

const ManifestFile* Manifest::Find(const std::string& name) const {
  const auto it = std::find_if(files.begin(), files.end(), [&](const ManifestFile& f) { return f.name == name; });
  return it == files.end() ? nullptr : &*it;
}

void WriteManifest(const std::string& path, Manifest* manifest) {
  RecordFileWriter w(path, Container::kPlain);
  w.Write(Encode(*manifest));
  w.Finish();
  w.Sync();
  manifest->crc32c = w.crc32c();
}

std::optional<Manifest> ReadManifest(const std::string& basename) {
  const std::string path = ManifestName(basename);
  if (!Exists(path)) return {};
  RecordFileReader reader(path, Container::kPlain);
  std::string_view message, extra;
  if (!reader.Next(&message)) Bad(path, 0, "the manifest is empty");
  Manifest m;
  try {
    m = Decode(message);
  } catch (const BadRecord& e) {
    throw Error(ErrorCode::kBadData, reader.Where() + ": " + e.what());
  }
  if (reader.Next(&extra)) throw Error(ErrorCode::kBadData, reader.Where() + ": there is more than one record in the manifest");
  CheckOwner(m, basename, path);
  m.crc32c = reader.crc32c();
  return m;
}

void CheckFiles(const Manifest& manifest, const std::string& basename, bool sizes) {
  for (const ManifestFile& f : manifest.files) {
    const std::string path = FolderOf(basename) + f.name;
    struct stat st;
    if (stat(path.c_str(), &st) != 0) Bad(path, 0, "is missing: the checkpoint is not whole");
    if (sizes) CheckSize(f, path, static_cast<uint64_t>(st.st_size));
  }
}

void CheckFileContent(const Manifest& manifest, const std::string& path, uint64_t bytes, uint32_t crc32c) {
  const ManifestFile* f = manifest.Find(FileName(path));
  if (!f) Bad(path, 0, "the manifest beside it does not know this file; it is of another save");
  CheckSize(*f, path, bytes);
  if (f->crc32c != crc32c) Bad(path, 0, "the checksum of the whole file is not that of the manifest; it is of another save");
}

std::vector<ChainLink> ReadChain(const std::string& basename, const std::function<void(const std::string&)>& before) {
  std::vector<ChainLink> chain;
  before(basename);
  const std::optional<Manifest> last = ReadManifest(basename);
  if (last)
    for (const ManifestLink& link : last->chain) {
      const std::string path = link.basename[0] == '/' ? link.basename : FolderOf(basename) + link.basename;
      const std::string needed = ", which " + ManifestName(basename) + " continues";
      before(path);
      std::optional<Manifest> m = ReadManifest(path);
      if (!m) Bad(ManifestName(path), 0, "is missing" + needed);
      if (m->crc32c != link.crc32c) Bad(ManifestName(path), 0, "is not that of the save" + needed);
      if (m->delta() != (&link != &last->chain.front())) Bad(ManifestName(basename), 0, path + " is no base of a chain, or comes twice");
      chain.push_back({path, std::move(m)});
    }
  chain.push_back({basename, last});
  return chain;
}

std::string RelativeBasename(const std::string& basename, const std::string& from) {
  namespace fs = std::filesystem;
  const auto folder = fs::absolute(FolderOf(from).empty() ? "." : FolderOf(from)).lexically_normal();
  return fs::absolute(basename).lexically_normal().lexically_relative(folder).string();
}

}  // namespace monolith
