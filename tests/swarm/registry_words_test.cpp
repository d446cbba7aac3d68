// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/registry_words.h"

#include <gtest/gtest.h>

#include "swarm/registry_views.h"

namespace swarmfs::swarm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const util::SteadyTime kBegin{seconds(1000)};
const auto kName = registry_name("docker.io");
constexpr milliseconds kNotHeld{0};

TEST(RegistryWords, travel_in_one_header) {
  const RegistryWords words{{kName, {true, kNotHeld}},
                            {registry_name("r:5000"), {true, milliseconds(12'000)}},
                            {registry_name("q"), {false, milliseconds(1)}}};
  const auto text = to_header(words);
  EXPECT_EQ(text.find("docker"), std::string::npos);
  ASSERT_TRUE(parse_registry_words(text));
  EXPECT_EQ(*parse_registry_words(text), words);
  EXPECT_EQ(*parse_registry_words(""), RegistryWords());
  EXPECT_EQ(parse_registry_words(kName.hex() + ";asks;held=7")->at(kName),
            (RegistryWord{true, milliseconds(7)}));
}

TEST(RegistryWords, that_are_none_are_refused) {
  const std::string hex = kName.hex();
  std::string many;
  for (int i = 0; i < 17; ++i) many += registry_name(std::to_string(i)).hex() + ",";
  for (const auto& text :
       {std::string("x"), hex + ";;asks", hex.substr(1), hex + ";begs",
        hex + ";held=", hex + ";held=-1", hex + ";held=1s", hex + ";held=86400001",
        hex + ";held=99999999999999999999", "," + hex, many}) {
    EXPECT_FALSE(parse_registry_words(text)) << text;
  }
}

TEST(RegistryViews, count_who_asks_and_forget_who_is_silent) {
  RegistryViews views;
  views.heard("a", {{kName, {true, kNotHeld}}}, kBegin);
  views.heard("b", {{kName, {true, kNotHeld}}}, kBegin);
  views.heard("c", {{registry_name("else"), {true, kNotHeld}}}, kBegin);
  EXPECT_EQ(views.of(kName, kBegin).asking, 2u);
  views.heard("a", {}, kBegin + seconds(1));
  EXPECT_EQ(views.of(kName, kBegin + seconds(1)).asking, 1u) << "it asks no more";
  EXPECT_EQ(views.of(kName, kBegin + seconds(11)).asking, 0u);
  EXPECT_EQ(views.of(registry_name("never"), kBegin).asking, 0u);
}

TEST(RegistryViews, know_how_long_a_registry_told_somebody_to_wait) {
  RegistryViews views;
  views.heard("a", {{kName, {false, seconds(20)}}}, kBegin);
  views.heard("b", {{kName, {true, seconds(5)}}}, kBegin);
  EXPECT_EQ(views.of(kName, kBegin).held_until, kBegin + seconds(20));
  views.heard("a", {}, kBegin + seconds(2));
  EXPECT_EQ(views.of(kName, kBegin + seconds(2)).held_until, kBegin + seconds(5));
}

TEST(RegistryViews, many_liars_have_no_more_power_than_one) {
  RegistryViews views;
  int held = 0;
  const int whole = 3600;
  for (int i = 0; i < whole; ++i) {
    const auto now = kBegin + seconds(i);
    views.heard("liar" + std::to_string(i), {{kName, {false, seconds(300)}}}, now);
    held += now < views.of(kName, now).held_until;
  }
  EXPECT_LE(held, whole / 5 + 60);
}

TEST(RegistryViews, a_node_has_no_room_for_more_registries_than_it_can_ask) {
  RegistryViews views;
  for (int i = 0; i < 1000; ++i)
    views.heard("liar", {{registry_name(std::to_string(i)), {true, kNotHeld}}}, kBegin);
  views.heard("a", {{kName, {true, kNotHeld}}}, kBegin);
  EXPECT_EQ(views.of(kName, kBegin).asking, 1u);
  unsigned kept = 0;
  for (int i = 0; i < 1000; ++i)
    kept += views.of(registry_name(std::to_string(i)), kBegin).held_until == util::SteadyTime();
  EXPECT_EQ(kept, 1000u);
}

TEST(HeldWord, one_who_goes_on_for_ever_costs_a_fifth_of_the_time) {
  HeldWord word;
  int held = 0;
  const int whole = 3600 * 4;  // quarters of a second
  for (int i = 0; i < whole; ++i) {
    const auto now = kBegin + milliseconds(250) * i;
    word.heard(seconds(300), now);
    held += now < word.until();
  }
  EXPECT_LE(held, whole / 5 + 4 * 60);
  EXPECT_GE(held, whole / 6);
}

TEST(HeldWord, one_who_takes_it_back_and_says_it_again_gains_nothing) {
  HeldWord word;
  int held = 0;
  const int whole = 3600 * 4;
  for (int i = 0; i < whole; ++i) {
    const auto now = kBegin + milliseconds(250) * i;
    word.heard(i % 8 == 7 ? seconds(0) : seconds(2), now);
    held += now < word.until();
  }
  EXPECT_LE(held, whole / 5 + 8);
}

TEST(HeldWord, is_taken_at_its_word) {
  HeldWord word;
  word.heard(seconds(10), kBegin);
  EXPECT_EQ(word.until(), kBegin + seconds(10));
  word.heard(seconds(9), kBegin + seconds(1));
  EXPECT_EQ(word.until(), kBegin + seconds(10));
  word.heard(seconds(30), kBegin + seconds(5));
  EXPECT_EQ(word.until(), kBegin + seconds(35)) << "the registry said it anew";
  word.heard(seconds(0), kBegin + seconds(20));
  EXPECT_EQ(word.until(), kBegin + seconds(20));
}

}  // namespace
}  // namespace swarmfs::swarm
