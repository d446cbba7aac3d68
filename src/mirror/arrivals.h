// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <memory>

#include "fetch/fetcher.h"
#include "util/sync.h"

namespace swarmfs::mirror {

/// Brings blobs in as a whole for as long as somebody streams them: one round per blob, however
/// many connections share it. Any thread.
class Arrivals {
 public:
  explicit Arrivals(fetch::Fetcher& fetcher) : fetcher_(fetcher) {}
  using Ticket = std::shared_ptr<const void>;
  [[nodiscard]] Ticket bring_in(const std::shared_ptr<fetch::Layer>& blob);

 private:
  fetch::Fetcher& fetcher_;
  util::Sync<std::map<util::Digest, std::weak_ptr<util::Operation>>> coming_;
};

}  // namespace swarmfs::mirror
