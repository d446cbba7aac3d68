// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "util/sync.h"
#include "util/units.h"

namespace swarmfs::cache {

/// Small named files under one directory, replaced durably. Those that the disk refuses can wait in
/// memory, and are seen as if they were saved. Any thread; blocking. Throws util::SysError.
class Documents {
 public:
  static constexpr uint64_t kMostWaiting = 64 << 20;  ///< bytes; beyond them the largest are lost

  explicit Documents(std::filesystem::path directory);
  void save(const std::string& name, util::ByteView content);
  void keep_waiting(const std::string& name, util::ByteView content);
  [[nodiscard]] std::optional<util::Bytes> load(const std::string& name) const;
  void remove(const std::string& name);
  [[nodiscard]] std::vector<std::string> names(const std::string& prefix) const;

  /// Names of those that wait.
  [[nodiscard]] std::vector<std::string> waiting() const;
  /// Bytes of the smallest of them.
  [[nodiscard]] uint64_t next_waiting() const;
  /// Saves that one.
  void save_next();

 private:
  using Waiting = std::map<std::string, util::Bytes>;

  [[nodiscard]] std::filesystem::path path(const std::string& name) const;
  void write(const std::string& name, util::ByteView content) const;

  std::filesystem::path directory_;
  util::Sync<std::monostate> saving_;  ///< held over the disk: the last word is the one that stays
  util::Sync<Waiting> waiting_;        ///< leaf
};

}  // namespace swarmfs::cache
