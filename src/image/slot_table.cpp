// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "image/slot_table.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "util/log.h"

namespace swarmfs::image {

using nlohmann::json;

SlotTable::SlotTable(chunk::Store& store) : store_(store) {
  const auto document = store.load_document("slots");
  if (!document) return;
  const json saved = json::parse(util::as_text(*document), nullptr, false);
  auto state = state_.lock();
  if (!saved.is_object()) {
    util::log::warning("the slot table is unreadable; node ids change");
    return;
  }
  for (const auto& [key, slot] : saved.items()) {
    if (!slot.is_number_unsigned()) continue;
    state->by_key[key] = slot.get<uint32_t>();
    state->by_slot[slot.get<uint32_t>()] = key;
    state->next = std::max(state->next, slot.get<uint32_t>() + 1);
  }
}

uint32_t SlotTable::slot(const std::string& key) {
  auto state = state_.lock();
  if (const auto found = state->by_key.find(key); found != state->by_key.end())
    return found->second;
  const uint32_t made = state->next++;
  state->by_key[key] = made;
  state->by_slot[made] = key;
  store_.save_document("slots", util::as_bytes(json(state->by_key).dump()));
  return made;
}

std::optional<std::string> SlotTable::key(uint32_t slot) const {
  auto state = state_.lock();
  const auto found = state->by_slot.find(slot);
  return found == state->by_slot.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace swarmfs::image
