// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "cache/lookahead.h"

#include <gtest/gtest.h>

namespace swarmfs::cache {
namespace {

using util::ByteRange;

constexpr uint64_t kMiB = 1 << 20;

std::vector<ByteRange> ranges(const Lookahead::Answer& answer) {
  std::vector<ByteRange> made;
  for (const auto& entry : answer.wanted) made.push_back(entry->range());
  return made;
}

TEST(Lookahead, wants_nothing_at_random) {
  Lookahead lookahead;
  for (const uint64_t at : {5ull, 1ull, 9ull, 3ull})
    EXPECT_TRUE(ranges(lookahead.on_read({at * kMiB, kMiB}, 100 * kMiB)).empty());
}

TEST(Lookahead, keeps_two_requests_ahead_of_a_sequential_reader_up_to_the_end) {
  Lookahead lookahead;
  EXPECT_TRUE(ranges(lookahead.on_read({0, kMiB}, 4 * kMiB + 5)).empty());
  const auto second = lookahead.on_read({kMiB, kMiB}, 4 * kMiB + 5);
  EXPECT_EQ(second.hit, nullptr);
  EXPECT_EQ(ranges(second), (std::vector<ByteRange>{{2 * kMiB, kMiB}, {3 * kMiB, kMiB}}));
  const auto third = lookahead.on_read({2 * kMiB, kMiB}, 4 * kMiB + 5);
  EXPECT_EQ(third.hit, second.wanted[0]);
  EXPECT_EQ(ranges(third), (std::vector<ByteRange>{{4 * kMiB, 5}}));
}

TEST(Lookahead, a_jump_forgets_what_was_read) {
  Lookahead lookahead;
  (void)lookahead.on_read({0, kMiB}, 100 * kMiB);
  (void)lookahead.on_read({kMiB, kMiB}, 100 * kMiB);
  (void)lookahead.on_read({50 * kMiB, kMiB}, 100 * kMiB);
  const auto back = lookahead.on_read({2 * kMiB, kMiB}, 100 * kMiB);
  EXPECT_EQ(back.hit, nullptr);
}

TEST(Lookahead, answers_whoever_comes_last_the_disk_or_the_reader) {
  for (const bool disk_first : {true, false}) {
    Lookahead::Entry entry({0, 3});
    std::string got;
    const auto arrive = [&] {
      const auto view = util::as_bytes("abc");
      entry.arrive(util::SharedBytes::of({view.begin(), view.end()}));
    };
    if (disk_first) arrive();
    entry.wait(
        [&](const util::Outcome<util::SharedBytes>& bytes) { got = util::as_text(bytes->view()); });
    if (!disk_first) arrive();
    EXPECT_EQ(got, "abc");
  }
}

}  // namespace
}  // namespace swarmfs::cache
