// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/read_ahead.h"

#include <algorithm>

namespace swarmfs::fetch {

uint64_t ReadAhead::on_access(util::ByteRange range) noexcept {
  const bool sequential =
      last_end_ != UINT64_MAX && range.end() > last_end_ && range.offset <= last_end_ + kSlack;
  run_ = sequential ? run_ + range.length : range.length;
  last_end_ = range.end();
  return sequential && run_ >= kLeast ? std::min(run_, kMost) : 0;
}

}  // namespace swarmfs::fetch
