// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "util/units.h"

namespace swarmfs::cache {

/// Small named files under one directory, replaced durably. Any thread; blocking.
class Documents {
 public:
  explicit Documents(std::filesystem::path directory);
  void save(const std::string& name, util::ByteView content);
  [[nodiscard]] std::optional<util::Bytes> load(const std::string& name) const;
  void remove(const std::string& name);
  [[nodiscard]] std::vector<std::string> names(const std::string& prefix) const;

 private:
  [[nodiscard]] std::filesystem::path path(const std::string& name) const;
  std::filesystem::path directory_;
};

}  // namespace swarmfs::cache
