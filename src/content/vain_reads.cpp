// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "content/vain_reads.h"

#include <algorithm>

namespace swarmfs::content {

void VainReads::note(const Read& read, util::SteadyTime started, util::SteadyTime now) {
  if (now - started > kMemory) entries_.lock()->push_back({read, now});
}

bool VainReads::recent(const Read& read, util::SteadyTime now) {
  auto entries = entries_.lock();
  while (!entries->empty() && now - entries->front().ended > kMemory) entries->pop_front();
  return std::any_of(entries->begin(), entries->end(), [&](const Entry& entry) {
    return entry.read.layer == read.layer && entry.read.file == read.file &&
           !overlap(entry.read.range, read.range).empty();
  });
}

}  // namespace swarmfs::content
