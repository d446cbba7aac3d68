// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include "oci/reference.h"
#include "registry/registry_client.h"

namespace swarmfs::daemon {

/// Some bytes of a blob, and no more, as a repository's registry gives them. `anonymous`: to nobody
/// in particular; else with this node's credentials. Fault::not_found, denied, invalid: it does
/// not, or knows no ranges. Blocking, until `deadline`.
util::Outcome<util::Bytes> blob_range(registry::RegistryClient& registry,
                                      const oci::Reference& blob, util::ByteRange range,
                                      bool anonymous, chunk::Class cls, util::SteadyTime deadline);

}  // namespace swarmfs::daemon
