// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/wrong_blobs.h"

#include <algorithm>

namespace swarmfs::mirror {

void WrongBlobs::note(const std::string& repository, const util::Digest& blob,
                      util::SteadyTime since, util::SteadyTime now) {
  auto seen = seen_.lock();
  std::erase_if(*seen, [&](const auto& one) { return now - one.second.last >= kRemembered; });
  const auto known = seen->find({repository, blob});
  if (known == seen->end()) {
    if (seen->size() < kMost) seen->emplace(Key{repository, blob}, Seen{1, now});
  } else if (since > known->second.last) {
    ++known->second.times;
    known->second.last = now;
  }
}

void WrongBlobs::came_right(const std::string& repository, const util::Digest& blob) {
  seen_.lock()->erase({repository, blob});
}

bool WrongBlobs::has(const std::string& repository, const util::Digest& blob,
                     util::SteadyTime now) const {
  auto seen = seen_.lock();
  const auto found = seen->find({repository, blob});
  return found != seen->end() && found->second.times >= kTries &&
         now - found->second.last < kRemembered;
}

bool WrongBlobs::any(util::SteadyTime now) const {
  auto seen = seen_.lock();
  return std::any_of(seen->begin(), seen->end(),
                     [&](const auto& one) { return now - one.second.last < kRemembered; });
}

}  // namespace swarmfs::mirror
