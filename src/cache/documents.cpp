// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cache/documents.h"

#include <algorithm>

#include "util/error.h"
#include "util/file.h"

namespace swarmfs::cache {

namespace fs = std::filesystem;

Documents::Documents(fs::path directory) : directory_(std::move(directory)) {
  fs::create_directories(directory_);
}

fs::path Documents::path(const std::string& name) const {
  const bool fits = !name.empty() && std::count(name.begin(), name.end(), '/') <= 1 &&
                    name[0] != '/' && name.find("..") == std::string::npos;
  if (!fits) throw util::Error("'" + name + "' is no name for a document");
  return directory_ / name;
}

void Documents::save(const std::string& name, util::ByteView content) {
  const auto where = path(name);
  fs::create_directories(where.parent_path());
  util::write_file_durably(where, content, 0600);
}

std::optional<util::Bytes> Documents::load(const std::string& name) const {
  return util::read_file(path(name));
}

void Documents::remove(const std::string& name) {
  fs::remove(path(name));
}

std::vector<std::string> Documents::names(const std::string& prefix) const {
  std::vector<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(directory_)) {
    std::string name = fs::relative(entry.path(), directory_).string();
    if (entry.is_regular_file() && name.starts_with(prefix) &&
        name.find(".tmp") == std::string::npos)
      found.push_back(std::move(name));
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace swarmfs::cache
