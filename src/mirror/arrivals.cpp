// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "mirror/arrivals.h"

namespace swarmfs::mirror {

Arrivals::Ticket Arrivals::bring_in(const std::shared_ptr<fetch::Layer>& blob) {
  auto operation = std::make_shared<util::Operation>();
  {
    auto coming = coming_.lock();
    std::erase_if(*coming, [](const auto& one) { return one.second.expired(); });
    auto& known = (*coming)[blob->ref().digest];
    if (auto shared = known.lock()) return shared;
    known = operation;
  }
  *operation = fetcher_.bring_in(blob, chunk::Class::pull, [](const util::Outcome<util::Done>&) {});
  return operation;
}

}  // namespace swarmfs::mirror
