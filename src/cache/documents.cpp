// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cache/documents.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "util/error.h"
#include "util/file.h"

namespace swarmfs::cache {

namespace fs = std::filesystem;

namespace {

bool smaller(const std::pair<const std::string, util::Bytes>& one,
             const std::pair<const std::string, util::Bytes>& other) {
  return one.second.size() < other.second.size();
}

}  // namespace

Documents::Documents(fs::path directory) : directory_(std::move(directory)) {
  fs::create_directories(directory_);
}

fs::path Documents::path(const std::string& name) const {
  const bool fits = !name.empty() && std::count(name.begin(), name.end(), '/') <= 1 &&
                    name[0] != '/' && name.find("..") == std::string::npos;
  if (!fits) throw util::Error("'" + name + "' is no name for a document");
  return directory_ / name;
}

void Documents::write(const std::string& name, util::ByteView content) const {
  const auto where = path(name);
  std::error_code code;
  fs::create_directories(where.parent_path(), code);
  if (code) throw util::SysError(code.value(), "create " + where.parent_path().string());
  util::write_file_durably(where, content, 0600);
}

void Documents::save(const std::string& name, util::ByteView content) {
  const auto order = saving_.lock();
  write(name, content);
  waiting_.lock()->erase(name);
}

void Documents::keep_waiting(const std::string& name, util::ByteView content) {
  auto waiting = waiting_.lock();
  (*waiting)[name] = util::Bytes(content.begin(), content.end());
  uint64_t bytes = 0;
  for (const auto& [other, its] : *waiting) bytes += its.size();
  while (bytes > kMostWaiting) {
    const auto largest = std::max_element(waiting->begin(), waiting->end(), smaller);
    bytes -= largest->second.size();
    waiting->erase(largest);
  }
}

std::optional<util::Bytes> Documents::load(const std::string& name) const {
  {
    auto waiting = waiting_.lock();
    if (const auto found = waiting->find(name); found != waiting->end()) return found->second;
  }
  return util::read_file(path(name));
}

void Documents::remove(const std::string& name) {
  const auto order = saving_.lock();
  waiting_.lock()->erase(name);
  std::error_code code;
  fs::remove(path(name), code);
  if (code) throw util::SysError(code.value(), "remove " + path(name).string());
}

std::vector<std::string> Documents::names(const std::string& prefix) const {
  std::set<std::string> found;
  const auto add = [&](std::string name) {
    if (name.starts_with(prefix)) found.insert(std::move(name));
  };
  for (const auto& entry : fs::recursive_directory_iterator(directory_)) {
    std::string name = fs::relative(entry.path(), directory_).string();
    if (entry.is_regular_file() && name.find(".tmp") == std::string::npos) add(std::move(name));
  }
  for (auto& name : waiting()) add(std::move(name));
  return {found.begin(), found.end()};
}

std::vector<std::string> Documents::waiting() const {
  std::vector<std::string> found;
  auto waiting = waiting_.lock();
  for (const auto& [name, content] : *waiting) found.push_back(name);
  return found;
}

uint64_t Documents::next_waiting() const {
  auto waiting = waiting_.lock();
  const auto next = std::min_element(waiting->begin(), waiting->end(), smaller);
  return next == waiting->end() ? 0 : next->second.size();
}

void Documents::save_next() {
  const auto order = saving_.lock();
  std::string name;
  util::Bytes content;
  {
    auto waiting = waiting_.lock();
    const auto next = std::min_element(waiting->begin(), waiting->end(), smaller);
    if (next == waiting->end()) return;
    std::tie(name, content) = *next;
  }
  write(name, content);
  auto waiting = waiting_.lock();
  const auto found = waiting->find(name);
  if (found != waiting->end() && found->second == content) waiting->erase(found);
}

}  // namespace swarmfs::cache
