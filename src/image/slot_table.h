// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "chunk/store.h"
#include "util/sync.h"

namespace swarmfs::image {

/// Small numbers for layers and images, for node ids. Given once, never to another, kept in the
/// store's document "slots" (one that a full disk did not take is given anew after a restart). Any
/// thread; a new slot blocks on the disk.
class SlotTable {
 public:
  explicit SlotTable(chunk::Store& store);
  uint32_t slot(const std::string& key);
  [[nodiscard]] std::optional<std::string> key(uint32_t slot) const;

 private:
  struct State {
    std::map<std::string, uint32_t> by_key;
    std::map<uint32_t, std::string> by_slot;
    uint32_t next = 1;
  };
  chunk::Store& store_;
  util::Sync<State> state_;
};

}  // namespace swarmfs::image
