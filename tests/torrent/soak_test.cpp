// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "soak.h"

#include <gtest/gtest.h>

#include "support/temporary_directory.h"

namespace swarmfs::torrent_test {

TEST(Soak, neither_memory_nor_descriptors_nor_threads_grow_with_the_chunks_that_were_moved) {
  constexpr uint64_t kWarm = 800, kAll = 2400;
  constexpr std::chrono::seconds kPatience{180};  // disks can pause
  // 400 MiB come in between, in some 25 layers.
  constexpr size_t kSlack = 8 << 20;
  const support::TemporaryDirectory directory;
  Soak soak(directory.path());
  soak.run_until(kWarm, kPatience);
  const auto warm = Footprint::now();
  soak.run_until(kAll, kPatience);
  const auto used = Footprint::now();
  EXPECT_LT(used.heap, warm.heap + kSlack);
#ifndef __SANITIZE_ADDRESS__  // which keeps what is freed
  EXPECT_LT(used.anonymous, warm.anonymous + 8 * kSlack);
#endif
  EXPECT_LT(used.descriptors, warm.descriptors + 16);
  EXPECT_EQ(used.threads, warm.threads);
}

}  // namespace swarmfs::torrent_test
