// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "image/access_profile.h"

#include <gtest/gtest.h>

namespace swarmfs::image {
namespace {

using Entries = std::vector<AccessProfile::Entry>;
constexpr uint64_t kUnit = fetch::TouchLog::kUnit;

fetch::Touch touch(int when, uint32_t unit) {
  return {util::SteadyTime(std::chrono::milliseconds(when)), unit};
}

const std::vector<uint64_t> kSizes{10 * kUnit, 3 * kUnit + 7};

TEST(AccessProfile, orders_the_parts_of_all_layers_by_first_touch_and_joins_neighbours) {
  const auto profile =
      AccessProfile::of({{touch(1, 4), touch(5, 5), touch(6, 6)}, {touch(3, 3)}}, kSizes);
  EXPECT_EQ(profile.entries,
            (Entries{{0, {4 * kUnit, kUnit}}, {1, {3 * kUnit, 7}}, {0, {5 * kUnit, 2 * kUnit}}}));
}

TEST(AccessProfile, keeps_what_an_earlier_mount_touched_behind_what_this_one_did) {
  const AccessProfile earlier{{{0, {0, 2 * kUnit}}}};
  const auto profile = AccessProfile::of({{touch(1, 1)}, {}}, kSizes, earlier);
  EXPECT_EQ(profile.entries, (Entries{{0, {kUnit, kUnit}}, {0, {0, kUnit}}}));
}

TEST(AccessProfile, comes_back_from_its_document) {
  const auto profile = AccessProfile::of({{touch(1, 4)}, {touch(3, 3)}}, kSizes);
  const auto back = AccessProfile::parse(profile.to_json(), kSizes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->entries, profile.entries);
}

TEST(AccessProfile, refuses_what_does_not_fit_the_image) {
  for (const char* text :
       {"", "[]", "{}", R"({"version":2,"entries":[]})", R"({"version":1,"entries":[[2,0,1]]})",
        R"({"version":1,"entries":[[0,0,99999999]]})", R"({"version":1,"entries":[[0,5,1]]})",
        R"({"version":1,"entries":[[0,0,0]]})", R"({"version":1,"entries":[[0,-1,1]]})",
        R"({"version":1,"entries":[[0,0]]})"})
    EXPECT_FALSE(AccessProfile::parse(text, kSizes)) << text;
}

TEST(TouchLog, notes_each_unit_once_and_only_while_recording) {
  fetch::TouchLog log(5 * kUnit);
  log.note({0, kUnit});
  log.start();
  log.note({kUnit - 1, 2});
  log.note({0, 1});
  log.note({4 * kUnit, kUnit});
  log.stop();
  log.note({3 * kUnit, 1});
  std::vector<uint32_t> units;
  for (const auto& one : log.touches()) units.push_back(one.unit);
  EXPECT_EQ(units, (std::vector<uint32_t>{0, 1, 4}));
}

}  // namespace
}  // namespace swarmfs::image
