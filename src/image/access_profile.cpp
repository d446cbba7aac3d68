// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "image/access_profile.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

namespace swarmfs::image {

using fetch::TouchLog;
using nlohmann::json;
using util::Failure;
using util::Fault;

namespace {

constexpr uint64_t kLongest = 256 * 1024;

/// Puts a unit at the end of the list, or at the end of its last entry where it continues that.
void append(std::vector<AccessProfile::Entry>& entries, uint32_t layer, util::ByteRange bytes) {
  if (!entries.empty()) {
    auto& last = entries.back();
    if (last.layer == layer && last.bytes.end() == bytes.offset && last.bytes.length < kLongest) {
      last.bytes.length += bytes.length;
      return;
    }
  }
  entries.push_back({layer, bytes});
}

}  // namespace

AccessProfile AccessProfile::of(const std::vector<std::vector<fetch::Touch>>& touches,
                                const std::vector<uint64_t>& layer_sizes,
                                const AccessProfile& earlier) {
  struct Seen {
    util::SteadyTime when;
    uint32_t layer, unit;
  };
  std::vector<Seen> order;
  for (uint32_t layer = 0; layer < touches.size(); ++layer)
    for (const auto& touch : touches[layer]) order.push_back({touch.when, layer, touch.unit});
  std::stable_sort(order.begin(), order.end(), [](auto& a, auto& b) { return a.when < b.when; });

  AccessProfile made;
  std::set<std::pair<uint32_t, uint64_t>> known;
  uint64_t total = 0;
  const auto add = [&](uint32_t layer, uint64_t unit) {
    const auto bytes =
        util::ByteRange{unit * TouchLog::kUnit, TouchLog::kUnit}.clamp(layer_sizes.at(layer));
    if (bytes.empty() || total >= kMostBytes || !known.emplace(layer, unit).second) return;
    total += bytes.length;
    append(made.entries, layer, bytes);
  };
  for (const auto& seen : order) add(seen.layer, seen.unit);
  for (const auto& entry : earlier.entries)
    for (uint64_t at = entry.bytes.offset; at < entry.bytes.end(); at += TouchLog::kUnit)
      add(entry.layer, at / TouchLog::kUnit);
  return made;
}

std::string AccessProfile::to_json() const {
  json list = json::array();
  for (const auto& entry : entries)
    list.push_back({entry.layer, entry.bytes.offset, entry.bytes.length});
  return json{{"version", 1}, {"entries", std::move(list)}}.dump();
}

util::Outcome<AccessProfile> AccessProfile::parse(std::string_view text,
                                                  const std::vector<uint64_t>& layer_sizes) {
  try {
    const json document = json::parse(text);
    AccessProfile made;
    if (document.at("version") != 1) return Failure{Fault::corrupt, "another version"};
    for (const auto& item : document.at("entries")) {
      const Entry entry{item.at(0).get<uint32_t>(),
                        {item.at(1).get<uint64_t>(), item.at(2).get<uint64_t>()}};
      if (entry.layer >= layer_sizes.size() ||
          entry.bytes.clamp(layer_sizes[entry.layer]) != entry.bytes || entry.bytes.empty() ||
          entry.bytes.offset % TouchLog::kUnit != 0)
        return Failure{Fault::corrupt, "an entry out of bounds"};
      made.entries.push_back(entry);
    }
    return made;
  } catch (const json::exception& error) {
    return Failure{Fault::corrupt, error.what()};
  }
}

}  // namespace swarmfs::image
