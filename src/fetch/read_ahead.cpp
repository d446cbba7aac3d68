// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "fetch/read_ahead.h"

#include <algorithm>

namespace swarmfs::fetch {

uint64_t ReadAhead::on_access(util::ByteRange range) noexcept {
  const bool sequential = last_end_ != UINT64_MAX && range.offset + kSlack >= last_end_ &&
                          range.offset <= last_end_ + kSlack && range.end() > last_end_;
  window_ = sequential ? std::clamp(window_ * 2, kLeast, kMost) : 0;
  last_end_ = range.end();
  return window_;
}

}  // namespace swarmfs::fetch
