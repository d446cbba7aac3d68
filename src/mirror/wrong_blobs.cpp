// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/wrong_blobs.h"

#include <algorithm>

namespace swarmfs::mirror {

void WrongBlobs::note(const util::Digest& blob, util::SteadyTime now) {
  auto seen = seen_.lock();
  std::erase_if(*seen, [&](const auto& one) { return now - one.second.last >= kRemembered; });
  if (seen->size() >= kMost && !seen->contains(blob)) return;
  auto& one = (*seen)[blob];
  ++one.times;
  one.last = now;
}

bool WrongBlobs::has(const util::Digest& blob, util::SteadyTime now) const {
  auto seen = seen_.lock();
  const auto found = seen->find(blob);
  return found != seen->end() && found->second.times >= kTries &&
         now - found->second.last < kRemembered;
}

bool WrongBlobs::any_in(const Document& document, util::SteadyTime now) const {
  if (seen_.lock()->empty()) return false;
  const auto named = blobs_of(*document.bytes);
  return std::any_of(named.begin(), named.end(),
                     [&](const NamedBlob& blob) { return has(blob.digest, now); });
}

}  // namespace swarmfs::mirror
