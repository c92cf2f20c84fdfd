#include "core/base/atomic_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "check.h"

using namespace monolith;

struct TempDir {
  std::string path;
  TempDir() {
    char name[] = "/tmp/atomic_file_test.XXXXXX";
    path = mkdtemp(name);
  }
  ~TempDir() { [[maybe_unused]] const int r = std::system(("rm -rf " + path).c_str()); }
  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    DIR* dir = opendir(path.c_str());
    while (dirent* e = readdir(dir))
      if (e->d_name[0] != '.') names.push_back(e->d_name);
    closedir(dir);
    return names;
  }
};

static std::string Content(const std::string& path) {
  std::ifstream f(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(f), {}};
}

TEST(AppearsWithCommitOnly) {
  TempDir dir;
  const std::string path = dir.path + "/out";
  {
    AtomicFile file(path);
    file.Write("abc");
    file.Flush();
    CHECK(access(path.c_str(), F_OK) != 0);
    CHECK_EQ(dir.Files().size(), 1u);
    CHECK_EQ(dir.Files()[0].find("out.tmp-"), 0u);
    file.Write(std::string(1 << 20, 'x'));
    file.Write("end");
    file.Commit();
  }
  CHECK(Content(path) == "abc" + std::string(1 << 20, 'x') + "end");
  CHECK_EQ(dir.Files().size(), 1u);
}

TEST(AbandonedLeavesNothing) {
  TempDir dir;
  const std::string path = dir.path + "/out";
  std::ofstream(path) << "old";
  {
    AtomicFile file(path);
    file.Write("new");
  }
  CHECK_EQ(Content(path), "old");
  CHECK_EQ(dir.Files().size(), 1u);
}

TEST(KeepsModeAndFollowsLinks) {
  TempDir dir;
  const std::string path = dir.path + "/real", link = dir.path + "/link";
  std::ofstream(path) << "old";
  chmod(path.c_str(), 0640);
  CHECK(symlink("real", link.c_str()) == 0);
  AtomicFile file(link);
  file.Write("new");
  file.Commit();
  struct stat st;
  CHECK(lstat(link.c_str(), &st) == 0 && S_ISLNK(st.st_mode));
  CHECK(stat(path.c_str(), &st) == 0 && (st.st_mode & 07777) == 0640);
  CHECK_EQ(Content(path), "new");
}

TEST(HasTheModeAskedFor) {
  TempDir dir;
  const std::string path = dir.path + "/out";
  std::ofstream(path) << "old";
  AtomicFile file(path, 0600);
  file.Commit();
  struct stat st;
  CHECK(stat(path.c_str(), &st) == 0 && (st.st_mode & 07777) == 0600);
}

TEST(DescriptorsAreWrittenFromWhereTheyStand) {
  TempDir dir;
  const std::string path = dir.path + "/out";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT, 0600);
  for (const char* folder : {"/dev/fd/", "/proc/self/fd/"}) {
    WriteAll(fd, "a", 1, "");
    AtomicFile file(folder + std::to_string(fd));
    file.Write("b");
    file.Commit();
  }
  WriteAll(fd, "c", 1, "");
  close(fd);
  CHECK_EQ(Content(path), "ababc");
  CHECK_THROWS(AtomicFile("/dev/fd/" + std::to_string(fd)), ErrorCode::kCannotCreate);
}

TEST(Refusals) {
  TempDir dir;
  CHECK_THROWS(AtomicFile(dir.path + "/none/out"), ErrorCode::kCannotCreate);
  CHECK_THROWS(AtomicFile{dir.path}, ErrorCode::kCannotCreate);
}

TEST(DevicesAreWrittenDirectly) {
  AtomicFile null("/dev/null");
  null.Write("abc");
  null.Commit();
  struct stat st;
  CHECK(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));
  AtomicFile full("/dev/full");
  full.Write("abc");
  CHECK_THROWS(full.Commit(), ErrorCode::kIo);
}
