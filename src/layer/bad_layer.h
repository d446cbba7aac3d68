// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include "util/error.h"

namespace swarmfs::layer {

/// A layer whose bytes make no sense: truncated, not an archive, or hostile. Names the crime.
class BadLayer : public util::Error {
 public:
  using util::Error::Error;
};

}  // namespace swarmfs::layer
