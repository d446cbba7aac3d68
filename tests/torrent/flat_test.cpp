// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <filesystem>

#include "live_heap.h"
#include "torrent_fixture.h"

namespace swarmfs::torrent_test {

namespace {

size_t descriptors() {
  const std::filesystem::directory_iterator entries("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(entries), end(entries)));
}

}  // namespace

TEST(FlatTorrent, neither_memory_nor_descriptors_grow_with_what_was_exchanged) {
  constexpr int kWarm = 3, kRounds = 15;
  const Subject subject(4 << 20);
  Node seed("127.0.0.21"), node("127.0.0.22");
  seed.take(subject, true);
  size_t heap = 0, open = 0;
  for (int round = 0; round < kRounds; ++round) {
    node.take(subject, false, {seed.endpoint()});
    node.want_all();
    const double chunks = (round + 1) * 16.0;
    ASSERT_TRUE(await([&] { return node.meters().stored.value() == chunks; })) << round;
    EXPECT_TRUE(node.stored().content() == subject.content);
    node.session().remove(node.layer());
    node.layer()->end({util::Fault::cancelled, "the round ends"});
    if (round == kWarm) heap = live_heap(), open = descriptors();
  }
  // One round's layer is 4 MiB: less than what three of them would leave.
  EXPECT_TRUE(await([&] { return live_heap() < heap + (12 << 20); })) << live_heap() << " " << heap;
  EXPECT_TRUE(await([&] { return descriptors() < open + 8; })) << descriptors() << " " << open;
}

}  // namespace swarmfs::torrent_test
