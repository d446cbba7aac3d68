// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include "oci/reference.h"
#include "registry/registry_client.h"

namespace swarmfs::daemon {

/// Of a range of a blob, from its repository's registry. In whose name, and how urgently, is to be
/// added.
registry::GetOrder order_of(const oci::Reference& blob, util::ByteRange range);

/// Some bytes of a blob, and no more, as the registry gives them. Fault::not_found, denied,
/// invalid: it does not, or knows no ranges. Blocking, until the order's deadline.
util::Outcome<util::Bytes> blob_range(registry::RegistryClient& registry, registry::GetOrder order);

}  // namespace swarmfs::daemon
